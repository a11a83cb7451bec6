"""Who may import whom: the sentence in each package's docstring, held against the code."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
HEAVY = {
    "torch",
    "torchvision",
    "diffusers",
    "transformers",
    "open_clip",
    "gradio",
    "ray",
    "accelerate",
    "peft",
}
SUBCLASSES = {"bench.models.amused_scheduler"}
"""Modules that are a diffusers class themselves; they are imported inside a function."""
MODULES = {
    "bench.errors": set(),
    "bench.papers": set(),
    "bench.records": {"bench.errors"},
    "bench.device": {"bench.errors"},
    "bench.text_files": {"bench.errors"},
    "bench.address": {"bench.errors"},
}
"""The lowest modules outside any package, with all that they may import."""
MOST_FLAT = {"bench": 11, "arena": 9}
"""Python files directly in a top-level package."""


def module(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {module(p): p for top in ("bench", "arena") for p in sorted((ROOT / top).rglob("*.py"))}
PACKAGES = sorted(
    f"{top}.{path.parent.name}" for top in ("bench", "arena") for path in (ROOT / top).glob("*/__init__.py")
)


def imports(path: Path, top_only: bool = False) -> set[str]:
    """Modules a file imports, those imported inside functions too unless `top_only`."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    lazy = {
        inner
        for outer in ast.walk(tree)
        if isinstance(outer, ast.FunctionDef | ast.AsyncFunctionDef)
        or (isinstance(outer, ast.If) and "TYPE_CHECKING" in ast.unparse(outer.test))
        for inner in ast.walk(outer)
    }
    names: set[str] = set()
    for node in ast.walk(tree):
        if top_only and node in lazy:
            continue
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {
                full if (full := f"{node.module}.{alias.name}") in FILES else node.module
                for alias in node.names
            }
    return names


def ours(name: str, top_only: bool = False) -> set[str]:
    return {i for i in imports(FILES[name], top_only) if i.split(".")[0] in ("bench", "arena")} - {
        "bench",
        "arena",
    }


def room(name: str) -> str:
    """`bench.metrics.frechet` → `bench.metrics`."""
    return ".".join(name.split(".")[:2])


def declared(package: str) -> set[str]:
    """The names after `Imports:` in the package's docstring, up to the full stop."""
    text = ast.get_docstring(ast.parse(FILES[package].read_text(encoding="utf-8"))) or ""
    line = re.search(r"^Imports: (.*?)\.$", text, re.MULTILINE | re.DOTALL)
    assert line, f"{package}/__init__.py has no sentence 'Imports: … .'"
    return set(re.split(r",\s*", line[1].strip())) - {"nothing of ours"}


@pytest.mark.parametrize("package", [p for p in PACKAGES if p != "arena.migrations"])
def test_a_package_imports_what_its_docstring_says(package):
    members = [name for name in FILES if name == package or name.startswith(package + ".")]
    assert {room(i) for name in members for i in ours(name)} - {package} == declared(package)


@pytest.mark.parametrize("name", [n for n in FILES if n.startswith("bench")])
def test_bench_never_imports_arena(name):
    assert not [i for i in ours(name) if i.startswith("arena")]


@pytest.mark.parametrize(("name", "allowed"), MODULES.items())
def test_the_lowest_modules_stay_lowest(name, allowed):
    assert ours(name) <= allowed


@pytest.mark.parametrize("top", MOST_FLAT)
def test_few_files_lie_flat(top):
    assert len(list((ROOT / top).glob("*.py"))) <= MOST_FLAT[top]


@pytest.mark.parametrize(
    "name", [n for n in FILES if not n.startswith("bench.miniature.") and n not in SUBCLASSES]
)
def test_heavy_libraries_are_imported_where_they_are_used(name):
    assert not {i.split(".")[0] for i in imports(FILES[name], top_only=True)} & HEAVY


def test_no_import_cycle_at_module_level():
    graph = {name: ours(name, top_only=True) & set(FILES) for name in FILES}
    state: dict[str, int] = {}

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert state.get(name) != 1, " → ".join((*path, name))
        if name in state:
            return
        state[name] = 1
        for other in sorted(graph[name] - {name}):
            visit(other, (*path, name))
        state[name] = 2

    for name in graph:
        visit(name, ())


@pytest.mark.parametrize("target", ["bench.cli.app", "arena.cli.app", "bench.ratings.fits"])
def test_a_command_starts_without_the_heavy_libraries(target):
    code = f"import sys, {target}; print(sorted(set(sys.modules) & {HEAVY!r}))"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert loaded.stdout.strip() == "[]"


@pytest.mark.parametrize("path", sorted((ROOT / "tests").rglob("test_*.py")), ids=lambda path: path.stem)
def test_no_test_file_imports_another(path):
    assert not [i for i in imports(path) if i.rpartition(".")[2].startswith("test_")]
