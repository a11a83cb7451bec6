"""Who may import whom, held against the code."""

from __future__ import annotations

import ast
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
SUBCLASSES = {"bench.models.muse"}
"""Modules that are a diffusers pipeline themselves; only `bench.models.loading` imports them, inside a function."""
PURE = {"bench.records": set(), "bench.papers": set(), "bench.store": {"bench.records"}}


def module(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {module(p): p for top in ("bench", "arena") for p in sorted((ROOT / top).rglob("*.py"))}
REPORT = {name for name in FILES if name.startswith("bench.report")}
"""The report family: reads the folder, never a live object."""


def imports(path: Path, top_only: bool = False) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    lazy = {
        inner
        for outer in ast.walk(tree)
        if isinstance(outer, ast.FunctionDef | ast.AsyncFunctionDef)
        or (isinstance(outer, ast.If) and "TYPE_CHECKING" in ast.unparse(outer.test))
        for inner in ast.walk(outer)
    }
    found: set[str] = set()
    for node in ast.walk(tree):
        if top_only and node in lazy:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {
                full if (full := f"{node.module}.{alias.name}") in FILES else node.module
                for alias in node.names
            }
    return found


def ours(name: str, top_only: bool = False) -> set[str]:
    return {i for i in imports(FILES[name], top_only) if i.split(".")[0] in ("bench", "arena")} - {
        "bench",
        "arena",
    }


@pytest.mark.parametrize("name", [n for n in FILES if n.startswith("bench")])
def test_bench_never_imports_arena(name):
    assert not [i for i in ours(name) if i.startswith("arena")]


@pytest.mark.parametrize("name", [n for n in FILES if n.startswith("arena")])
def test_arena_imports_of_bench_only_records_study_and_store(name):
    assert {i for i in ours(name) if i.startswith("bench")} <= {"bench.records", "bench.study", "bench.store"}


@pytest.mark.parametrize("name", sorted(REPORT))
def test_the_report_reads_the_folder_and_never_a_live_object(name):
    family = {i for i in ours(name) if i not in REPORT}
    assert family <= {"bench.records", "bench.papers", "bench.store"}


@pytest.mark.parametrize("name", [n for n in FILES if n.startswith("bench.metrics")])
def test_metrics_know_no_study(name):
    family = {i for i in ours(name) if not i.startswith("bench.metrics")}
    assert family <= {"bench.records", "bench.store", "bench.download", "bench.models.tiny"}


@pytest.mark.parametrize(("name", "allowed"), PURE.items())
def test_the_lowest_modules_stay_lowest(name, allowed):
    assert ours(name) <= allowed


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


@pytest.mark.parametrize("target", ["bench.cli", "arena.cli", "arena.ratings.fits"])
def test_a_command_starts_without_the_heavy_libraries(target):
    if target not in FILES:
        pytest.skip(f"{target} is not there")
    code = f"import sys, {target}; print(sorted(set(sys.modules) & {HEAVY!r}))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert found.stdout.strip() == "[]"
