"""Which prompts the figures of samples show, each by a rule that is stated below the figure; none is hand-picked."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from bench.records import Prompt
from bench.report.images import duels
from bench.report.results import Results

SEED = 0
"""Of the random choice; every report of a study shows the same prompts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Prompts chosen by one rule."""

    name: str
    """Of the rule: `random`, `clearest`, `closest` or `disagreed`."""
    rule: str
    """The rule in words, as captions have it."""
    prompts: tuple[Prompt, ...]


def random_prompts(results: Results, count: int) -> list[Prompt]:
    """Seeded choice without replacement, in the order of the study; prompts with every image before others.

    A prompt's place in the draw is a hash of the seed and its id, so that prompts added later change little.
    """
    complete, partial = [], []
    for prompt in results.prompts:
        there = all((name, prompt.id, 0) in results.generations for name in results.contenders)
        (complete if there else partial).append(prompt)
    drawn = [*sorted(complete, key=_draw), *sorted(partial, key=_draw)][:count]
    chosen = {prompt.id for prompt in drawn}
    return [prompt for prompt in results.prompts if prompt.id in chosen]


def _draw(prompt: Prompt) -> str:
    return hashlib.sha256(f"{SEED} {prompt.id}".encode()).hexdigest()


def selections(results: Results, count: int) -> list[Selection]:
    """Every rule that has prompts to show: the random choice first, then those of the votes."""
    whose = "simulated votes" if results.simulated_votes else "votes"
    choices = [
        Selection(
            name="random",
            rule=f"Prompts drawn at random (seed {SEED}) from those of which every contender has an image.",
            prompts=tuple(random_prompts(results, count)),
        )
    ]
    rules = (
        ("clearest", f"The prompts of the pairs of images with the clearest {whose}.", duels.clearest),
        ("closest", f"The prompts of the pairs of images with the closest {whose}.", duels.closest),
        (
            "disagreed",
            f"The prompts of the pairs of images on which {whose} and a metric disagree most.",
            duels.disputed,
        ),
    )
    by_id = {prompt.id: prompt for prompt in results.prompts}
    for name, rule, choose in rules:
        ids = dict.fromkeys(duel.prompt_id for duel in choose(results, count))
        choices.append(Selection(name=name, rule=rule, prompts=_known(by_id, list(ids))))
    return [selection for selection in choices if selection.prompts]


def _known(by_id: dict[str, Prompt], ids: Sequence[str]) -> tuple[Prompt, ...]:
    return tuple(by_id[prompt_id] for prompt_id in ids if prompt_id in by_id)


def licences(results: Results) -> str:
    """`Outputs under the licences of their models: a (Apache-2.0), b (unknown).`; empty: none is recorded."""
    by_licence: dict[str, list[str]] = {}
    for name, entry in sorted(results.models.items()):
        by_licence.setdefault(str(entry.get("licence") or "licence not recorded"), []).append(name)
    if not by_licence:
        return ""
    if len(by_licence) == 1:
        return f"Licence of the models and their outputs: {next(iter(by_licence))}."
    parts = [f"{licence} ({', '.join(names)})" for licence, names in by_licence.items()]
    return f"Licences of the models and their outputs: {'; '.join(parts)}."
