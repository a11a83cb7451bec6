"""Precision, recall, density and coverage: who lies in whose nearest-neighbour balls."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.metrics.feature_rows import Array, Rows, blocks, enough, same_width
from bench.metrics.kernels import squared_distances


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbours:
    """Per-item terms whose means are precision, recall, density and coverage."""

    precision: Array
    """(n,) 0 or 1 an image."""
    recall: Array
    """(m,) 0 or 1 a reference image."""
    density: Array
    """(n,) >= 0 an image."""
    coverage: Array
    """(m,) 0 or 1 a reference image."""


def neighbours(
    images: Rows, reference: Rows, *, k: int = 3, k_density: int = 5, block: int = 1024
) -> Neighbours:
    """k-nearest-neighbour balls of both sets; k for precision and recall, k_density for the other two.

    Streams over blocks of both sets. Raises InputError: fewer than k_density + 1 images on a side.
    Source: Kynkäänniemi et al. 2019, arXiv 1904.06991; Naeem et al. 2020, arXiv 2002.09797.
    """
    same_width(images, reference)
    enough(min(len(images), len(reference)), max(k, k_density) + 1)
    own = _radii(images, (k,), block)[0]
    ball, wide = _radii(reference, (k, k_density), block)
    precision, density = np.zeros(len(images), bool), np.zeros(len(images))
    recall, nearest = np.zeros(len(reference), bool), np.full(len(reference), np.inf)
    for part, rows in blocks(images, block):
        for there, others in blocks(reference, block):
            distances = squared_distances(rows, others)
            precision[part] |= (distances < ball[there]).any(1)
            density[part] += (distances < wide[there]).sum(1) / k_density
            recall[there] |= (distances < own[part, None]).any(0)
            nearest[there] = np.minimum(nearest[there], distances.min(0))
    return Neighbours(
        precision=precision.astype(float),
        recall=recall.astype(float),
        density=density,
        coverage=(nearest < wide).astype(float),
    )


def _radii(rows: Rows, ks: tuple[int, ...], block: int) -> list[Array]:
    """Squared distance to the k-th other point, for each k."""
    most = max(ks) + 1
    closest = np.full((len(rows), most), np.inf)
    for part, points in blocks(rows, block):
        for _, others in blocks(rows, block):
            both = np.column_stack([closest[part], squared_distances(points, others)])
            closest[part] = np.partition(both, most - 1, axis=1)[:, :most]
    closest.sort(axis=1)
    return [closest[:, k] for k in ks]
