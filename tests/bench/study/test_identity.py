"""What a folder is bound to, where the model's entry says it in another way."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from bench.models.model import Recipe
from bench.models.registry import MODELS, contender
from bench.study.identity import Recorded, compare, contender_meaning

LIGHTNING = MODELS["sdxl-lightning"]
WEIGHTS = LIGHTNING.recipes[4].denoiser
assert WEIGHTS is not None
UNPINNED = replace(LIGHTNING, recipes={4: Recipe(denoiser=replace(WEIGHTS, revision="main"))})
STUDY = SimpleNamespace(
    contenders=[contender("sdxl-lightning@4", MODELS)], models={"sdxl-lightning": LIGHTNING}, prompts=[]
)
"""What `compare` reads of a study; the entry is pinned."""


def conflicts(commits: dict[str, str]) -> list[str]:
    meaning = contender_meaning(UNPINNED, STUDY.contenders[0])
    before = Recorded(contenders={"sdxl-lightning@4": meaning}, slots=[], commits=commits)
    return [str(conflict) for conflict in compare(before, STUDY, {}).conflicts]  # type: ignore[arg-type]


def test_a_pin_to_the_commit_that_the_images_came_from_is_no_conflict():
    assert conflicts({WEIGHTS.repository: WEIGHTS.revision}) == []


@pytest.mark.parametrize("commits", [{}, {WEIGHTS.repository: "0" * 40}], ids=["not recorded", "another"])
def test_a_pin_to_another_commit_is_a_conflict_named_by_its_key(commits):
    (said,) = conflicts(commits)
    assert "recipe.denoiser.revision main" in said
    assert WEIGHTS.revision in said
