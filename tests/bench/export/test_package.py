"""The data package: complete, anonymous, verified, and the same report out of it again."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from bench.errors import InputError
from bench.export.package import _parquet, _rows, check, pack, unpack
from bench.records import Prompt
from bench.report.build import build
from bench.store.study_folder import StudyFolder
from tests.support.report_study import make_study

RATERS = [f"{k:032x}" for k in range(3)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    made = make_study(
        tmp_path_factory.mktemp("study") / "whole",
        side=24,
        votes=True,
        rich=True,
        simulated=False,
        missing=(("sdxl@50", 1),),
        prompts=("a fox", "قطة", "🦊 <b>&", 'one, "two"\tthree'),
    )
    run = made.read_json("run.json")
    made.write_json(
        "run.json", {**run, "command": "bench run /home/ada/studies/whole.toml --results /data/x"}
    )
    (made.path / "votes.sqlite").write_bytes(b"panel ids")
    (made.path / "arena.key").write_bytes(b"secret")
    build(made)
    return made


@pytest.fixture(scope="module")
def package(folder: StudyFolder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pack(folder, tmp_path_factory.mktemp("package") / "whole")


def contents(root: Path) -> dict[str, bytes]:
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


def test_the_report_of_the_package_is_the_same_byte_for_byte(
    folder: StudyFolder, package: Path, tmp_path: Path
) -> None:
    again = unpack(package, tmp_path)
    build(again)
    assert contents(again.report) == contents(folder.report)


def test_every_file_is_as_listed(package: Path) -> None:
    listed = dict(line.split("  ")[::-1] for line in (package / "checksums.sha256").read_text().splitlines())
    there = contents(package)
    there.pop("checksums.sha256")
    assert {path: hashlib.sha256(data).hexdigest() for path, data in there.items()} == listed
    assert check(package) == len(listed)


def test_nobody_can_be_found_in_it(package: Path) -> None:
    for path, data in contents(package).items():
        for word in (*RATERS, "friends of Ada", "/home/ada", "panel ids", "secret"):
            assert word.encode() not in data, (path, word)
        assert "sqlite" not in path
        assert "key" not in path
    battles = pd.read_parquet(package / "data/battles.parquet")
    assert set(battles["rater"]) == {"rater-0001", "rater-0002", "rater-0003"}
    assert set(battles["group"]) == {"group-0001"}


def test_the_same_rater_stays_the_same(folder: StudyFolder, package: Path) -> None:
    before = [json.loads(line)["rater"] for line in folder.battles_file.read_text().splitlines()]
    after = pd.read_parquet(package / "data/battles.parquet")["rater"].tolist()
    assert len(set(zip(before, after, strict=True))) == len(set(before)) == len(set(after))


def test_tables_hold_what_the_rows_hold(folder: StudyFolder, package: Path) -> None:
    images = pq.read_table(package / "data/generations.parquet").to_pylist()
    rows = [json.loads(line) for line in folder.generations_file.read_text().splitlines()]
    files = [row.pop("file") for row in images]
    assert images == rows
    assert all((package / file).is_file() for file in files)
    prompts = pd.read_parquet(package / "data/prompts.parquet")
    assert prompts["text"].tolist() == ["a fox", "قطة", "🦊 <b>&", 'one, "two"\tthree']
    timings = pd.read_parquet(package / "data/timings.parquet")
    kept = folder.read_json("latency.json")["rows"]
    assert len(timings) == sum(len(row["seconds"]) for row in kept)


def test_croissant_names_every_table_column_and_hash(package: Path) -> None:
    document = json.loads((package / "croissant.json").read_text(encoding="utf-8"))
    assert document["conformsTo"] == "http://mlcommons.org/croissant/1.0"
    files = {entry["@id"]: entry for entry in document["distribution"] if entry["@type"] == "cr:FileObject"}
    for path, entry in files.items():
        assert entry["sha256"] == hashlib.sha256((package / path).read_bytes()).hexdigest()
    for record in document["recordSet"]:
        columns = pq.read_schema(package / f"data/{record['@id']}.parquet").names
        assert [field["source"]["extract"]["column"] for field in record["field"]] == columns
    assert {p for p in contents(package) if p.endswith(".parquet")} <= set(files)


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (lambda p: (p / "data/battles.parquet").write_bytes(b"x"), "battles.parquet was changed"),
        (lambda p: (p / "README.md").unlink(), "README.md is missing"),
        (lambda p: (p / "data/extra.parquet").write_bytes(b"x"), "extra.parquet is not in checksums"),
        (lambda p: (p / "checksums.sha256").unlink(), "is no data package"),
        (lambda p: (p / "link").symlink_to("/etc/passwd"), "is a link"),
    ],
    ids=["changed", "missing", "added", "no list", "link"],
)
def test_a_package_that_was_touched_is_refused(package: Path, tmp_path: Path, harm, told: str) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(package, copy)
    harm(copy)
    with pytest.raises(InputError, match=told):
        unpack(copy, tmp_path / "results")
    assert not (tmp_path / "results").exists()


def test_nothing_is_written_over(folder: StudyFolder, package: Path, tmp_path: Path) -> None:
    (tmp_path / "whole").mkdir()
    (tmp_path / "whole" / "mine").write_text("mine")
    with pytest.raises(InputError, match="is there already"):
        unpack(package, tmp_path)
    with pytest.raises(InputError, match="is not empty"):
        pack(folder, tmp_path)
    assert [p.name for p in (tmp_path / "whole").iterdir()] == ["mine"]


def test_damaged_images_are_not_exported(folder: StudyFolder, tmp_path: Path) -> None:
    copy = tmp_path / "study"
    shutil.copytree(folder.path, copy)
    next((copy / "images").rglob("*.webp")).write_bytes(b"x")
    with pytest.raises(InputError, match="1 images are not what their rows say"):
        pack(StudyFolder(copy), tmp_path / "to")


def test_a_prompts_translations_come_back(tmp_path: Path) -> None:
    rows = [
        Prompt(id="a", text="a fox", translations={"de": "ein Fuchs", "ar": "ثعلب"}),
        Prompt(id="b", text="tea"),
    ]
    (tmp_path / "prompts.parquet").write_bytes(_parquet(Prompt, rows))
    assert _rows(Prompt, tmp_path / "prompts.parquet") == rows
