"""The loaded contenders of a live page, and one picture drawn by one of them."""

from __future__ import annotations

import io
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

from bench.errors import InputError
from bench.models.pipeline import Pipeline
from bench.models.registry import Model, contender, strength_problem
from bench.records import Contender

STEPS = (1, 2, 4)
"""What the switch on the page offers."""
LOSSLESS = 128
"""Longest side, pixels, up to which pictures are sent as PNG; larger ones as JPEG."""
QUALITY = 92


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What one picture is drawn from."""

    contender: Contender
    text: str
    seed: int
    reference: Any = None
    """uint8 (h, w, 3), a square; None: from the text alone."""
    strength: float | None = None
    """With a reference: above 0, which keeps it, to 1."""
    keep: bool = False
    """To be saved: PNG, with its settings in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    contender: str
    data: bytes
    kind: str
    """`image/png` or `image/jpeg`"""
    seconds: Mapping[str, float]
    """`encode`, `denoise`, `decode` (latents to `data`), and `began`, on the clock of time.perf_counter."""
    truncated: bool
    """The text was longer than the model reads."""


class Studio:
    """One or two contenders, loaded and warm. One thread draws for all requests: CUDA graphs belong to a thread."""

    def __init__(self, contenders: Sequence[Contender], pipelines: Mapping[str, Pipeline]) -> None:
        self.contenders = tuple(contenders)
        self.pipelines = pipelines
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="draw")

    def choose(self, number: int, steps: int | None) -> Contender:
        """Contender `number` at that many steps; at its own where None, or where its model has no such count."""
        own = self.contenders[number]
        if steps is None or steps not in self.pipelines[own.model].model.steps:
            return own
        model = self.pipelines[own.model].model
        return contender(f"{own.model}@{steps}", {own.model: model})

    def problem(self, asked: Asked) -> str:
        """Why this cannot be drawn, in one line; empty if it can."""
        if asked.reference is None:
            return ""
        model = self.pipelines[asked.contender.model].model
        return strength_problem(model, asked.contender, asked.strength or 0.0)

    def draw(self, asked: Asked) -> Drawn:
        """Text, and perhaps a reference, to the bytes of a picture; the device is waited for at every clock."""
        return self._thread.submit(self._draw, asked).result()

    def _draw(self, asked: Asked) -> Drawn:
        pipeline, who = self.pipelines[asked.contender.model], asked.contender
        start: dict[str, Any] = {}
        if asked.reference is not None:
            start = {"references": asked.reference[None], "strength": asked.strength}
        marks = [_now(pipeline)]
        embeddings = pipeline.encode([asked.text], who)
        marks.append(_now(pipeline))
        latents = pipeline.denoise(embeddings, [asked.seed], who, **start)
        marks.append(_now(pipeline))
        data, kind = _encoded(pipeline.decode(latents)[0], asked)
        marks.append(_now(pipeline))
        names = ("encode", "denoise", "decode")
        seconds = {name: b - a for name, a, b in zip(names, marks, marks[1:], strict=False)}
        return Drawn(
            contender=who.name,
            data=data,
            kind=kind,
            seconds={**seconds, "began": marks[0]},
            truncated=embeddings[0].truncated,
        )

    def warm_up(self, report: Callable[[str], None] = lambda line: None) -> None:
        """Every step count the switch can ask for, twice: compiled code and caches are there before the first key."""
        for number in range(len(self.contenders)):
            for who in dict.fromkeys(self.choose(number, steps) for steps in (None, *STEPS)):
                report(f"warming up {who.name}")
                for seed in (0, 1):
                    self.draw(Asked(contender=who, text="a red circle", seed=seed))

    def close(self) -> None:
        for pipeline in self.pipelines.values():
            self._thread.submit(pipeline.close).result()
        self._thread.shutdown()


def open_studio(
    names: Sequence[str],
    models: Mapping[str, Model],
    *,
    device: str,
    dtype: str | None = None,
    optimize: str = "none",
    weights: str = "pretrained",
) -> Studio:
    """Loads one or two contenders. Raises InputError: more, an imported one, or what `pipelines.load` refuses."""
    import torch

    from bench.models.load import load

    if not 1 <= len(names) <= 2:
        raise InputError(f"{len(names)} contenders: a page shows one, or two side by side")
    contenders = [contender(name, models) for name in names]
    if device == "cpu":  # one core is left to the server and, on the same machine, the browser
        torch.set_num_threads(max(1, min(torch.get_num_threads(), (os.cpu_count() or 2) - 1)))
    pipelines = {
        name: load(models[name], device=device, dtype=dtype, optimize=optimize, weights=weights)
        for name in dict.fromkeys(who.model for who in contenders)
    }
    return Studio(contenders, pipelines)


def _now(pipeline: Pipeline) -> float:
    pipeline.synchronize()
    return time.perf_counter()


def _encoded(pixels: Any, asked: Asked) -> tuple[bytes, str]:
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    picture, buffer = Image.fromarray(pixels), io.BytesIO()
    if asked.keep:
        about = PngInfo()
        about.add_itxt("parameters", json.dumps(settings_of(asked), ensure_ascii=False))
        picture.save(buffer, "PNG", pnginfo=about)
        return buffer.getvalue(), "image/png"
    if max(picture.size) <= LOSSLESS:
        picture.save(buffer, "PNG", compress_level=1)
        return buffer.getvalue(), "image/png"
    picture.save(buffer, "JPEG", quality=QUALITY, subsampling=0)
    return buffer.getvalue(), "image/jpeg"


def settings_of(asked: Asked) -> dict[str, Any]:
    """Everything needed to draw a saved picture again, but the reference's pixels."""
    from bench.store.study_folder import sha256

    reference = asked.reference
    return {
        "contender": asdict(asked.contender),
        "text": asked.text,
        "seed": asked.seed,
        "strength": None if reference is None else asked.strength,
        "reference_sha256": None if reference is None else sha256(reference.tobytes()),
    }
