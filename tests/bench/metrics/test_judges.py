"""ImageReward and VQAScore through the real loading code, on tiny files in the real layout."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import bench.metrics.features as features
from bench.metrics.networks.judges import ImageReward, InstructBlip
from bench.metrics.networks.loading import load
from bench.metrics.weights import locate
from tests.support.tiny_weights import Home, blip, open_home, write


def images() -> list[Image.Image]:
    random = np.random.default_rng(0)
    return [Image.fromarray(random.integers(0, 256, (48, 48, 3), dtype=np.uint8)) for _ in range(3)]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    return open_home(tmp_path, monkeypatch)


def test_image_reward_equals_blip_called_by_hand(home: Home) -> None:
    write(home, "image-reward")
    found = load(locate("image-reward"))
    assert isinstance(found, ImageReward)
    captions = ["a red dog", "the blue sky", "cats"]
    batch = torch.stack([found.prepare(image) for image in images()])
    values, cut = found.pairs(batch, captions)
    vision, text = blip()
    state = torch.load(locate("image-reward").path, weights_only=True)
    for i, caption in enumerate(captions):
        ids = {"a red dog": [2, 5, 6, 8, 3], "the blue sky": [2, 12, 7, 10, 3], "cats": [2, 9, 11, 3]}[
            caption
        ]
        with torch.inference_mode():
            seen = vision(pixel_values=batch[i : i + 1]).last_hidden_state
            x = text(input_ids=torch.tensor([ids]), encoder_hidden_states=seen)
            x = x.last_hidden_state[0, 0]
            for number in (0, 2, 4, 6, 7):
                x = state[f"mlp.layers.{number}.weight"] @ x + state[f"mlp.layers.{number}.bias"]
        expected = (x.item() - 0.16717362830052426) / 1.0333394966054072
        assert values[i] == pytest.approx(expected, abs=1e-4)
    assert not cut.any()


def test_image_reward_counts_captions_past_its_window(home: Home) -> None:
    write(home, "image-reward")
    found = load(locate("image-reward"))
    batch = torch.stack([found.prepare(images()[0])] * 3)
    fits, long = " ".join(["dog"] * 33), " ".join(["dog"] * 33 + ["cat"] * 5)
    values, cut = found.pairs(batch, [fits, long, "dog"])
    assert cut.tolist() == [False, True, False]
    assert values[0] == pytest.approx(values[1], abs=1e-5)
    assert values[0] != pytest.approx(values[2], abs=1e-5)


def test_vqascore_equals_the_probability_of_yes_by_hand(home: Home) -> None:
    from transformers import InstructBlipForConditionalGeneration, InstructBlipProcessor

    write(home, "instructblip")
    path = locate("instructblip").path
    found = load(locate("instructblip"))
    assert isinstance(found, InstructBlip)
    captions = ["a red dog", "the sky"]
    batch = torch.stack([found.prepare(image) for image in images()[:2]])
    values, cut = found.pairs(batch, captions)
    model = InstructBlipForConditionalGeneration.from_pretrained(path).eval()
    processor = InstructBlipProcessor.from_pretrained(path)
    for i, caption in enumerate(captions):
        question = f'Question: Does this figure show "{caption}"? Please answer yes or no.'
        inputs = processor(images=images()[i], text=question, return_tensors="pt")
        labels = processor.tokenizer("yes", return_tensors="pt").input_ids
        with torch.inference_mode():
            loss = torch.nn.functional.cross_entropy(model(**inputs, labels=labels).logits[0], labels[0])
        assert values[i] == pytest.approx(float((-loss).exp()), rel=1e-4)
    assert not cut.any()


def test_pairs_are_kept_by_image_and_caption(home: Home, tmp_path: Path) -> None:
    write(home, "image-reward")
    located = locate("image-reward")
    files = []
    for i, image in enumerate(images()):
        image.save(tmp_path / f"{i}.png")
        files.append((f"{i:064x}", tmp_path / f"{i}.png"))
    captions = ["a red dog", "the sky", "a cat"]

    def refuse() -> Any:
        raise AssertionError("nothing is to be computed")

    judge = load(located)
    first, _ = features.pair_values(files, captions, located, lambda: judge, tmp_path / "c", size=32)
    assert first.shape == (3, 1)
    again, _ = features.pair_values(files[::-1], captions[::-1], located, refuse, tmp_path / "c", size=32)
    np.testing.assert_array_equal(again[:], first[:][::-1])
    with pytest.raises(AssertionError, match="nothing"):
        features.pair_values(files, captions[::-1], located, refuse, tmp_path / "c", size=32)
