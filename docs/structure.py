"""Draws docs/structure.svg: the packages of bench and arena in layers, and their imports, read from the code.

An import that a longer chain of imports implies is left out, as are those of errors and records, which all use.

Run from the root of a checkout: `python docs/structure.py`.
"""

from __future__ import annotations

import ast
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

ROOT = Path(__file__).resolve().parent.parent
STEP = (2.3, 1.5)
"""Inches between the centres of two boxes, across and down."""
ACROSS = 7
"""Boxes in a row of the picture at most."""
EVERYWHERE = {"bench.errors", "bench.records"}


def imports() -> dict[str, dict[str, int]]:
    """Room → the rooms it imports, with the number of import statements. A room is a package or a single module."""
    files = [p for top in ("bench", "arena") for p in sorted((ROOT / top).rglob("*.py"))]
    rooms: dict[str, dict[str, int]] = {room(_module(path)): {} for path in files}
    for path in files:
        here = room(_module(path))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else names
            if names and names[0] in ("bench", "arena"):
                names = [f"{names[0]}.{alias.name}" for alias in node.names]
            for other in {room(name) for name in names} & set(rooms) - {here}:
                rooms[here][other] = rooms[here].get(other, 0) + 1
    return {name: others for name, others in rooms.items() if "." in name and not name.endswith("__main__")}


def room(module: str) -> str:
    """`bench.metrics.frechet` → `bench.metrics`."""
    return ".".join(module.split(".")[:2])


def layers(rooms: dict[str, dict[str, int]]) -> list[list[str]]:
    """Rooms by the longest chain of imports below them; those that import each other share a layer."""
    depth = dict.fromkeys(rooms, 0)
    for _ in rooms:
        for name, others in rooms.items():
            mutual = {other for other in others if name in rooms.get(other, {})}
            below = [depth[other] for other in others if other in depth and other not in mutual]
            depth[name] = min(max([depth[name], *(d + 1 for d in below)]), len(rooms))
    levels = sorted(set(depth.values()))
    return [sorted(name for name in rooms if depth[name] == level) for level in levels]


def reduced(rooms: dict[str, dict[str, int]]) -> dict[str, dict[str, int]]:
    """The imports that no longer chain implies; those of `EVERYWHERE` are left out."""
    reach: dict[str, set[str]] = {name: set(others) for name, others in rooms.items()}
    for _ in rooms:
        for name in rooms:
            reach[name] |= {far for near in reach[name] for far in reach.get(near, ())} - {name}
    return {
        name: {
            other: count
            for other, count in others.items()
            if other not in EVERYWHERE
            and not any(other in reach.get(near, ()) and name not in reach.get(near, ()) for near in others)
        }
        for name, others in rooms.items()
    }


def draw(path: Path) -> None:
    """Write the picture as SVG."""
    rooms = imports()
    rows = [level[i : i + ACROSS] for level in layers(rooms) for i in range(0, len(level), ACROSS)]
    places = {
        name: ((column - (len(row) - 1) / 2) * STEP[0], number * STEP[1])
        for number, row in enumerate(rows)
        for column, name in enumerate(row)
    }
    plt.rcParams["svg.hashsalt"] = "structure"
    figure, axes = plt.subplots(figsize=(ACROSS * STEP[0], len(rows) * STEP[1]))
    for name, others in reduced(rooms).items():
        for other, count in others.items():
            if other in places:
                axes.add_patch(
                    FancyArrowPatch(
                        places[name], places[other], arrowstyle="-|>", mutation_scale=9, color="#5b6470",
                        linewidth=0.8 + 0.1 * min(count, 12), shrinkA=22, shrinkB=24, alpha=0.8, zorder=1,
                        connectionstyle="arc3,rad=0.06",
                    )
                )  # fmt: skip
    for name, (x, y) in places.items():
        colour = "#dbe7f5" if name.startswith("bench") else "#f6e3cf"
        box = FancyBboxPatch(
            (x - 0.95, y - 0.27), 1.9, 0.54, boxstyle="round,pad=0.04", facecolor=colour, edgecolor="#4a5568"
        )
        box.set_zorder(2)
        axes.add_patch(box)
        axes.text(x, y, name.replace(".", "/"), ha="center", va="center", fontsize=10, zorder=3)
    axes.set_xlim(-ACROSS * STEP[0] / 2, ACROSS * STEP[0] / 2)
    axes.set_ylim(-0.8, (len(rows) - 1) * STEP[1] + 0.8)
    axes.set_axis_off()
    figure.savefig(path, bbox_inches="tight", metadata={"Date": None})
    plt.close(figure)


def _module(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


if __name__ == "__main__":
    draw(ROOT / "docs" / "structure.svg")
