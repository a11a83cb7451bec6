"""One process's share of the work: a loaded model, and the threads that encode and write beside it.

The device is given the next batch before the pixels of the last one are fetched, and pictures are encoded
and written by other threads: on a GPU nothing of that is waited for. All calls of the pipeline come from one
thread, as CUDA graphs demand.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from bench import reference_pictures
from bench.models.table import Model
from bench.objects import ObjectFolder
from bench.plan import (
    Batch,
    Frozen,
    Options,
    Settle,
    Task,
    Unit,
    batches,
    chunk_of,
    dtype_of,
    seed_of,
    settings_of,
)
from bench.records import Contender, Failure, Generation, InputError, Prompt
from bench.store import StudyFolder, sha256
from bench.study import Study
from bench.webp import encode_webp

BLACK = 8
"""A picture whose brightest channel value is at most this (of 255) is black."""
MOST = 64
"""Pictures of 512 x 512 in the largest batch that `auto` tries, or as many pixels: Ctrl-C waits for a batch."""
BACKLOG = 3
"""Batches launched whose files are not all written yet: bounds memory where the disk is the slow part."""


class Pipeline(Protocol):
    """What generation and its timing need of `bench.models.staged.Pipeline`."""

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


class Images(Protocol):
    """Where pictures go."""

    def write_image(self, contender: str, prompt_id: str, replicate: int, data: bytes) -> None: ...


Loader = Callable[..., Pipeline]
Rows = list[Generation | Failure]
Emit = Callable[[Task, Any, bool], None]
"""(task, what came of it, whether that was all): a `Settled`, rows whose files are in place, or an exception."""
Submit = Callable[..., Future[Generation]]


class ShapeError(InputError):
    """The first batch of a model did not fit into the GPU's memory."""

    model: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """What a worker found out about a model."""

    shape: int
    threads: int | None
    """Of torch, on a CPU."""


@dataclass(slots=True)
class Open:
    """A unit some of whose batches are still on their way."""

    left: int


