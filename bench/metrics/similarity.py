"""Cosines between rows: with the caption, with the image an edit began from, and among the images of a set."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from bench.metrics.feature_rows import BLOCK, Array, Rows, blocks, finite
from bench.metrics.kernels import unit


def cosines(images: Rows, others: Rows) -> Array:
    """(n,) cosine of row i with row i."""
    found = np.empty(len(images))
    for start in range(0, len(images), BLOCK):
        part = slice(start, start + BLOCK)
        found[part] = (unit(images[part]) * unit(others[part])).sum(1)
    return finite(found)


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
    return finite(found)


def directions(images: Rows, sources: Rows, texts: Rows, source_texts: Rows) -> Array:
    """(n,) cosine of the change from source to image with the change from its words to the new ones.

    Differences of unit rows; -1 to 1; 0 where image and source are identical.
    Source: Gal et al. 2021 (StyleGAN-NADA), arXiv 2108.00946, as in InstructPix2Pix, arXiv 2211.09800.
    """
    found = np.empty(len(images))
    for start in range(0, len(images), BLOCK):
        part = slice(start, start + BLOCK)
        seen = unit(images[part]) - unit(sources[part])
        asked = unit(texts[part]) - unit(source_texts[part])
        found[part] = (unit(seen) * unit(asked)).sum(1)
    return finite(found)


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
    for name, members in _members(groups):
        k = len(members)
        if k > 1:
            rows = unit(features[members])
            values.append(1 - (np.square(rows.sum(0)).sum() - k) / (k * (k - 1)))
            names.append(name)
    return finite(np.array(values)), np.array(names, dtype=int)


def vendi(features: Rows, groups: Array) -> tuple[Array, Array]:
    """Vendi score of each group of two or more, with the cosine as kernel: values (1 to k) and their groups.

    The exponential of the entropy of the eigenvalues of the kernel matrix over k: the effective number of
    different images. Source: Friedman and Dieng 2023, arXiv 2210.02410, eq. 2.
    """
    values, names = [], []
    for name, members in _members(groups):
        if len(members) > 1:
            rows = unit(finite(np.asarray(features[members])))
            shares = np.linalg.eigvalsh(rows @ rows.T / len(members))
            shares = shares[shares > 1e-12]
            values.append(np.exp(-(shares * np.log(shares)).sum()))
            names.append(name)
    return np.array(values), np.array(names, dtype=int)


def _members(groups: Array) -> Iterator[tuple[int, Array]]:
    """Each group's number and the rows in it, in the order of the numbers."""
    order = np.argsort(groups, kind="stable")
    for members in np.split(order, np.flatnonzero(np.diff(groups[order])) + 1):
        yield int(groups[members[0]]), members


def near_duplicates(
    features: Rows, groups: Array, *, threshold: float = 0.98, block: int = 1024
) -> tuple[Array, Array]:
    """(n,) 1 where an image of another group has a cosine above the threshold; and (G,) the share of such
    images when each group is left out.

    Parameters
    ----------
    groups: (n,) 0 to G - 1; G >= 2.
    """
    least, most = np.full(len(features), np.iinfo(int).max), np.full(len(features), -1)
    for part, rows in blocks(features, block):
        for there, others in blocks(features, block):
            other = groups[None, there]
            alike = (unit(rows) @ unit(others).T > threshold) & (groups[part, None] != other)
            least[part] = np.minimum(least[part], np.where(alike, other, np.iinfo(int).max).min(1))
            most[part] = np.maximum(most[part], np.where(alike, other, -1).max(1))
    counts = np.bincount(groups)
    found = most >= 0
    alone = np.bincount(most[found & (least == most)], minlength=len(counts))
    left = found.sum() - np.bincount(groups, found) - alone
    return found.astype(float), left / np.maximum(len(groups) - counts, 1)
