"""A study as a data package others can re-analyse: Parquet, images, a data card, Croissant metadata, checksums.

Raters are anonymised: their salted hashes and the labels of their groups become running numbers in an order that
says nothing of time. The vote database, its key and the panel ids never leave the study folder. `unpack` makes a
study folder of a package again, and the report of the two is the same byte for byte.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

from bench.errors import InputError
from bench.export.croissant import croissant
from bench.export.images_table import IMAGES, write_images_table
from bench.records import (
    Battle,
    Failure,
    Generation,
    ImageScore,
    Prompt,
    PromptEffect,
    Reference,
    iterate_rows,
    to_json,
)
from bench.report.results import Results, read_results
from bench.report.text.bibliography import bibliography, bibtex, citation, with_names
from bench.report.text.method import command_without_folders, data_statement, method
from bench.report.text.phrases import listed
from bench.report.text.warnings import banners
from bench.store.study_folder import StudyFolder, write_bytes

ROWS: dict[str, tuple[type, str]] = {
    "prompts": (Prompt, "prompts.jsonl"),
    "generations": (Generation, "generations.jsonl"),
    "failures": (Failure, "failures.jsonl"),
    "references": (Reference, "references.jsonl"),
    "battles": (Battle, "battles.jsonl"),
    "image_scores": (ImageScore, "image-scores.jsonl"),
    "prompt_effects": (PromptEffect, "prompt-effects.jsonl"),
}
"""Parquet file in `data/` → row type and file of the study folder. Scores and timings follow as views."""
DOCUMENTS = (
    "study.toml",
    "run.json",
    "plan.json",
    "latency.json",
    "interactive.json",
    "scores.json",
    "ratings.json",
)
"""Kept as they are, but for raters and folders of this machine."""
CHECKSUMS = "checksums.sha256"


def pack(folder: StudyFolder, to: Path) -> Path:
    """Write the package into `to`, which must be empty or not be there; returns it.

    Raises InputError: `to` holds something, an image is missing or not the one its row speaks of.
    """
    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        raise InputError(f"{to} is not empty: give --to a new folder")
    results = read_results(folder)
    if damaged := folder.damaged():
        row, fault = damaged[0]
        raise InputError(
            f"{len(damaged)} images are not what their rows say (first: {row.contender}, {row.prompt_id}: {fault}): "
            "`bench verify` lists them"
        )
    names = _pseudonyms(folder)
    for name, (kind, file) in ROWS.items():
        rows = [_anonymous(row, names) for row in iterate_rows(folder.path / file, kind)]
        if rows:
            write_bytes(to / "data" / f"{name}.parquet", _parquet(kind, rows))
    _views(results, to / "data")
    write_images_table(results, to / "data" / IMAGES)
    for name in DOCUMENTS:
        path = folder.path / name
        if path.exists():
            text = _document(name, path.read_text(encoding="utf-8"), names)
            write_bytes(to / "documents" / name, text.encode())
    for source, target in _image_files(folder):
        target = to / target
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    write_bytes(to / "README.md", _card(results, to).encode())
    entries = bibtex(results)
    if entries:
        write_bytes(to / "references.bib", entries.encode())
    sums = _sums(to)
    described = {path: digest for path, digest in sums.items() if not path.startswith("images/")}
    text = json.dumps(croissant(results, to, described), indent=1, ensure_ascii=False) + "\n"
    write_bytes(to / "croissant.json", text.encode())
    sums["croissant.json"] = hashlib.sha256(text.encode()).hexdigest()
    listed = "".join(f"{digest}  {path}\n" for path, digest in sorted(sums.items()))
    write_bytes(to / CHECKSUMS, listed.encode())
    return to


def unpack(package: Path, results: Path) -> StudyFolder:
    """A study folder under `results` from a package, every checksum verified first.

    Raises InputError: no package, a file missing, changed or added, or a study of that name is there already.
    """
    check(package)
    import tomllib

    study = tomllib.loads((package / "documents" / "study.toml").read_text(encoding="utf-8"))
    name = str(study.get("name") or "")
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,63}", name):
        raise InputError(f"{package}: its study.toml names no study ('{name}')")
    folder = StudyFolder(results / name)
    if folder.path.exists() and any(folder.path.iterdir()):
        raise InputError(f"{folder.path} is there already: move it away, or give another --results")
    for stem, (kind, file) in ROWS.items():
        path = package / "data" / f"{stem}.parquet"
        if path.exists():
            write_bytes(
                folder.path / file, "".join(to_json(row) + "\n" for row in _rows(kind, path)).encode()
            )
    for top in ("images", "references"):
        if (package / top).is_dir():
            shutil.copytree(package / top, folder.path / top)
    for document in DOCUMENTS:
        path = package / "documents" / document
        if path.exists():
            write_bytes(folder.path / document, path.read_bytes())
    return folder


def check(package: Path) -> int:
    """Files verified. Raises InputError at the first that is missing, changed or not listed."""
    listed = package / CHECKSUMS
    if not listed.is_file():
        raise InputError(f"{package} is no data package: it has no {CHECKSUMS}; `bench export` makes one")
    wanted = {}
    for line in listed.read_text(encoding="utf-8").splitlines():
        digest, _, path = line.partition("  ")
        wanted[path] = digest
    there = _sums(package)
    there.pop(CHECKSUMS, None)
    for path in sorted({*wanted, *there}):
        if path not in there:
            raise InputError(f"{package}: {path} is missing: copy the package again")
        if path not in wanted:
            raise InputError(f"{package}: {path} is not in {CHECKSUMS}: remove it, or copy the package again")
        if there[path] != wanted[path]:
            raise InputError(f"{package}: {path} was changed: copy the package again")
    return len(wanted)


def _sums(folder: Path) -> dict[str, str]:
    sums = {}
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            raise InputError(f"{path} is a link: a data package holds files only")
        if path.is_file():
            with path.open("rb") as file:
                sums[path.relative_to(folder).as_posix()] = hashlib.file_digest(file, "sha256").hexdigest()
    return sums


def _image_files(folder: StudyFolder) -> Iterator[tuple[Path, str]]:
    """Images that have a row, and references: path here, path in the package."""
    for row in folder.generations().values():
        path = folder.image(row.contender, row.prompt_id, row.replicate)
        yield path, path.relative_to(folder.path).as_posix()
    for path in sorted((folder.path / "references").glob("*.webp")):
        yield path, path.relative_to(folder.path).as_posix()


def _pseudonyms(folder: StudyFolder) -> dict[str, str]:
    """Rater and group → running number, in the order of a hash: neither time nor name can be read from it."""
    raters: set[str] = set()
    groups: set[str] = set()
    for row in iterate_rows(folder.battles_file, Battle):
        raters.add(row.rater)
        groups.add(row.group)

    def numbered(words: Iterable[str], prefix: str) -> dict[str, str]:
        kept = sorted((w for w in words if w), key=lambda w: hashlib.sha256(w.encode()).hexdigest())
        return {word: f"{prefix}-{i:04d}" for i, word in enumerate(kept, 1)}

    return {**numbered(groups, "group"), **numbered(raters, "rater")}


def _anonymous(row: Any, names: Mapping[str, str]) -> Any:
    if not isinstance(row, Battle):
        return row
    return replace(row, rater=names.get(row.rater, row.rater), group=names.get(row.group, row.group))


def _document(name: str, text: str, names: Mapping[str, str]) -> str:
    """run.json without the folders its command named, ratings.json with raters and groups as numbers."""
    if name not in ("run.json", "ratings.json"):
        return text
    document = json.loads(text)
    if document.get("command"):
        document["command"] = command_without_folders(document["command"])
    for block in (document.get("questions") or {}).values():
        groups = block.get("by_rater_group") or {}
        block["by_rater_group"] = {names.get(label, label): part for label, part in groups.items()}
        flips = (block.get("robustness") or {}).get("flipping_raters") or []
        for flip in flips:
            flip[0] = names.get(flip[0], flip[0])
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def _parquet(kind: type, rows: Sequence[Any]) -> bytes:
    """One column a field, in field order, so that nothing is lost on the way back; images with their path."""
    import io

    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {f.name: [getattr(row, f.name) for row in rows] for f in fields(kind)}
    for name in _mappings(kind):  # Parquet has no struct without fields
        columns[name] = [json.dumps(dict(cell), sort_keys=True, ensure_ascii=False) for cell in columns[name]]
    if kind is Generation:
        columns["file"] = [f"images/{row.contender}/{row.prompt_id}-{row.replicate}.webp" for row in rows]
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue()


def _rows(kind: type, path: Path) -> list[Any]:
    import pyarrow.parquet as pq

    names, mappings = {f.name for f in fields(kind)}, _mappings(kind)
    return [
        kind(**{k: json.loads(v) if k in mappings else v for k, v in row.items() if k in names})
        for row in pq.read_table(path).to_pylist()
    ]


def _mappings(kind: type) -> set[str]:
    """Fields of a row type that hold a mapping, which is JSON in Parquet."""
    return {f.name for f in fields(kind) if f.default_factory is dict}


def _views(results: Results, data: Path) -> None:
    """Scores, timings and felt pictures flat, beside the documents that hold them in full."""
    scores = [{**asdict(row), "protocol": json.dumps(row.protocol, sort_keys=True)} for row in results.scores]
    timings = [
        {"contender": t.contender, "stage": t.stage, "batch": t.batch, "call": i, "seconds": value}
        for t in results.timings
        for i, value in enumerate(t.seconds)
    ]
    ratings = [
        {"question": question, **asdict(row)}
        for question, preference in results.preferences.items()
        for row in preference.ratings
    ]
    views = {
        "scores": scores,
        "timings": timings,
        "ratings": ratings,
        "felt_pictures": [asdict(r) for r in results.felt],
    }
    for name, rows in views.items():
        if rows:
            import io

            import pyarrow as pa
            import pyarrow.parquet as pq

            sink = io.BytesIO()
            pq.write_table(pa.Table.from_pylist(rows), sink)
            write_bytes(data / f"{name}.parquet", sink.getvalue())


def dataset_header(results: Results, package: Path, below: str = "") -> str:
    """The YAML header by which `datasets.load_dataset` and the Hugging Face viewer find the tables.

    Parameters
    ----------
    results : the study.
    package : folder of the data package.
    below : prefix of the tables' paths where the card lies in a folder above the package, as `package/`.
    """
    names = sorted(path.stem for path in (package / "data").glob("*.parquet"))
    first = "images" if "images" in names else names[0]
    lines = ["---", f"pretty_name: {json.dumps(results.title, ensure_ascii=False)}", "license: other"]
    lines += ["task_categories:", "- text-to-image", "tags:", "- croissant", "- human-preference", "configs:"]
    for name in [first, *(name for name in names if name != first)]:
        lines += [f"- config_name: {name}", f"  data_files: {below}data/{name}.parquet"]
        lines += ["  default: true"] if name == first else []
    return "\n".join([*lines, "---", ""])


def _card(results: Results, package: Path) -> str:
    """README.md of the package."""
    by = f" by {listed(list(results.authors))}" if results.authors else ""
    lines = [
        dataset_header(results, package),
        f"# {results.title}",
        "",
        f"Data of the study `{results.name}`{by}.",
        "",
    ]
    for banner in banners(results):
        lines += [f"> **{banner.title}.** {banner.text}", ">"]
    lines += ["", "## What is here", "", "| file | holds |", "|---|---|"]
    lines += [f"| `{name}` | {held} |" for name, held in _HELD if _there(package, name)]
    lines += ["", "## Data statement", ""]
    lines += [f"- **{key}**: {text}" for key, text in data_statement(results)]
    works = bibliography(results)
    lines += ["", "## Method"]
    lines += [f"\n**{part.head}.** {with_names(part.text, works)}" for part in method(results)]
    lines += ["", "## Licences", ""]
    chosen = results.run.get("prompt_set") or {}
    lines += [f"- Prompts ({chosen.get('name') or 'unnamed'}): {chosen.get('licence') or 'not recorded'}"]
    lines += [
        f"- Images by {name}: the licence of the model, {entry.get('licence') or 'not recorded'}"
        for name, entry in sorted(results.models.items())
    ]
    lines += ["- Votes, scores, timings: not stated; the publisher of this package fills this in", ""]
    lines += ["## To cite it", "", "```bibtex", citation(results), "```", ""]
    lines += [
        "## Use",
        "",
        "```console",
        "$ sha256sum -c checksums.sha256",
        """$ python -c 'import datasets; print(datasets.load_dataset("DIR", "battles"))'""",
        "$ bench import DIR",
        f"$ bench report {results.name}",
        "```",
    ]
    return "\n".join(lines) + "\n"


def _there(package: Path, name: str) -> bool:
    """Whether the package has it; what is written after the card always comes."""
    return not name.startswith("data/") or (package / name).exists()


_HELD = (
    ("data/prompts.parquet", "a row a prompt: id, text, category, challenge"),
    ("data/images.parquet", "a row an image: a thumbnail, contender, prompt, path of the lossless image"),
    ("data/generations.parquet", "a row an image: contender, prompt, replicate, seed, sha256, size, path"),
    (
        "data/battles.parquet",
        "a row an answer: sides, outcome, question, rater (a number), why it is left out if it is",
    ),
    ("data/ratings.parquet", "a row a question and contender: rating, interval, rank set"),
    ("data/scores.parquet", "a row a metric and contender: value, interval, N, protocol"),
    ("data/image_scores.parquet", "a row a metric and image"),
    ("data/prompt_effects.parquet", "a row a metric, contender and prompt: what it adds to the score"),
    ("data/timings.parquet", "a row a timed call: stage, batch, seconds"),
    ("data/felt_pictures.parquet", "a row a picture drawn while typing: seconds of each stage"),
    ("data/failures.parquet", "a row a failure"),
    ("images/CONTENDER/PROMPT-REPLICATE.webp", "the images, lossless"),
    ("documents/", "study file, provenance and the results as the suite wrote them"),
    ("croissant.json", "machine-readable description (Croissant 1.0)"),
    ("checksums.sha256", "of every file"),
)
