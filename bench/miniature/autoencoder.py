"""Stages `decoder` and `encoder`: 64x64 RGB to an 8x8 latent of 16 channels, and back.

The latent is a linear patch code: the first 16 principal components of 8x8 pixel patches, damped so that fine
detail weighs more than its variance. It needs no training, so the denoiser starts at once; the decoder learns to
turn codes, also wrong ones, into sharp images, and the encoder to give the codes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.miniature.loop import batch_indices, onto, train_stage

CHANNELS = 16
PATCH = 8  # pixels
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
LOG_VARIANCE = -6.0  # of the encoder's posterior, constant


def build() -> Any:
    """The untrained autoencoder."""
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL

    return AutoencoderKL(**CONFIG)  # type: ignore[arg-type]


def to_tensor(images: np.ndarray, device: str = "cpu"):
    """(n, 64, 64, 3) uint8 to (n, 3, 64, 64) float in -1..1."""
    return onto(images, device).permute(0, 3, 1, 2).float().div_(127.5).sub_(1)


def patches(images: np.ndarray) -> np.ndarray:
    """(n, 64, 64, 3) uint8 to (n, 8, 8, 192) float32 in -1..1."""
    n, side = len(images), images.shape[1] // PATCH
    x = images.astype(np.float32) / 127.5 - 1
    return x.reshape(n, side, PATCH, side, PATCH, 3).transpose(0, 1, 3, 2, 4, 5).reshape(n, side, side, -1)


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchCode:
    """A linear code of 8x8 patches; variance one over all channels, more in the coarse ones."""

    mean: np.ndarray
    """(192,)"""
    basis: np.ndarray
    """(192, 16): principal components, each divided by the root of its standard deviation"""

    def latents(self, images: np.ndarray):
        """(n, 16, 8, 8) float16 of (n, 64, 64, 3) uint8."""
        import torch

        parts = []
        for i in range(0, len(images), 512):
            code = (patches(images[i : i + 512]) - self.mean) @ self.basis
            parts.append(torch.from_numpy(code).permute(0, 3, 1, 2).half().contiguous())
        return torch.cat(parts)


def patch_code(images: np.ndarray) -> PatchCode:
    """Fit the code to images; (n, 64, 64, 3) uint8. Components' signs are fixed by their largest entry."""
    rows = patches(images).reshape(-1, PATCH * PATCH * 3).astype(np.float64)
    mean = rows.mean(0)
    values, vectors = np.linalg.eigh(np.cov(rows.T))
    values, vectors = values[::-1][:CHANNELS], vectors[:, ::-1][:, :CHANNELS]
    vectors = vectors * np.sign(vectors[np.abs(vectors).argmax(0), range(CHANNELS)])
    deviation = np.sqrt(values)
    basis = vectors / np.sqrt(deviation) / np.sqrt(deviation.mean())
    return PatchCode(mean=mean.astype(np.float32), basis=basis.astype(np.float32))


def train_decoder(
    folder: Path,
    vae: Any,
    images: np.ndarray,
    latents: Any,
    *,
    steps: int,
    batch: int,
    seed: int,
    device: str,
) -> Any:
    """Images from codes that are off by up to 0.4, as a denoiser's are: absolute and squared error, edges."""
    import torch

    torch.manual_seed(seed)
    vae.requires_grad_(True)
    for part in (vae.encoder, vae.quant_conv):
        part.requires_grad_(False)
    vae.decoder.compile(dynamic=False)

    def loss_of(step: int, generator: torch.Generator) -> dict[str, torch.Tensor]:
        index = batch_indices(step, batch, len(images), seed)
        x, z = to_tensor(images[index], device), onto(latents[torch.from_numpy(index)], device).float()
        off = 0.4 * torch.rand(batch, 1, 1, 1, generator=generator, device=device) ** 2
        z = z + off * torch.randn(z.shape, generator=generator, device=device)
        error = vae.decode(z).sample - x
        edges = (error[..., 1:] - error[..., :-1]).abs().mean() + (
            error[..., 1:, :] - error[..., :-1, :]
        ).abs().mean()
        square = error.square().mean()
        return {"loss": error.abs().mean() + 2 * square + 0.5 * edges, "mse": square}

    return train_stage(
        "decoder", folder, vae, loss_of, steps=steps, peak=3e-3, seed=seed, ema_decay=0.99, device=device
    )


def train_encoder(
    folder: Path,
    vae: Any,
    images: np.ndarray,
    latents: Any,
    *,
    steps: int,
    batch: int,
    seed: int,
    device: str,
) -> Any:
    """The encoder gives the codes; its posterior's variance is a constant. The decoder stays as it came."""
    import torch

    torch.manual_seed(seed)
    decoder = {
        name: value.clone()
        for name, value in vae.state_dict().items()
        if name.startswith(("decoder.", "post_quant_conv."))
    }
    vae.requires_grad_(False)
    vae.encoder.requires_grad_(True)
    vae.encoder.compile(dynamic=False)
    with torch.no_grad():
        vae.quant_conv.weight.copy_(torch.eye(2 * CHANNELS)[:, :, None, None])
        vae.quant_conv.weight[CHANNELS:] = 0
        vae.quant_conv.bias.zero_()
        vae.quant_conv.bias[CHANNELS:] = LOG_VARIANCE

    def loss_of(step: int, generator: torch.Generator) -> dict[str, torch.Tensor]:
        index = batch_indices(step, batch, len(images), seed)
        given = vae.encode(to_tensor(images[index], device)).latent_dist.mean
        goal = onto(latents[torch.from_numpy(index)], device).float()
        return {"loss": (given - goal).square().mean()}

    done = train_stage(
        "encoder", folder, vae, loss_of, steps=steps, peak=3e-3, seed=seed, ema_decay=0.99, device=device
    )
    done.load_state_dict(done.state_dict() | decoder)  # a checkpoint has the decoder of its day
    return done.requires_grad_(False)
