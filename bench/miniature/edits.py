"""The prompt set `miniature-edit`: one change to a drawn scene. `python -m bench.miniature.edits FOLDER` draws it.

Image-to-image models are given what the image should show, not an order, so `text` is the scene after the
change; people read the order, `instruction`. What differs between the two captions is the edit, the rest must stay.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from bench.miniature.captions import describe
from bench.miniature.world import COLOURS, SHAPES, Scene, Thing, draw, is_held_out, random_scene

KINDS = ("colour", "shape")
STRENGTHS = (0.5, 0.75)
PER_CELL = 12
RELATIONS = ("alone", "left_of", "above", "on")
COLUMNS = ("id", "text", "category", "challenge", "reference", "strength", "reference_text", "instruction")


def change(scene: Scene, kind: str, rng: np.random.Generator) -> tuple[Scene, str]:
    """The scene with one thing's colour or shape changed, and the order that asks for it."""
    which = int(rng.integers(len(scene.things)))
    old = scene.things[which]
    if kind == "colour":
        new = replace(old, colour=str(rng.choice([c for c in COLOURS if c != old.colour])))
        order = f"make the {old.colour} {old.shape} {new.colour}"
    else:
        new = replace(old, shape=str(rng.choice([s for s in SHAPES if s != old.shape])))
        order = f"turn the {old.colour} {old.shape} into a {new.shape}"
    things = tuple(new if i == which else thing for i, thing in enumerate(scene.things))
    return replace(scene, things=things), order


def _looks(things: tuple[Thing, ...]) -> set[tuple[str, str]]:
    return {(thing.shape, thing.colour) for thing in things}


def _draft(kind: str, rng: np.random.Generator) -> tuple[Scene, Scene, str]:
    """Scene, changed scene, order: held out after the change, and no two things alike before or after."""
    while True:
        before = random_scene(rng, str(rng.choice(RELATIONS)))
        after, order = change(before, kind, rng)
        count = len(before.things)
        if is_held_out(after) and len(_looks(before.things)) == len(_looks(after.things)) == count:
            return before, after, order


def write(folder: Path) -> None:
    """`miniature-edit.tsv` and its images; always the same."""
    from PIL import Image

    rng = np.random.default_rng(2108_01073)
    rows = ["\t".join(COLUMNS)]
    (folder / "miniature-edit").mkdir(parents=True, exist_ok=True)
    for kind in KINDS:
        for strength in STRENGTHS:
            for _ in range(PER_CELL):
                before, after, order = _draft(kind, rng)
                wording = int(
                    rng.integers(2**32)
                )  # the same for both, so that they differ in the change alone
                texts = [describe(s, np.random.default_rng(wording), behind=1.0) for s in (after, before)]
                image, _ = draw(before, rng)
                name = f"miniature-edit-{len(rows):03d}"
                path = f"miniature-edit/{name}.png"
                Image.fromarray(image).save(folder / path, optimize=True)
                rows.append(
                    "\t".join(
                        (name, texts[0], kind, f"strength {strength}", path, str(strength), texts[1], order)
                    )
                )
    (folder / "miniature-edit.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
