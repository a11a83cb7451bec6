"""Simulated raters who take the same way as people: through the desk, pair by pair. Marked everywhere.

Strengths are in logits. A rater answers by Davidson's model with strengths shifted by an effect of the
rater and one of the prompt, drawn once for each (rater or prompt, contender). Attention checks are passed
by `care`. A study with real votes is refused, so the two are never in one table.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from arena import admission
from arena.db import raters as register
from arena.db.rows import Assignment
from arena.voting import Desk
from bench.errors import InputError, unknown


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """How the simulated raters see the contenders."""

    strengths: Mapping[str, float] = field(default_factory=dict)
    """Contender → logits; those not named are drawn from N(0, 1) by the seed."""
    tie: float = -1.0
    """Davidson's log ν; −1 is about 16% ties between equals."""
    both_bad: float = 0.02
    """Share of answers `both_bad`, where the study allows it."""
    rater_sd: float = 0.5
    prompt_sd: float = 0.7
    left: float = 0.0
    """Logits in favour of the left side."""
    care: float = 0.97
    """Share of attention checks passed."""
    seconds: float = 4.0
    """Median time of an answer."""
    seed: int = 0


def true_strengths(desk: Desk, world: World) -> dict[str, float]:
    """Contender → logits. Raises InputError for a name that is not in the study."""
    names = sorted(c.name for c in desk.study.contenders)
    for name in world.strengths:
        if name not in names:
            raise unknown("contender", name, names)
    drawn = np.random.default_rng(world.seed).normal(size=len(names))
    return {name: world.strengths.get(name, float(value)) for name, value in zip(names, drawn, strict=True)}


def simulate(desk: Desk, world: World, *, count: int, votes_each: int) -> int:
    """`count` raters give up to `votes_each` answers each; answers given."""
    with desk.database.reading() as tx:
        if any(not rater.simulated for rater in register.all_raters(tx.db)):
            raise InputError("this study has real raters: simulate into another database (--database)")
    strengths = true_strengths(desk, world)
    rng = np.random.default_rng([world.seed, 1])
    prompt_shift: dict[tuple[str, str], float] = {}
    given, clock = 0, desk.clock
    for _ in range(count):
        # Each rater's own time runs on from now, at a person's pace: the speed rule would exclude a program's.
        desk.clock = pace = _Pace(clock())
        rater = admission.admit_simulated(desk.database, seed=world.seed, now=clock())
        shift = {name: rng.normal(0, world.rater_sd) for name in strengths}
        for _ in range(votes_each):
            held = desk.hand(rater).open
            if not held:
                break
            one = held[0]
            for name in (one.left, one.right):
                key = (name, one.prompt_id)
                prompt_shift.setdefault(key, rng.normal(0, world.prompt_sd))
            left, right = (
                strengths[name] + shift[name] + prompt_shift[name, one.prompt_id]
                for name in (one.left, one.right)
            )
            seconds = float(world.seconds * rng.lognormal(0, 0.5))
            pace.now += seconds
            desk.vote(rater, one.token, _answer(rng, desk, world, one, left - right), seconds)
            given += 1
        with desk.database.writing() as tx:  # the pair already in hand goes to the next one
            tx.give_back(tx.open_assignments(rater), "expired")
        desk.clock = clock
        desk.decide()
    return given


@dataclass(slots=True)
class _Pace:
    """A simulated rater's clock."""

    now: float

    def __call__(self) -> float:
        return self.now


def _answer(rng: np.random.Generator, desk: Desk, world: World, one: Assignment, difference: float) -> str:
    if one.expected:
        other = "left" if one.expected == "right" else "right"
        return one.expected if rng.random() < world.care else other
    if "both_bad" in desk.answers and rng.random() < world.both_bad:
        return "both_bad"
    d = difference + world.left
    weights = [math.exp(d / 2), math.exp(-d / 2), math.exp(world.tie) if "tie" in desk.answers else 0.0]
    return str(rng.choice(["left", "right", "tie"], p=np.array(weights) / sum(weights)))
