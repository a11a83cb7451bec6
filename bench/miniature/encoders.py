"""The instruments as the extractors of `bench.metrics.features`: images and captions to rows of numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from bench.errors import InputError
from bench.miniature.captions import parse
from bench.miniature.instruments import WEIGHTS, load_classifier, look, square
from bench.miniature.world import COLOURS, LAYOUTS, SHAPES, Scene

NAMES = ("mini-clip", "mini-features", "mini-scene")
_SLOT = len(SHAPES) + len(COLOURS)
_COUNTS = 4  # none to three objects
_WIDTH = _COUNTS + len(LAYOUTS) + 3 * _SLOT


def encoder(name: str, device: str = "cpu") -> MiniClip | MiniFeatures | MiniScene:
    """The instrument of that name, loaded. ValueError: there is none."""
    if name not in NAMES:
        raise ValueError(f"no miniature instrument '{name}': there are {', '.join(NAMES)}")
    return {"mini-clip": MiniClip, "mini-features": MiniFeatures, "mini-scene": MiniScene}[name](device)


class _Pictures:
    """Every instrument reads 64x64 images in -1..1; larger ones are averaged down."""

    def prepare(self, image: Any) -> Any:
        import torch

        pixels = torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1).float().div(127.5).sub(1)
        return square(pixels[None])[0]


class MiniFeatures(_Pictures):
    """The classifier's pooled features, (n, 128)."""

    def __init__(self, device: str = "cpu") -> None:
        self.network, self.device = load_classifier(device), device

    def images(self, batch: Any) -> np.ndarray:
        import torch

        with torch.inference_mode():
            return self.network.pooled(batch.to(self.device)).float().cpu().numpy()

    def texts(self, captions: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        raise ValueError("mini-features has no text tower")


class MiniClip(_Pictures):
    """mini-clip: unit rows, so that a product of rows is a cosine."""

    def __init__(self, device: str = "cpu") -> None:
        import open_clip

        name = f"local-dir:{WEIGHTS / 'clip'}"
        self.network: Any = open_clip.create_model(name, device=device).eval()
        self.tokenizer, self.device = open_clip.get_tokenizer(name), device

    def images(self, batch: Any) -> np.ndarray:
        import torch

        with torch.inference_mode():
            return self.network.encode_image(batch.to(self.device), normalize=True).float().cpu().numpy()

    def texts(self, captions: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        import torch

        from bench.miniature.tokens import LENGTH, make_tokenizer

        with torch.inference_mode():
            tokens = self.tokenizer(list(captions)).to(self.device)
            rows = self.network.encode_text(tokens, normalize=True).float().cpu().numpy()
        cut = [len(ids) > LENGTH for ids in make_tokenizer()(list(captions))["input_ids"]]
        return rows, np.array(cut, bool)


class MiniScene(_Pictures):
    """What is seen as one-hot rows, what is asked as weights: their product is the share found."""

    def __init__(self, device: str = "cpu") -> None:
        self.network, self.device = load_classifier(device), device

    def images(self, batch: Any) -> np.ndarray:
        rows = []
        for seen in look(batch, self.device, self.network):
            row = np.zeros(_WIDTH, np.float32)
            row[len(seen.things)] = 1
            row[_COUNTS + LAYOUTS.index(seen.layout)] = 1
            for slot, thing in enumerate(seen.things):
                start = _COUNTS + len(LAYOUTS) + slot * _SLOT
                row[start + SHAPES.index(thing.shape)] = 1
                row[start + len(SHAPES) + COLOURS.index(thing.colour)] = 1
            rows.append(row)
        return np.stack(rows)

    def texts(self, captions: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """A caption outside the grammar asks for nothing that can be seen: InputError."""
        try:
            asked = [_asked(parse(text)) for text in captions]
        except ValueError as error:
            raise InputError(f"mini-scene reads the miniature world's captions alone: {error}") from None
        return np.stack(asked), np.zeros(len(captions), bool)


def _asked(scene: Scene) -> np.ndarray:
    """Equal weights on count, arrangement, and each object's shape and colour; they sum to one."""
    row = np.zeros(_WIDTH, np.float32)
    row[len(scene.things)] = 1
    layouts = (scene.relation,)
    if scene.relation == "same":
        layouts = ("row",) if len(scene.things) == 3 else ("left_of", "above")
    for layout in layouts:
        row[_COUNTS + LAYOUTS.index(layout)] = 1
    for slot, thing in enumerate(scene.things):
        start = _COUNTS + len(LAYOUTS) + slot * _SLOT
        row[start + SHAPES.index(thing.shape)] = 1
        row[start + len(SHAPES) + COLOURS.index(thing.colour)] = 1
    return row / (2 + 2 * len(scene.things))
