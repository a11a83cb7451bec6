"""Networks that compare images with images: DINOv2's class token, and LPIPS."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.errors import InputError
from bench.metrics.feature_rows import Array
from bench.metrics.networks.inception import clean_resize
from bench.metrics.weights import reading

SIDE = 224
"""Pixels of DINOv2's images."""
OFFSET = 0.1
"""Added to the side of the grid of patches before positions are interpolated, as torch.hub's DINOv2 does."""


class DinoV2:
    """Class token of a DINOv2 folder in hub layout, 224 px, ImageNet colours.

    Positions are interpolated as torch.hub's DINOv2 and dgm-eval, which FD-DINOv2 was published with, do it:
    transformers' own way differs from it in a distance by 7 to 13%.
    """

    def __init__(self, path: Path, device: str = "cpu") -> None:
        from transformers import Dinov2Model

        with reading(path, "a whole Dinov2Model"):
            model: Any = Dinov2Model.from_pretrained(path, local_files_only=True)
        self.model, self.device = model.to(device).eval(), device
        positions = hub_positions(model.embeddings.position_embeddings, SIDE // model.config.patch_size)
        model.embeddings.interpolate_pos_encoding = lambda *_: positions

    def prepare(self, image: Any) -> Any:
        import torch

        array = clean_resize(image, SIDE) / 255
        array = (array - np.array([0.485, 0.456, 0.406])) / np.array([0.229, 0.224, 0.225])
        return torch.from_numpy(array.astype(np.float32)).permute(2, 0, 1)

    def images(self, batch: Any) -> Array:
        import torch

        with torch.inference_mode():
            return (
                self.model(pixel_values=batch.to(self.device)).last_hidden_state[:, 0].float().cpu().numpy()
            )

    def texts(self, captions: Sequence[str]) -> tuple[Array, Array]:
        raise InputError("DINOv2 has no text tower")


def hub_positions(positions: Any, grid: int) -> Any:
    """(1, 1 + grid², d) of the class token and a grid of patches, from those of a square grid of another side.

    Bicubic over the scale (grid + OFFSET) / side, without antialiasing: the scale as given, not as the sizes imply.
    """
    import torch

    side = round((positions.shape[1] - 1) ** 0.5)
    if side == grid:
        return positions.detach()
    square = positions[:, 1:].detach().float().reshape(1, side, side, -1).permute(0, 3, 1, 2)
    scale = (grid + OFFSET) / side
    fitted = torch.nn.functional.interpolate(square, scale_factor=(scale, scale), mode="bicubic")
    assert fitted.shape[-2:] == (grid, grid)
    return torch.cat([positions[:, :1].detach(), fitted.permute(0, 2, 3, 1).flatten(1, 2)], 1)


class Lpips:
    """LPIPS v0.1 on AlexNet: torchmetrics' network and linear weights, torchvision's trunk from a file.

    torchmetrics' own constructor fetches the trunk from the network; here it comes from `path`, a state
    dict in torchvision's layout.
    """

    def __init__(self, path: Path, device: str = "cpu") -> None:
        import torch
        from torchmetrics.functional.image.lpips import _NoTrainLpips

        self.network = _NoTrainLpips(net="alex", pnet_rand=True)
        with reading(path, "torchvision's AlexNet"):
            state = torch.load(path, map_location="cpu", weights_only=True)
            for part in (getattr(self.network.net, f"slice{i}") for i in range(1, 6)):
                for number, layer in part.named_children():
                    weights = {n: state[f"features.{number}.{n}"] for n, _ in layer.named_parameters()}
                    layer.load_state_dict(weights)
        self.network.to(device)
        self.device = device

    def prepare(self, image: Any) -> Any:
        import torch

        return torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 127.5 - 1

    def pairs(self, batch: Any, partners: Sequence[Any]) -> tuple[Array, Array]:
        """batch: (n, 3, h, w). partners: n prepared images of the same size."""
        import torch

        with torch.inference_mode():
            others = torch.stack(list(partners)).to(self.device)
            values = self.network(batch.to(self.device), others).flatten().float().cpu().numpy()
        return values, np.zeros(len(values), dtype=bool)
