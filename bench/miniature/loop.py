"""The training loop of every stage: seeded, logged, averaged, and resumed from its last checkpoint."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

CHECKPOINT_EVERY = 250  # steps


def learning_rate(step: int, steps: int, peak: float) -> float:
    """Warm-up over 3% of the steps, level, then a line down to 2% of the peak over the last quarter."""
    warm, fall = max(1, int(0.03 * steps)), max(1, steps // 4)
    return peak * min(1.0, (step + 1) / warm, max(0.02, (steps - step) / fall))


def batch_indices(step: int, batch: int, count: int, seed: int):
    """Which examples a step uses: a fresh shuffle every epoch, the same after a resume."""
    import numpy as np

    per_epoch = count // batch
    epoch, place = divmod(step, per_epoch)
    order = np.random.default_rng((seed, epoch)).permutation(count)
    return order[place * batch : (place + 1) * batch]


def onto(batch, device: str):
    """An array or CPU tensor on the device; the host does not wait for a GPU that is busy with the step before."""
    import torch

    tensor = torch.as_tensor(batch)
    return tensor.pin_memory().to(device, non_blocking=True) if device.startswith("cuda") else tensor


def forget_after(log: Path, step: int) -> None:
    """Drop the log's rows after the checkpoint that training goes on from: they will be written again."""
    if log.exists():
        rows = [line for line in log.read_text().splitlines() if json.loads(line)["step"] <= step]
        log.write_text("".join(line + "\n" for line in rows))


def follow(average: torch.nn.Module, net: torch.nn.Module, decay: float) -> None:
    """The average moves (1 - decay) of its way to the network; buffers are taken over."""
    import torch
    from torch.optim.swa_utils import get_ema_multi_avg_fn

    with torch.no_grad():
        get_ema_multi_avg_fn(decay)(list(average.parameters()), list(net.parameters()), 0)
        for mean, now in zip(average.buffers(), net.buffers(), strict=True):
            mean.copy_(now)


def save_checkpoint(path: Path, parts: Mapping[str, Any], step: int, seconds: float) -> None:
    """Write the states of the parts, the step and the seconds spent so far; a killed process leaves the file before."""
    import torch

    state = {name: part.state_dict() for name, part in parts.items()}
    torch.save({**state, "step": step, "seconds": seconds}, path.with_suffix(".tmp"))
    path.with_suffix(".tmp").rename(path)


def train_stage(
    name: str,
    folder: Path,
    net: torch.nn.Module,
    loss_of: Callable[[int, torch.Generator], dict[str, torch.Tensor]],
    *,
    steps: int,
    peak: float,
    seed: int,
    ema_decay: float = 0.999,
    device: str = "cpu",
) -> torch.nn.Module:
    """Train `net` in place, then give back its exponential moving average (a copy, in eval mode).

    loss_of(step, generator): named losses; `loss` is minimised, all are logged to `<name>.jsonl`.
    A checkpoint every CHECKPOINT_EVERY steps; a finished stage is only loaded.
    Raises FileNotFoundError: no steps are asked for and there is no checkpoint.
    """
    import copy

    import torch

    folder.mkdir(parents=True, exist_ok=True)
    average = copy.deepcopy(net).eval().requires_grad_(False)
    trained = [p for p in net.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=peak, betas=(0.9, 0.99), weight_decay=0.01, fused=True)
    path, step, spent = folder / f"{name}.pt", 0, 0.0
    if path.exists() or steps == 0:
        saved = torch.load(path, map_location=device, weights_only=True)
        net.load_state_dict(saved["net"])
        average.load_state_dict(saved["average"])
        optimiser.load_state_dict(saved["optimiser"])
        step, spent = saved["step"], saved["seconds"]
        forget_after(folder / f"{name}.jsonl", step)
    net.train()
    began = time.perf_counter()
    while step < steps:
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(step, steps, peak)
        generator = torch.Generator(device).manual_seed(seed * 1_000_003 + step)
        losses = loss_of(step, generator)
        losses["loss"].backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        step += 1
        decay = min(ema_decay, (1 + step) / (10 + step))
        follow(average, net, decay)
        if step % 20 == 0 or step == steps:
            row = {"step": step, "seconds": round(spent + time.perf_counter() - began, 1)}
            row |= {k: round(float(v.detach()), 5) for k, v in losses.items()}
            with (folder / f"{name}.jsonl").open("a") as log:
                log.write(json.dumps(row) + "\n")
        if step % CHECKPOINT_EVERY == 0 or step == steps:
            parts = {"net": net, "average": average, "optimiser": optimiser}
            save_checkpoint(path, parts, step, spent + time.perf_counter() - began)
    return average.eval()
