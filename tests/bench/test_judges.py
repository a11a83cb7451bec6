"""ImageReward and VQAScore through the real loading code, on tiny files in the real layout."""

from __future__ import annotations

import re
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
from bench.records import InputError
from tests.bench.folders import T5_LETTERS

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "red", "blue", "dog", "cat", "sky", "##s", "the"]
BACK = (
    (r"^embeddings\.class_embedding$", "cls_token"),
    (r"^embeddings\.position_embedding$", "pos_embed"),
    (r"^embeddings\.patch_embedding\.", "patch_embed.proj."),
    (r"^encoder\.layers\.", "blocks."),
    (r"\.self_attn\.projection\.", ".attn.proj."),
    (r"\.self_attn\.", ".attn."),
    (r"\.layer_norm(\d)\.", r".norm\1."),
    (r"^post_layernorm\.", "norm."),
)
"""transformers' names to BLIP's, as the published conversion of BLIP has them the other way round."""


def images() -> list[Image.Image]:
    random = np.random.default_rng(0)
    return [Image.fromarray(random.integers(0, 256, (40, 50, 3), dtype=np.uint8)) for _ in range(3)]


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of its own with a tiny ImageReward.pt and the vocabulary where `bench fetch` leaves them."""
    from transformers import BlipTextConfig, BlipTextModel, BlipVisionConfig, BlipVisionModel

    monkeypatch.setenv("TURBO_BENCH_CACHE", str(tmp_path))
    monkeypatch.delenv("BENCH_SHARED", raising=False)
    folder = tmp_path / "weights"
    (folder / "bert-base-uncased").mkdir(parents=True)
    (folder / "bert-base-uncased" / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    torch.manual_seed(0)
    vision = BlipVisionModel(
        BlipVisionConfig(hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=1,
                         image_size=32, patch_size=8, layer_norm_eps=1e-6)
    )  # fmt: skip
    text = BlipTextModel(
        BlipTextConfig(vocab_size=len(WORDS), hidden_size=64, encoder_hidden_size=64, intermediate_size=96,
                       num_hidden_layers=2, num_attention_heads=1, max_position_embeddings=64),
        add_pooling_layer=False,
    )  # fmt: skip
    state: dict[str, Any] = {}
    for name, value in vision.state_dict().items():
        for pattern, old in BACK:
            name = re.sub(pattern, old, name)
        state[f"blip.visual_encoder.{name}"] = value
    state |= {f"blip.text_encoder.{name}": value for name, value in text.state_dict().items()}
    state["blip.text_encoder.embeddings.position_ids"] = torch.arange(64)[None]
    for number, (a, b) in {0: (64, 16), 2: (16, 8), 4: (8, 4), 6: (4, 4), 7: (4, 1)}.items():
        state[f"mlp.layers.{number}.weight"] = torch.randn(b, a)
        state[f"mlp.layers.{number}.bias"] = torch.randn(b)
    torch.save(state, folder / "ImageReward.pt")
    torch.save({"vision": vision, "text": text}, tmp_path / "models.pt")
    return tmp_path


def test_image_reward_equals_blip_called_by_hand(weights: Path) -> None:
    found = load(locate("image-reward"))
    assert isinstance(found, ImageReward)
    captions = ["a red dog", "the blue sky", "cats"]
    batch = torch.stack([found.prepare(image) for image in images()])
    values, cut = found.pairs(batch, captions)
    parts = torch.load(weights / "models.pt", weights_only=False)
    state = torch.load(weights / "weights" / "ImageReward.pt", weights_only=True)
    for i, caption in enumerate(captions):
        ids = {"a red dog": [2, 5, 6, 8, 3], "the blue sky": [2, 12, 7, 10, 3], "cats": [2, 9, 11, 3]}[
            caption
        ]
        with torch.inference_mode():
            seen = parts["vision"].eval()(pixel_values=batch[i : i + 1]).last_hidden_state
            x = parts["text"].eval()(input_ids=torch.tensor([ids]), encoder_hidden_states=seen)
            x = x.last_hidden_state[0, 0]
            for number in (0, 2, 4, 6, 7):
                x = state[f"mlp.layers.{number}.weight"] @ x + state[f"mlp.layers.{number}.bias"]
        expected = (x.item() - 0.16717362830052426) / 1.0333394966054072
        assert values[i] == pytest.approx(expected, abs=1e-4)
    assert not cut.any()


def test_image_reward_counts_captions_past_its_window(weights: Path) -> None:
    found = load(locate("image-reward"))
    batch = torch.stack([found.prepare(images()[0])] * 3)
    fits, long = " ".join(["dog"] * 33), " ".join(["dog"] * 33 + ["cat"] * 5)
    values, cut = found.pairs(batch, [fits, long, "dog"])
    assert cut.tolist() == [False, True, False]
    assert values[0] == pytest.approx(values[1], abs=1e-5)
    assert values[0] != pytest.approx(values[2], abs=1e-5)


def test_another_file_is_not_taken_for_image_reward(weights: Path) -> None:
    torch.save(
        {"blip.visual_encoder.cls_token": torch.zeros(1, 1, 64)}, weights / "weights" / "ImageReward.pt"
    )
    with pytest.raises(InputError, match="is not ImageReward"):
        load(locate("image-reward"))


def instructblip(path: Path) -> Path:
    """A tiny InstructBLIP on T5 in the hub's layout."""
    from transformers import (
        BertTokenizer,
        BlipImageProcessor,
        InstructBlipConfig,
        InstructBlipForConditionalGeneration,
        InstructBlipProcessor,
        T5Tokenizer,
    )

    vocabulary = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), *((letter, -3.0) for letter in T5_LETTERS)]
    tokenizer = T5Tokenizer(vocab=vocabulary, extra_ids=0)
    (path / "words").mkdir(parents=True)
    (path / "words" / "vocab.txt").write_text(
        "\n".join([*WORDS, *"?:.", *"abcdefghijklmnopqrstuvwxyz"]) + "\n"
    )
    reader = BertTokenizer.from_pretrained(path / "words")
    processor = InstructBlipProcessor(
        BlipImageProcessor(size={"height": 28, "width": 28}), tokenizer, reader, num_query_tokens=4
    )
    processor.save_pretrained(path)
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 37, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = InstructBlipConfig(
        vision_config={**sizes, "image_size": 28, "patch_size": 14},
        qformer_config={**sizes, "vocab_size": 64, "encoder_hidden_size": 32, "max_position_embeddings": 64},
        text_config={"model_type": "t5", "vocab_size": len(tokenizer), "d_model": 32, "d_ff": 37, "d_kv": 8,
                     "num_heads": 4, "num_layers": 2, "decoder_start_token_id": 0},
        num_query_tokens=4,
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
    )  # fmt: skip
    InstructBlipForConditionalGeneration(config).eval().save_pretrained(path)
    return path


def test_vqascore_equals_the_probability_of_yes_by_hand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import InstructBlipForConditionalGeneration, InstructBlipProcessor

    monkeypatch.setenv("TURBO_BENCH_CACHE", str(tmp_path))
    path = instructblip(tmp_path / "weights" / "instructblip-flan-t5-xl")
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


def test_pairs_are_kept_by_image_and_caption(weights: Path, tmp_path: Path) -> None:
    located = locate("image-reward")
    files = []
    for i, image in enumerate(images()):
        image.save(tmp_path / f"{i}.png")
        files.append((f"{i:064x}", tmp_path / f"{i}.png"))
    captions = ["a red dog", "the sky", "a cat"]

    def refuse() -> Any:
        raise AssertionError("nothing is to be computed")

    judge = load(located)
    first, _ = features.pair_values(files, captions, located, lambda: judge, tmp_path / "c", size=32, batch=2)
    assert first.shape == (3, 1)
    again, _ = features.pair_values(files[::-1], captions[::-1], located, refuse, tmp_path / "c", size=32)
    np.testing.assert_array_equal(again[:], first[:][::-1])
    with pytest.raises(AssertionError, match="nothing"):
        features.pair_values(files, captions[::-1], located, refuse, tmp_path / "c", size=32)
