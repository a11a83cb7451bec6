"""docs/design.md names what is there: every path in it exists, every package and file of a study folder is in it."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from bench.store.study_folder import StudyFolder
from tests.conftest import ROOT

TEXT = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
TOPS = ("bench", "arena", "tests", "results", "docs", "prompts")
PATHS = sorted({p for p in re.findall(r"`([\w./-]+)`", TEXT) if p.split("/")[0] in TOPS and "/" in p})
FOLDER = TEXT.partition("## A study folder")[2].partition("\n## ")[0]


@pytest.mark.parametrize("path", PATHS)
def test_a_path_of_the_design_page_is_there(path):
    assert (ROOT / path).exists()


@pytest.mark.parametrize(
    "package",
    sorted(f"{p.parent.parent.name}/{p.parent.name}/" for p in ROOT.glob("[ba][er]*/*/__init__.py")),
)
def test_every_package_is_on_the_design_page(package):
    assert f"`{package}`" in TEXT


def test_files_named_beside_a_package_are_in_it():
    for package, cell in re.findall(r"^\| `((?:bench|arena)/\w+/)` \| (.*) \|$", TEXT, re.MULTILINE):
        for name in re.findall(r"`([\w./]+\.py)`", cell):
            assert (ROOT / package / name).exists(), f"{package}{name}"


def test_every_file_of_a_study_folder_is_on_the_design_page():
    folder = StudyFolder(Path("study"))
    names = {
        Path(value).name
        for name, member in vars(StudyFolder).items()
        if isinstance(member, property) and isinstance(value := getattr(folder, name), Path)
    }
    assert names >= {"study.toml", "prompts.jsonl", "generations.jsonl", "votes.sqlite"}
    assert not [name for name in names if f"`{name}" not in FOLDER]


def test_every_json_that_is_written_to_a_study_folder_is_on_the_design_page():
    written = set()
    for path in (p for top in ("bench", "arena") for p in (ROOT / top).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if (
                isinstance(node, ast.Call)
                and getattr(node.func, "attr", getattr(node.func, "id", "")) == "write_json"
                and node.args
                and isinstance(node.args[0], ast.Constant)
            ):
                written.add(node.args[0].value)
    assert written >= {"plan.json"}
    assert not [name for name in written if f"`{name}" not in FOLDER]


@pytest.mark.parametrize(
    ("concept", "definition"),
    [
        ("text, reference, strength", "class Prompt:"),
        ("seeds", "def seed_of("),
        ("takes votes", "def vote("),
        ("the rank set", "def rank_sets("),
        ("(FID)", "def frechet_distance("),
        ("the batch shape", "shape: int"),
        ("panel ids", "panel"),
        ("licence", "licence="),
        ("a file a language", "title = "),
    ],
)
def test_a_concept_is_where_the_design_page_says(concept, definition):
    """From a word of the table to the file that defines it, without a search."""
    (row,) = (line for line in TEXT.splitlines() if line.startswith("| `") and concept in line)
    place = re.match(r"\| `([\w./]+)`", row).group(1)  # type: ignore[union-attr]
    named = re.findall(r"`((?:\w+/)*[\w-]+\.py|arena/languages/)`", row)
    paths = [ROOT / name if "/" in name else ROOT / place / name for name in named]
    files = [f for path in paths for f in (path.glob("*.toml") if path.is_dir() else [path])]
    assert any(definition in file.read_text(encoding="utf-8") for file in files), (row, files)
