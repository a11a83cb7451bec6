"""A tiny file or folder of every kind of extractor, in the real layout, where `bench fetch` leaves the real one."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bench.metrics.extractors import AESTHETIC_TOWER, BERT, EXTRACTORS, FLAN_T5, HPS_V3_TEXT, Extractor
from tests.support import clip_flan_t5, qwen_vl
from tests.support.folders import T5_LETTERS

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "red", "blue", "dog", "cat", "sky", "##s", "the"]
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass(frozen=True, slots=True, kw_only=True)
class Home:
    """A cache of its own for the suite and for the hub."""

    root: Path
    patch: pytest.MonkeyPatch
    inception: Path | None
    """Of `random_inception`, made once a session: 90 MB, its size is part of its layout."""

    @property
    def weights(self) -> Path:
        return self.root / "weights"

    def hub(self, repository: str, file: str) -> Path:
        """Where the hub's cache has a file of a repository."""
        folder = self.root / "hub" / f"models--{repository.replace('/', '--')}"
        (folder / "refs").mkdir(parents=True, exist_ok=True)
        (folder / "refs" / "main").write_text(COMMIT)
        path = folder / "snapshots" / COMMIT / file
        path.parent.mkdir(parents=True, exist_ok=True)
        return path


def open_home(root: Path, patch: pytest.MonkeyPatch, inception: Path | None = None) -> Home:
    import huggingface_hub.constants

    patch.setenv("TURBO_BENCH_CACHE", str(root))
    patch.delenv("BENCH_SHARED", raising=False)
    patch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(root / "hub"))
    (root / "weights").mkdir(parents=True, exist_ok=True)
    return Home(root=root, patch=patch, inception=inception)


def write(home: Home, name: str) -> None:
    """The tiny weights of an entry of `EXTRACTORS`. KeyError: a kind that has none, so nobody has tested it."""
    WRITERS[EXTRACTORS[name].kind](home, EXTRACTORS[name])


def random_inception(path: Path) -> Path:
    """torchvision's blocks have the 2015 network's names and shapes."""
    import torch
    from torchvision.models import Inception3

    with torch.device("meta"):
        shapes = Inception3(num_classes=1008, aux_logits=False, init_weights=False).state_dict()
    torch.manual_seed(3)
    state = {}
    for name, shape in shapes.items():
        ones = name.endswith(("bn.weight", "running_var"))
        state[name] = (torch.ones if ones else torch.zeros)(shape.shape, dtype=shape.dtype)
        if shape.ndim == 4:
            torch.nn.init.kaiming_normal_(state[name], nonlinearity="relu")
    torch.save(state, path)
    return path


def _inception(home: Home, entry: Extractor) -> None:
    assert home.inception is not None
    (home.weights / entry.weights).symlink_to(home.inception)


def _tower(home: Home, entry: Extractor) -> Any:
    """A CLIP of the entry's architecture, but narrow, short and of few pixels."""
    import open_clip
    import torch

    real = open_clip.get_model_config(entry.architecture)
    assert real is not None
    assert real["embed_dim"] == entry.width or not entry.width
    patch = real["vision_cfg"]["patch_size"]
    small = {
        **real,
        "embed_dim": 32,
        "vision_cfg": {
            **real["vision_cfg"],
            "image_size": 2 * patch,
            "layers": 2,
            "width": 32,
            "head_width": 16,
        },
        "text_cfg": {**real["text_cfg"], "width": 32, "heads": 2, "layers": 2},
    }
    home.patch.setitem(open_clip.factory._MODEL_CONFIGS, entry.architecture, small)
    torch.manual_seed(5)
    return open_clip.CLIP(**small)


def _open_clip(home: Home, entry: Extractor) -> None:
    import open_clip
    import torch
    from safetensors.torch import save_file

    state = {name: value.contiguous() for name, value in _tower(home, entry).state_dict().items()}
    if entry.weights.endswith(".pt"):
        wrapped = {f"module.{name}": value for name, value in state.items()}
        torch.save({"epoch": 1, "state_dict": wrapped}, home.hub(*entry.weights.rsplit("/", 1)))
        return
    hub = open_clip.get_pretrained_cfg(entry.architecture, entry.weights)["hf_hub"].strip("/")
    save_file(state, home.hub(hub, "open_clip_model.safetensors"))


def _tiny_clip(home: Home, entry: Extractor) -> None:
    """The suite makes it."""


def _miniature(home: Home, entry: Extractor) -> None:
    """It ships with the suite."""


def _transformers_clip(home: Home, entry: Extractor) -> None:
    import torch
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel

    from bench.models.tiny import CLIP_TEXT, clip_tokenizer, special_tokens

    folder = home.hub(entry.weights, "config.json").parent
    vision = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = CLIPConfig(
        text_config={**CLIP_TEXT, **special_tokens()},
        vision_config={**vision, "image_size": 32, "patch_size": 8},
        projection_dim=32,
    )
    torch.manual_seed(6)
    CLIPModel(config).save_pretrained(folder)
    size = {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}
    CLIPImageProcessor(**size).save_pretrained(folder)
    clip_tokenizer().save_pretrained(folder)


def _dinov2(home: Home, entry: Extractor) -> None:
    import torch
    from transformers import Dinov2Config, Dinov2Model

    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    torch.manual_seed(7)
    model = Dinov2Model(Dinov2Config(**sizes, image_size=518, patch_size=14))
    model.save_pretrained(home.hub(entry.weights, "config.json").parent)


