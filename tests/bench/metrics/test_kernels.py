"""KID and CMMD against double loops over other libraries' kernels."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics.pairwise import polynomial_kernel as sklearn_kernel

import bench.metrics.intervals as intervals
import bench.metrics.kernels as kernels
from bench.errors import InputError


def rows(n: int, d: int, seed: int, scale: float = 1.0) -> np.ndarray:
    random = np.random.default_rng(seed)
    return scale * random.standard_normal((n, d)) @ random.standard_normal((d, d)) / np.sqrt(d)


def test_kernel_distance_equals_a_double_loop_over_sklearn_kernel() -> None:
    x, y = rows(12, 5, 1), rows(9, 5, 2)
    kernel = [sklearn_kernel(a, b, degree=3, gamma=1 / 5, coef0=1) for a, b in ((x, x), (y, y), (x, y))]
    xx = sum(kernel[0][i, j] for i in range(12) for j in range(12) if i != j) / (12 * 11)
    yy = sum(kernel[1][i, j] for i in range(9) for j in range(9) if i != j) / (9 * 8)
    assert kernels.polynomial_mmd(x, y) == pytest.approx(xx + yy - 2 * kernel[2].mean(), rel=1e-10)


def test_kernel_distance_is_unbiased_and_sees_a_shift() -> None:
    random = np.random.default_rng(0)
    same = [
        kernels.polynomial_mmd(random.standard_normal((30, 4)), random.standard_normal((30, 4)))
        for _ in range(300)
    ]
    assert abs(np.mean(same)) < 3 * np.std(same) / np.sqrt(300)
    assert kernels.polynomial_mmd(rows(30, 4, 1), rows(30, 4, 2) + 1) > 5 * np.std(same)


def test_cmmd_is_zero_of_itself_and_matches_the_formula() -> None:
    x, y = rows(10, 6, 1), rows(11, 6, 2)
    assert kernels.cmmd(x, x) == pytest.approx(0, abs=1e-9)
    u, v = (r / np.linalg.norm(r, axis=1, keepdims=True) for r in (x, y))

    def mean(a: np.ndarray, b: np.ndarray) -> float:
        return float(np.mean([[np.exp(-np.square(p - q).sum() / 200) for q in b] for p in a]))

    assert kernels.cmmd(x, y) == pytest.approx(1000 * (mean(u, u) + mean(v, v) - 2 * mean(u, v)), rel=1e-8)


def test_pairs_within_a_prompt_are_left_out() -> None:
    x, y, groups = rows(12, 5, 1), rows(9, 5, 2), np.array([0, 0, 0, 1, 1, 2, 2, 2, 2, 3, 4, 4])
    kernel = [sklearn_kernel(a, b, degree=3, gamma=1 / 5, coef0=1) for a, b in ((x, x), (y, y), (x, y))]
    xx = np.mean([kernel[0][i, j] for i in range(12) for j in range(12) if groups[i] != groups[j]])
    yy = np.mean([kernel[1][i, j] for i in range(9) for j in range(9) if i != j])
    assert kernels.polynomial_mmd(x, y, groups) == pytest.approx(xx + yy - 2 * kernel[2].mean(), rel=1e-10)


def test_images_that_hang_together_do_not_bias_the_distance() -> None:
    """Four images a prompt with half of their variance in common, from the reference's own distribution."""
    random, groups, values, naive = np.random.default_rng(0), np.repeat(np.arange(25), 4), [], []
    for _ in range(200):
        x = random.standard_normal((25, 1, 4)) + random.standard_normal((25, 4, 4))
        y = np.sqrt(2) * random.standard_normal((60, 4))
        values.append(kernels.polynomial_mmd(x.reshape(100, 4), y, groups))
        naive.append(kernels.polynomial_mmd(x.reshape(100, 4), y))
    error = np.std(values) / np.sqrt(200)
    assert abs(np.mean(values)) < 3 * error
    assert np.mean(naive) > 3 * error


def mmd(x: np.ndarray, y: np.ndarray, groups: np.ndarray, name: str) -> float:
    if name == "kid":
        return kernels.polynomial_mmd(x, y, groups)
    return kernels.cmmd(x, y)


@pytest.mark.parametrize("name", ["kid", "cmmd"])
def test_leaving_a_prompt_out_equals_computing_anew(name: str) -> None:
    x, y, groups = rows(30, 5, 1) + 0.6, rows(28, 5, 2), np.repeat(np.arange(10), [1, 2, 3, 4, 5] * 2)
    expected = np.array([mmd(x[groups != g], y, groups[groups != g], name) for g in range(10)])
    kernel, scale = (kernels.polynomial_kernel, 1) if name == "kid" else (kernels.gaussian_kernel, 1000)
    found = scale * kernels.leave_out(x, y, groups, kernel, unbiased=name == "kid")
    np.testing.assert_allclose(found - found.mean(), expected - expected.mean(), atol=1e-9)


@pytest.mark.parametrize("name", ["kid", "cmmd"])
def test_first_order_effects_of_many_images_are_those_of_the_jackknife(name: str) -> None:
    groups = np.repeat(np.arange(300), 2)
    x, y = rows(600, 5, 1) + 0.6, rows(280, 5, 2)
    kernel, unbiased = (
        (kernels.polynomial_kernel, True) if name == "kid" else (kernels.gaussian_kernel, False)
    )
    exact = intervals.jackknife_effects(kernels.leave_out(x, y, groups, kernel, unbiased=unbiased))
    found = kernels.influence(x, y, groups, kernel)
    assert np.corrcoef(found, exact)[0, 1] > 0.99
    assert intervals.standard_error(found) == pytest.approx(intervals.standard_error(exact), rel=0.05)


def test_subsets_add_the_error_of_their_choice() -> None:
    """Means over subsets from another seed differ by that much."""
    x, y = rows(300, 4, 1), rows(300, 4, 2)
    drawn = [kernels.kernel_distance(x, y, subsets=20, size=50, seed=seed) for seed in range(60)]
    assert np.mean([error for _, error in drawn]) == pytest.approx(np.std([v for v, _ in drawn]), rel=0.3)
    assert kernels.kernel_distance(x, y, size=300)[1] == 0


def test_values_that_are_not_finite_are_refused() -> None:
    bad = np.ones((9, 3))
    bad[4, 1] = np.nan
    for call in (
        lambda: kernels.polynomial_mmd(bad, np.ones((9, 3))),
        lambda: kernels.polynomial_mmd(np.ones((9, 3)), bad),
        lambda: kernels.cmmd(bad, np.ones((9, 3))),
    ):
        with pytest.raises(InputError, match="not finite"):
            call()


def test_two_images_of_one_prompt_have_no_unbiased_distance() -> None:
    with pytest.raises(InputError, match="1 prompts"):
        kernels.polynomial_mmd(np.ones((2, 3)), np.ones((9, 3)), np.array([0, 0]))


def test_features_of_two_extractors_are_refused() -> None:
    with pytest.raises(InputError, match="3 and 4"):
        kernels.kernel_distance(np.ones((5, 3)), np.ones((5, 4)))
