"""Amused's scheduler with a generator an image: the library's takes one for the whole batch."""

from __future__ import annotations

from typing import Any


def with_own_noise(scheduler: Any) -> Any:
    """The scheduler, taking a list of generators: an image's tokens depend on its own alone."""
    import torch
    from diffusers import AmusedScheduler
    from diffusers.schedulers.scheduling_amused import AmusedSchedulerOutput

    class PerImageScheduler(AmusedScheduler):
        def step(  # pyright: ignore[reportIncompatibleMethodOverride]
            self,
            model_output: Any,
            timestep: Any,
            sample: Any,
            starting_mask_ratio: Any = 1,
            generator: Any = None,
            return_dict: bool = True,
        ) -> Any:
            rows = [
                super(PerImageScheduler, self).step(
                    model_output[i : i + 1], timestep, sample[i : i + 1], starting_mask_ratio, one, False
                )
                for i, one in enumerate(generator)
            ]
            latents, originals = (torch.cat(parts) for parts in zip(*rows, strict=True))
            if not return_dict:
                return latents, originals
            return AmusedSchedulerOutput(latents, originals)  # pyright: ignore[reportArgumentType]

        def add_noise(self, sample: Any, timesteps: Any, generator: Any = None) -> Any:
            rows: list[Any] = [
                super(PerImageScheduler, self).add_noise(sample[i : i + 1], timesteps, one)
                for i, one in enumerate(generator)
            ]
            return torch.cat(rows)

    return PerImageScheduler.from_config(scheduler.config)
