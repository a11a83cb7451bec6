"""A tiny CLIP-FlanT5 in its authors' layout: T5 in two torch files, CLIP's tower and T5's vocabulary elsewhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.support.folders import T5_LETTERS

CAPITALS = "YUSERAITNH"


def folders(model: Path, clip: Path, words: Path) -> None:
    """model: `zhiqiulin/clip-flant5-xxl`. clip: the picture tower's repository. words: FLAN-T5's."""
    import torch
    from transformers import (
        CLIPImageProcessor,
        CLIPVisionConfig,
        CLIPVisionModel,
        T5Config,
        T5ForConditionalGeneration,
        T5Tokenizer,
    )

    letters = [*T5_LETTERS, *CAPITALS, *":?\"'"]
    vocabulary = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), *((letter, -3.0) for letter in letters)]
    tokenizer = T5Tokenizer(vocab=vocabulary, extra_ids=0, model_max_length=2048)
    tokenizer.save_pretrained(words)
    sizes = {"hidden_size": 24, "intermediate_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2}
    torch.manual_seed(0)
    tower = CLIPVisionModel(CLIPVisionConfig(**sizes, image_size=28, patch_size=14))
    tower.save_pretrained(clip)
    CLIPImageProcessor(size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28}).save_pretrained(
        clip
    )
    config = T5Config(
        vocab_size=len(tokenizer) + 12, d_model=32, d_ff=37, d_kv=8, num_heads=4, num_layers=2,
        feed_forward_proj="gated-gelu", tie_word_embeddings=False, decoder_start_token_id=0,
    )  # fmt: skip
    state: dict[str, Any] = dict(T5ForConditionalGeneration(config).state_dict())
    state = {name: torch.randn_like(value) * 0.3 for name, value in state.items()}
    for name in ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight", "embed_tokens.weight"):
        state[name] = state["shared.weight"]
    for number, wide in ((0, 24), (2, 32)):
        state[f"mm_projector.{number}.weight"] = torch.randn(32, wide) * 0.3
        state[f"mm_projector.{number}.bias"] = torch.randn(32)
    for name, value in tower.state_dict().items():  # trained on with the rest, under the names of its time
        plain = name.removeprefix("vision_model.")
        if "position_ids" not in name:
            state[f"vision_tower.vision_tower.vision_model.{plain}"] = value + 0.1 * torch.randn_like(value)
    about = {
        **config.to_dict(), "model_type": "clip_t5", "architectures": ["CLIPT5ForConditionalGeneration"],
        "mm_vision_tower": "openai/clip-vit-large-patch14-336", "mm_projector_type": "mlp2x_gelu",
        "mm_hidden_size": 24, "mm_vision_select_layer": -2, "mm_vision_select_feature": "patch", "use_mm_proj": True,
    }  # fmt: skip
    (model / "config.json").write_text(json.dumps(about))
    names = sorted(state)
    for number, part in enumerate((names[::2], names[1::2]), 1):
        torch.save({name: state[name] for name in part}, model / f"pytorch_model-0000{number}-of-00002.bin")
    weight_map = {name: f"pytorch_model-0000{1 + i % 2}-of-00002.bin" for i, name in enumerate(names)}
    (model / "pytorch_model.bin.index.json").write_text(
        json.dumps({"metadata": {}, "weight_map": weight_map})
    )
