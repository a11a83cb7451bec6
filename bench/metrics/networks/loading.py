"""A located extractor to a network that is ready: an image, a caption or a pair in, a row of numbers out."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any, Protocol

from bench.errors import InputError
from bench.metrics.feature_rows import Array
from bench.metrics.networks.asking import QuestionFile, Reader, WholeCaption
from bench.metrics.questions import FORMS
from bench.metrics.weights import Located


class Encoder(Protocol):
    """A loaded extractor of images and captions apart."""

    def prepare(self, image: Any) -> Any:
        """A PIL RGB image to a float tensor (3, h, w), all of one size; runs in threads."""
        ...

    def images(self, batch: Any) -> Array:
        """(n, 3, h, w) to (n, d) float32."""
        ...

    def texts(self, captions: Sequence[str]) -> tuple[Array, Array]:
        """(n, d) float32 and (n,) bool: longer than the text tower, cut on the right, end token kept."""
        ...


class Judge(Protocol):
    """A loaded extractor that reads an image together with something else (`Extractor.joint`).

    One with `alone = True` reads its pairs one by one, as lists: the shape of a batch decides none of its numbers.
    """

    def prepare(self, image: Any) -> Any:
        """As of `Encoder`."""
        ...

    def pairs(self, batch: Any, partners: Sequence[Any]) -> tuple[Array, Array]:
        """(n, 3, h, w) and n captions or prepared images to (n,) float32 and (n,) bool: caption cut."""
        ...


def load(located: Located, device: str = "cpu") -> Any:
    """The network, ready on a device: an `Encoder`, or a `Judge` where the extractor is joint."""
    if located.open is not None:
        return located.open(device)
    from bench.metrics.networks import clip, inception, judges, perceptual, qwen_vl

    kind, path = located.extractor.kind, located.path
    if kind == "inception":
        return inception.Inception(path, mode=located.extractor.resize.partition(":")[0], device=device)
    if kind in ("open_clip", "tiny-clip"):
        return clip.OpenClip(located, device)
    if kind == "transformers-clip":
        return clip.TransformersClip(path, device)
    if kind == "aesthetic":
        return clip.Aesthetic(located, device)
    if kind == "dinov2":
        return perceptual.DinoV2(path, device)
    if kind == "lpips":
        return perceptual.Lpips(path, device)
    if kind == "image-reward":
        return judges.ImageReward(path, device)
    if kind == "instructblip":
        return judges.InstructBlip(path, located.extractor.captions, device)
    if kind == "hps-v3":
        return qwen_vl.HpsV3(path, located.extractor.base, device)
    if kind in ("clip-flan-t5", "qwen-vl"):
        return _asking(located, device)
    return importlib.import_module("bench.miniature.encoders").encoder(located.name, device)


def reader(located: Located, device: str = "cpu") -> Reader:
    """A vision-language model, ready to be asked."""
    from bench.metrics.networks import clip_flan_t5, qwen_vl

    if located.extractor.kind == "clip-flan-t5":
        return clip_flan_t5.ClipFlanT5(located.path, located.extractor.base, device)
    return qwen_vl.QwenReader(located.path, device)


def _asking(located: Located, device: str) -> Judge:
    """A reader with what it is asked. Raises InputError: it asks the questions of a file, and has none."""
    entry = located.extractor
    if not entry.questions:
        return WholeCaption(reader(located, device), entry.captions, entry.answers)
    if located.questions is None:
        raise InputError(
            f"extractor '{located.name}' asks the questions of a file: name it in [metrics] questions"
        )
    form = FORMS[entry.questions]
    return QuestionFile(reader(located, device), form, form.read(located.questions))
