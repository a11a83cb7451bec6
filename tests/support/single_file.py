"""A Stable Diffusion 1.5 folder as the one file that people share: the original names of its tensors.

The map is that of diffusers' conversion scripts, written the other way round.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

_RESNET = {"norm1": "in_layers.0", "conv1": "in_layers.2", "norm2": "out_layers.0", "conv2": "out_layers.3",
           "time_emb_proj": "emb_layers.1", "conv_shortcut": "skip_connection"}  # fmt: skip
_UNET = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
_VAE_ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}


def sd15_checkpoint(folder: Path, file: Path) -> None:
    """Writes the folder's UNet, decoder and text encoder into one file."""
    from safetensors.torch import load_file, save_file

    config = json.loads((folder / "unet" / "config.json").read_text())
    tensors: dict[str, Any] = {}
    for name, value in load_file(folder / "unet" / "diffusion_pytorch_model.safetensors").items():
        tensors[f"model.diffusion_model.{_unet(name, config)}"] = value
    count = len(json.loads((folder / "vae" / "config.json").read_text())["block_out_channels"])
    for name, value in load_file(folder / "vae" / "diffusion_pytorch_model.safetensors").items():
        old = _vae(name, count)
        if ".attn_1." in old and value.ndim == 2:
            value = value[:, :, None, None]
        tensors[f"first_stage_model.{old}"] = value.contiguous()
    for name, value in load_file(folder / "text_encoder" / "model.safetensors").items():
        old = name if name.startswith("text_model.") else f"text_model.{name}"
        tensors[f"cond_stage_model.transformer.{old}"] = value
    save_file(tensors, file)


def _unet(name: str, config: dict[str, Any]) -> str:
    per, last = config["layers_per_block"], len(config["block_out_channels"]) - 1
    for new, old in _UNET.items():
        if name.startswith(f"{new}."):
            return name.replace(new, old, 1)
    if match := re.match(r"down_blocks\.(\d+)\.(resnets|attentions)\.(\d+)\.(.*)", name):
        block, kind, layer, rest = int(match[1]), match[2], int(match[3]), match[4]
        return (
            f"input_blocks.{(per + 1) * block + layer + 1}.{int(kind == 'attentions')}.{_resnet(kind, rest)}"
        )
    if match := re.match(r"down_blocks\.(\d+)\.downsamplers\.0\.conv\.(.*)", name):
        return f"input_blocks.{(per + 1) * (int(match[1]) + 1)}.0.op.{match[2]}"
    if match := re.match(r"up_blocks\.(\d+)\.(resnets|attentions)\.(\d+)\.(.*)", name):
        block, kind, layer, rest = int(match[1]), match[2], int(match[3]), match[4]
        return f"output_blocks.{(per + 1) * block + layer}.{int(kind == 'attentions')}.{_resnet(kind, rest)}"
    if match := re.match(r"up_blocks\.(\d+)\.upsamplers\.0\.(conv\..*)", name):
        block = int(match[1])
        place = 2 if "CrossAttn" in config["up_block_types"][block] else 1
        assert block < last
        return f"output_blocks.{(per + 1) * block + per}.{place}.{match[2]}"
    match = re.match(r"mid_block\.(resnets|attentions)\.(\d+)\.(.*)", name)
    assert match, name
    place = 1 if match[1] == "attentions" else 2 * int(match[2])
    return f"middle_block.{place}.{_resnet(match[1], match[3])}"


def _resnet(kind: str, rest: str) -> str:
    part = rest.split(".")[0]
    return rest.replace(part, _RESNET[part], 1) if kind == "resnets" else rest


def _vae(name: str, blocks: int) -> str:
    name = name.replace("conv_norm_out", "norm_out").replace("conv_shortcut", "nin_shortcut")
    name = re.sub(r"mid_block\.resnets\.(\d+)", lambda m: f"mid.block_{int(m[1]) + 1}", name)
    if "mid_block.attentions.0." in name:
        head, part = name.split("mid_block.attentions.0.")
        key = next(k for k in _VAE_ATTENTION if part.startswith(f"{k}."))
        return f"{head}mid.attn_1.{part.replace(key, _VAE_ATTENTION[key], 1)}"
    name = re.sub(r"down_blocks\.(\d+)\.resnets\.(\d+)", r"down.\1.block.\2", name)
    name = re.sub(r"down_blocks\.(\d+)\.downsamplers\.0", r"down.\1.downsample", name)
    name = re.sub(
        r"up_blocks\.(\d+)\.resnets\.(\d+)", lambda m: f"up.{blocks - 1 - int(m[1])}.block.{m[2]}", name
    )
    return re.sub(r"up_blocks\.(\d+)\.upsamplers\.0", lambda m: f"up.{blocks - 1 - int(m[1])}.upsample", name)
