"""What of an image's style and presentation may sway a vote: the covariates of `bench.ratings.covariates`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.ratings.covariates import with_covariates
from bench.ratings.vote_table import VoteTable
from bench.records import Battle
from bench.store.images import display_image
from bench.store.study_folder import Key, StudyFolder

Floats = NDArray[np.float64]

STYLE = ("brightness", "saturation", "contrast", "sharpness")
FILE_SIZE = "file size"
STACKED, LARGER = "left, if above the other", "left, if shown larger"


def image_style(pixels: Any) -> tuple[float, float, float, float]:
    """Of uint8 (h, w, 3), in the order of STYLE.

    Brightness: mean luma (ITU-R BT.709), 0 to 1. Saturation: mean of (largest - smallest)/largest channel, 0 to 1.
    Contrast: standard deviation of the luma, 0 to 0.5. Sharpness: log2 of the variance of the luma's Laplacian.
    """
    values = np.asarray(pixels, np.float64) / 255
    luma = values @ np.array([0.2126, 0.7152, 0.0722])
    largest = values.max(axis=2)
    saturation = np.where(largest > 0, (largest - values.min(axis=2)) / np.maximum(largest, 1e-12), 0.0)
    inner = luma[1:-1, 1:-1]
    laplacian = luma[:-2, 1:-1] + luma[2:, 1:-1] + luma[1:-1, :-2] + luma[1:-1, 2:] - 4 * inner
    sharpness = math.log2(float(laplacian.var()) + 1e-9)
    return float(luma.mean()), float(saturation.mean()), float(luma.std()), sharpness


def study_styles(folder: StudyFolder, side: int, fit: str | None, wanted: Sequence[Key]) -> dict[Key, Floats]:
    """(contender, prompt, replicate) → STYLE as raters see the image, and log2 of the bytes of its file.

    Images that are not there have no entry. Raises InputError: a damaged file.
    """
    rows = folder.generations()
    styles = {}
    for key in wanted:
        row = rows.get(key)
        if row is not None:
            image = display_image(folder.image(*key), side, fit)
            styles[key] = np.array([*image_style(image), math.log2(max(row.bytes, 1))])
    return styles


def styled(table: VoteTable, battles: Sequence[Battle], styles: Mapping[Key, Floats]) -> VoteTable:
    """The table with style and presentation as covariates of each vote.

    battles: the table's votes, in its order. A presentation that was not recorded counts as an average one.
    """
    unknown = np.full(len(STYLE) + 1, np.nan)
    gaps = [
        styles.get((b.left, b.prompt_id, b.replicate), unknown)
        - styles.get((b.right, b.prompt_id, b.replicate), unknown)
        for b in battles
    ]
    stacked = [math.nan if not b.arrangement else float(b.arrangement == "stacked") for b in battles]
    larger = [math.nan if not b.picture_side else math.log2(b.picture_side) for b in battles]
    columns = [*np.array(gaps).reshape(len(battles), -1).T, _centred(stacked), _centred(larger)]
    return with_covariates(table, (*STYLE, FILE_SIZE, STACKED, LARGER), np.column_stack(columns))


def _centred(values: Sequence[float]) -> Floats:
    column = np.array(values, np.float64)
    known = np.isfinite(column)
    return np.where(known, column - (column[known].mean() if known.any() else 0.0), 0.0)
