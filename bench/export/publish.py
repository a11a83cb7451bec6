"""A study as a static site: its report, its gallery, its data package; for a web server or a dataset repository."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from bench.errors import InputError
from bench.export.package import dataset_header, pack
from bench.gallery.site import render, write_gallery
from bench.gallery.study_index import open_index
from bench.report.build import build
from bench.report.results import Results, read_results
from bench.report.tables.votes import vote_count
from bench.report.text.answer import answer, question
from bench.report.text.phrases import counted
from bench.report.text.warnings import banners
from bench.store.study_folder import StudyFolder, write_bytes


def publish(folder: StudyFolder, to: Path, progress: Callable[[str], None] = lambda step: None) -> Path:
    """Write the site into `to`, which must be empty or absent; returns its index.html.

    Parameters
    ----------
    folder : the study; its report is built anew.
    to : folder of the site: `index.html`, `report/`, `gallery/`, `package/` and a dataset card.
    progress : called with the name of each step.

    Raises
    ------
    InputError : `to` holds something, or an image is missing or not the one its row names.
    """
    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        raise InputError(f"{to} is not empty: give --to a new folder")
    progress("building the report")
    build(folder)
    progress("writing the data package")
    pack(folder, to / "package")
    shutil.copytree(folder.report, to / "report")
    results = read_results(folder)
    warnings = [banner for banner in banners(results) if banner.grave]
    progress("writing thumbnails")
    write_gallery(
        open_index(folder),
        to / "gallery",
        images="../package/images",
        banners=warnings,
        threads=os.cpu_count() or 1,
    )
    page = render(
        "index.html.j2",
        title=results.title,
        banners=warnings,
        counts=_counts(results),
        question=question(results),
        answer=answer(results),
        samples=(to / "report" / "figures" / "samples.png").exists(),
    )
    write_bytes(to / "index.html", page.encode())
    write_bytes(to / "README.md", _card(results, to / "package").encode())
    return to / "index.html"


def _counts(results: Results) -> str:
    votes = vote_count(results)
    kind = "simulated vote" if results.simulated_votes else "vote"
    parts = [
        counted(len(results.contenders), "contender"),
        counted(len(results.prompts), "prompt"),
        counted(len(results.generations), "image"),
        *([counted(votes, kind)] if votes else []),
    ]
    return " · ".join(parts)


def _card(results: Results, package: Path) -> str:
    """README.md of the site: the card of a dataset repository, whose tables lie in `package/`."""
    lines = [dataset_header(results, package, below="package/"), f"# {results.title}", ""]
    for banner in banners(results):
        lines += [f"> **{banner.title}.** {banner.text}", ">"]
    lines += ["", _counts(results), "", f"**{question(results)}**" if question(results) else "", ""]
    lines += [f"- {sentence}" for sentence in answer(results)]
    lines += [
        "",
        "- [Report](report/index.html): tables, figures, method",
        "- [Gallery](gallery/index.html): every image, two compared by a slider",
        "- [Data package](package/README.md): Parquet, lossless images, Croissant, checksums",
        "",
        "The pages open from a disk and from any web server.",
    ]
    return "\n".join(lines) + "\n"
