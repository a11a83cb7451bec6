"""The prompt set `miniature`, held-out captions: `python -m bench.miniature.prompt_set PATH` writes it."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from bench.miniature.captions import describe
from bench.miniature.world import Scene, held_out_scene, random_backdrop

PER_CATEGORY = 64
CATEGORIES = ("basic", "properties and positioning", "quantity", "fine detail", "complex")


def _draft(category: str, rng: np.random.Generator) -> tuple[Scene, str, str]:
    """A held-out scene of a category, its caption and its challenge."""
    if category == "basic":
        scene = held_out_scene(rng, "alone")
        scene = replace(scene, backdrop=random_backdrop(rng, "plain"))
        return scene, describe(scene, rng, sized=0.4, behind=0.5), "one object"
    if category == "properties and positioning":
        relation = str(rng.choice(("left_of", "above", "inside", "on")))
        scene = held_out_scene(rng, relation)
        scene = replace(scene, backdrop=random_backdrop(rng, "plain"))
        return scene, describe(scene, rng, sized=0.0, behind=0.3), relation.replace("_", " ")
    if category == "quantity":
        scene = held_out_scene(rng, "same")
        return scene, describe(scene, rng), f"{len(scene.things)} of a kind"
    if category == "fine detail":
        scene = held_out_scene(rng, "alone")
        while scene.things[0].texture == "solid":
            scene = held_out_scene(rng, "alone")
        return scene, describe(scene, rng, sized=1.0, behind=1.0), f"{scene.things[0].texture} texture"
    if rng.random() < 0.5:
        scene = held_out_scene(rng, "row")
        return scene, describe(scene, rng, behind=1.0), "three objects"
    scene = held_out_scene(rng, str(rng.choice(("left_of", "above", "inside", "on"))))
    return scene, describe(scene, rng, sized=0.7, behind=1.0), "relation and background"


def lines() -> list[str]:
    """The file's lines, header first: 64 different captions a category, always the same."""
    rng = np.random.default_rng(2311_17042)
    out, seen = ["id\ttext\tcategory\tchallenge"], set()
    for category in CATEGORIES:
        made = 0
        while made < PER_CATEGORY:
            _, text, challenge = _draft(category, rng)
            if text in seen:
                continue
            seen.add(text)
            out.append(f"miniature-{len(out):03d}\t{text}\t{category}\t{challenge}")
            made += 1
    return out


if __name__ == "__main__":
    Path(sys.argv[1]).write_text("\n".join(lines()) + "\n", encoding="utf-8")
