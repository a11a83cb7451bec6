"""Amused's scheduler with a generator an image: the library's takes one for the whole batch."""

from __future__ import annotations

from typing import Any

from diffusers import AmusedScheduler
from diffusers.schedulers.scheduling_amused import AmusedSchedulerOutput


class PerImageScheduler(AmusedScheduler):
    """Each image's tokens are drawn and masked with its own generator, so they depend on no neighbour."""

    def step(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, model_output: Any, timestep: Any, sample: Any, starting_mask_ratio: Any = 1,
        generator: Any = None, return_dict: bool = True,
    ) -> Any:  # fmt: skip
        """As the library's; `generator` is a list, one an image."""
        import torch

        rows = [
            AmusedScheduler.step(
                self,
                model_output[i : i + 1],
                timestep,
                sample[i : i + 1],
                starting_mask_ratio,
                one,
                return_dict=False,
            )
            for i, one in enumerate(generator)
        ]
        latents, originals = (torch.cat(parts) for parts in zip(*rows, strict=True))
        return AmusedSchedulerOutput(latents, originals) if return_dict else (latents, originals)

    def add_noise(self, sample: Any, timesteps: Any, generator: Any = None) -> Any:
        import torch

        return torch.cat(
            [
                AmusedScheduler.add_noise(self, sample[i : i + 1], timesteps, one)
                for i, one in enumerate(generator)
            ]
        )
