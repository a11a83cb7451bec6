"""What the documents say, held against the code: commands, studies, targets, links, the study file."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer

import arena.cli.app
import bench.cli.app
from bench.study.study import read
from tests.conftest import ROOT

PAGES = (
    "README.md",
    "CONTRIBUTING.md",
    "results/README.md",
    "prompts/README.md",
    "bench/miniature/README.md",
    "docs/guides/live.md",
    "docs/guides/image-to-image.md",
    "docs/guides/gpu-and-clusters.md",
)
TOPS = {
    "bench": typer.main.get_command(bench.cli.app.app),
    "arena": typer.main.get_command(arena.cli.app.app),
}
CODE = re.compile(r"```(?:console|bash|sh)\n(.*?)```|`([^`\n]+)`", re.S)
VALUES = {"STUDY": "miniature", "OLD": "a", "NEW": "b", "DIR": "folder", "FILE": "votes.csv", "NAME": "parti"}


def commands() -> list[tuple[str, str]]:
    """Every `bench …` and `arena …` line of the pages' code, comments and prompts taken off."""
    found = set()
    for page in PAGES:
        for block, inline in CODE.findall((ROOT / page).read_text(encoding="utf-8")):
            for line in re.split(r"\n|&&", block or inline):
                words = re.sub(r"\s+[#>].*", "", line.strip().removeprefix("$ "))
                words = re.sub(r"^([A-Z_]+=\S+ +|python -m )+", "", words)
                if re.match(r"(bench|arena) [a-z]", words):
                    found.add((page, words))
    return sorted(found)


@pytest.mark.parametrize(("page", "line"), commands())
def test_a_command_of_the_documents_is_one_that_the_suite_takes(page, line):
    """Verbs, arguments and options, through the parser that the command itself uses."""
    top, *words = [VALUES.get(word, word) for word in shlex.split(line)]
    command = TOPS[top]
    context = command.make_context(top, words, resilient_parsing=False)
    while hasattr(command, "commands"):
        name, command, rest = command.resolve_command(context, context._protected_args + context.args)
        if not rest and not any(part.required for part in command.params):
            return
        if rest or hasattr(command, "commands"):
            context = command.make_context(name, rest, parent=context)


def test_the_documents_have_commands_to_check():
    assert len(commands()) > 20


@pytest.mark.parametrize("page", PAGES)
def test_links_and_pictures_of_the_documents_are_there(page):
    for target in re.findall(r"\]\(([^)#\s]+)\)", (ROOT / page).read_text(encoding="utf-8")):
        if not target.startswith("http"):
            assert ((ROOT / page).parent / target).exists(), target


def test_make_targets_of_the_readme_are_there():
    asked = set(re.findall(r"[`$] ?make ([a-z]+)", (ROOT / "README.md").read_text(encoding="utf-8")))
    made = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))
    assert {"demo", "test"} <= asked <= made


def test_the_study_file_of_the_readme_is_a_study(tmp_path: Path):
    """With its prompt set swapped for the one that needs no download, and its own model beside it."""
    blocks = re.findall(r"```toml\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.S)
    whole = next(block for block in blocks if block.startswith("name ="))
    model = next(block for block in blocks if block.startswith("[models."))
    path = tmp_path / "study.toml"
    path.write_text(
        whole.replace('"parti"', '"turbo-264"')
        .replace("count = 800", "count = 100")
        .replace('"sdxl@50"', '"sdxl@50", "ours@4"')
        + model
    )
    (tmp_path / "checkpoints" / "ours").mkdir(parents=True)
    study = read(path)
    assert [c.name for c in study.contenders][2:4] == ["sdxl@50", "ours@4"]
    assert len(study.prompts) == 100
