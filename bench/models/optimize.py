"""The `--optimize` levels: the same pictures up to rounding, sooner.

What would change pixels beyond rounding (another VAE, int8, fp8) is not a level: it is a model entry of its
own, so that it enters the protocol.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bench.records import unknown

if TYPE_CHECKING:
    from bench.models.staged import Pipeline

LEVELS = {
    "none": "diffusers as it is",
    "exact": "channels-last, fused QKV, float16-safe decoder; on a GPU the repeated blocks are compiled",
    "max": "as exact, but on a GPU the whole denoiser and decoder are compiled, with CUDA graphs",
}

HEADROOM = 2.0**-5
"""The decoder's residual stream is multiplied by it: a power of two, so no digit is lost to the scaling."""


def check_level(level: str) -> None:
    if level not in LEVELS:
        raise unknown("optimize level", level, LEVELS)


def optimized(loaded: Pipeline, level: str) -> Pipeline:
    """The pipeline at a level, changed in place."""
    import torch

    if level == "none":
        return loaded
    parts = [loaded.denoiser]
    vae = getattr(loaded.pipe, loaded.family.vae) if loaded.family.vae else None
    if vae is not None:
        parts.append(vae)
    for part in parts:
        part.to(memory_format=torch.channels_last)
        if hasattr(part, "fuse_qkv_projections") and not loaded.model.recipes:
            part.fuse_qkv_projections()
    if vae is not None and vae.dtype == torch.float16 and vae.config.get("force_upcast"):
        make_half_safe(vae)
    if loaded.device.startswith("cuda"):
        _compile(loaded.denoiser, vae, whole=level == "max")
    return loaded


def _compile(denoiser: Any, vae: Any, whole: bool) -> None:
    """Regional compilation starts in seconds; compiling the whole takes a minute or two and runs faster."""
    import torch

    if whole or not getattr(denoiser, "_repeated_blocks", None):
        denoiser.compile(mode="reduce-overhead" if whole else "default", fullgraph=True, dynamic=False)
    else:
        denoiser.compile_repeated_blocks(fullgraph=True, dynamic=False)
    if whole and hasattr(vae, "decoder"):
        vae.decoder.compile(mode="default", fullgraph=True, dynamic=False)
    torch.backends.cudnn.benchmark = True


def make_half_safe(vae: Any, factor: float = HEADROOM) -> None:
    """Rewrites an AutoencoderKL's decoder so that it does not overflow in float16. In place.

    SDXL's decoder exceeds 65,504 inside, so diffusers decodes it in float32, four times the work of a matrix
    unit. Every layer between two normalisations is linear, and GroupNorm(s x; s² eps) = GroupNorm(x; eps):
    scaling what enters the residual stream by s, and each eps by s², gives the same output. With s a power of
    two it is the same to the last bit wherever nothing underflows.
    """
    import torch
    from diffusers.models.attention_processor import Attention
    from diffusers.models.resnet import ResnetBlock2D
    from diffusers.models.upsampling import Upsample2D

    decoder = vae.decoder

    def scale(layer: Any, weight: bool) -> None:
        if weight:
            layer.weight.mul_(factor)
        if layer.bias is not None:
            layer.bias.mul_(factor)

    with torch.no_grad():
        scale(decoder.conv_in, weight=True)
        decoder.conv_norm_out.eps *= factor**2
        for module in decoder.modules():
            if isinstance(module, ResnetBlock2D):
                module.norm1.eps *= factor**2
                module.norm2.eps *= factor**2
                scale(module.conv1, weight=True)
                scale(module.conv2, weight=True)
                if module.conv_shortcut is not None:
                    scale(module.conv_shortcut, weight=False)
            elif isinstance(module, Attention):
                assert module.group_norm is not None
                assert module.residual_connection
                module.group_norm.eps *= factor**2
                scale(module.to_out[0], weight=True)  # pyright: ignore[reportOptionalSubscript]
            elif isinstance(module, Upsample2D):
                scale(module.conv, weight=False)
    vae.half_is_safe = True
