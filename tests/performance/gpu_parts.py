"""The parts of SDXL alone: what a card could give at best. A job of gpu.py, which gpu.sh runs."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from bench.device import now


def timed(call: Callable[[], object], device: str, budget: float) -> tuple[float, ...]:
    """Seconds of each call after the caller's warm-up: two to thirty samples, as the budget allows."""
    found: list[float] = []
    while len(found) < 2 or (len(found) < 30 and sum(found) < budget):
        start = now(device)
        call()
        found.append(now(device) - start)
    return tuple(found)


def parts(device: str) -> dict[str, Any]:
    """TFLOP/s of the products, convolutions and attentions of SDXL alone, at eight pictures of 1024² with guidance:
    what the whole could reach at best; whether convolutions chosen by a stopwatch, which would cost the promise of the
    same bytes, are faster; and GB/s of the norms, as torch has them and with the moments of each channel first."""
    few = device == "cpu"
    dtype = torch.bfloat16

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(*(min(side, 64) if few else side for side in shape), device=device, dtype=dtype)

    def rate(call: Callable[[], object], work: float) -> int:
        for _ in range(2):
            call()
        return round(work / statistics.median(timed(call, device, 0.05)))

    def product(rows: int, inner: int, columns: int) -> int:
        a, b = draw(rows, inner), draw(columns, inner)
        return rate(lambda: functional.linear(a, b), 2 * a.shape[0] * b.numel() / 1e12)

    def convolution(batch: int, before: int, after: int, side: int, measured: bool) -> int:
        a, b = (
            t.to(memory_format=torch.channels_last)
            for t in (draw(batch, before, side, side), draw(after, before, 3, 3))
        )
        torch.backends.cudnn.benchmark = measured
        try:
            return rate(lambda: functional.conv2d(a, b, padding=1), 2 * a.numel() * b.shape[0] * 9 / 1e12)
        finally:
            torch.backends.cudnn.benchmark = False

    def attention(
        batch: int, heads: int, queries: int, keys: int, wide: int, kernel: SDPBackend
    ) -> int | str:
        a, b, c = (draw(batch, n, heads, wide).transpose(1, 2) for n in (queries, keys, keys))
        try:
            with sdpa_kernel(kernel):
                return rate(
                    lambda: functional.scaled_dot_product_attention(a, b, c),
                    4 * a.numel() * b.shape[2] / 1e12,
                )
        except RuntimeError:  # no kernel of that kind for this shape
            return "cannot"

    def norm(batch: int, channels: int, side: int, call: Callable[..., torch.Tensor]) -> int:
        """GB/s, counting one reading for the statistics, one more and one writing."""
        a = draw(batch, channels, side, side).to(memory_format=torch.channels_last)
        weight = torch.ones(a.shape[1], device=device, dtype=dtype)
        compiled = torch.compile(call, dynamic=False)
        return rate(lambda: compiled(a, weight), 3 * 2 * a.numel() / 1e9)

    found: dict[str, Any] = {}
    with torch.inference_mode():
        found["group norm and SiLU compiled, GB/s as torch has it and by channels first"] = {
            str(shape): [norm(*shape, call) for call in (usual_norm, norm_by_channels)]
            for shape in ((16, 320, 128), (8, 512, 256), (8, 256, 512), (8, 128, 1024))
        }
        found["products, TFLOP/s"] = {
            str(shape): product(*shape)
            for shape in ((65536, 640, 5120), (65536, 2560, 640), (16384, 1280, 10240), (16384, 5120, 1280))
        }
        found["convolutions 3 × 3, TFLOP/s as is and chosen by a stopwatch"] = {
            str(shape): [convolution(*shape, measured) for measured in (False, True)]
            for shape in (
                (16, 320, 320, 128),
                (16, 640, 640, 64),
                (16, 1280, 1280, 32),
                (16, 2560, 1280, 32),
                (8, 512, 512, 256),
                (8, 256, 256, 512),
                (8, 128, 128, 1024),
            )
        }
        kernels = (SDPBackend.CUDNN_ATTENTION, SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION)
        found["attention, TFLOP/s by cuDNN, flash and memory-efficient"] = {
            str(shape): [attention(*shape, kernel) for kernel in kernels]
            for shape in (
                (16, 10, 4096, 4096, 64),
                (16, 20, 1024, 1024, 64),
                (16, 10, 4096, 77, 64),
                (4, 1, 16384, 16384, 512),
            )
        }
    return found


def usual_norm(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return functional.silu(functional.group_norm(x, 32, weight, weight, 1e-6))


def norm_by_channels(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """The same: the moments of each channel, along which memory lies, and a group's from those of its channels."""
    n, c, h, w = x.shape
    spread, mean = torch.var_mean(x.permute(0, 2, 3, 1).reshape(n, h * w, c).float(), 1, correction=0)
    spread, mean = (moment.view(n, 32, c // 32) for moment in (spread, mean))
    middle = mean.mean(2, keepdim=True)
    whole = (spread + (mean - middle).square()).mean(2, keepdim=True)
    scale = (torch.rsqrt(whole + 1e-6) * weight.float().view(32, -1)).view(n, c, 1, 1)
    shift = (weight.float().view(32, -1) - middle * scale.view(n, 32, -1)).view(n, c, 1, 1)
    return functional.silu(x.float() * scale + shift).to(x.dtype)
