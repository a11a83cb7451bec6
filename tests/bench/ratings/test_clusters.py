"""Variance components by moments, against dense matrices written out from the model."""

from __future__ import annotations

import numpy as np
import pytest

from bench.ratings.clusters import (
    cluster_weights,
    clusters_of,
    combination,
    degrees_of_freedom,
    expected_squares,
    moderation,
    variance_ratios,
    variances,
)

RNG = np.random.default_rng(7)
N = 90
RATER = np.minimum(RNG.geometric(0.25, N) - 1, 9)
PROMPT = RNG.integers(0, 12, N)
EXPOSURE = RNG.uniform(0.5, 2.0, N)
RATIOS = {"rater": 0.2, "prompt": 0.05}


def same(labels):
    return (labels[:, None] == labels[None]).astype(float)


def components():
    """Covariance of the votes' terms for one unit of each component, (n, n)."""
    outer = np.outer(EXPOSURE, EXPOSURE)
    cell = RATER * 100 + PROMPT
    return {
        name: outer * same(np.asarray(label))
        for name, label in (("rater", RATER), ("prompt", PROMPT), ("cell", cell), ("vote", np.arange(N)))
    }


def quadratic_forms(weights):
    """(n, n) forms whose value at the votes' terms is each level's sum of squares, centring included."""
    forms = {}
    for name, labels in (
        ("rater", RATER),
        ("prompt", PROMPT),
        ("cell", RATER * 100 + PROMPT),
        ("vote", np.arange(N)),
    ):
        groups = np.unique(labels)
        member = (labels[None] == groups[:, None]).astype(float)
        size = member @ EXPOSURE
        if name in weights:
            g = weights[name]
            centre = np.outer(size, g * size) / (g @ size**2)
            taken = (np.eye(len(groups)) - centre) @ member
        else:
            g = np.ones(len(groups))
            taken = member @ (np.eye(N) - np.outer(EXPOSURE, np.ones(N)) / EXPOSURE.sum())
        forms[name] = taken.T @ (g[:, None] * taken)
    return forms


@pytest.fixture(scope="module")
def clusters():
    return clusters_of(EXPOSURE, {"rater": RATER, "prompt": PROMPT})


def test_expected_squares_are_traces_of_the_forms_with_the_components(clusters):
    weights = cluster_weights(clusters, RATIOS)
    forms, parts = quadratic_forms(weights), components()
    expected = np.array([[np.trace(form @ part) for part in parts.values()] for form in forms.values()])
    assert expected_squares(clusters, weights)[0] == pytest.approx(expected, rel=1e-9)


def test_the_combination_is_unbiased_for_every_component(clusters):
    weights = cluster_weights(clusters, RATIOS)
    forms, parts = quadratic_forms(weights), components()
    combined = combination(clusters, expected_squares(clusters, weights))[0]
    whole = sum(share * form for share, form in zip(combined, forms.values(), strict=True))
    for part in parts.values():
        assert np.trace(whole @ part) == pytest.approx(part.sum(), rel=1e-4)


def test_degrees_of_freedom_are_satterthwaites_of_the_dense_form(clusters):
    """2 E² / variance of the quadratic form of normal terms; the forms of cells and votes are left out by ours."""
    weights = cluster_weights(clusters, RATIOS)
    forms, parts = quadratic_forms(weights), components()
    combined = combination(clusters, expected_squares(clusters, weights))
    cover = parts["vote"] + RATIOS["rater"] * parts["rater"] + RATIOS["prompt"] * parts["prompt"]
    whole = sum(share * form for share, form in zip(combined[0], forms.values(), strict=True))
    product = whole @ cover
    dense = np.trace(product) ** 2 / np.trace(product @ product)
    # Nine raters with overlapping prompts: the approximation errs towards wider intervals.
    assert 0.75 * dense < degrees_of_freedom(clusters, weights, combined, RATIOS)[0] < 1.05 * dense


def test_ratios_of_known_components_are_found_again(clusters):
    weights = cluster_weights(clusters, RATIOS)
    expected = expected_squares(clusters, weights)
    observed = expected @ np.array([0.6, 0.15, 0.0, 3.0])
    found = variance_ratios(clusters, expected, observed)
    # Over the vote-level sum of squares, which holds the other components too.
    noise = observed[0, -1] / clusters.squares[0, -1]
    assert found == pytest.approx({"rater": 0.6 / noise, "prompt": 0.15 / noise}, rel=1e-6)


def test_even_clusters_give_the_combination_of_cameron_gelbach_and_miller():
    rater, prompt = np.divmod(np.arange(400), 20)
    even = clusters_of(np.ones(400), {"rater": rater, "prompt": prompt})
    combined = combination(even, expected_squares(even, cluster_weights(even, RATIOS)))[0]
    scale = (1 / (1 + 0.2 * 20) ** 2, 1 / (1 + 0.05 * 20) ** 2)
    shares = combined * [*scale, 1, 1]
    assert shares[:2] == pytest.approx([(20 / 19) ** 2] * 2, rel=1e-4)
    assert shares[2:].sum() == pytest.approx(-((20 / 19) ** 2), rel=1e-4)


def test_effective_numbers_are_kishs():
    sizes = [50] + [50 / 39] * 39
    rater = np.arange(40)
    clusters = clusters_of(np.array(sizes), {"rater": rater})
    assert clusters.effective("rater")[0] == pytest.approx(1 / (0.25 + 0.25 / 39))


def test_many_owners_at_once_are_each_as_alone_when_nothing_is_shared():
    """One owner's variance in a table of two, moderation taken out, is its variance alone."""
    owner = np.arange(N) % 2
    values = EXPOSURE * RNG.standard_normal(N)
    for k in (0, 1):
        values[owner == k] -= EXPOSURE[owner == k] * values[owner == k].sum() / EXPOSURE[owner == k].sum()
    both = clusters_of(EXPOSURE, {"rater": RATER, "prompt": PROMPT}, owner, 2)
    weights = cluster_weights(both, RATIOS)
    together = expected_squares(both, weights)
    for k in (0, 1):
        mine = owner == k
        alone = clusters_of(EXPOSURE[mine], {"rater": RATER[mine], "prompt": PROMPT[mine]})
        assert together[k] == pytest.approx(expected_squares(alone, cluster_weights(alone, RATIOS))[0])
    assert np.isfinite(variances(both, values).variance).all()


def test_an_owner_of_one_rater_is_given_what_the_others_say_of_raters():
    """200 owners of ten raters and one of a single rater, whose own votes cannot say how raters differ."""
    rng = np.random.default_rng(1)
    owner = np.repeat(np.arange(201), 40)
    rater = np.tile(np.repeat(np.arange(10), 4), 201)
    rater[owner == 200] = 0
    terms = rng.standard_normal(len(owner)) + np.sqrt(0.5) * rng.standard_normal((201, 10))[owner, rater]
    terms -= (np.bincount(owner, terms) / 40)[owner]
    found = variances(clusters_of(np.ones(len(owner)), {"rater": rater}, owner, 201), terms)
    assert found.ratios["rater"] == pytest.approx(0.5 / 1.5, rel=0.15)
    assert found.variance[200] / found.plain[200] == pytest.approx(1 + found.ratios["rater"] * 40, rel=1e-6)


def test_moderation_fades_where_there_is_much_of_its_own():
    assert moderation(0.0, 1e9) == 20
    assert moderation(380.0, 1e9) == 1
    assert moderation(4.0, 3.0) == 3
