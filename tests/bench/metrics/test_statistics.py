"""No statistic lets a value pass that is not finite, and KID needs images of two prompts."""

from __future__ import annotations

import numpy as np
import pytest

import bench.metrics.frechet as frechet
from bench.errors import InputError
from bench.metrics.statistics import STATISTICS, Inputs

OF_IMAGES = sorted(set(STATISTICS) - {"frechet_infinity", "changed", "kept"})


def inputs(images: np.ndarray, **others: np.ndarray) -> Inputs:
    random = np.random.default_rng(1)
    shape = images.shape
    texts, sources, words, reference = (random.standard_normal(shape) for _ in range(4))
    arrays = {"texts": texts, "sources": sources, "source_texts": words, "reference": reference} | others
    prompts = np.repeat(np.arange(len(images) // 2), 2)
    return Inputs(images=images, prompts=prompts, moments=frechet.moments(reference), **arrays)


@pytest.mark.parametrize("name", OF_IMAGES)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_an_image_whose_features_are_not_finite_is_refused(name: str, bad: float) -> None:
    images = np.random.default_rng(0).standard_normal((24, 6))
    STATISTICS[name](inputs(images))
    images[5] = bad
    with pytest.raises(InputError, match="not finite"), np.errstate(invalid="ignore"):
        STATISTICS[name](inputs(images))


@pytest.mark.parametrize("name", ["cosine", "signed_cosine", "dot", "direction"])
def test_a_caption_whose_features_are_not_finite_is_refused(name: str) -> None:
    images = np.random.default_rng(0).standard_normal((24, 6))
    texts = np.random.default_rng(2).standard_normal((24, 6))
    texts[3] = np.nan
    with pytest.raises(InputError, match="not finite"):
        STATISTICS[name](inputs(images, texts=texts))


@pytest.mark.parametrize("name", ["kernel", "cmmd", "precision", "recall", "density", "coverage"])
def test_a_reference_whose_features_are_not_finite_is_refused(name: str) -> None:
    images = np.random.default_rng(0).standard_normal((24, 6))
    reference = np.random.default_rng(2).standard_normal((24, 6))
    reference[7, 2] = np.nan
    given = inputs(images)
    broken = Inputs(
        images=given.images,
        prompts=given.prompts,
        reference=reference,
        moments=given.moments,
        texts=given.texts,
    )
    with pytest.raises(InputError, match="not finite"):
        STATISTICS[name](broken)


def test_kid_of_one_prompt_has_no_value_and_says_why() -> None:
    random = np.random.default_rng(0)
    given = Inputs(
        images=random.standard_normal((2, 6)),
        prompts=np.zeros(2, int),
        reference=random.standard_normal((20, 6)),
    )
    found = STATISTICS["kernel"](given)
    assert found.value is None
    assert "one prompt" in found.note
