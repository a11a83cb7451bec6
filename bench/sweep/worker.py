"""One process's share of the work: a loaded model, and the threads that encode and write beside it.

The device is given the next batch before the pixels of the last one are fetched, and images are encoded
and written by other threads: on a GPU nothing of that is waited for. All calls of the pipeline come from one
thread, as CUDA graphs demand.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from bench.errors import InputError
from bench.models.decoding import NotFiniteError
from bench.models.registry import Model
from bench.records import Failure, Generation, Prompt
from bench.store.images import encode_webp
from bench.store.object_store import ObjectFolder
from bench.store.study_folder import StudyFolder, sha256
from bench.study.study import Study
from bench.sweep.batch import Maker, Pipeline, failure_row
from bench.sweep.settings import Frozen, Options, Settled, dtype_of, environment
from bench.sweep.work import Batch, Settle, Task, Unit, batches
from bench.sweep.workers import Pulse

LOAD_SECONDS = 1800.0
"""A worker that loads, compiles or probes may be silent for so long before it is taken for hung."""
BATCH_SECONDS = 600.0
"""The same while it generates or writes, or twenty times its longest batch."""
BACKLOG = 3
"""Batches launched whose files are not all written yet: bounds memory where the disk is the slow part."""


class Images(Protocol):
    """Where images go."""

    def write_image(self, contender: str, prompt_id: str, replicate: int, data: bytes) -> bytes: ...


Loader = Callable[..., Pipeline]
Rows = list[Generation | Failure]
Emit = Callable[[Task, Any, bool], None]
"""(task, what came of it, whether that was all): a `Settled`, a `SetAside`, an `Entry`, rows whose files are in place,
or an exception."""
Submit = Callable[..., Future[Generation]]


@dataclass(frozen=True, slots=True, kw_only=True)
class SetAside:
    """A model that cannot be used: the others are finished without it."""

    model: str
    message: str
    """What is wrong, and the cure."""
    kind: str = "load"


class LoadError(Exception):
    def __init__(self, set_aside: SetAside) -> None:
        super().__init__(set_aside.message)
        self.set_aside = set_aside


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
    _failed: dict[str, SetAside] = field(default_factory=dict, init=False)
    """Models that this process could not load."""
    _announced: set[str] = field(default_factory=set, init=False)
    """Settings whose entry was emitted."""
    _stage: tuple[str, float, float] = field(default=("waiting", 0.0, LOAD_SECONDS), init=False)
    """What it does, when that last made progress, and how many seconds of silence it may have."""
    _longest: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        self._fetcher = ThreadPoolExecutor(1, thread_name_prefix="fetch")
        self._writers = ThreadPoolExecutor(self.writers, thread_name_prefix="write")
        self._slots = threading.Semaphore(BACKLOG)
        self._lock = threading.Lock()
        self._fetched = 0.0

    def pulse(self) -> Pulse:
        stage, since, limit = self._stage
        idle = time.monotonic() - since
        return Pulse(stage=stage, idle=idle, limit=limit * self.options.patience, longest=self._longest)

    def _enter(self, stage: str, limit: float) -> None:
        self._stage = (stage, time.monotonic(), limit)

    def perform(self, task: Task) -> Iterator[None]:
        """Yields after each batch is launched, so that the caller can stop. A model that cannot be loaded is emitted as
        `SetAside`. Raises what cannot be repaired here."""
        try:
            maker = self._hold(task.model, None if isinstance(task, Settle) else task.frozen)
        except LoadError as error:
            self.emit(task, error.set_aside, True)
            return
        if isinstance(task, Settle):
            self._enter(f"choosing the batch size of {task.model}", LOAD_SECONDS)
            shape = maker.fitting_shape() if task.size == "auto" else int(task.size)
            independent = maker.independent(shape)
            found = Settled(shape=shape, threads=_torch_threads(), independent=independent)
            self.emit(task, found, True)
            return
        waiting = list(batches(self.study, task))
        unit = Open(left=len(waiting))
        self._enter(f"encoding prompts for {task.model}", LOAD_SECONDS)
        embeddings = maker.encode(task.prompts, waiting[0].contender, task.frozen.shape)
        for batch in waiting:
            self._slots.acquire()
            try:
                self._announce(maker, task, batch)
                limit = max(BATCH_SECONDS, 20 * self._longest) if self._longest else LOAD_SECONDS
                self._enter(f"generating {batch.contender.name}", limit)
                self._launch(maker, task, unit, batch, embeddings)
            except BaseException:
                self._slots.release()
                raise
            yield
        self._enter(f"writing images of {task.model}", BATCH_SECONDS)

    def _announce(self, maker: Maker, task: Unit, batch: Batch) -> None:
        """Emit what the settings of the rows to come stand for, once."""
        entry = maker.entry(batch.contender, task.frozen)
        if entry.key not in self._announced:
            self._announced.add(entry.key)
            self.emit(task, entry, False)

    def flush(self) -> None:
        """Wait until everything launched is written and reported."""
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
            pipeline = self._loaded(model)
            self._maker = Maker(
                study=self.study,
                folder=self.folder,
                model=model,
                device=self.device,
                pipeline=pipeline,
                here=environment(self.device),
            )
        _set_torch_threads(frozen.threads if frozen else self.threads)
        return self._maker

    def _loaded(self, model: Model) -> Pipeline:
        """Raises LoadError where its files, or what it needs of the machine, are at fault; bugs as they are."""
        if model.name in self._failed:
            raise LoadError(self._failed[model.name])
        self._enter(f"loading {model.name}", LOAD_SECONDS)
        dtype = dtype_of(self.study, self.options)
        try:
            return self.load(model, device=self.device, dtype=dtype, optimize=self.options.optimize)
        except Exception as error:
            if not _is_damage(error):
                raise
            self._failed[model.name] = SetAside(model=model.name, message=_message(model.name, error))
            raise LoadError(self._failed[model.name]) from error

    def _launch(self, maker: Maker, task: Unit, unit: Open, batch: Batch, embeddings: dict[str, Any]) -> None:
        began = time.perf_counter()
        images, failures = maker.make(batch, embeddings, task.frozen)
        fetched = self._fetcher.submit(_fetch, images)
        fetched.add_done_callback(
            lambda done: self._write_all(maker, task, unit, batch, embeddings, failures, began, done)
        )

    def _write_all(
        self, maker: Maker, task: Unit, unit: Open, batch: Batch, embeddings: dict[str, Any],
        failures: list[Failure], began: float, fetched: Future[dict[str, Any]],
    ) -> None:  # fmt: skip
        """In the fetching thread: the pixels are here, hand each image to a writer."""
        if fetched.cancelled():
            return self._slots.release()
        try:
            images = fetched.result()
            now = time.perf_counter()
            seconds = (now - max(began, self._fetched)) / len(batch.prompts)
            self._longest = max(self._longest, now - max(began, self._fetched))
            self._fetched = now
            submit = self.submit or self._writers.submit
            writes = []
            for prompt in batch.prompts:
                if prompt.id in images and batch.key(prompt) in batch.wanted:
                    image = images[prompt.id]
                    if isinstance(image, NotFiniteError):
                        failures.append(failure_row(batch, prompt, image))
                        continue
                    row = maker.row(batch, prompt, image, embeddings[prompt.id], task.frozen, seconds)
                    writes.append(submit(write, self.folder, row, image))
        except BaseException as error:  # in a thread of a pool: it is raised by whoever receives it
            return self._finish(task, unit, error)
        left = [len(writes)]

        def report(_: Future[Generation]) -> None:
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
            done.add_done_callback(report)
        return None

    def _finish(self, task: Unit, unit: Open, value: Rows | BaseException) -> None:
        try:
            with self._lock:
                unit.left -= 1
                self.emit(task, value, unit.left == 0)
        finally:
            self._slots.release()


def write(folder: Images, row: Generation, image: Any) -> Generation:
    """Encode and store one image; its row, now with the file's hash and size.

    In an object store an image that another process created first stays; its row then names no settings, where its
    bytes are not those that were to be written.
    """
    data = encode_webp(image)
    kept = folder.write_image(row.contender, row.prompt_id, row.replicate, data)
    settings = row.settings if kept == data else ""
    return replace(row, sha256=sha256(kept), bytes=len(kept), settings=settings)


def _is_damage(error: BaseException) -> bool:
    """Whether loading failed for the model's files or the machine's means, and not for a bug of ours."""
    names = {kind.__name__ for kind in type(error).__mro__}
    return isinstance(error, OSError | RuntimeError | ValueError | EOFError | MemoryError) or bool(
        names & {"SafetensorError", "UnpicklingError"}
    )


def _message(model: str, error: BaseException) -> str:
    if isinstance(error, InputError):
        return str(error)
    reason = (str(error).strip().splitlines() or [""])[0][:300]
    if (
        isinstance(error, MemoryError)
        or "out of memory" in reason.lower()
        or "can't allocate memory" in reason
    ):
        return (
            f"model '{model}' does not fit into the memory that is free here: fewer workers (--processes N, --gpus N), "
            f"a smaller dtype, or a larger machine; `bench doctor` says what it takes"
        )
    return (
        f"model '{model}' cannot be loaded ({type(error).__name__}: {reason}): copy its files again, or remove them "
        f"and run `bench fetch`"
    )


def _fetch(made: list[tuple[list[Prompt], Callable[[], Any]]]) -> dict[str, Any]:
    """Prompt id → uint8 (h, w, 3), or the exception of an image that has no pixels."""
    images: dict[str, Any] = {}
    for prompts, later in made:
        try:
            images |= {p.id: pixels for p, pixels in zip(prompts, later(), strict=True)}
        except NotFiniteError as error:
            images |= {p.id: pixels for p, pixels in zip(prompts, error.pixels, strict=False)}
            images |= {prompts[row].id: error for row in error.rows if row < len(prompts)}
    return images


def _torch_threads() -> int | None:
    """None where the pipeline has not loaded torch: nothing depends on them then."""
    torch = sys.modules.get("torch")
    return torch.get_num_threads() if torch else None


def _set_torch_threads(wanted: int | None) -> None:
    torch = sys.modules.get("torch")
    if torch and wanted is not None and torch.get_num_threads() != wanted:
        torch.set_num_threads(wanted)