def _aesthetic(home: Home, entry: Extractor) -> None:
    """The tower, and `layers.0.weight` … of the linear layers as its authors number them, dropout between."""
    import torch

    _open_clip(home, AESTHETIC_TOWER)
    torch.manual_seed(8)
    state = {}
    for number, (a, b) in {0: (32, 16), 2: (16, 8), 4: (8, 4), 6: (4, 4), 7: (4, 1)}.items():
        state |= {f"layers.{number}.weight": torch.randn(b, a), f"layers.{number}.bias": torch.randn(b)}
    torch.save(state, home.weights / entry.weights)


BLIP_NAMES = (
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


def blip() -> tuple[Any, Any]:
    """ImageReward's picture and text encoder, tiny, in transformers' classes."""
    import torch
    from transformers import BlipTextConfig, BlipTextModel, BlipVisionConfig, BlipVisionModel

    sizes = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 1}
    torch.manual_seed(0)
    vision = BlipVisionModel(BlipVisionConfig(**sizes, image_size=32, patch_size=8, layer_norm_eps=1e-6))
    words = {"vocab_size": len(WORDS), "encoder_hidden_size": 64, "max_position_embeddings": 64}
    return vision.eval(), BlipTextModel(BlipTextConfig(**sizes, **words), add_pooling_layer=False).eval()


def _image_reward(home: Home, entry: Extractor) -> None:
    import torch

    home.hub(BERT, "vocab.txt").write_text("\n".join(WORDS) + "\n")
    home.hub(BERT, "tokenizer_config.json").write_text('{"do_lower_case": true}\n')
    vision, text = blip()
    state: dict[str, Any] = {}
    for name, value in vision.state_dict().items():
        for pattern, old in BLIP_NAMES:
            name = re.sub(pattern, old, name)
        state[f"blip.visual_encoder.{name}"] = value
    state |= {f"blip.text_encoder.{name}": value for name, value in text.state_dict().items()}
    state["blip.text_encoder.embeddings.position_ids"] = torch.arange(64)[None]
    for number, (a, b) in {0: (64, 16), 2: (16, 8), 4: (8, 4), 6: (4, 4), 7: (4, 1)}.items():
        state |= {
            f"mlp.layers.{number}.weight": torch.randn(b, a),
            f"mlp.layers.{number}.bias": torch.randn(b),
        }
    torch.save(state, home.hub(*entry.weights.rsplit("/", 1)))


def _instructblip(home: Home, entry: Extractor) -> None:
    import torch
    from transformers import (
        BertTokenizer,
        BlipImageProcessor,
        InstructBlipConfig,
        InstructBlipForConditionalGeneration,
        InstructBlipProcessor,
        T5Tokenizer,
    )

    folder = home.hub(entry.weights, "config.json").parent
    vocabulary = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), *((letter, -3.0) for letter in T5_LETTERS)]
    tokenizer = T5Tokenizer(vocab=vocabulary, extra_ids=0)
    words = home.root / "words"
    words.mkdir()
    (words / "vocab.txt").write_text("\n".join([*WORDS, *"?:.", *"abcdefghijklmnopqrstuvwxyz"]) + "\n")
    reader = BertTokenizer.from_pretrained(words)
    pictures = BlipImageProcessor(size={"height": 28, "width": 28})
    InstructBlipProcessor(pictures, tokenizer, reader, num_query_tokens=4).save_pretrained(folder)
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
    InstructBlipForConditionalGeneration(config).eval().save_pretrained(folder)


def _lpips(home: Home, entry: Extractor) -> None:
    """AlexNet's convolutions in torchvision's layout."""
    import torch
    from torchvision.models import alexnet

    torch.manual_seed(0)
    state = {n: v for n, v in alexnet(weights=None).state_dict().items() if n.startswith("features")}
    torch.save(state, home.weights / entry.weights)


def _hps_v3(home: Home, entry: Extractor) -> None:
    """Qwen2-VL-7B-Instruct's small files as its repository has them, flat configuration included; the weights in one
    file in the names of `state_dict`, reward head and unused language head among them; the authors' source file."""
    from safetensors.torch import save_file

    folder = home.hub(entry.base, "config.json").parent
    tokens = qwen_vl.processor_files(folder)
    qwen_vl.flat_config(folder, vocabulary=tokens + 40)
    (home.weights / HPS_V3_TEXT).write_text(qwen_vl.AUTHORS_SOURCE)
    state = qwen_vl.reward_state(folder, vocabulary=tokens + 1)
    save_file({n: v.contiguous() for n, v in state.items()}, home.hub(*entry.weights.rsplit("/", 1)))


def _qwen_vl(home: Home, entry: Extractor) -> None:
    qwen_vl.model_folder(home.hub(entry.weights, "config.json").parent, entry.weights)


def _clip_flan_t5(home: Home, entry: Extractor) -> None:
    clip_flan_t5.folders(
        home.hub(entry.weights, "config.json").parent,
        home.hub(entry.base, "config.json").parent,
        home.hub(FLAN_T5, "tokenizer_config.json").parent,
    )


WRITERS: dict[str, Callable[[Home, Extractor], None]] = {
    "inception": _inception,
    "open_clip": _open_clip,
    "tiny-clip": _tiny_clip,
    "transformers-clip": _transformers_clip,
    "dinov2": _dinov2,
    "aesthetic": _aesthetic,
    "miniature": _miniature,
    "image-reward": _image_reward,
    "instructblip": _instructblip,
    "lpips": _lpips,
    "hps-v3": _hps_v3,
    "clip-flan-t5": _clip_flan_t5,
    "qwen-vl": _qwen_vl,
}
