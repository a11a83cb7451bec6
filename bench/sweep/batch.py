"""One batch of a loaded pipeline: prompts to pixels at a fixed shape."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from bench.errors import InputError
from bench.models.registry import Model
from bench.records import Contender, Failure, Generation, Prompt
from bench.store.images import is_black
from bench.store.object_store import ObjectFolder
from bench.store.references import reference_pixels
from bench.store.study_folder import StudyFolder
from bench.study.study import Study
from bench.sweep.settings import Entry, Frozen, entry_of
from bench.sweep.work import Batch, seed_of

MOST = 64
"""Images of 512 x 512 in the largest batch that `auto` tries, or as many pixels: Ctrl-C waits for a batch."""


class Pipeline(Protocol):
    """What generation and its timing need of `bench.models.pipeline.Pipeline`."""

    def encode(self, texts: Sequence[str], contender: Contender) -> list[Any]: ...
    def denoise(
        self,
        embeddings: list[Any],
        seeds: Sequence[int],
        contender: Contender,
        *,
        references: Any = None,
        strength: float | None = None,
    ) -> Any: ...
    def decode_later(self, latents: Any) -> Callable[[], Any]: ...
    def memory_peak(self) -> int | None: ...
    def close(self) -> None: ...


class ShapeError(InputError):
    """The first batch of a model did not fit into the GPU's memory."""

    model: str = ""


