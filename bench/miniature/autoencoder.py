"""Stages `vae` and `decoder`: 64x64 RGB to an 8x8 latent of 12 channels, mean 0, variance 1, and back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from bench.miniature.loop import batch_indices, train_stage

CHANNELS = 12
CONFIG = {
    "in_channels": 3,
    "out_channels": 3,
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
    "block_out_channels": [8, 16, 40, 64],
    "layers_per_block": 1,
    "latent_channels": CHANNELS,
    "norm_num_groups": 4,
    "sample_size": 64,
    "scaling_factor": 1.0,
    "force_upcast": False,
    "mid_block_add_attention": False,
}


def build() -> Any:
    """The untrained autoencoder."""
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL

    return AutoencoderKL(**CONFIG)  # type: ignore[arg-type]


def to_tensor(images: np.ndarray, device: str = "cpu"):
    """(n, 64, 64, 3) uint8 to (n, 3, 64, 64) float in -1..1."""
    import torch

    return torch.from_numpy(images).to(device).permute(0, 3, 1, 2).float().div_(127.5).sub_(1)


def train(folder: Path, images: np.ndarray, *, steps: int, batch: int, seed: int, device: str) -> Any:
    """Absolute and squared error, edges counted again, a small KL term; then the latent is normalised."""
    import torch

    torch.manual_seed(seed)
    net = build().to(device)

    def loss_of(step: int, generator: torch.Generator) -> dict[str, torch.Tensor]:
        x = to_tensor(images[batch_indices(step, batch, len(images), seed)], device)
        posterior = net.encode(x).latent_dist  # type: ignore[union-attr]
        noise = torch.randn(posterior.mean.shape, generator=generator, device=device)
        y = net.decode(posterior.mean + posterior.std * noise).sample  # type: ignore[union-attr]
        error = y - x
        edges = (error[..., 1:] - error[..., :-1]).abs().mean() + (
            error[..., 1:, :] - error[..., :-1, :]
        ).abs().mean()
        kl = posterior.kl().mean() / (CHANNELS * 64)
        square = error.square().mean()
        loss = error.abs().mean() + 2 * square + 0.5 * edges + 1e-3 * kl
        return {"loss": loss, "mse": square, "kl": kl}

    average = train_stage(
        "vae", folder, net, loss_of, steps=steps, peak=2e-3, seed=seed, ema_decay=0.99, device=device
    )
    normalise(average, images[:512], device)  # type: ignore[arg-type]
    return average  # type: ignore[return-value]


def refine(
    folder: Path, vae: Any, images: np.ndarray, *, steps: int, batch: int, seed: int, device: str
) -> Any:
    """Stage `decoder`: the decoder alone trains on, from latents a little off, as a denoiser's are."""
    import torch

    torch.manual_seed(seed)
    vae.requires_grad_(True)
    for part in (vae.encoder, vae.quant_conv):
        part.requires_grad_(False)  # type: ignore[union-attr]

    def loss_of(step: int, generator: torch.Generator) -> dict[str, torch.Tensor]:
        x = to_tensor(images[batch_indices(step, batch, len(images), seed)], device)
        with torch.no_grad():
            z = vae.encode(x).latent_dist.mean  # type: ignore[union-attr]
            z = z + 0.05 * torch.randn(z.shape, generator=generator, device=device)
        error = vae.decode(z).sample - x  # type: ignore[union-attr]
        edges = (error[..., 1:] - error[..., :-1]).abs().mean() + (
            error[..., 1:, :] - error[..., :-1, :]
        ).abs().mean()
        square = error.square().mean()
        return {"loss": error.abs().mean() + 2 * square + 0.5 * edges, "mse": square}

    average = train_stage(
        "decoder", folder, vae, loss_of, steps=steps, peak=1.5e-3, seed=seed, ema_decay=0.99, device=device
    )
    return average.requires_grad_(True)  # type: ignore[return-value]


def normalise(vae: Any, images: np.ndarray, device: str) -> None:
    """Fold each latent channel's mean and standard deviation into the 1x1 convolutions around the latent.

    StableDiffusionXLPipeline knows per-channel statistics only for four channels, hence not in the config.
    """
    import torch

    with torch.no_grad():
        latents = vae.encode(to_tensor(images, device)).latent_dist.mean  # type: ignore[union-attr]
        mean, std = latents.mean((0, 2, 3)), latents.std((0, 2, 3))
        into, back = vae.quant_conv, vae.post_quant_conv
        assert into is not None
        assert back is not None
        back.bias += (back.weight[:, :, 0, 0] * mean).sum(1)
        back.weight *= std[None, :, None, None]
        into.weight[:CHANNELS] /= std[:, None, None, None]
        into.bias[:CHANNELS] = (into.bias[:CHANNELS] - mean) / std
        into.bias[CHANNELS:] -= 2 * std.log()  # the log-variance of the rescaled latent


def latents_of(vae: Any, images: np.ndarray, device: str):
    """The latent means of images: (n, 12, 8, 8) half precision, on the CPU."""
    import torch

    with torch.no_grad():
        parts = [
            vae.encode(to_tensor(images[i : i + 256], device)).latent_dist.mean.half().cpu()  # type: ignore[union-attr]
            for i in range(0, len(images), 256)
        ]
    return torch.cat(parts)
