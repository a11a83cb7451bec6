"""The gallery as static files, which open from a disk and from any web server."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from bench.gallery.document import REFERENCE, gallery_document, to_json
from bench.gallery.page import ASSETS, ORDERS, STATES, STATIC, levels
from bench.gallery.study_index import StudyIndex
from bench.report.images.thumbnails import thumbnail
from bench.report.tables.metrics import label
from bench.report.text.warnings import Banner
from bench.store.study_folder import write_bytes

SIDE = 256
"""Longest side of a thumbnail, pixels."""


def write_gallery(
    index: StudyIndex, to: Path, *, images: str, banners: Sequence[Banner], threads: int
) -> int:
    """Write the gallery of a study into a folder.

    Parameters
    ----------
    index : the study.
    to : folder of the gallery.
    images : address, relative to the gallery's page, below which the lossless images lie.
    banners : what a visitor must not miss.
    threads : how many thumbnails are made at a time.

    Returns
    -------
    Thumbnails written.
    """
    data = gallery_document(index, thumbnails="thumbs", images=images)
    write_bytes(to / "data.js", f"window.GALLERY_DATA={to_json(data)};\n".encode())
    for name in ASSETS:
        shutil.copyfile(STATIC / name, to / name)
    metrics = [(name, label(name)) for name in index.scores]
    page = render(
        "site.html.j2",
        title=index.title,
        banners=banners,
        categories=levels([prompt.category for prompt in index.prompts]),
        challenges=levels([prompt.challenge for prompt in index.prompts]),
        states=STATES,
        orders={key: text for key, text in ORDERS.items() if metrics or key in ("study", "clear", "close")},
        metrics=metrics,
        contenders=index.contenders,
    )
    write_bytes(to / "index.html", page.encode())
    return _write_thumbnails(index, to / "thumbs", threads)


def render(template: str, **values: Any) -> str:
    """A page of the published site; text is escaped."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(STATIC), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    return environment.get_template(template).render(**values)


def _write_thumbnails(index: StudyIndex, to: Path, threads: int) -> int:
    """Pillow decodes outside the interpreter's lock, so that threads help."""

    def write(job: tuple[Path, Path]) -> bool:
        made = thumbnail(job[0], SIDE)
        if isinstance(made, str):
            return False
        job[1].parent.mkdir(parents=True, exist_ok=True)
        job[1].write_bytes(made[0])
        return True

    jobs = []
    for p, r, c in np.argwhere(index.present).tolist():
        prompt, name = index.prompts[p].id, index.contenders[c]
        jobs.append((index.folder.image(name, prompt, r), to / name / f"{prompt}-{r}.webp"))
    if index.references:
        jobs += [(index.folder.reference(p.id), to / REFERENCE / f"{p.id}-0.webp") for p in index.prompts]
    with ThreadPoolExecutor(threads) as pool:
        return sum(pool.map(write, jobs))
