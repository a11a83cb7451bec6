"""A pipeline that costs nothing: what is measured or broken with it is the harness alone."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from bench.records import Contender


@dataclass
class NullPipeline:
    size: int = 16
    calls: list[tuple[str, int]] = field(default_factory=list)
    """Each call of `denoise`: contender and batch."""
    starts: list[tuple[tuple[int, ...], float]] = field(default_factory=list)
    """Of pictures from pictures: the references' shape and the strength of each call."""
    poison: str = ""
    """A prompt with this in it fails alone and takes its batch with it."""
    fits: int = 0
    """A batch above this runs out of memory; 0: none does."""
    pause: float = 0.0
    """Seconds a batch."""

    def encode(self, texts: Sequence[str], contender: Contender) -> list[str]:
        return list(texts)

    def denoise(
        self,
        embeddings: list[str],
        seeds: Sequence[int],
        contender: Contender,
        on_step=None,
        references=None,
        strength=None,
    ):
        self.calls.append((contender.name, len(seeds)))
        if references is not None:
            self.starts.append((references.shape, strength))
        if self.fits and len(seeds) > self.fits:
            import torch

            raise torch.OutOfMemoryError("CUDA out of memory")
        if self.poison and any(self.poison in text for text in embeddings):
            raise RuntimeError("poisoned\nwith a second line")
        time.sleep(self.pause)
        for step in range(contender.steps or 0):
            if on_step:
                on_step(step)
        return list(zip(embeddings, seeds, strict=True))

    def memory_peak(self):
        return None

    def decode_later(self, latents):
        pixels = self.decode(latents)
        return lambda: pixels

    def decode(self, latents) -> np.ndarray:
        return np.stack(
            [
                np.random.Generator(np.random.PCG64(seed)).integers(
                    0, 256, (self.size, self.size, 3), np.uint8
                )
                for _, seed in latents
            ]
        )

    def close(self) -> None:
        pass


def load(model, *, pause: float = 0.0, poison: str = "", **settings) -> NullPipeline:
    """In the place of `bench.models.load.load`; can be pickled."""
    return NullPipeline(pause=pause, poison=poison)
