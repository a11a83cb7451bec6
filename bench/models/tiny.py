"""Tiny pipelines of the real classes with seeded random weights: images of nothing, in milliseconds.

`folder(name, root)` writes one in hub layout, a few hundred kilobytes, on first use. They show that the path
works and what the harness costs; wherever their images appear the report says "random weights".
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from bench.errors import InputError, unknown

VERSION = 1
"""Part of the folder's name: raise it when anything below changes what is written."""

NAMES = ("sdxl", "turbo", "lcm", "lora")

_WORDS = """
    a an the of in on at to and with is are from by for as its it two three four five one many man woman
    person people dog cat bird horse tree house street city sky sea water mountain field table chair car
    red blue green yellow black white orange purple brown small large big old young wooden standing sitting
    looking holding wearing next front behind left right above below between photo painting drawing picture
    close view light dark night day sun moon
""".split()  # noqa: SIM905  (a list of a hundred strings is harder to read)

CLIP_TEXT: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": 77,
    "projection_dim": 32,
}
UNET: dict[str, Any] = {
    "sample_size": 8,
    "in_channels": 4,
    "out_channels": 4,
    "block_out_channels": (8, 16),
    "layers_per_block": 1,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
    "transformer_layers_per_block": 1,
    "attention_head_dim": (1, 2),
    "norm_num_groups": 8,
    "cross_attention_dim": 64,
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 8,
    "projection_class_embeddings_input_dim": 32 + 6 * 8,
}
VAE: dict[str, Any] = {
    "sample_size": 64,
    "in_channels": 3,
    "out_channels": 3,
    "latent_channels": 4,
    "block_out_channels": (8, 8, 8, 8),
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "layers_per_block": 1,
    "norm_num_groups": 4,
    "scaling_factor": 0.13025,
    "force_upcast": True,
}
SDXL_SCHEDULER: dict[str, Any] = {
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "steps_offset": 1,
    "timestep_spacing": "leading",
}


def folder(name: str, root: Path) -> Path:
    """The folder of tiny pipeline `name` under root, written first if it is not there.

    Two processes may ask at once: each writes its own copy and one rename wins.
    """
    if name not in NAMES:
        raise unknown("tiny pipeline", name, NAMES)
    path = root / f"{name}-{VERSION}"
    if not path.is_dir():
        root.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=root))
        try:
            write(name, made)
            os.chmod(made, 0o755)
            made.rename(path)
        except OSError as error:
            if not path.is_dir():
                raise InputError(f"cannot write the tiny pipelines into {root}: {error.strerror}") from None
        finally:
            shutil.rmtree(made, ignore_errors=True)
    return path


def write(name: str, path: Path) -> None:
    """Writes pipeline, UNet or LoRA `name` into an empty folder."""
    if name == "lora":
        return _write_lora(path)
    if name == "lcm":
        return unet(seed=3, time_cond_proj_dim=32).save_pretrained(path)
    from diffusers import EulerDiscreteScheduler, StableDiffusionXLPipeline

    text, text_2 = text_encoders()
    tokenizer = clip_tokenizer()
    pipeline = StableDiffusionXLPipeline(
        vae=vae(seed=1),
        text_encoder=text,
        text_encoder_2=text_2,
        tokenizer=tokenizer,
        tokenizer_2=tokenizer,
        unet=unet(seed=2 if name == "sdxl" else 4),
        scheduler=EulerDiscreteScheduler(**SDXL_SCHEDULER),  # pyright: ignore[reportArgumentType]
        add_watermarker=False,
    )
    pipeline.save_pretrained(path)


def unet(seed: int, **changes: Any) -> Any:
    from diffusers import UNet2DConditionModel

    return filled(UNet2DConditionModel(**{**UNET, **changes}), seed)


def vae(seed: int, **changes: Any) -> Any:
    from diffusers import AutoencoderKL

    return filled(AutoencoderKL(**{**VAE, **changes}), seed)


def text_encoders() -> tuple[Any, Any]:
    """SDXL's two: hidden states of both, pooled and projected output of the second."""
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    config = CLIPTextConfig(**CLIP_TEXT, **special_tokens())
    second = CLIPTextConfig(**CLIP_TEXT, **special_tokens(), hidden_act="gelu")
    return filled(CLIPTextModel(config), 5), filled(CLIPTextModelWithProjection(second), 6)


def filled(module: Any, seed: int) -> Any:
    """The module with seeded weights that depend on names and shapes only, not on torch's version.

    Matrices: normal, variance 1 / fan-in, so that signals keep their size; norms 1; biases small.
    """
    import torch

    state = module.state_dict()
    for name, tensor in state.items():
        if not tensor.is_floating_point():
            continue
        random = np.random.default_rng([seed, zlib.crc32(name.encode())])
        if tensor.ndim >= 2:
            values = random.standard_normal(tensor.shape) / np.sqrt(np.prod(tensor.shape[1:]))
        elif name.endswith("weight"):
            values = np.ones(tensor.shape)
        else:
            values = 0.02 * random.standard_normal(tensor.shape)
        state[name] = torch.from_numpy(values.astype(np.float32)).to(tensor.dtype)
    module.load_state_dict(state)
    return module.eval()


def _vocabulary() -> tuple[dict[str, int], list[tuple[str, str]]]:
    """CLIP's byte alphabet, merged into the common words above; other words go byte by byte."""
    from tokenizers.pre_tokenizers import ByteLevel

    alphabet = sorted(ByteLevel.alphabet())
    tokens = [*alphabet, *(f"{byte}</w>" for byte in alphabet)]
    merges: dict[tuple[str, str], None] = {}
    for word in _WORDS:
        parts = [*word[:-1], f"{word[-1]}</w>"]
        while len(parts) > 1:
            merges[(parts[0], parts[1])] = None
            parts[:2] = [parts[0] + parts[1]]
    for left, right in merges:
        if left + right not in tokens:
            tokens.append(left + right)
    tokens += ["<|startoftext|>", "<|endoftext|>"]
    return {token: number for number, token in enumerate(tokens)}, list(merges)


def special_tokens() -> dict[str, Any]:
    size = len(_vocabulary()[0])
    return {"vocab_size": size, "bos_token_id": size - 2, "eos_token_id": size - 1, "pad_token_id": size - 1}


def clip_tokenizer() -> Any:
    """A CLIPTokenizer of a thousand entries, 77 tokens a caption."""
    from transformers import CLIPTokenizer

    vocabulary, merges = _vocabulary()
    with tempfile.TemporaryDirectory() as place:
        files = Path(place, "vocab.json"), Path(place, "merges.txt")
        files[0].write_text(json.dumps(vocabulary), encoding="utf-8")
        lines = ["#version: 0.2", *(" ".join(merge) for merge in merges)]
        files[1].write_text("\n".join(lines) + "\n", encoding="utf-8")
        return CLIPTokenizer(str(files[0]), str(files[1]), model_max_length=77)


def _write_lora(path: Path) -> None:
    """A rank-2 LoRA on the attention of the tiny UNet, in the file form LCM-LoRA has."""
    from diffusers import StableDiffusionXLPipeline
    from peft import LoraConfig
    from peft.utils import get_peft_model_state_dict

    adapted = unet(seed=2)
    adapted.add_adapter(LoraConfig(r=2, lora_alpha=2, target_modules=["to_q", "to_k", "to_v"]))
    filled(adapted, 7)
    layers: dict[str, Any] = get_peft_model_state_dict(adapted)
    StableDiffusionXLPipeline.save_lora_weights(path, unet_lora_layers=layers)
