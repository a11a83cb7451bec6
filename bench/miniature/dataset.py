"""Training data of the miniature family: scenes, their labels and tokenised captions, cached on disk."""

from __future__ import annotations

import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.miniature import captions, world
from bench.miniature.tokens import encode, make_tokenizer

CAPTIONS_PER_SCENE = 4
PART = 1000
"""Scenes drawn from one seed: what they are does not depend on how many processes draw."""
SLOTS = 3
NOBODY = {"shape": len(world.SHAPES), "colour": len(world.COLOURS), "texture": len(world.TEXTURES)}
LABELS = ("layout", *(f"{kind}{slot}" for slot in range(SLOTS) for kind in NOBODY), "backdrop")


def label_sizes() -> dict[str, int]:
    """How many classes each label has; slots have one more for "no object here"."""
    sizes = {"layout": len(world.LAYOUTS), "backdrop": len(world.BACKDROPS)}
    for label in LABELS[1:-1]:
        sizes[label] = NOBODY[label[:-1]] + 1
    return sizes


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    """Scenes as arrays."""

    images: np.ndarray
    """(n, 64, 64, 3) uint8"""
    labels: np.ndarray
    """(n, len(LABELS)) int64, columns as LABELS"""
    tokens: np.ndarray
    """(n, CAPTIONS_PER_SCENE, 32) int64"""


def label_row(scene: world.Scene, layout: str) -> list[int]:
    """The classifier's targets for a drawn scene."""
    row = [world.LAYOUTS.index(layout)]
    for slot in range(SLOTS):
        if slot < len(scene.things):
            thing = scene.things[slot]
            row += [
                world.SHAPES.index(thing.shape),
                world.COLOURS.index(thing.colour),
                world.TEXTURES.index(thing.texture),
            ]
        else:
            row += list(NOBODY.values())
    assert scene.backdrop is not None
    return [*row, world.BACKDROPS.index(scene.backdrop.kind)]


def make(count: int, seed: int | tuple[int, int], held_out: bool = False) -> Data:
    """Draw `count` scenes, from the training combinations or from the held-out ones."""
    rng = np.random.default_rng(seed)
    tokenizer = make_tokenizer()
    images, labels, tokens = [], [], []
    for _ in range(count):
        scene = world.held_out_scene(rng) if held_out else world.training_scene(rng)
        image, layout = world.draw(scene, rng)
        images.append(image)
        labels.append(label_row(scene, layout))
        texts = [captions.describe(scene, rng) for _ in range(CAPTIONS_PER_SCENE)]
        tokens.append(encode(tokenizer, texts))
    return Data(images=np.stack(images), labels=np.array(labels, np.int64), tokens=np.stack(tokens))


def make_parts(count: int, seed: int, processes: int) -> Data:
    """`count` scenes, PART of them a seed (seed, number of the part), drawn by that many processes."""
    sizes = [min(PART, count - start) for start in range(0, count, PART)]
    seeds = [(seed, part) for part in range(len(sizes))]
    if min(processes, len(sizes)) < 2:
        parts = list(map(make, sizes, seeds))
    else:
        with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn")) as pool:
            parts = list(pool.map(make, sizes, seeds))
    images, labels, tokens = (
        np.concatenate([getattr(part, name) for part in parts]) for name in ("images", "labels", "tokens")
    )
    return Data(images=images, labels=labels, tokens=tokens)


def cached(folder: Path, count: int, seed: int) -> Data:
    """`make_parts` for training, by all processors, kept in `folder`."""
    names = ("images", "labels", "tokens")
    paths = [folder / f"data-{count}-{seed}-{name}.npy" for name in names]
    if not all(path.exists() for path in paths):
        folder.mkdir(parents=True, exist_ok=True)
        data = make_parts(count, seed, os.cpu_count() or 1)
        for path, array in zip(paths, (data.images, data.labels, data.tokens), strict=True):
            np.save(path.with_suffix(".tmp.npy"), array)
            path.with_suffix(".tmp.npy").rename(path)
    images, labels, tokens = (np.load(path) for path in paths)
    return Data(images=images, labels=labels, tokens=tokens)
