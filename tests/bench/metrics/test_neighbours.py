"""Precision, recall, density and coverage against their definitions, point by point."""

from __future__ import annotations

import numpy as np
import pytest

import bench.metrics.neighbours as neighbours
from bench.errors import InputError


def rows(n: int, d: int, seed: int, scale: float = 1.0) -> np.ndarray:
    random = np.random.default_rng(seed)
    return scale * random.standard_normal((n, d)) @ random.standard_normal((d, d)) / np.sqrt(d)


def test_neighbours_of_a_set_with_itself_are_all_found() -> None:
    x = rows(40, 3, 1)
    found = neighbours.neighbours(x, x.copy())
    assert found.precision.all()
    assert found.recall.all()
    assert found.coverage.all()


def test_neighbours_equal_the_definitions_point_by_point() -> None:
    x, y = rows(25, 3, 1), rows(20, 3, 2) + 0.5
    far = lambda a, b: np.linalg.norm(a - b)  # noqa: E731
    ball = lambda s, i, k: sorted(far(s[i], p) for p in s)[k]  # noqa: E731
    found = neighbours.neighbours(x, y, block=7)
    precision = [any(far(p, y[j]) < ball(y, j, 3) for j in range(20)) for p in x]
    recall = [any(far(q, x[i]) < ball(x, i, 3) for i in range(25)) for q in y]
    density = [sum(far(p, y[j]) < ball(y, j, 5) for j in range(20)) / 5 for p in x]
    coverage = [any(far(y[j], p) < ball(y, j, 5) for p in x) for j in range(20)]
    np.testing.assert_array_equal(found.precision, precision)
    np.testing.assert_array_equal(found.recall, recall)
    np.testing.assert_allclose(found.density, density)
    np.testing.assert_array_equal(found.coverage, coverage)


@pytest.mark.parametrize("images", [1, 3])
def test_leaving_a_prompt_out_equals_computing_anew(images: int) -> None:
    """Balls of the images that stay grow where a neighbour is left out."""
    for seed in range(4):
        x, y = rows(30, 2, 10 + seed), rows(25, 2, 20 + seed) + 0.4
        groups = np.arange(30) // images
        found = neighbours.neighbours(x, y, groups, block=7)
        for name in ("recall", "coverage"):
            anew = [
                getattr(neighbours.neighbours(x[groups != g], y), name).mean()
                for g in range(groups.max() + 1)
            ]
            np.testing.assert_allclose(getattr(found, f"{name}_left_out"), anew, atol=1e-12)


def test_too_few_images_are_refused() -> None:
    with pytest.raises(InputError, match="at least 6"):
        neighbours.neighbours(np.ones((3, 3)), np.ones((9, 3)))
