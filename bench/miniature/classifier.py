"""Stage `classifier`: says what an image shows; its features serve distances and the turbo student."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from bench.miniature.autoencoder import to_tensor
from bench.miniature.dataset import LABELS, label_sizes
from bench.miniature.loop import batch_indices, onto, train_stage

WIDTHS = (24, 48, 96, 128)


class SceneNet(nn.Module):
    """Four strided convolution stages, then a linear head a question. Input (n, 3, 64, 64) in -1..1."""

    def __init__(self) -> None:
        super().__init__()
        stages, before = [], 3
        for width in WIDTHS:
            stages.append(
                nn.Sequential(
                    nn.Conv2d(before, width, 4, 2, 1),
                    nn.GroupNorm(8, width),
                    nn.SiLU(),
                    nn.Conv2d(width, width, 3, 1, 1),
                    nn.GroupNorm(8, width),
                    nn.SiLU(),
                )
            )
            before = width
        self.stages = nn.ModuleList(stages)
        self.hidden = nn.Linear(WIDTHS[-1] * 16, 256)
        self.heads = nn.ModuleDict({name: nn.Linear(256, size) for name, size in label_sizes().items()})

    def maps(self, x: torch.Tensor) -> list[torch.Tensor]:
        """The feature maps after each stage: 32x32, 16x16, 8x8 and 4x4."""
        out = []
        for stage in self.stages:
            x = stage(x)
            out.append(x)
        return out

    def pooled(self, x: torch.Tensor) -> torch.Tensor:
        """Pooled features (n, 128): the mean of the last map."""
        return self.maps(x)[-1].mean((2, 3))

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        hidden = F.silu(self.hidden(self.maps(x)[-1].flatten(1)))
        return {name: head(hidden) for name, head in self.heads.items()}


def roughen(x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """A third of the images blurred, a third noisy, two fifths shifted in colour: what a decoder may do."""
    n, device = len(x), x.device
    dice = torch.rand(n, 1, 1, 1, generator=generator, device=device)
    blurred = F.avg_pool2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), 3, 1)
    x = torch.where(dice < 0.33, blurred, x)
    dice = torch.rand(n, 1, 1, 1, generator=generator, device=device)
    noise = torch.randn(x.shape, generator=generator, device=device)
    x = x + (dice < 0.33) * noise * dice * 0.6
    shift = torch.rand(n, 3, 1, 1, generator=generator, device=device) - 0.5
    return x + (dice > 0.6) * shift * 0.12


def train(
    folder: Path, images: np.ndarray, labels: np.ndarray, *, steps: int, batch: int, seed: int, device: str
) -> Any:
    """Cross-entropy of every head; an answer about an object that is not there is asked too."""
    torch.manual_seed(seed)
    net = SceneNet().to(device)

    def loss_of(step: int, generator: torch.Generator) -> dict[str, torch.Tensor]:
        index = batch_indices(step, batch, len(images), seed)
        x = roughen(to_tensor(images[index], device), generator)
        target = onto(labels[index], device)
        answers = net(x)
        losses = [F.cross_entropy(answers[name], target[:, i]) for i, name in enumerate(LABELS)]
        right = torch.stack([answers[name].argmax(1) == target[:, i] for i, name in enumerate(LABELS)]).all(0)
        return {"loss": torch.stack(losses).sum(), "all_right": right.float().mean()}

    return train_stage("classifier", folder, net, loss_of, steps=steps, peak=2e-3, seed=seed, device=device)
