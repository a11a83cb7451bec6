"""Rows of images for the page: prompts × contenders, one model's step counts, pairs that were voted on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.records import Prompt
from bench.report.images.duels import Verdict
from bench.report.images.thumbnails import Thumbnail, Thumbnails
from bench.report.results import Results, model_of
from bench.report.tables.form import Estimate, decimals, number
from bench.report.tables.metrics import label


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRow:
    """One prompt with its images."""

    prompt: Prompt
    images: tuple[Thumbnail, ...]
    reference: Thumbnail | None = None
    """What the images were generated from; None: from the prompt alone."""
    votes: str = ""
    """The votes on this pair in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepsGrid:
    """One model at several step counts."""

    model: str
    contenders: tuple[str, ...]
    """By steps, fewest first."""
    rows: tuple[ImageRow, ...]
    same_seed: bool
    """Every row starts from one noise."""


def grid(results: Results, thumbnails: Thumbnails, prompts: Sequence[Prompt]) -> list[ImageRow]:
    """Prompts × contenders, the reference first where there is one."""
    return [_row(thumbnails, prompt, results.contenders) for prompt in prompts]


def _row(thumbnails: Thumbnails, prompt: Prompt, contenders: Sequence[str]) -> ImageRow:
    return ImageRow(
        prompt=prompt,
        images=tuple(thumbnails.get(name, prompt.id) for name in contenders),
        reference=thumbnails.reference(prompt),
    )


def duel_rows(results: Results, thumbnails: Thumbnails, verdicts: Sequence[Verdict]) -> list[ImageRow]:
    """Two images a row: the one preferred, then the other, with the votes in words."""
    prompts = {prompt.id: prompt for prompt in results.prompts}
    return [
        ImageRow(
            prompt=prompts[verdict.prompt_id],
            images=(
                thumbnails.get(verdict.liked, verdict.prompt_id, verdict.replicate),
                thumbnails.get(verdict.other, verdict.prompt_id, verdict.replicate),
            ),
            reference=thumbnails.reference(prompts[verdict.prompt_id]),
            votes=_votes_in_words(verdict),
        )
        for verdict in verdicts
        if verdict.prompt_id in prompts
    ]


def _votes_in_words(verdict: Verdict) -> str:
    liked, other, ties = verdict.votes
    votes = f"{liked} : {other}" + (f", {ties} tie{'' if ties == 1 else 's'}" if ties else "")
    bad = f", {verdict.both_bad} both bad" if verdict.both_bad else ""
    if not verdict.metric:
        return f"Votes {votes}{bad}"
    digits = decimals([Estimate(value=value) for value in verdict.values])
    a, b = (number(value, digits) for value in verdict.values)
    return f"Votes {votes}{bad}; {label(verdict.metric)} {a} : {b}"


def models_with_steps(results: Results) -> dict[str, tuple[str, ...]]:
    """Models with two step counts or more, with their contenders by steps."""
    models: dict[str, list[tuple[int, str]]] = {}
    for name in results.contenders:
        model, steps = model_of(name)
        if steps is not None:
            models.setdefault(model, []).append((steps, name))
    return {
        model: tuple(name for _, name in sorted(entries))
        for model, entries in models.items()
        if len(entries) > 1
    }


def same_seeds(results: Results, prompts: Sequence[Prompt], contenders: Sequence[str] = ()) -> bool:
    """Whether the images of each prompt have one known seed."""
    for prompt in prompts:
        rows = [results.generations.get((name, prompt.id, 0)) for name in contenders or results.contenders]
        seeds = {row.seed for row in rows if row is not None}
        if None in seeds or len(seeds) > 1:
            return False
    return bool(prompts)


def steps_grids(results: Results, thumbnails: Thumbnails, prompts: Sequence[Prompt]) -> list[StepsGrid]:
    """Every model with two step counts or more, on these prompts."""
    grids = []
    for model, names in models_with_steps(results).items():
        rows = tuple(_row(thumbnails, prompt, names) for prompt in prompts)
        if any(image.source for row in rows for image in row.images):
            same = same_seeds(results, prompts, names)
            grids.append(StepsGrid(model=model, contenders=names, rows=rows, same_seed=same))
    return grids
