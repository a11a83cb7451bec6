"""The handbook says what the program does: its commands exist, its reference is complete, its pages are linked."""

from __future__ import annotations

import ast
import importlib.util
import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PAGES = sorted(path for path in DOCS.rglob("*.md") if "_build" not in path.parts)
WRITTEN = {"commands.md"}
"""By docs/generate_reference.py, at each build."""


def generator() -> Any:
    spec = importlib.util.spec_from_file_location("generate_reference", DOCS / "generate_reference.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


REFERENCE = generator()
COMMANDS = REFERENCE.commands()


def quoted_commands(text: str) -> list[str]:
    """Command lines of console blocks, and of code spans that begin with one of the two programs."""
    blocks = re.findall(r"```console\n(.*?)```", text, re.DOTALL)
    lines = [line[2:] for block in blocks for line in block.splitlines() if line.startswith("$ ")]
    spans = re.findall(r"(?<!`)`((?:bench|arena) [a-z][^`]*)`(?!`)", text)
    return [line for line in (*lines, *spans) if line.split()[0] in ("bench", "arena")]


@pytest.mark.parametrize("page", [p for p in PAGES if p.name not in WRITTEN], ids=lambda p: p.name)
def test_every_command_of_the_handbook_exists_with_its_options(page: Path) -> None:
    for line in quoted_commands(page.read_text(encoding="utf-8")):
        words = shlex.split(line, comments=True)
        name = next((" ".join(words[:n]) for n in (3, 2) if " ".join(words[:n]) in COMMANDS), "")
        if words[1:2] == ["--help"]:
            continue
        assert name, f"{page.name}: {line}"
        options = {o for p in COMMANDS[name].params for o in (*p.opts, *p.secondary_opts)} | {"--help"}
        for word in words:
            if word.startswith("--"):
                assert word.partition("=")[0] in options, f"{page.name}: {line}"


def test_a_command_that_does_not_exist_is_found() -> None:
    assert quoted_commands("```console\n$ bench genrate x\n```\nand `arena serve x --prot 1`") == [
        "bench genrate x",
        "arena serve x --prot 1",
    ]
    assert "bench genrate" not in COMMANDS


def test_the_reference_holds_every_command_and_option() -> None:
    text = REFERENCE.commands_page()
    for name, command in COMMANDS.items():
        assert f"## `{name}`" in text
        for parameter in command.params:
            assert all(option in text for option in parameter.opts if option.startswith("--"))


def test_every_page_is_linked_and_every_link_has_its_page() -> None:
    listed = re.findall(
        r"^((?:guides|notebooks|reference)/[\w-]+|[\w-]+)$", (DOCS / "index.md").read_text(), re.MULTILINE
    )
    there = {
        str(path.relative_to(DOCS).with_suffix(""))
        for path in (*PAGES, *(DOCS / "notebooks").glob("*.ipynb"))
        if path.name != "index.md"
    }
    assert there | {f"reference/{Path(name).stem}" for name in WRITTEN} == set(listed)
    for page in PAGES:
        for target in re.findall(
            r"\]\(([^)#:]+?\.(?:md|ipynb))(?:#[^)]*)?\)", page.read_text(encoding="utf-8")
        ):
            path = (page.parent / target).resolve()
            if DOCS not in path.parents:
                continue
            assert path.exists() or path.name in WRITTEN, f"{page.name}: {target}"


def program_strings() -> list[str]:
    """Every string of bench/ and arena/, what is filled in as `…`; adjacent parts are one string."""
    texts: list[str] = []
    for path in sorted((*(ROOT / "bench").rglob("*.py"), *(ROOT / "arena").rglob("*.py"))):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = [part.value if isinstance(part, ast.Constant) else "…" for part in node.values]
                texts.append("".join(map(str, parts)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.append(node.value)
    return texts


def test_the_messages_of_the_troubleshooting_page_are_the_programs() -> None:
    text = (DOCS / "guides" / "troubleshooting.md").read_text(encoding="utf-8")
    quoted = re.findall(r"^\| `([^`]+)`(?:, `([^`]+)`)? \|", text, re.MULTILINE)
    messages = [message for row in quoted for message in row if message]
    assert len(messages) > 30
    known = [*program_strings(), (ROOT / "arena" / "languages" / "en.toml").read_text(encoding="utf-8")]
    for message in messages:
        parts = [re.escape(part.strip()) for part in message.split("…") if part.strip()]
        pattern = re.compile(".*?".join(parts), re.DOTALL)
        assert any(pattern.search(text) for text in known), message


def test_the_citation_names_the_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert f"\nversion: {project['version']}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", [path.stem for path in sorted((DOCS / "notebooks").glob("*.ipynb"))])
@pytest.mark.filterwarnings("ignore")
def test_a_notebook_runs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the miniature family; its assertions are those of its cells."""
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    notebook = nbformat.read(DOCS / "notebooks" / f"{name}.ipynb", 4)
    assert not any(cell.get("outputs") for cell in notebook.cells)
    client = nbclient.NotebookClient(notebook, timeout=500, resources={"metadata": {"path": str(tmp_path)}})
    client.execute()
    assert any(cell.get("outputs") for cell in notebook.cells)
