"""Latents to pixels: beside the next batch on a GPU, in float32 only where that is needed, and copied to the host
without being waited for."""

from __future__ import annotations

import contextlib
import copy
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.models.families import FAMILIES, Family


@dataclass(frozen=True, slots=True, kw_only=True)
class Latents:
    tensor: Any
    """(n, …) on the device; pixels in [-1, 1] for models without a decoder."""
    size: int
    """Side of the image it will be, pixels."""


class NotFiniteError(ArithmeticError):
    """The decoder gave values that are not finite for some images of a batch: there are no pixels of these."""

    def __init__(self, rows: Sequence[int], pixels: np.ndarray) -> None:
        super().__init__("the decoder's values are not finite (an overflow): try another dtype")
        self.rows = tuple(rows)
        """Of the batch, 0-based."""
        self.pixels = pixels
        """uint8 (n, h, w, 3) of the whole batch; only the other rows mean anything."""


class Decoder:
    """The decoding part of a loaded pipeline; of a cascade, its last stage's."""

    def __init__(self, pipe: Any, family: Family, device: str, stages: Sequence[Any]) -> None:
        self.pipe: Any = stages[-1] if stages else pipe
        self.family = family
        self.device = device
        self.last_of_cascade = bool(stages)
        self._network = "vae" if stages else family.vae
        """Name of the part that decodes; empty: the pipeline works on pixels."""
        self.upcasts = 0
        """Batches that had to be decoded again in float32 (`--optimize exact` with float16)."""
        self.stream: Any = None
        """The CUDA stream that decodes; None until then."""
        self._full: Any = None
        """The decoder in float32, once float16 has overflowed."""
        self._lock = threading.Lock()

    def start(self, latents: Latents) -> Callable[[], np.ndarray]:
        """Starts decoding. What comes back waits for the pixels, uint8 (n, h, w, 3), from any thread: on a GPU
        the next batch can be launched first, and is computed beside it.

        Raises NotFiniteError, when it is waited for: images whose values overflowed have no pixels.
        """
        import torch

        vae = self._upcast()
        checked = vae is not None and vae.dtype == torch.float16 and getattr(vae, "half_is_safe", False)
        with torch.inference_mode(), self.beside(latents.tensor):
            decoded = self._decoded(self.pipe, latents)
            finite = fetched(finite_rows(decoded))
            pixels = fetched(to_bytes(decoded))

        def wait() -> np.ndarray:
            if finite().all():
                return pixels()
            if checked:
                return self._again(latents)
            raise NotFiniteError(np.flatnonzero(~finite()).tolist(), pixels())

        return wait

    def join(self) -> None:
        """What is launched from here on runs after all decoding."""
        if self.stream is not None:
            import torch

            torch.cuda.current_stream(self.device).wait_stream(self.stream)

    def close(self) -> None:
        self.pipe = self._full = self.stream = None

    def _decoded(self, pipe: Any, latents: Latents) -> Any:
        if self.last_of_cascade and getattr(pipe, "vae", None) is not None:
            return FAMILIES["StableDiffusionPipeline"].decode(pipe, latents.tensor, latents.size)
        return self.family.decode(pipe, latents.tensor, latents.size)

    def _upcast(self) -> Any:
        """The network that decodes, in float32 where diffusers has it so: it overflows in float16."""
        import torch

        vae: Any = getattr(self.pipe, self._network, None) if self._network else None
        wanted = self.last_of_cascade or self.family.upcast
        if vae is None:
            return None
        half = vae.dtype == torch.float16 and vae.config.get("force_upcast")
        if wanted and half and not getattr(vae, "half_is_safe", False):
            vae.to(torch.float32)
        return vae

    def _again(self, latents: Latents) -> np.ndarray:
        """What overflowed, in float32: on a copy, for other threads use the decoder meanwhile."""
        import torch

        with self._lock, torch.inference_mode():
            self.upcasts += 1
            if self._full is None:
                name = self._network
                self._full = copy.copy(self.pipe)
                setattr(self._full, name, copy.deepcopy(getattr(self.pipe, name)).float())
            decoded = self._decoded(self._full, latents)
            finite, pixels = finite_rows(decoded).cpu().numpy(), fetched(to_bytes(decoded))()
        if not finite.all():
            raise NotFiniteError(np.flatnonzero(~finite).tolist(), pixels)
        return pixels

    @contextlib.contextmanager
    def beside(self, tensor: Any) -> Iterator[None]:
        """On a GPU, in a stream of its own: while the host waits for a step of the next batch, as schedulers
        make it, the GPU has this to do.
        """
        import torch

        if not self.device.startswith("cuda"):
            yield
            return
        if self.stream is None:
            self.stream = torch.cuda.Stream(self.device)
        self.stream.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(self.stream):
            yield
        if tensor is not None:
            tensor.record_stream(self.stream)


def finite_rows(pixels: Any) -> Any:
    """(n, …) → bool (n): whether all values of an image are finite."""
    import torch

    return torch.isfinite(pixels).flatten(1).all(1)


def to_bytes(pixels: Any) -> Any:
    """(n, 3, h, w) in [-1, 1] → uint8 (n, h, w, 3)."""
    import torch

    pixels = (pixels.float() / 2 + 0.5).clamp(0, 1).mul(255).round().to(torch.uint8)
    return pixels.permute(0, 2, 3, 1).contiguous()


def fetched(tensor: Any) -> Callable[[], np.ndarray]:
    """Starts the copy to the host; what comes back waits for it, from any thread."""
    import torch

    if tensor.device.type != "cuda":
        return tensor.numpy
    host = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
    host.copy_(tensor, non_blocking=True)
    copied = torch.cuda.Event()
    copied.record(torch.cuda.current_stream(tensor.device))  # of its GPU, whichever is this thread's own

    def wait() -> np.ndarray:
        copied.synchronize()
        return host.numpy()

    return wait
