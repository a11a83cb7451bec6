"""Precision, recall, density and coverage: who lies in whose nearest-neighbour balls."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.metrics.feature_rows import Array, Rows, blocks, enough, same_width
from bench.metrics.kernels import squared_distances

K, K_DENSITY = 3, 5
"""Neighbours of the balls of precision and recall; of density and coverage."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbours:
    """Terms whose means are precision, recall, density and coverage."""

    precision: Array
    """(n,) 0 or 1 an image."""
    recall: Array
    """(m,) 0 or 1 a reference image."""
    density: Array
    """(n,) >= 0 an image."""
    coverage: Array
    """(m,) 0 or 1 a reference image."""
    recall_left_out: Array
    """(G,) recall without the images of each prompt."""
    coverage_left_out: Array
    """(G,) coverage without the images of each prompt."""


def neighbours(
    images: Rows, reference: Rows, groups: Array | None = None, *, block: int = 1024
) -> Neighbours:
    """k-nearest-neighbour balls of both sets; K for precision and recall, K_DENSITY for the other two.

    Streams over blocks of both sets.

    Parameters
    ----------
    groups: (n,) 0 to G - 1, the prompt of each image; None: each its own.

    Raises InputError: fewer than K_DENSITY + 1 images on a side.
    Source: Kynkäänniemi et al. 2019, arXiv 1904.06991; Naeem et al. 2020, arXiv 2002.09797.
    """
    same_width(images, reference)
    enough(min(len(images), len(reference)), max(K, K_DENSITY) + 1)
    groups = np.arange(len(images)) if groups is None else groups
    spare = int(np.bincount(groups).max())
    distances, who = _nearest(images, K + spare, block)
    balls = _Balls(
        radius=distances[:, K - 1], without=_without(distances, groups[who], groups), groups=groups
    )
    ball, wide = (_nearest(reference, k, block)[0][:, k - 1] for k in (K, K_DENSITY))
    precision, density = np.zeros(len(images), bool), np.zeros(len(images))
    inside, near = _Owners(len(reference), groups), _Owners(len(reference), groups)
    for part, rows in blocks(images, block):
        for there, others in blocks(reference, block):
            apart = squared_distances(rows, others)
            precision[part] |= (apart < ball[there]).any(1)
            density[part] += (apart < wide[there]).sum(1) / K_DENSITY
            inside.add(there, part, apart < balls.radius[part, None])
            near.add(there, part, apart < wide[there])
            balls.grown(apart, part, there)
    return Neighbours(
        precision=precision.astype(float),
        recall=inside.any.astype(float),
        density=density,
        coverage=near.any.astype(float),
        recall_left_out=inside.left_out(balls.gained),
        coverage_left_out=near.left_out(set()),
    )


class _Owners:
    """Which prompts' images reach each reference image: none, one of them, or several."""

    def __init__(self, count: int, groups: Array) -> None:
        self.groups, self.number = groups, int(groups.max()) + 1
        self.least = np.full(count, self.number)
        self.most = np.full(count, -1)

    def add(self, there: slice, part: slice, reached: Array) -> None:
        """reached: (images of part, reference images of there)."""
        own = self.groups[part, None]
        self.least[there] = np.minimum(self.least[there], np.where(reached, own, self.number).min(0))
        self.most[there] = np.maximum(self.most[there], np.where(reached, own, -1).max(0))

    @property
    def any(self) -> Array:
        return self.most >= 0

    def left_out(self, gained: set[tuple[int, int]]) -> Array:
        """(G,) share reached without each prompt. gained: (reference image, prompt) where leaving the prompt
        out lets another image's ball grow over the reference image.
        """
        change = np.zeros(self.number)
        np.subtract.at(change, self.most[self.any & (self.least == self.most)], 1.0)
        for place, prompt in gained:
            alone = self.least[place] == self.most[place] == prompt
            change[prompt] += alone or not self.any[place]
        return (self.any.sum() + change) / len(self.any)


class _Balls:
    """The images' own balls, and how they grow when a prompt among an image's neighbours is left out."""

    def __init__(self, radius: Array, without: tuple[Array, Array], groups: Array) -> None:
        self.radius, self.groups = radius, groups
        self.prompts, self.radii = without
        self.widest = self.radii.max(1)
        self.gained: set[tuple[int, int]] = set()

    def grown(self, apart: Array, part: slice, there: slice) -> None:
        """Adds (reference image, prompt) where a ball reaches the image only without the prompt."""
        shell = (apart >= self.radius[part, None]) & (apart < self.widest[part, None])
        image, place = np.nonzero(shell)
        own = image + part.start
        for column in range(self.radii.shape[1]):
            prompt = self.prompts[own, column]
            kept = (apart[image, place] < self.radii[own, column]) & (prompt != self.groups[own])
            self.gained.update(zip((place[kept] + there.start).tolist(), prompt[kept].tolist(), strict=True))


def _without(distances: Array, near: Array, groups: Array) -> tuple[Array, Array]:
    """Prompts of each image's K nearest, (n, K), and its K-th distance when that prompt is left out, (n, K)."""
    prompts = near[:, :K]
    radii = np.empty(prompts.shape)
    for column in range(K):
        kept = np.cumsum(near != prompts[:, column, None], axis=1) == K
        radii[:, column] = np.where(
            kept.any(1), np.take_along_axis(distances, kept.argmax(1)[:, None], 1)[:, 0], np.inf
        )
    return prompts, radii


def _nearest(rows: Rows, count: int, block: int) -> tuple[Array, Array]:
    """Squared distances of the `count` nearest other points, (n, count) ascending, and their numbers."""
    count = min(count, len(rows) - 1)
    closest = np.full((len(rows), count), np.inf)
    who = np.zeros((len(rows), count), dtype=int)
    for part, points in blocks(rows, block):
        for there, others in blocks(rows, block):
            apart = squared_distances(points, others)
            if part == there:
                np.fill_diagonal(apart, np.inf)
            both = np.column_stack([closest[part], apart])
            numbers = np.column_stack(
                [who[part], np.broadcast_to(np.arange(there.start, there.stop), apart.shape)]
            )
            order = np.argpartition(both, count - 1, axis=1)[:, :count]
            closest[part] = np.take_along_axis(both, order, 1)
            who[part] = np.take_along_axis(numbers, order, 1)
    order = np.argsort(closest, axis=1, kind="stable")
    return np.take_along_axis(closest, order, 1), np.take_along_axis(who, order, 1)
