"""What the teacher and its students share: networks, noise schedule, text embeddings."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from bench.miniature.autoencoder import CHANNELS
from bench.miniature.tokens import LENGTH, vocabulary

WIDTH = 64  # of each text encoder
GUIDANCE_DIM = 64  # of the consistency student's guidance embedding
SCHEDULE = {
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "prediction_type": "v_prediction",
    "rescale_betas_zero_snr": True,
    "timestep_spacing": "trailing",
}


def build_unet(guidance_embedding: bool = False) -> Any:
    """The denoiser: SDXL's, with two levels, 8x8 and 4x4."""
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

    return UNet2DConditionModel(
        sample_size=8,
        in_channels=CHANNELS,
        out_channels=CHANNELS,
        block_out_channels=(64, 112),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=2 * WIDTH,
        attention_head_dim=(2, 4),  # type: ignore[arg-type]
        norm_num_groups=16,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=6 * 8 + WIDTH,
        use_linear_projection=True,
        time_cond_proj_dim=GUIDANCE_DIM if guidance_embedding else None,
    )


def build_text_encoders() -> tuple[Any, Any]:
    """SDXL's two text encoders: read are their last hidden layer but one and the second's pooled output."""
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    vocab = vocabulary()[0]
    end = len(vocab) - 1
    config = CLIPTextConfig(
        vocab_size=len(vocab),
        hidden_size=WIDTH,
        intermediate_size=4 * WIDTH,
        projection_dim=WIDTH,
        num_hidden_layers=3,
        num_attention_heads=4,
        max_position_embeddings=LENGTH,
        hidden_act="quick_gelu",
        bos_token_id=end - 1,
        eos_token_id=end,
        pad_token_id=end,
    )
    first, second = CLIPTextModel(config), CLIPTextModelWithProjection(config)
    for encoder in (first, second):  # CLIP's own initialisation is far too small for a network this narrow
        nn.init.normal_(encoder.get_input_embeddings().weight, std=0.3)  # type: ignore[arg-type]
    return first, second


class TextEncoders(nn.Module):
    """Both text encoders, read as SDXL reads its own."""

    def __init__(self) -> None:
        super().__init__()
        self.text_encoder, self.text_encoder_2 = build_text_encoders()

    def forward(self, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Tokens (n, 32) to prompt embeddings (n, 32, 128) and pooled ones (n, 64), as in SDXL."""
        one = self.text_encoder(tokens, output_hidden_states=True)
        two = self.text_encoder_2(tokens, output_hidden_states=True)
        return torch.cat([one.hidden_states[-2], two.hidden_states[-2]], -1), two.text_embeds


class Teacher(nn.Module):
    """The denoiser, and the text encoders it reads with."""

    def __init__(self, reader: TextEncoders) -> None:
        super().__init__()
        self.unet = build_unet()
        self.reader = reader.requires_grad_(False).eval()

    def embed(self, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Prompt embeddings and pooled ones; the encoders are frozen."""
        with torch.no_grad():
            return self.reader(tokens)


@functools.cache
def _sizes(device: torch.device) -> torch.Tensor:
    return torch.tensor([64.0, 64, 0, 0, 64, 64], device=device)


def predict(
    unet, x: torch.Tensor, t: torch.Tensor, text: tuple[torch.Tensor, torch.Tensor], w=None
) -> torch.Tensor:
    """The network's v. The size and crop conditioning is SDXL's for a 64x64 image, always."""
    added = {"text_embeds": text[1], "time_ids": _sizes(x.device).expand(len(x), 6)}
    return unet(x, t, text[0], timestep_cond=w, added_cond_kwargs=added).sample


@dataclass(frozen=True, slots=True)
class Noise:
    """The forward process: x_t = a_t x_0 + s_t e, with a_999 = 0."""

    a: torch.Tensor
    s: torch.Tensor

    def add(self, x: torch.Tensor, e: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        return self.a[t].view(-1, 1, 1, 1) * x + self.s[t].view(-1, 1, 1, 1) * e

    def velocity(self, x: torch.Tensor, e: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        return self.a[t].view(-1, 1, 1, 1) * e - self.s[t].view(-1, 1, 1, 1) * x

    def clean(self, x_t: torch.Tensor, v: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        return self.a[t].view(-1, 1, 1, 1) * x_t - self.s[t].view(-1, 1, 1, 1) * v

    def noise(self, x_t: torch.Tensor, v: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        return self.s[t].view(-1, 1, 1, 1) * x_t + self.a[t].view(-1, 1, 1, 1) * v


def forward_process(device: str = "cpu") -> Noise:
    """Stable Diffusion's schedule rescaled to zero terminal signal (arXiv 2305.08891, algorithm 1)."""
    betas = np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2
    root = np.sqrt(np.cumprod(1 - betas))
    root = (root - root[-1]) * root[0] / (root[0] - root[-1])
    a = torch.tensor(root, dtype=torch.float32, device=device)
    return Noise(a, (1 - a * a).sqrt())


def dropped(text: tuple[torch.Tensor, torch.Tensor], keep: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Zeros where the caption is dropped: what SDXL takes for an empty negative prompt."""
    return text[0] * keep[:, None, None], text[1] * keep[:, None]


def guided(unet, x, t, text, scale) -> torch.Tensor:
    """Classifier-free guidance: u + scale (c - u). scale: a number, or (n, 1, 1, 1)."""
    both = (torch.cat([text[0], torch.zeros_like(text[0])]), torch.cat([text[1], torch.zeros_like(text[1])]))
    c, u = predict(unet, torch.cat([x, x]), torch.cat([t, t]), both).chunk(2)
    return u + scale * (c - u)
