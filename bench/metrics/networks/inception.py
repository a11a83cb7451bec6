"""The 2015 Inception of FID and the four ways an image comes to its 299 pixels."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.errors import InputError
from bench.metrics.feature_rows import Array
from bench.metrics.weights import reading


class Inception:
    """The 2015 Inception of FID: torch-fidelity's blocks and weights, batch norm folded, channels last.

    Its own class is not used: it loads pickles with `weights_only=False`; on the CPU folding, layout and
    one-pass resizing make this one faster at features equal to 1e-4 (tests/performance/features_speed.py).
    """

    def __init__(self, weights: Path, *, mode: str, device: str = "cpu") -> None:
        """mode: `inception-tf`, `clean`, `patch` or `torch`, as the extractor's resize begins."""
        self.mode = mode
        self.device = device
        self.network = _inception_network(weights).to(device)

    def prepare(self, image: Any) -> Any:
        import torch

        if self.mode == "inception-tf":
            return tensorflow_resize(torch.from_numpy(np.array(image)))
        if self.mode == "torch":
            return torch_resize(torch.from_numpy(np.array(image)))
        array = clean_resize(image) if self.mode == "clean" else centre_patch(image)
        return torch.from_numpy(array).permute(2, 0, 1)

    def images(self, batch: Any) -> Array:
        import torch

        with torch.inference_mode(), torch.backends.cudnn.flags(allow_tf32=False):
            x = batch.to(self.device).contiguous(memory_format=torch.channels_last)
            # pytorch-fid scales 0..255 to -1..1, TensorFlow's graph to -1..0.992.
            scaled = x / 127.5 - 1 if self.mode == "torch" else (x - 128) / 128
            return self.network(scaled).flatten(1).float().cpu().numpy()

    def texts(self, captions: Sequence[str]) -> tuple[Array, Array]:
        raise InputError("Inception has no text tower")


def _inception_network(path: Path) -> Any:
    import torch
    from torch import nn
    from torch.nn.utils.fusion import fuse_conv_bn_eval
    from torch_fidelity import feature_extractor_inceptionv3 as parts

    conv = parts.BasicConv2d
    network = nn.Sequential()
    for name, module in {
        "Conv2d_1a_3x3": conv(3, 32, kernel_size=3, stride=2),
        "Conv2d_2a_3x3": conv(32, 32, kernel_size=3),
        "Conv2d_2b_3x3": conv(32, 64, kernel_size=3, padding=1),
        "MaxPool_1": nn.MaxPool2d(kernel_size=3, stride=2),
        "Conv2d_3b_1x1": conv(64, 80, kernel_size=1),
        "Conv2d_4a_3x3": conv(80, 192, kernel_size=3),
        "MaxPool_2": nn.MaxPool2d(kernel_size=3, stride=2),
        "Mixed_5b": parts.InceptionA(192, pool_features=32),
        "Mixed_5c": parts.InceptionA(256, pool_features=64),
        "Mixed_5d": parts.InceptionA(288, pool_features=64),
        "Mixed_6a": parts.InceptionB(288),
        "Mixed_6b": parts.InceptionC(768, channels_7x7=128),
        "Mixed_6c": parts.InceptionC(768, channels_7x7=160),
        "Mixed_6d": parts.InceptionC(768, channels_7x7=160),
        "Mixed_6e": parts.InceptionC(768, channels_7x7=192),
        "Mixed_7a": parts.InceptionD(768),
        "Mixed_7b": parts.InceptionE_1(1280),
        "Mixed_7c": parts.InceptionE_2(2048),
        "AvgPool": nn.AdaptiveAvgPool2d(output_size=(1, 1)),
    }.items():
        network.add_module(name, module)
    with reading(path, "the 2015 Inception"):
        state = torch.load(path, map_location="cpu", weights_only=True)
        network.load_state_dict({name: value for name, value in state.items() if not name.startswith("fc.")})
    network.eval().requires_grad_(False)
    for module in list(network.modules()):
        if isinstance(module, conv):
            module.conv = fuse_conv_bn_eval(module.conv, module.bn)
            module.register_module("bn", nn.Identity())
    return network.to(memory_format=torch.channels_last)


def tensorflow_resize(image: Any, size: int = 299) -> Any:
    """(h, w, 3) uint8 to (3, size, size) float32 in 0..255 as TensorFlow 1's bilinear, corners not aligned.

    The same operations in the same order as torch-fidelity's, one axis after the other, so fewer of them.
    """
    columns, right, dx = _bilinear(image.shape[1], size)
    rows, below, dy = _bilinear(image.shape[0], size)
    if image.shape[0] > 2 * size:
        top, bottom = (_lerp(image[pick], columns, right, dx) for pick in (rows, below))
    else:
        wide = _lerp(image, columns, right, dx)
        top, bottom = wide[rows], wide[below]
    return (top + (bottom - top) * dy.view(-1, 1, 1)).permute(2, 0, 1)


def _lerp(image: Any, low: Any, high: Any, fraction: Any) -> Any:
    left = image[:, low].float()
    return left + (image[:, high].float() - left) * fraction.view(1, -1, 1)


@functools.cache
def _bilinear(length: int, size: int) -> tuple[Any, Any, Any]:
    import torch

    grid = torch.arange(0, size, dtype=torch.float32) * torch.tensor(length / size, dtype=torch.float32)
    low = grid.long()
    return low, (low + 1).clamp_max(length - 1), grid - low.float()


def torch_resize(image: Any, size: int = 299) -> Any:
    """(h, w, 3) uint8 to (3, size, size) float32 in 0..255 as pytorch-fid: half-pixel centres, no antialias."""
    import torch

    unit = image.permute(2, 0, 1)[None].float() / 255
    resized = torch.nn.functional.interpolate(unit, (size, size), mode="bilinear", align_corners=False)
    return 255 * resized[0]


def clean_resize(image: Any, size: int = 299) -> Array:
    """(size, size, 3) float32 in 0..255: PIL's antialiased bicubic on each float channel, as clean-fid."""
    from PIL import Image

    channels = (Image.fromarray(np.asarray(band, dtype=np.float32)) for band in image.split())
    resized = [np.asarray(band.resize((size, size), Image.Resampling.BICUBIC)) for band in channels]
    return np.stack(resized, axis=2).clip(0, 255)


def centre_patch(image: Any, size: int = 299) -> Array:
    """(size, size, 3) float32. Raises InputError for an image that is smaller."""
    width, height = image.size
    if min(width, height) < size:
        raise InputError(
            f"patch_fid needs images of at least {size} px a side; one is {width} x {height}: leave it out"
        )
    left, top = (width - size) // 2, (height - size) // 2
    return np.asarray(image.crop((left, top, left + size, top + size)), dtype=np.float32)