@dataclass(kw_only=True)
class Worker:
    """Performs tasks. `emit` is called from several threads, once with `last` for each task."""

    study: Study
    folder: StudyFolder | ObjectFolder
    options: Options
    device: str
    threads: int | None
    """Of torch where nothing is frozen yet; None: as they are."""
    load: Loader
    emit: Emit
    submit: Submit | None = None
    """Runs `write` elsewhere; None: in threads of this process."""
    writers: int = 4
    _maker: Maker | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self._fetcher = ThreadPoolExecutor(1, thread_name_prefix="fetch")
        self._writers = ThreadPoolExecutor(self.writers, thread_name_prefix="write")
        self._slots = threading.Semaphore(BACKLOG)
        self._lock = threading.Lock()
        self._fetched = 0.0

    def perform(self, task: Task) -> Iterator[None]:
        """Yields after each batch is launched, so that the caller can stop. Raises what cannot be mended here."""
        if isinstance(task, Settle):
            maker = self._hold(task.model, None)
            shape = maker.fitting_shape() if task.size == "auto" else int(task.size)
            self.emit(task, Settled(shape=shape, threads=_torch_threads()), True)
            return
        maker = self._hold(task.model, task.frozen)
        waiting = list(batches(self.study, task))
        unit = Open(left=len(waiting))
        embeddings = maker.encode(chunk_of(self.study, task), waiting[0].contender, task.frozen.shape)
        for batch in waiting:
            self._slots.acquire()
            try:
                self._launch(maker, task, unit, batch, embeddings)
            except BaseException:
                self._slots.release()
                raise
            yield

    def flush(self) -> None:
        """Wait until everything launched is written and told."""
        for _ in range(BACKLOG):
            self._slots.acquire()
        self._slots.release(BACKLOG)

    def close(self) -> None:
        for pool in (self._fetcher, self._writers):
            pool.shutdown(wait=True, cancel_futures=True)
        if self._maker is not None:
            self._maker.pipeline.close()
            self._maker = None

    def _hold(self, name: str, frozen: Frozen | None) -> Maker:
        """The model, loaded; whatever was loaded before it is dropped first."""
        if self._maker is None or self._maker.model.name != name:
            if self._maker is not None:
                self.flush()
                self._maker.pipeline.close()
                self._maker = None
            model = self.study.models[name]
            dtype = dtype_of(self.study, self.options)
            pipeline = self.load(model, device=self.device, dtype=dtype, optimize=self.options.optimize)
            self._maker = Maker(
                study=self.study, folder=self.folder, model=model, device=self.device, pipeline=pipeline
            )
        _set_torch_threads(frozen.threads if frozen else self.threads)
        return self._maker

    def _launch(self, maker: Maker, task: Unit, unit: Open, batch: Batch, embeddings: dict[str, Any]) -> None:
        began = time.perf_counter()
        pictures, failures = maker.make(batch, embeddings, task.frozen)
        fetched = self._fetcher.submit(_fetch, pictures)
        fetched.add_done_callback(
            lambda done: self._write_all(maker, task, unit, batch, embeddings, failures, began, done)
        )

    def _write_all(
        self, maker: Maker, task: Unit, unit: Open, batch: Batch, embeddings: dict[str, Any],
        failures: list[Failure], began: float, fetched: Future[dict[str, Any]],
    ) -> None:  # fmt: skip
        """In the fetching thread: the pixels are here, hand each picture to a writer."""
        if fetched.cancelled():
            return self._slots.release()
        try:
            pictures = fetched.result()
            now = time.perf_counter()
            seconds = (now - max(began, self._fetched)) / len(batch.prompts)
            self._fetched = now
            submit = self.submit or self._writers.submit
            writes = []
            for prompt in batch.prompts:
                if prompt.id in pictures and batch.key(prompt) in batch.wanted:
                    picture = pictures[prompt.id]
                    row = maker.row(batch, prompt, picture, embeddings[prompt.id], task.frozen, seconds)
                    writes.append(submit(write, self.folder, row, picture))
        except BaseException as error:  # in a thread of a pool: it is raised by whoever receives it
            return self._finish(task, unit, error)
        left = [len(writes)]

        def told(_: Future[Generation]) -> None:
            with self._lock:
                left[0] -= 1
                if left[0]:
                    return
            if any(done.cancelled() for done in writes):
                return self._slots.release()
            faults = [fault for done in writes if (fault := done.exception())]
            self._finish(task, unit, faults[0] if faults else [*failures, *(w.result() for w in writes)])

        if not writes:
            self._finish(task, unit, [*failures])
        for done in writes:
            done.add_done_callback(told)
        return None

    def _finish(self, task: Unit, unit: Open, value: Rows | BaseException) -> None:
        try:
            with self._lock:
                unit.left -= 1
                self.emit(task, value, unit.left == 0)
        finally:
            self._slots.release()


