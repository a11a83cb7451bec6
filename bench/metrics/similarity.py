"""Cosines between rows: with the caption, with the picture an edit began from, and among the images of a set."""

from __future__ import annotations

import numpy as np

from bench.metrics.feature_rows import BLOCK, Array, Rows
from bench.metrics.kernels import unit


def cosines(images: Rows, others: Rows) -> Array:
    """(n,) cosine of row i with row i."""
    found = np.empty(len(images))
    for start in range(0, len(images), BLOCK):
        part = slice(start, start + BLOCK)
        found[part] = (unit(images[part]) * unit(others[part])).sum(1)
    return found


def cosine_scores(images: Rows, texts: Rows, *, clip: bool = True) -> Array:
    """100 x cosine of row i with row i, (n,); below 0 counted as 0 where `clip`.

    Source: Hessel et al. 2021, arXiv 2104.08718, with weight 100 as the field prints it.
    """
    found = cosines(images, texts)
    return 100 * (found.clip(0) if clip else found)


def products(images: Rows, texts: Rows) -> Array:
    """(n,) sum of products of row i with row i: a logit, where the text row carries the model's scale."""
    found = np.empty(len(images))
    for start in range(0, len(images), BLOCK):
        part = slice(start, start + BLOCK)
        found[part] = (images[part].astype(np.float64) * texts[part]).sum(1)
    return found


def directions(images: Rows, sources: Rows, texts: Rows, source_texts: Rows) -> Array:
    """(n,) cosine of the change from source to image with the change from its words to the new ones.

    Differences of unit rows; -1 to 1; 0 where image and source are the same picture.
    Source: Gal et al. 2021 (StyleGAN-NADA), arXiv 2108.00946, as in InstructPix2Pix, arXiv 2211.09800.
    """
    found = np.empty(len(images))
    for start in range(0, len(images), BLOCK):
        part = slice(start, start + BLOCK)
        seen = unit(images[part]) - unit(sources[part])
        asked = unit(texts[part]) - unit(source_texts[part])
        found[part] = (unit(seen) * unit(asked)).sum(1)
    return found


def attribute_shares(images: Rows, texts: Rows, source_texts: Rows, *, changed: bool) -> Array:
    """(n,) share of the attributes asked for that are seen: of those the edit brings in, or of those that must stay.

    images: 1 where an attribute is seen. texts, source_texts: above 0 where it is asked for, after and before.
    Raises ValueError: a row asks for no such attribute.
    """
    asked, before = np.asarray(texts[:], np.float64), np.asarray(source_texts[:])
    weights = np.where((before == 0) if changed else (before > 0), asked, 0.0)
    if not weights.sum(1).all():
        raise ValueError(
            f"prompt {int(weights.sum(1).argmin())} asks for nothing {'new' if changed else 'to stay'}"
        )
    return (np.asarray(images[:], np.float64) * weights).sum(1) / weights.sum(1)


def diversity(features: Rows, groups: Array) -> tuple[Array, Array]:
    """Mean of 1 - cosine over the pairs within each group of two or more: values and their groups."""
    values, names = [], []
    order = np.argsort(groups, kind="stable")
    for members in np.split(order, np.flatnonzero(np.diff(groups[order])) + 1):
        k = len(members)
        if k > 1:
            rows = unit(features[members])
            values.append(1 - (np.square(rows.sum(0)).sum() - k) / (k * (k - 1)))
            names.append(groups[members[0]])
    return np.array(values), np.array(names)


def near_duplicates(features: Rows, groups: Array, *, threshold: float = 0.98, block: int = 1024) -> Array:
    """(n,) 1 where an image of another group has a cosine above the threshold."""
    found = np.zeros(len(features), bool)
    for start in range(0, len(features), block):
        part = slice(start, start + block)
        rows = unit(features[part])
        for begin in range(0, len(features), block):
            there = slice(begin, begin + block)
            other = groups[part, None] != groups[None, there]
            found[part] |= ((rows @ unit(features[there]).T > threshold) & other).any(1)
    return found.astype(float)
