"""Win rates and ratings with a metric's help where more prompts were scored than voted on; one row a contender."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

import numpy as np

from bench.errors import InputError
from bench.ratings.fits import CENTRE, SCALE
from bench.ratings.prediction_powered import (
    Powered,
    Predictions,
    powered_ratings,
    powered_win_rates,
    votes_saved,
)
from bench.ratings.vote_table import VoteTable, code_battles
from bench.records import Battle, PoweredRow
from bench.scoring.metric_agreement import OVERALL, Judged, counted_battles

MORE = 1.1
"""Prompts scored over prompts voted on, from which a metric can say something that the votes do not."""


def powered_rows(judged: Judged, battles: Sequence[Battle]) -> list[PoweredRow]:
    """Rows of each question, `overall` first where there are several; none where the metric cannot help: it is one of
    whole sets, the votes cover its prompts, or there are too few of them."""
    predictions = _predictions(judged)
    counted = counted_battles(battles)
    questions = sorted({battle.question for battle in counted})
    rows: list[PoweredRow] = []
    for question in [OVERALL, *questions] if len(questions) > 1 else questions:
        votes = [b for b in counted if question in (OVERALL, b.question)]
        votes = [b for b in votes if b.left in judged.images and b.right in judged.images]
        prompts = len({b.prompt_id for b in votes} & set(predictions.prompts))
        scored = len(set(predictions.prompts))
        if not votes or scored < MORE * prompts:
            continue
        try:
            rows += _rows(judged, question or OVERALL, code_battles(votes), predictions, prompts, scored)
        except InputError:
            continue  # Too few voted prompts: `matched` says so.
    return rows


def _predictions(judged: Judged) -> Predictions:
    """Of the images that every contender has a value of; oriented so that higher is better."""
    names = tuple(judged.images)
    if not names:
        return Predictions(prompts=(), replicates=(), contenders=(), values=np.zeros((0, 0)))
    values = judged.sign * np.stack([judged.images[name] for name in names], axis=1)
    known = np.flatnonzero(np.isfinite(values).all(axis=1))
    keys = [judged.keys[place] for place in known.tolist()]
    return Predictions(
        prompts=tuple(prompt for prompt, _ in keys),
        replicates=tuple(replicate for _, replicate in keys),
        contenders=names,
        values=values[known].astype(np.float64),
    )


def _rows(
    judged: Judged, question: str, table: VoteTable, predictions: Predictions, prompts: int, scored: int
) -> list[PoweredRow]:
    wins, saved = powered_win_rates(table, predictions), votes_saved(table, predictions)
    ratings: Powered | None = None
    with contextlib.suppress(InputError):  # No finite ratings, as `arena rate` says; the win rates stand.
        ratings = powered_ratings(table, predictions)
    points = [None if part is None else CENTRE + SCALE * part for part in _ends(ratings)]
    return [
        PoweredRow(
            metric=judged.metric,
            fingerprint=judged.fingerprint,
            question=question,
            contender=name,
            rate=float(wins.value[place]),
            low=float(wins.low[place]),
            high=float(wins.high[place]),
            votes_rate=float(wins.votes_value[place]),
            votes_low=float(wins.votes_low[place]),
            votes_high=float(wins.votes_high[place]),
            rating=None if points[0] is None else float(points[0][place]),
            rating_low=None if points[1] is None else float(points[1][place]),
            rating_high=None if points[2] is None else float(points[2][place]),
            slope=wins.slope,
            saved=saved.votes,
            saved_low=saved.low,
            saved_high=saved.high,
            n=len(table),
            prompts=prompts,
            scored=scored,
        )
        for place, name in enumerate(table.contenders)
    ]


def _ends(ratings: Powered | None) -> tuple[np.ndarray | None, ...]:
    return (None,) * 3 if ratings is None else (ratings.value, ratings.low, ratings.high)
