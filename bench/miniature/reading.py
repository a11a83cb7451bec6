"""Stage `text`: the two text encoders learn to read captions, then are frozen, as SDXL's are.

A denoiser that learns its language along with its drawing spends most of its steps on the language. Here every
encoder must say, through linear heads, what a caption asks for: relation, each object's shape, colour, texture
and size, and the background.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from bench.miniature import captions, world
from bench.miniature.diffusion import WIDTH, TextEncoders
from bench.miniature.loop import batch_indices, onto, train_stage
from bench.miniature.tokens import encode, make_tokenizer

SLOTS = 3
_TINTS = (*world.TINTS, *world.GROUNDS)
_ANSWERS: tuple[tuple[str, tuple[Any, ...]], ...] = (
    ("relation", world.RELATIONS),
    ("count", (1, 2, 3)),
    *(
        (f"{kind}{slot}", (None, *values))
        for slot in range(SLOTS)
        for kind, values in (
            ("shape", world.SHAPES),
            ("colour", world.COLOURS),
            ("texture", world.TEXTURES),
            ("size", world.SIZES),
        )
    ),
    ("backdrop", (None, *world.BACKDROPS)),
    ("tint0", (None, *_TINTS)),
    ("tint1", (None, *_TINTS)),
)
"""What is asked of a caption: a name and the possible answers; None: the caption does not say."""


def answers(scene: world.Scene) -> list[int]:
    """The right answers for a parsed caption, as places in _ANSWERS."""
    things, backdrop = scene.things, scene.backdrop
    names = backdrop.names if backdrop else ()
    said: dict[str, Any] = {"relation": scene.relation, "count": len(things)}
    for slot in range(SLOTS):
        for kind in ("shape", "colour", "texture", "size"):
            said[f"{kind}{slot}"] = getattr(things[slot], kind) if slot < len(things) else None
    said["backdrop"] = backdrop.kind if backdrop else None
    for i in range(2):
        said[f"tint{i}"] = names[i] if i < len(names) else None
    return [values.index(said[name]) for name, values in _ANSWERS]


def lessons(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Captions of training scenes: tokens (count, 32) and right answers (count, questions), int64."""
    rng = np.random.default_rng(seed)
    texts = [captions.describe(world.training_scene(rng), rng) for _ in range(count)]
    right = np.array([answers(captions.parse(text)) for text in texts], np.int64)
    return encode(make_tokenizer(), texts), right


class Reader(nn.Module):
    """Both encoders and the heads that question them: on what the denoiser will read, at the last place."""

    def __init__(self) -> None:
        super().__init__()
        self.encoders = TextEncoders()
        questions = sum(len(values) for _, values in _ANSWERS)
        self.heads = nn.ModuleList(nn.Linear(WIDTH, questions) for _ in range(3))

    def forward(self, tokens: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """(n, questions) logits of the first encoder, the second, and the pooled embedding."""
        hidden, pooled = self.encoders(tokens)
        last = hidden[:, -1]
        parts = (last[:, :WIDTH], last[:, WIDTH:], pooled)
        return tuple(head(part) for head, part in zip(self.heads, parts, strict=True))


def train(
    folder: Path, *, captions_seen: int, steps: int, batch: int, seed: int, device: str
) -> TextEncoders:
    """Cross-entropy of every answer of every head; the heads are thrown away."""
    torch.manual_seed(seed)
    net = Reader().to(device)
    tokens, right = lessons(captions_seen, seed)
    sizes = [len(values) for _, values in _ANSWERS]

    def loss_of(step: int, generator: torch.Generator) -> dict[str, torch.Tensor]:
        index = batch_indices(step, batch, len(tokens), seed)
        target = onto(right[index], device)
        loss, correct = torch.zeros((), device=device), torch.ones(batch, dtype=torch.bool, device=device)
        for logits in net(onto(tokens[index], device)):
            for i, part in enumerate(logits.split(sizes, 1)):
                loss = loss + F.cross_entropy(part, target[:, i])
                correct &= part.detach().argmax(1) == target[:, i]
        return {"loss": loss / 3, "all_right": correct.float().mean()}

    done = train_stage("text", folder, net, loss_of, steps=steps, peak=2e-3, seed=seed, device=device)
    return done.encoders  # type: ignore[return-value]
