"""Stage `turbo`: adversarial diffusion distillation (Sauer et al. 2023, arXiv 2311.17042)."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from bench.miniature.autoencoder import to_tensor
from bench.miniature.classifier import WIDTHS, SceneNet
from bench.miniature.diffusion import WIDTH, Teacher, forward_process, guided, predict
from bench.miniature.loop import batch_indices, onto, train_stage

STEPS = (249, 499, 749, 999)  # the student's timesteps: `trailing` spacing at four steps
GUIDANCE = 5.0  # of the teacher whose denoised answer the student is pulled to
DISTILLATION = 2.5  # lambda of eq. 1
PENALTY = 1e-2  # gamma of R1


class Heads(nn.Module):
    """A light head on each frozen feature map, conditioned on the caption by projection."""

    def __init__(self) -> None:
        super().__init__()
        widths = WIDTHS[1:]
        self.mix = nn.ModuleList(
            nn.Sequential(nn.Conv2d(w, 64, 1), nn.SiLU(), nn.Conv2d(64, 64, 3, 1, 1), nn.SiLU())
            for w in widths
        )
        self.score = nn.ModuleList(nn.Conv2d(64, 1, 1) for _ in widths)
        self.text = nn.ModuleList(nn.Linear(WIDTH, 64) for _ in widths)

    def forward(self, maps: list[torch.Tensor], pooled: torch.Tensor) -> torch.Tensor:
        """(n, places) of all the heads, higher for real."""
        out = []
        for x, mix, score, text in zip(maps, self.mix, self.score, self.text, strict=True):
            h = mix(x)
            caption = (h * text(pooled)[:, :, None, None]).sum(1, keepdim=True) / 8
            out.append((score(h) + caption).flatten(1))
        return torch.cat(out, 1)


class Critic:
    """The heads, their optimiser, and the frozen network they look through."""

    def __init__(self, features: SceneNet, path: Path, device: str) -> None:
        self.features = copy.deepcopy(features).eval().requires_grad_(False)
        self.heads = Heads().to(device)
        self.optimiser = torch.optim.AdamW(self.heads.parameters(), lr=1e-3, betas=(0.0, 0.99), fused=True)
        self.path = path
        if path.exists():
            saved = torch.load(path, map_location=device, weights_only=True)
            self.heads.load_state_dict(saved["heads"])
            self.optimiser.load_state_dict(saved["optimiser"])

    def maps(self, images: torch.Tensor) -> list[torch.Tensor]:
        return self.features.maps(images)[1:]

    def learn(self, real: torch.Tensor, fake: torch.Tensor, pooled: torch.Tensor) -> torch.Tensor:
        """One hinge step with an R1 penalty on the features of real images (eq. 3)."""
        with torch.no_grad():
            true_maps, false_maps = self.maps(real), self.maps(fake)
        true_maps = [m.requires_grad_() for m in true_maps]
        good, bad = self.heads(true_maps, pooled), self.heads(false_maps, pooled)
        slopes = torch.autograd.grad(good.mean(1).sum(), true_maps, create_graph=True)
        penalty = torch.stack([s.square().flatten(1).sum(1).mean() for s in slopes]).sum()
        loss = F.relu(1 - good).mean() + F.relu(1 + bad).mean()
        (loss + PENALTY * penalty).backward()
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        return loss.detach()

    def save(self) -> None:
        state = {"heads": self.heads.state_dict(), "optimiser": self.optimiser.state_dict()}
        torch.save(state, self.path)


def train(
    folder: Path,
    teacher: Teacher,
    vae: Any,
    features: Any,
    images: np.ndarray,
    latents: torch.Tensor,
    tokens: np.ndarray,
    *,
    steps: int,
    batch: int,
    seed: int,
    device: str,
) -> Any:
    """The student denoises in one step from each of STEPS; a critic judges images, the teacher latents.

    Half of what starts between noise and image starts from the student's own answer, as it will when it
    takes several steps (backward simulation: Yin et al. 2024, arXiv 2405.14867, section 4.4); the paper's
    starts are all real images; with those alone an earlier student drew no better in four steps than in one.
    """
    torch.manual_seed(seed)
    net = copy.deepcopy(teacher.unet).requires_grad_(True).to(device)
    net.compile(dynamic=False)
    teacher.unet.compile(dynamic=False)
    seen = slice(0, None, 2)  # the critic sees every other image: decoding costs more than denoising
    process = forward_process(device)
    critic = Critic(features, folder / "turbo-critic.pt", device)
    vae = vae.eval().requires_grad_(False)
    vae.decoder.compile(dynamic=False)
    grid = torch.tensor(STEPS, device=device)

    @torch.no_grad()
    def first_answers(x: torch.Tensor, said: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """The student's own one-step answers, which its later steps start from when it draws."""
        t = torch.full((len(x),), 999, device=device)
        e = torch.randn(x.shape, generator=generator, device=device)
        return process.clean(e, predict(net, e, t, teacher.embed(said)), t)

    def loss_of(step: int, generator: torch.Generator) -> dict[str, torch.Tensor]:
        index = batch_indices(step, batch, len(latents), seed)
        x = onto(latents[torch.from_numpy(index)], device).float()
        said = onto(tokens[index, step % tokens.shape[1]], device)
        text = teacher.embed(said)
        # Half of the batch starts from pure noise: one step is the hardest and the one the model is for.
        s = grid[torch.randint(0, len(STEPS) - 1, (batch,), generator=generator, device=device)]
        s[: batch // 2] = 999
        own = slice(batch * 3 // 4, batch)
        x = torch.cat([x[: own.start], first_answers(x[own], said[own], generator)])
        e = torch.randn(x.shape, generator=generator, device=device)
        x_s = process.add(x, e, s)
        clean = process.clean(x_s, predict(net, x_s, s, text), s)
        fake, caption = vae.decode(clean[seen]).sample, text[1][seen]
        critic_loss = critic.learn(to_tensor(images[index[seen]], device), fake.detach(), caption)
        adversarial = -critic.heads(critic.maps(fake), caption).mean()
        critic.heads.zero_grad(set_to_none=True)
        with torch.no_grad():
            t = torch.randint(20, 1000, (batch,), generator=generator, device=device)
            e = torch.randn(x.shape, generator=generator, device=device)
            x_t = process.add(clean.detach(), e, t)
            goal = process.clean(x_t, guided(teacher.unet, x_t, t, text, GUIDANCE), t)
        weight = process.a[t].view(-1, 1, 1, 1)
        distillation = (weight * (clean - goal).square()).mean()
        if (step + 1) % 250 == 0:
            critic.save()
        return {
            "loss": adversarial + DISTILLATION * distillation,
            "adversarial": adversarial,
            "distillation": distillation,
            "critic": critic_loss,
        }

    return train_stage(
        "turbo", folder, net, loss_of, steps=steps, peak=4e-4, seed=seed, ema_decay=0.99, device=device
    )  # type: ignore[return-value]