@dataclass(slots=True, kw_only=True)
class Maker:
    """One loaded pipeline: prompts → images at a fixed shape."""

    study: Study
    folder: StudyFolder | ObjectFolder
    model: Model
    device: str
    pipeline: Pipeline
    here: Mapping[str, Any] = field(default_factory=dict)
    """Software and device of this process."""
    _entries: dict[tuple[str, Frozen], Entry] = field(default_factory=dict, init=False)
    _proven: bool = field(default=False, init=False)
    """A batch has gone through: a later out-of-memory is one prompt's failure."""

    def encode(self, prompts: Sequence[Prompt], contender: Contender, shape: int) -> dict[str, Any]:
        """Prompt id → embedding, encoded at the fixed shape; a prompt that fails holds its exception."""
        texts = [prompt.text for prompt in prompts]
        padded = [*texts, *[texts[-1]] * (shape - len(texts))]
        try:
            found = self.pipeline.encode(padded, contender)[: len(texts)]
        except (RuntimeError, ValueError, IndexError) as error:
            if isinstance(error, InputError):
                raise
            found = [self._encode_alone(text, contender, shape) for text in texts]
        return {prompt.id: value for prompt, value in zip(prompts, found, strict=True)}

    def _encode_alone(self, text: str, contender: Contender, shape: int) -> Any:
        try:
            return self.pipeline.encode([text] * shape, contender)[0]
        except (RuntimeError, ValueError, IndexError) as error:
            return error

    def pixels(
        self,
        prompts: Sequence[Prompt],
        replicate: int,
        contender: Contender,
        embeddings: dict[str, Any],
        shape: int,
    ) -> Callable[[], Any]:
        """To be called for uint8 (n, h, w, 3) of n <= shape prompts of one strength, padded with the last, and cut."""
        padded = [*prompts, *[prompts[-1]] * (shape - len(prompts))]
        seeds = [seed_of(prompt.id, replicate) for prompt in padded]
        start: dict[str, Any] = {}
        if self.study.edits:
            assert isinstance(self.folder, StudyFolder)
            images = reference_pixels(self.folder, padded, contender.size)
            start = {"references": images, "strength": prompts[0].strength}
        latents = self.pipeline.denoise([embeddings[p.id] for p in padded], seeds, contender, **start)
        later = self.pipeline.decode_later(latents)
        return lambda: later()[: len(prompts)]

    def make(
        self, batch: Batch, embeddings: dict[str, Any], frozen: Frozen
    ) -> tuple[list[tuple[list[Prompt], Callable[[], Any]]], list[Failure]]:
        """Launches a batch: prompts with what to call for their pixels, and the prompts that failed."""
        good = [p for p in batch.prompts if not isinstance(embeddings[p.id], BaseException)]
        bad = [p for p in batch.prompts if p not in good and batch.key(p) in batch.wanted]
        failures = [failure_row(batch, prompt, embeddings[prompt.id]) for prompt in bad]
        if not good:
            return [], failures
        args = (batch.replicate, batch.contender, embeddings, frozen.shape)
        try:
            made = [(good, self.pixels(good, *args))]
            self._proven = True
            return made, failures
        except (RuntimeError, ValueError, ArithmeticError) as error:
            if isinstance(error, InputError):
                raise
            self._refuse_shape(error, batch.contender, embeddings[good[0].id], frozen.shape)
        made = []
        for prompt in good:
            try:
                made.append(([prompt], self.pixels([prompt], *args)))
            except (RuntimeError, ValueError, ArithmeticError) as alone:
                if batch.key(prompt) in batch.wanted:
                    failures.append(failure_row(batch, prompt, alone))
        return made, failures

    def row(
        self, batch: Batch, prompt: Prompt, image: Any, embedding: Any, frozen: Frozen, seconds: float
    ) -> Generation:
        """The image's row, but for its file."""
        return Generation(
            contender=batch.contender.name,
            prompt_id=prompt.id,
            replicate=batch.replicate,
            seed=seed_of(prompt.id, batch.replicate),
            sha256="",
            width=image.shape[1],
            height=image.shape[0],
            bytes=0,
            seconds=round(seconds, 6),
            settings=self.entry(batch.contender, frozen).key,
            truncated=bool(getattr(embedding, "truncated", False)),
            black=is_black(image),
        )

    def entry(self, contender: Contender, frozen: Frozen) -> Entry:
        """What the settings of a row stand for."""
        key = (contender.name, frozen)
        if key not in self._entries:
            self._entries[key] = entry_of(self.model, contender, frozen, self.here)
        return self._entries[key]

    def fitting_shape(self) -> int:
        """The shape for `--batch-size auto`: on a GPU the largest power of two that is seen to fit, up to MOST. It does
        not depend on the number of prompts, so that a study may grow."""
        if not self.device.startswith("cuda"):
            return 8 if self.model.size <= 128 else 1
        probe = self._probe()
        embedding = self.pipeline.encode(["a photograph"], probe)[0]
        most = max(1, min(MOST, MOST * 512**2 // probe.size**2))
        return self._largest(embedding, probe, 1 << (most.bit_length() - 1))

    def _probe(self) -> Contender:
        """The model's contender of the widest guidance, with few steps: memory does not depend on their number."""
        contenders = [c for c in self.study.contenders if c.model == self.model.name]
        probe = max(contenders, key=lambda c: c.guidance or 0.0)
        if not self.model.recipes and probe.steps:
            probe = replace(probe, steps=min(probe.steps, 2))
        return probe

    def independent(self, shape: int) -> bool | None:
        """Whether images keep their bytes one slot further and beside another neighbour: two batches are compared.
        None where that cannot be seen, because they do not go through."""
        if shape == 1:
            return True
        texts = [f"{n} grey stones and a red door, seen from the left" for n in range(shape + 1)]
        try:
            first = self._trial(texts[:shape], range(shape))
            second = self._trial([texts[shape], *texts[: shape - 1]], [shape, *range(shape - 1)])
        except (RuntimeError, ValueError, ArithmeticError):
            return None
        return bool((first[:-1] == second[1:]).all())

    def _trial(self, texts: Sequence[str], seeds: Sequence[int]) -> Any:
        probe = self._probe()
        latents = self.pipeline.denoise(self.pipeline.encode(list(texts), probe), list(seeds), probe)
        return self.pipeline.decode_later(latents)()

    def _largest(self, embedding: Any, contender: Contender, shape: int) -> int:
        """The largest of shape, shape / 2, … that goes through; 1 is not tried."""
        import torch

        while shape > 1:
            try:
                latents = self.pipeline.denoise([embedding] * shape, list(range(shape)), contender)
                self.pipeline.decode_later(latents)()
                return shape
            except torch.OutOfMemoryError:
                torch.compiler.reset()  # graphs of this shape keep its memory
                torch.cuda.empty_cache()
                shape //= 2
        return shape

    def _refuse_shape(self, error: Exception, contender: Contender, embedding: Any, shape: int) -> None:
        """Out of memory at the first batch is the shape's fault, not a prompt's: say which shape would fit."""
        import torch

        if self._proven or shape == 1 or not isinstance(error, torch.OutOfMemoryError):
            return
        torch.cuda.empty_cache()
        fits = self._largest(embedding, contender, shape // 2)
        refused = ShapeError(
            f"'{contender.name}' runs out of GPU memory at batch size {shape}: {fits} would fit, run with "
            f"--batch-size {fits} (where images of it exist: with --replace, or in a study of another name)"
        )
        refused.model = self.model.name
        raise refused from error


def failure_row(batch: Batch, prompt: Prompt, error: BaseException) -> Failure:
    message = (str(error).strip().splitlines() or [""])[0][:500]
    return Failure(
        stage="generate",
        contender=batch.contender.name,
        prompt_id=prompt.id,
        replicate=batch.replicate,
        kind=type(error).__name__,
        message=message,
    )
