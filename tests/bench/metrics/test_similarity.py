"""Cosines with captions, with sources, and among images, by hand."""

from __future__ import annotations

import numpy as np
import pytest

import bench.metrics.similarity as similarity
from bench.errors import InputError


def test_cosine_score_is_one_hundred_for_parallel_and_zero_for_opposite() -> None:
    a = np.array([[1.0, 2.0], [1.0, 0.0], [1.0, 0.0]])
    b = np.array([[2.0, 4.0], [-1.0, 0.0], [1.0, 1.0]])
    np.testing.assert_allclose(similarity.cosine_scores(a, b), [100, 0, 100 / np.sqrt(2)])


def test_diversity_is_zero_for_copies_and_one_for_right_angles() -> None:
    x = np.array([[1.0, 0], [1, 0], [1, 0], [0, 1], [5, 5]])
    values, groups = similarity.diversity(x, np.array([0, 0, 1, 1, 2]))
    np.testing.assert_allclose(values, [0, 1], atol=1e-12)
    np.testing.assert_array_equal(groups, [0, 1])


def test_duplicates_count_only_across_prompts() -> None:
    x = np.array([[1.0, 0], [1, 0], [0, 1], [0, 1]])
    values, _ = similarity.near_duplicates(x, np.array([0, 0, 1, 2]))
    np.testing.assert_array_equal(values, [0, 0, 1, 1])


def test_the_share_of_duplicates_without_a_prompt_equals_computing_anew() -> None:
    random = np.random.default_rng(0)
    x, groups = random.integers(0, 2, (24, 4)) + 0.01, np.repeat(np.arange(8), 3)
    _, left_out = similarity.near_duplicates(x, groups, block=5)
    anew = [
        similarity.near_duplicates(x[groups != g], np.repeat(np.arange(7), 3))[0].mean() for g in range(8)
    ]
    np.testing.assert_allclose(left_out, anew)


def test_vendi_counts_the_different_images_of_a_prompt() -> None:
    """Copies count once, right angles each; in between the exponential of the entropy, by hand."""
    x = np.array([[1.0, 0], [1, 0], [1, 0], [0, 1], [1, 0], [1, 1]])
    values, groups = similarity.vendi(x, np.array([0, 0, 1, 1, 2, 2]))
    shares = np.array([1 + np.sqrt(0.5), 1 - np.sqrt(0.5)]) / 2
    np.testing.assert_allclose(values, [1, 2, np.exp(-(shares * np.log(shares)).sum())], atol=1e-9)
    np.testing.assert_array_equal(groups, [0, 1, 2])


def test_values_that_are_not_finite_are_refused() -> None:
    bad, good = np.array([[1.0, np.nan], [1, 1]]), np.ones((2, 2))
    for call in (
        lambda: similarity.cosines(bad, good),
        lambda: similarity.products(good, bad),
        lambda: similarity.directions(bad, good, good, good),
        lambda: similarity.diversity(bad, np.zeros(2, int)),
        lambda: similarity.vendi(bad, np.zeros(2, int)),
    ):
        with pytest.raises(InputError, match="not finite"):
            call()


def test_direction_is_one_where_pictures_change_as_words_do() -> None:
    source, words = np.array([[1.0, 0, 0]] * 4), np.array([[0.0, 1, 0]] * 4)
    asked = np.array([[0.0, 0, 1]] * 4)  # words move by (0, -1, 1)
    images = np.array([[1.0, -1, 1], [1, 1, -1], [1, 0, 0], [0, 0, 1]])
    made = images / np.linalg.norm(images, axis=1, keepdims=True)
    found = similarity.directions(images, source, asked, words)
    change, wish = made - source, np.array([0, -1, 1]) / np.sqrt(2)
    expected = [change[i] @ wish / np.linalg.norm(change[i]) for i in (0, 1, 3)]
    np.testing.assert_allclose(found[[0, 1, 3]], expected, atol=1e-12)
    assert found[0] > 0.8
    assert found[0] == pytest.approx(-found[1])
    assert found[2] == 0  # the untouched picture


def test_products_are_row_by_row() -> None:
    a, b = np.arange(6.0).reshape(3, 2), np.ones((3, 2))
    np.testing.assert_allclose(similarity.products(a, b), [1, 5, 9])


def test_an_edit_is_judged_by_what_it_brings_in_and_what_it_leaves() -> None:
    """One object: count, place, red, blue, circle. "Make the red circle blue"."""
    before, after = np.array([[1.0, 1, 1, 0, 1]]), np.array([[1.0, 1, 0, 1, 1]])
    for seen, brought, left in (
        (before, 0.0, 1.0),  # the untouched picture
        (after, 1.0, 1.0),  # the edit as asked
        (np.array([[0.0, 0, 0, 1, 0]]), 1.0, 0.0),  # blue, and nothing of the rest
        (np.array([[1.0, 1, 0, 1, 0]]), 1.0, 2 / 3),  # blue, but no circle
    ):
        assert similarity.attribute_shares(seen, after / 4, before / 4, changed=True) == [brought]
        np.testing.assert_allclose(
            similarity.attribute_shares(seen, after / 4, before / 4, changed=False), [left]
        )
    with pytest.raises(ValueError, match="nothing new"):
        similarity.attribute_shares(before, before, before, changed=True)
