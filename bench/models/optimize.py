"""The `--optimize` levels: the same images up to rounding, sooner.

What would change pixels beyond rounding (another VAE, int8, fp8) is not a level: it is a model entry of its
own, so that it enters the protocol.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from bench.errors import unknown

if TYPE_CHECKING:
    from bench.models.pipeline import Pipeline

LEVELS = {
    "none": "diffusers as it is",
    "exact": "channels-last, fused QKV, float16-safe decoder; on a GPU blocks and norms are compiled one by one",
    "max": "as exact, but on a GPU the whole denoiser and decoder are compiled, with CUDA graphs",
}

SHAPES = 1024
"""Shapes a block may be compiled for in one process. torch's own limit, 8, is less than the residual blocks of
one UNet have."""

HEADROOM = 2.0**-5
"""The decoder's residual stream is multiplied by it: a power of two, so no digit is lost to the scaling."""


def check_level(level: str) -> None:
    if level not in LEVELS:
        raise unknown("optimize level", level, LEVELS)


def optimized(loaded: Pipeline, level: str) -> Pipeline:
    """The pipeline at a level, changed in place. What a step count alone needs is changed when it is loaded."""
    import torch

    loaded.level = level
    if level == "none":
        return loaded
    vae = getattr(loaded.pipe, loaded.family.vae) if loaded.family.vae else None
    if vae is not None:
        vae.to(memory_format=torch.channels_last)
        _fuse(vae)
        if loaded.family.upcast and vae.dtype == torch.float16 and vae.config.get("force_upcast"):
            make_half_safe(vae)
        if loaded.device.startswith("cuda"):
            compile_decoder(vae, whole=level == "max")
    if not loaded.model.recipes:
        optimize_denoiser(loaded)
    return loaded


def optimize_denoiser(loaded: Pipeline) -> None:
    """The network that is called once a step, at the pipeline's level. In place."""
    import torch

    denoiser = loaded.denoiser
    if loaded.level == "none":
        return
    denoiser.to(memory_format=torch.channels_last)
    _fuse(denoiser)
    if loaded.device.startswith("cuda"):
        compile_denoiser(denoiser, whole=loaded.level == "max")


def compile_denoiser(denoiser: Any, whole: bool) -> None:
    """Regional compilation starts in seconds; compiling the whole takes a minute or two and runs faster."""
    if whole:
        _compile(denoiser, mode="reduce-overhead")
    elif not compile_regions(denoiser):
        _compile(denoiser)


def compile_decoder(vae: Any, whole: bool) -> None:
    """A decoder without blocks that are known is left as it is at `exact`."""
    if not hasattr(vae, "decoder"):
        return
    if whole:
        _compile(vae.decoder)
    else:
        compile_regions(vae.decoder)


def compile_regions(part: Any) -> bool:
    """Compiles what diffusers calls repeated, residual blocks and the norms between them; False without blocks.

    Left as it is, GroupNorm copies a channels-last tensor to the other layout and back: on an H200 that made
    channels-last slower than none (results/gpu/first.md).
    """
    blocks = {"ResnetBlock2D", *(getattr(part, "_repeated_blocks", None) or ())}
    found = list(_outermost(part, {*blocks, "GroupNorm"}))
    if not any(type(module).__name__ in blocks for module in found):
        return False
    for module in found:
        _compile(module)
    return True


def _outermost(module: Any, names: set[str]) -> Iterator[Any]:
    """The modules of these classes that lie in no other of them."""
    for child in module.children():
        if type(child).__name__ in names:
            yield child
        else:
            yield from _outermost(child, names)


def _compile(module: Any, mode: str = "default") -> None:
    """Not as a `fullgraph`: Z-Image's has a break, which costs a little speed."""
    _prepare_compiler()
    module.compile(mode=mode, dynamic=False)


def _prepare_compiler() -> None:
    """Room for the shapes of every contender, and kernels that no stopwatch chose: bytes must be the same again."""
    import torch._dynamo
    import torch._inductor.config

    torch._dynamo.config.recompile_limit = torch._dynamo.config.accumulated_recompile_limit = SHAPES
    torch._dynamo.config.fail_on_recompile_limit_hit = True  # beyond it, other kernels would make other bytes
    torch._inductor.config.deterministic = True


def _fuse(part: Any) -> None:
    processors = getattr(part, "attn_processors", {}).values()
    if hasattr(part, "fuse_qkv_projections") and not any("Added" in type(p).__name__ for p in processors):
        part.fuse_qkv_projections()


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
