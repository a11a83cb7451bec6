"""Stage `lcm`: a latent consistency student with a guidance embedding (Luo et al. 2023, arXiv 2310.04378)."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench.miniature.diffusion import GUIDANCE_DIM, Teacher, build_unet, forward_process, guided, predict
from bench.miniature.loop import batch_indices, follow, onto, train_stage

SOLVER_STEPS = 50  # of the 1000: the DDIM grid the student is consistent along
W_RANGE = (2.0, 7.0)  # w of the paper: guidance scale less one


def guidance_embedding(w: torch.Tensor) -> torch.Tensor:
    """(n,) to (n, GUIDANCE_DIM): StableDiffusionXLPipeline.get_guidance_scale_embedding, by its formula."""
    half = GUIDANCE_DIM // 2
    rates = torch.exp(torch.arange(half, device=w.device) * -(np.log(10000.0) / (half - 1)))
    angles = w[:, None] * 1000.0 * rates
    return torch.cat([angles.sin(), angles.cos()], 1)


def boundary(t: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """c_skip and c_out of LCMScheduler (sigma_data 0.5, timestep scaling 10)."""
    scaled = t.float().view(-1, 1, 1, 1) * 10.0
    return 0.25 / (scaled**2 + 0.25), scaled / (scaled**2 + 0.25).sqrt()


def student_of(teacher: Teacher) -> Any:
    """The teacher's denoiser with a guidance embedding that starts at zero effect."""
    unet = build_unet(guidance_embedding=True)
    missing, unexpected = unet.load_state_dict(teacher.unet.state_dict(), strict=False)
    assert not unexpected
    assert all("cond_proj" in key for key in missing)
    torch.nn.init.zeros_(unet.time_embedding.cond_proj.weight)
    return unet


def train(
    folder: Path,
    teacher: Teacher,
    latents: torch.Tensor,
    tokens: np.ndarray,
    *,
    steps: int,
    batch: int,
    seed: int,
    device: str,
) -> Any:
    """The student at t must give what its average gives one guided DDIM step of the teacher earlier."""
    torch.manual_seed(seed)
    net = student_of(teacher).to(device)
    target = copy.deepcopy(net).requires_grad_(False)
    for unet in (net, target, teacher.unet):
        unet.compile(dynamic=False)
    process = forward_process(device)
    stride = 1000 // SOLVER_STEPS

    def answer(unet, x, t, text, w):
        skip, out = boundary(t)
        return skip * x + out * process.clean(x, predict(unet, x, t, text, w), t)

    def loss_of(step: int, generator: torch.Generator) -> dict[str, torch.Tensor]:
        index = batch_indices(step, batch, len(latents), seed)
        x = onto(latents[torch.from_numpy(index)], device).float()
        said = onto(tokens[index, step % tokens.shape[1]], device)
        place = torch.randint(1, SOLVER_STEPS + 1, (batch,), generator=generator, device=device)
        t = place * stride - 1
        before = (t - stride).clamp(min=0)
        low, high = W_RANGE
        w = low + (high - low) * torch.rand(batch, generator=generator, device=device)
        e = torch.randn(x.shape, generator=generator, device=device)
        x_t, embedded = process.add(x, e, t), guidance_embedding(w)
        with torch.no_grad():
            text = teacher.embed(said)
            v = guided(teacher.unet, x_t, t, text, (w + 1).view(-1, 1, 1, 1))
            earlier = process.add(process.clean(x_t, v, t), process.noise(x_t, v, t), before)
            goal = answer(target, earlier, before, text, embedded)
        given = answer(net, x_t, t, text, embedded)
        loss = ((given - goal).square() + 1e-3**2).sqrt().sub(1e-3).mean()
        follow(target, net, 0.95)  # theta^- and mu of the paper
        return {"loss": loss}

    return train_stage(
        "lcm", folder, net, loss_of, steps=steps, peak=4e-4, seed=seed, ema_decay=0.99, device=device
    )  # type: ignore[return-value]
