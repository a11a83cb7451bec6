"""Stage `teacher`: the text-to-image model the students are distilled from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from bench.miniature.diffusion import Teacher, TextEncoders, dropped, forward_process, predict
from bench.miniature.loop import batch_indices, onto, train_stage


def train(
    folder: Path,
    reader: TextEncoders,
    latents: torch.Tensor,
    tokens: np.ndarray,
    *,
    steps: int,
    batch: int,
    seed: int,
    device: str,
) -> Teacher:
    """v-prediction at zero terminal signal, all timesteps alike; one caption in ten dropped."""
    torch.manual_seed(seed)
    net = Teacher(reader).to(device)
    net.unet.compile(dynamic=False)  # twice the images a second on a CPU, and more on a GPU
    process = forward_process(device)

    def loss_of(step: int, generator: torch.Generator) -> dict[str, torch.Tensor]:
        index = batch_indices(step, batch, len(latents), seed)
        x = onto(latents[torch.from_numpy(index)], device).float()
        said = onto(tokens[index, step % tokens.shape[1]], device)
        # One timestep from each of `batch` equal strata: the same mean, less variance.
        u = torch.rand(batch, generator=generator, device=device)
        t = ((torch.arange(batch, device=device) + u) * (1000 / batch)).long().clamp(max=999)
        e = torch.randn(x.shape, generator=generator, device=device)
        keep = (torch.rand(batch, generator=generator, device=device) > 0.1).float()
        v = predict(net.unet, process.add(x, e, t), t, dropped(net.embed(said), keep))
        loss = (v - process.velocity(x, e, t)).square().mean()
        return {"loss": loss}

    return train_stage("teacher", folder, net, loss_of, steps=steps, peak=2e-3, seed=seed, device=device)  # type: ignore[return-value]
