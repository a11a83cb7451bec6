"""`bench.powered`: votes on part of the prompts and a metric on all → win rates and ratings about all prompts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bench.errors import InputError
from bench.ratings.fits import CENTRE, SCALE
from bench.ratings.prediction_powered import (
    Predictions,
    powered_ratings,
    powered_win_rates,
    votes_saved,
)
from bench.ratings.votes_file import read_votes, votes_of_frame

if TYPE_CHECKING:
    import pandas as pd

NEEDED = ("prompt", "contender", "value")


def powered(
    votes: pd.DataFrame | str | Path,
    values: pd.DataFrame,
    *,
    columns: Mapping[str, str] | None = None,
    strata: bool = False,
) -> pd.DataFrame:
    """Win rates and ratings from votes on part of the prompts and a metric on all (prediction-powered inference).

    The intervals hold whatever the metric is worth, for prompts like all those with values, if the prompts voted on are
    a random part of them. A row a contender: win_rate, low, high, the same of the votes alone, rating (1000 is the
    mean) with its interval, and how many votes the metric saved, with an interval.

    Parameters
    ----------
    votes : as `bench.rate` takes them, with prompts.
    values : the metric: columns prompt, contender, value (higher is better), one row an image; replicate where a prompt
        has several; category for `strata`.
    columns : of the votes, as `bench.rate` takes them.
    strata : weigh votes so that each category has its share of all prompts with values.

    Raises
    ------
    InputError : a column or value is missing, prompts are unknown, or too few prompts have both votes and values.
    """
    import pandas as pd

    table = (
        read_votes(Path(votes), columns) if isinstance(votes, str | Path) else votes_of_frame(votes, columns)
    )
    predictions = _predictions(values, strata=strata)
    wins, ratings = powered_win_rates(table, predictions), powered_ratings(table, predictions)
    saved = votes_saved(table, predictions)
    return pd.DataFrame(
        {
            "contender": table.contenders,
            "win_rate": wins.value,
            "low": wins.low,
            "high": wins.high,
            "votes_win_rate": wins.votes_value,
            "votes_low": wins.votes_low,
            "votes_high": wins.votes_high,
            "rating": CENTRE + SCALE * ratings.value,
            "rating_low": CENTRE + SCALE * ratings.low,
            "rating_high": CENTRE + SCALE * ratings.high,
            "saved": saved.votes,
            "saved_low": saved.low,
            "saved_high": saved.high,
        }
    )


def _predictions(values: pd.DataFrame, *, strata: bool) -> Predictions:
    needed = (*NEEDED, "category") if strata else NEEDED
    missing = [name for name in needed if name not in values.columns]
    if missing:
        raise InputError(f"the values have no column {', '.join(missing)}: give {', '.join(needed)}")
    frame = values.assign(replicate=values["replicate"] if "replicate" in values.columns else 0)
    wide = frame.pivot_table(
        index=["prompt", "replicate"], columns="contender", values="value", aggfunc="first", sort=False
    ).dropna()
    by_prompt = dict(zip(frame["prompt"], frame["category"], strict=True)) if strata else {}
    prompts = tuple(str(prompt) for prompt, _ in wide.index)
    return Predictions(
        prompts=prompts,
        replicates=tuple(int(replicate) for _, replicate in wide.index),
        contenders=tuple(str(name) for name in wide.columns),
        values=wide.to_numpy(np.float64),
        strata=tuple(str(by_prompt[prompt]) for prompt, _ in wide.index) if strata else (),
    )
