"""The family's instruments: what an image shows, and whether that is what its caption asked for."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.miniature.captions import parse
from bench.miniature.world import COLOURS, LAYOUTS, SHAPES, TEXTURES, Scene, Thing

WEIGHTS = Path(__file__).parent / "weights"
_COUNTS = {"empty": 0, "alone": 1, "row": 3}  # every other layout shows two objects
BATCH = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What the classifier sees in one image."""

    layout: str
    """one of LAYOUTS"""
    things: tuple[Thing, ...]
    """in canonical order: left, top or inner first; sizes are not read"""


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneAccuracy:
    """Answers per image, each (n,) bool."""

    objects: np.ndarray
    """the right shapes, each as often as asked"""
    colours: np.ndarray
    """the right colours, each as often as asked"""
    count: np.ndarray
    """the right number of objects"""
    relation: np.ndarray
    """the right arrangement, with the right object (shape and colour) in each place"""
    textures: np.ndarray
    """each object's texture as asked; not part of `all`"""

    @property
    def all(self) -> np.ndarray:
        """Objects, colours, count and relation right."""
        return self.objects & self.colours & self.count & self.relation


def weights_path() -> Path | None:
    """The folder of the shipped weights; None where they are not installed."""
    parts = ("classifier/model.safetensors", "clip/open_clip_model.safetensors")
    return WEIGHTS if all((WEIGHTS / part).is_file() for part in parts) else None


def load_classifier(device: str = "cpu"):
    """The shipped scene classifier, float32, eval mode. FileNotFoundError if the weights are missing."""
    from safetensors.torch import load_file

    from bench.miniature.classifier import SceneNet

    net = SceneNet()
    net.load_state_dict(
        {k: v.float() for k, v in load_file(WEIGHTS / "classifier/model.safetensors").items()}
    )
    return net.eval().requires_grad_(False).to(device)


def square(x):
    """(n, 3, h, w) to (n, 3, 64, 64), averaged over area where it is larger."""
    import torch.nn.functional as F

    if x.shape[-2:] == (64, 64):
        return x
    return F.interpolate(x, (64, 64), mode="bilinear", antialias=True, align_corners=False)


def as_tensor(images: np.ndarray):
    """(n, h, w, 3) uint8 to (n, 3, 64, 64) in -1..1. ValueError: another shape or type."""
    from bench.miniature.autoencoder import to_tensor

    if images.ndim != 4 or images.shape[-1] != 3 or images.dtype != np.uint8:
        raise ValueError(f"images must be (n, height, width, 3) uint8, not {images.shape} {images.dtype}")
    return square(to_tensor(np.ascontiguousarray(images)))


def pooled_features(images: np.ndarray, device: str = "cpu") -> np.ndarray:
    """Features for a Fréchet distance: (n, 128) float64 from (n, h, w, 3) uint8, resized to 64."""
    net = load_classifier(device)
    parts = as_tensor(images).split(BATCH)
    return np.concatenate([net.pooled(x.to(device)).double().cpu().numpy() for x in parts])


def look(x, device: str = "cpu", net=None) -> list[Seen]:
    """What each image of (n, 3, 64, 64) shows: the likeliest answers; the layout says how many objects."""
    net = net or load_classifier(device)
    seen = []
    for part in x.split(BATCH):
        answers = {name: logits.cpu().numpy() for name, logits in net(part.to(device)).items()}
        for row in range(len(part)):
            layout = LAYOUTS[int(answers["layout"][row].argmax())]
            things = tuple(
                Thing(
                    # The last class, "no object here", is the layout's to say.
                    shape=SHAPES[int(answers[f"shape{slot}"][row, :-1].argmax())],
                    colour=COLOURS[int(answers[f"colour{slot}"][row, :-1].argmax())],
                    texture=TEXTURES[int(answers[f"texture{slot}"][row, :-1].argmax())],
                )
                for slot in range(_COUNTS.get(layout, 2))
            )
            seen.append(Seen(layout=layout, things=things))
    return seen


def judge(asked: Scene, seen: Seen) -> tuple[bool, bool, bool, bool, bool]:
    """Objects, colours, count, relation, textures: is what is seen what was asked?"""
    want = [(t.shape, t.colour) for t in asked.things]
    have = [(t.shape, t.colour) for t in seen.things]
    layouts = (asked.relation,)
    if asked.relation == "same":  # two alike may stand side by side or one above the other
        layouts = ("row",) if len(want) == 3 else ("left_of", "above")
    return (
        Counter(shape for shape, _ in want) == Counter(shape for shape, _ in have),
        Counter(colour for _, colour in want) == Counter(colour for _, colour in have),
        len(want) == len(have),
        seen.layout in layouts and want == have,
        [t.texture for t in asked.things] == [t.texture for t in seen.things],
    )


def scene_accuracy(images: np.ndarray, captions: list[str], device: str = "cpu") -> SceneAccuracy:
    """Is each image what its caption asks for? images (n, h, w, 3) uint8, captions of the grammar.

    Raises ValueError: lengths differ, or a caption is not of the grammar.
    """
    if len(images) != len(captions):
        raise ValueError(f"{len(images)} images but {len(captions)} captions")
    answers = [
        judge(parse(text), seen) for text, seen in zip(captions, look(as_tensor(images), device), strict=True)
    ]
    columns = np.array(answers, bool).reshape(-1, 5).T
    return SceneAccuracy(
        objects=columns[0], colours=columns[1], count=columns[2], relation=columns[3], textures=columns[4]
    )
