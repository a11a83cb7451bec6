"""The miniature instruments against pictures whose truth is known, and the family's folders."""

from __future__ import annotations

import json

import numpy as np
import pytest

from bench.miniature import captions, encoders, instruments, prompt_set, world
from bench.miniature.evaluate import wilson
from bench.miniature.instruments import Seen, judge
from bench.miniature.world import Thing

weights = pytest.mark.skipif(
    instruments.weights_path() is None, reason="the miniature weights are not installed"
)


@pytest.fixture(scope="module")
def truth():
    """Pictures of 100 held-out captions as the world draws them."""
    rng = np.random.default_rng(8)
    texts = [line.split("\t")[1] for line in prompt_set.lines()[1::3]]
    return np.stack([world.draw(captions.parse(text), rng)[0] for text in texts]), texts


def blurred(images):
    padded = np.pad(images.astype(float), ((0, 0), (3, 3), (3, 3), (0, 0)), mode="edge")
    parts = [padded[:, y : y + 64, x : x + 64] for y in range(7) for x in range(7)]
    return np.mean(parts, 0).astype(np.uint8)


def frechet(a, b):
    """By eigenvalues of the product of the covariances; independent of bench.metrics.registry."""
    product = np.linalg.eigvals(np.cov(a.T) @ np.cov(b.T))
    roots = np.sqrt(np.clip(product.real, 0, None)).sum()
    return ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(np.cov(a.T)) + np.trace(np.cov(b.T)) - 2 * roots


def seen(layout, *things):
    return Seen(layout=layout, things=tuple(Thing(shape=s, colour=c) for s, c in things))


def test_judging_needs_no_weights():
    asked = captions.parse("a red circle left of a blue star")
    right = seen("left_of", ("circle", "red"), ("star", "blue"))
    assert judge(asked, right) == (True, True, True, True, True)
    swapped = seen("left_of", ("star", "blue"), ("circle", "red"))
    assert judge(asked, swapped) == (True, True, True, False, True)
    crossed = seen("left_of", ("circle", "blue"), ("star", "red"))
    assert judge(asked, crossed)[:4] == (True, True, True, False)
    assert judge(asked, seen("alone", ("circle", "red")))[:4] == (False, False, False, False)
    two = captions.parse("two red stars")
    for layout in ("left_of", "above"):
        assert all(judge(two, seen(layout, ("star", "red"), ("star", "red"))))
    assert not judge(two, seen("on", ("star", "red"), ("star", "red")))[3]


@weights
def test_true_pictures_are_right_and_captions_of_others_wrong(truth):
    images, texts = truth
    right = instruments.scene_accuracy(images, texts)
    assert right.all.mean() > 0.95
    wrong = instruments.scene_accuracy(images, texts[1:] + texts[:1])
    assert wrong.all.mean() < 0.1 < right.all.mean()


@weights
def test_the_distance_grows_with_blur_and_with_noise(truth):
    images, _ = truth
    rng = np.random.default_rng(0)
    clean = instruments.pooled_features(images)
    half, other = clean[::2], clean[1::2]

    def noisy(amount):
        return np.clip(images + rng.normal(0, amount, images.shape), 0, 255).astype(np.uint8)

    same = frechet(half, other)
    soft = frechet(half, instruments.pooled_features(blurred(images))[1::2])
    some, much = (frechet(half, instruments.pooled_features(noisy(a))[1::2]) for a in (40, 120))
    assert same < soft
    assert same < some < much


@weights
def test_mini_clip_prefers_the_right_caption(truth):
    from bench.miniature.evaluate import retrieval

    images, texts = truth
    assert retrieval(images, texts, seed=0).mean() > 0.85


@weights
def test_the_share_of_attributes_agrees_with_the_answers(truth):
    import torch
    from PIL import Image

    images, texts = truth
    network = encoders.encoder("mini-scene")
    batch = torch.stack([network.prepare(Image.fromarray(image)) for image in images])
    asked, cut = network.texts(texts)
    share = (network.images(batch) * asked).sum(1)
    right = instruments.scene_accuracy(images, texts).all
    assert np.array_equal(share > 1 - 1e-6, right)
    assert share.max() <= 1 + 1e-6
    assert not cut.any()


@weights
def test_larger_pictures_are_read_as_small_ones(truth):
    images, texts = truth
    large = images.repeat(4, axis=1).repeat(4, axis=2)
    assert instruments.scene_accuracy(large, texts).all.mean() > 0.95


def test_an_unknown_instrument_and_wrong_pictures_are_refused():
    with pytest.raises(ValueError, match="no miniature instrument 'x'"):
        encoders.encoder("x")
    with pytest.raises(ValueError, match="uint8"):
        instruments.as_tensor(np.zeros((2, 64, 64, 3)))
    with pytest.raises(ValueError, match="2 images but 1 captions"):
        instruments.scene_accuracy(np.zeros((2, 64, 64, 3), np.uint8), ["a red circle"])


def test_every_word_is_one_token_and_captions_differ_in_their_tokens():
    from bench.miniature.tokens import LENGTH, encode, make_tokenizer

    tokenizer = make_tokenizer()
    for word in captions.words():
        ids = tokenizer(word)["input_ids"]
        assert len(ids) == 3
        assert tokenizer.decode(ids, skip_special_tokens=True).strip() == word
    texts = [line.split("\t")[1] for line in prompt_set.lines()[1:]]
    rows = encode(tokenizer, texts)
    assert rows.shape == (len(texts), LENGTH)
    assert (rows[:, -1] == len(tokenizer) - 1).all()
    assert len({row.tobytes() for row in rows}) == len(texts)


@weights
def test_the_shipped_tokenizers_are_the_grammars():
    from transformers import CLIPTokenizer

    from bench.miniature.tokens import make_tokenizer

    text = "a striped red star, on a background fading from mint to lilac"
    for folder in ("sdxl/tokenizer", "sdxl/tokenizer_2", "clip"):
        shipped = CLIPTokenizer.from_pretrained(instruments.WEIGHTS / folder)
        assert shipped(text)["input_ids"] == make_tokenizer()(text)["input_ids"]
        assert shipped.model_max_length == 32


@weights
def test_the_family_is_small_and_half_precision():
    from safetensors import safe_open

    files = sorted(instruments.WEIGHTS.rglob("*.safetensors"))
    assert sum(path.stat().st_size for path in instruments.WEIGHTS.rglob("*")) < 30e6
    for path in files:
        with safe_open(path, "pt") as tensors:
            kinds = {tensors.get_slice(key).get_dtype() for key in tensors.keys()}  # noqa: SIM118
        assert kinds <= {"F16", "I64"}, path
    index = json.loads((instruments.WEIGHTS / "sdxl/model_index.json").read_text())
    assert index["_class_name"] == "StableDiffusionXLPipeline"


def test_the_interval_is_wilsons():
    # Wilson 1927; scipy.stats.binomtest(81, 263).proportion_ci(method="wilson"), scipy 1.17.
    from scipy.stats import binomtest

    expected = binomtest(81, 263).proportion_ci(method="wilson")
    assert wilson(81, 263) == pytest.approx((expected.low, expected.high), abs=1e-6)