@dataclass(slots=True, kw_only=True)
class Maker:
    """One loaded pipeline: prompts → pictures at a fixed shape."""

    study: Study
    folder: StudyFolder | ObjectFolder
    model: Model
    device: str
    pipeline: Pipeline
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
        self, prompts: Sequence[Prompt], replicate: int, contender: Contender, embeddings: dict[str, Any],
        shape: int,
    ) -> Callable[[], Any]:  # fmt: skip
        """To be called for uint8 (n, h, w, 3) of n <= shape prompts of one strength, padded with the last, and cut."""
        padded = [*prompts, *[prompts[-1]] * (shape - len(prompts))]
        seeds = [seed_of(prompt.id, replicate) for prompt in padded]
        start: dict[str, Any] = {}
        if self.study.edits:
            assert isinstance(self.folder, StudyFolder)
            pictures = reference_pictures.pixels(self.folder, padded, contender.size)
            start = {"references": pictures, "strength": prompts[0].strength}
        latents = self.pipeline.denoise([embeddings[p.id] for p in padded], seeds, contender, **start)
        later = self.pipeline.decode_later(latents)
        return lambda: later()[: len(prompts)]

    def make(
        self, batch: Batch, embeddings: dict[str, Any], frozen: Frozen
    ) -> tuple[list[tuple[list[Prompt], Callable[[], Any]]], list[Failure]]:
        """Launches a batch: prompts with what to call for their pixels, and the prompts that failed."""
        good = [p for p in batch.prompts if not isinstance(embeddings[p.id], BaseException)]
        bad = [p for p in batch.prompts if p not in good and batch.key(p) in batch.wanted]
        failures = [_failure(batch, prompt, embeddings[prompt.id]) for prompt in bad]
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
                    failures.append(_failure(batch, prompt, alone))
        return made, failures

    def row(
        self, batch: Batch, prompt: Prompt, picture: Any, embedding: Any, frozen: Frozen, seconds: float
    ) -> Generation:
        """The picture's row, but for its file."""
        return Generation(
            contender=batch.contender.name,
            prompt_id=prompt.id,
            replicate=batch.replicate,
            seed=seed_of(prompt.id, batch.replicate),
            sha256="",
            width=picture.shape[1],
            height=picture.shape[0],
            bytes=0,
            seconds=round(seconds, 6),
            settings=settings_of(self.model, batch.contender, frozen),
            truncated=bool(getattr(embedding, "truncated", False)),
            black=int(picture.max()) <= BLACK,
        )

    def fitting_shape(self) -> int:
        """The shape for `--batch-size auto`: on a GPU the largest power of two that is seen to fit, up to MOST."""
        prompts = len(self.study.prompts)
        if not self.device.startswith("cuda"):
            return min(8 if self.model.size <= 128 else 1, prompts)
        # Memory does not depend on the number of steps; the widest guidance tells.
        contenders = [c for c in self.study.contenders if c.model == self.model.name]
        probe = max(contenders, key=lambda c: c.guidance or 0.0)
        if not self.model.recipes and probe.steps:
            probe = replace(probe, steps=min(probe.steps, 2))
        embedding = self.pipeline.encode(["a photograph"], probe)[0]
        most = max(1, min(MOST, MOST * 512**2 // probe.size**2))
        enough = 1 << (prompts - 1).bit_length()
        return self._largest(embedding, probe, min(1 << (most.bit_length() - 1), enough))

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
            f"--batch-size {fits} (where images of it were made before: in a study of another name)"
        )
        refused.model = self.model.name
        raise refused from error


def write(folder: Images, row: Generation, picture: Any) -> Generation:
    """Encode and store one picture; its row, now with the file's hash and size."""
    data = encode_webp(picture)
    folder.write_image(row.contender, row.prompt_id, row.replicate, data)
    return replace(row, sha256=sha256(data), bytes=len(data))


def _fetch(made: list[tuple[list[Prompt], Callable[[], Any]]]) -> dict[str, Any]:
    """Prompt id → uint8 (h, w, 3)."""
    return {p.id: picture for some, later in made for p, picture in zip(some, later(), strict=True)}


def _failure(batch: Batch, prompt: Prompt, error: BaseException) -> Failure:
    message = (str(error).strip().splitlines() or [""])[0][:500]
    return Failure(
        stage="generate",
        contender=batch.contender.name,
        prompt_id=prompt.id,
        replicate=batch.replicate,
        kind=type(error).__name__,
        message=message,
    )


def _torch_threads() -> int | None:
    """None where the pipeline has not loaded torch: nothing depends on them then."""
    torch = sys.modules.get("torch")
    return torch.get_num_threads() if torch else None


def _set_torch_threads(wanted: int | None) -> None:
    torch = sys.modules.get("torch")
    if torch and wanted is not None and torch.get_num_threads() != wanted:
        torch.set_num_threads(wanted)
