"""Contenders × prompts → images: same noise for every contender, a fixed batch shape, resumable at any instant.

The prompts of a study are cut into chunks of the batch shape once and for all. A chunk of one model is the
unit of work: its prompts are encoded once and serve every contender and replicate of that model. A batch
always holds the same prompts in the same slots, however often the work was interrupted, so its bytes are the
same too.
"""

from __future__ import annotations

import hashlib
import io
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from bench import reference_pictures
from bench.models import Model
from bench.records import Contender, Failure, Generation, InputError, Prompt, settings_hash
from bench.store import Key, StudyFolder, sha256, write_bytes
from bench.study import Study

BLACK = 8
"""A picture whose brightest channel value is at most this (of 255) is black."""
WRITERS = 2
"""Threads that encode and write beside the device's work."""


class Pipeline(Protocol):
    """What generation needs of `bench.pipelines.Pipeline`."""

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
    def decode(self, latents: Any) -> Any: ...
    def close(self) -> None: ...


Loader = Callable[..., Pipeline]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line decides; everything that changes pixels ends in the settings hash."""

    device: str = "auto"
    dtype: str | None = None
    batch_size: int | str | None = None
    """None: the study's."""
    optimize: str = "none"
    limit: int | None = None
    """Only the first prompts of the study."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Frozen:
    """What one model's images of this folder are made with; written before the first image, then held to."""

    shape: int
    """Images a forward; a short batch is padded to it."""
    device: str
    """`cpu` or `cuda`."""
    dtype: str
    optimize: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """The smallest piece that is handed out: one chunk of prompts through every contender of one model."""

    model: str
    chunk: int
    """0-based."""
    keys: frozenset[Key]
    """Images still to be made."""


@dataclass(slots=True)
class Summary:
    """What a call did."""

    made: int = 0
    kept: int = 0
    failed: int = 0
    black: int = 0
    truncated: int = 0
    seconds: float = 0.0
    stopped: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """One call of the pipeline: the prompts in its slots, of which some are still wanted."""

    contender: Contender
    prompts: tuple[Prompt, ...]
    replicate: int
    strength: float | None
    """Of all its prompts, in an image-to-image study."""
    wanted: frozenset[Key]

    def key(self, prompt: Prompt) -> Key:
        return (self.contender.name, prompt.id, self.replicate)


def seed_of(prompt_id: str, replicate: int) -> int:
    """The 63-bit seed of an image: a stable hash of prompt id and replicate, the same for every contender."""
    digest = hashlib.sha256(f"{prompt_id}\0{replicate}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def generate(
    study: Study,
    folder: StudyFolder,
    options: Options,
    *,
    load: Loader,
    progress: Callable[[str, int, int], None] = lambda contender, done, total: None,
    stop: Callable[[], bool] = lambda: False,
) -> Summary:
    """Make every image of the study that is not there yet. The caller holds the folder's lock.

    `progress(contender, images done of it, images of it)`; `stop()` is asked between batches.
    Raises InputError for what the user can mend; a prompt that fails is a row in failures.jsonl.
    """
    began = time.perf_counter()
    summary = Summary()

    def halted() -> bool:
        summary.stopped = summary.stopped or stop()
        return summary.stopped

    device = resolve_device(study, options.device)
    done = intact(folder)
    totals, counts = _tally(study, options, done)
    summary.kept = sum(counts.values())
    for name, model in study.models.items():
        if model.kind == "imported" or summary.stopped:
            continue
        contenders = [c for c in study.contenders if c.model == name]
        if all(counts[c.name] >= totals[c.name] for c in contenders):
            continue
        pipeline = load(model, device=device, dtype=_dtype(study, options), optimize=options.optimize)
        try:
            frozen = freeze(study, folder, model, contenders, pipeline, device, options)
            work = Worker(study=study, folder=folder, model=model, frozen=frozen, pipeline=pipeline)
            for unit in units(study, model, frozen.shape, done, options.limit):
                for rows in work.run(unit, halted):
                    _record(folder, rows, summary)
                    for row in rows:
                        counts[row.contender] += 1
                        progress(row.contender, counts[row.contender], totals[row.contender])
                if halted():
                    break
        finally:
            pipeline.close()
    summary.seconds = time.perf_counter() - began
    return summary


def intact(folder: StudyFolder) -> set[Key]:
    """Images with a row and a file of the right size: a scan, no file is opened."""
    rows = folder.generations()
    sizes: dict[tuple[str, str], int] = {}
    for contender in {row.contender for row in rows.values()}:
        place = folder.path / "images" / contender
        if place.is_dir():
            sizes.update({(contender, p.name): p.stat().st_size for p in place.iterdir()})
    return {key for key, row in rows.items() if sizes.get((key[0], f"{key[1]}-{key[2]}.webp")) == row.bytes}


def resolve_device(study: Study, asked: str) -> str:
    """`auto` → `cuda` where there is one, else `cpu`. Raises InputError where the study or user demands a GPU."""
    import torch

    here = torch.cuda.is_available()
    if study.file.generate.device == "cuda" and not here and asked in ("auto", "cuda"):
        raise InputError(
            f"study '{study.name}' asks for a GPU and there is none here: run it on a GPU node, or with "
            f"--device cpu (slow, and another protocol)"
        )
    if asked == "auto":
        return "cuda" if here and study.file.generate.device != "cpu" else "cpu"
    if asked.startswith("cuda") and not here:
        raise InputError(f"--device {asked}: torch sees no GPU here; use --device cpu")
    return asked


def freeze(
    study: Study,
    folder: StudyFolder,
    model: Model,
    contenders: Sequence[Contender],
    pipeline: Pipeline,
    device: str,
    options: Options,
) -> Frozen:
    """Settle batch shape, dtype and device of a model before its first image; hold later runs to them."""
    plan: dict[str, Any] = folder.read_json("plan.json") or {}
    kind = device.partition(":")[0]
    dtype = _dtype(study, options) or (model.dtype if kind == "cuda" else "float32")
    size = options.batch_size or study.file.generate.batch_size
    if model.name in plan:
        frozen = Frozen(**plan[model.name])
        asked = Frozen(
            shape=frozen.shape if size == "auto" else int(size),
            device=kind,
            dtype=dtype,
            optimize=options.optimize,
        )
        if asked != frozen:
            raise InputError(
                f"{folder.path}: images of '{model.name}' were begun with {_told(frozen)}, now {_told(asked)}: "
                f"ask for the former, or give the study a new name"
            )
        return frozen
    shape = (
        fitting_shape(pipeline, model, contenders, kind, len(study.prompts)) if size == "auto" else int(size)
    )
    frozen = Frozen(shape=shape, device=kind, dtype=dtype, optimize=options.optimize)
    plan[model.name] = {name: getattr(frozen, name) for name in Frozen.__dataclass_fields__}
    folder.write_json("plan.json", plan)
    return frozen


def fitting_shape(
    pipeline: Pipeline, model: Model, contenders: Sequence[Contender], device: str, prompts: int
) -> int:
    """The batch shape for `--batch-size auto`: on a GPU the largest power of two that is seen to fit."""
    if device != "cuda":
        return min(8 if model.size <= 128 else 1, prompts)
    import torch

    # Memory does not depend on the number of steps: one step with the widest guidance tells.
    probe = max(contenders, key=lambda c: c.guidance or 0.0)
    shape = 64
    while shape > 1:
        try:
            embedding = pipeline.encode(["a photograph"], probe)[0]
            pipeline.decode(pipeline.denoise([embedding] * shape, list(range(shape)), probe))
            return shape
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()
            shape //= 2
    return shape


def units(study: Study, model: Model, shape: int, done: set[Key], limit: int | None) -> Iterator[Unit]:
    """The units of a model that still have something to make, in order."""
    names = [c.name for c in study.contenders if c.model == model.name]
    wanted = study.prompts[:limit]
    for chunk, start in enumerate(range(0, len(wanted), shape)):
        keys = frozenset(
            key
            for prompt in wanted[start : start + shape]
            for name in names
            for replicate in range(study.file.images_per_prompt)
            if (key := (name, prompt.id, replicate)) not in done
        )
        if keys:
            yield Unit(model=model.name, chunk=chunk, keys=keys)


@dataclass(slots=True, kw_only=True)
class Worker:
    """One loaded pipeline and the threads that write what it makes."""

    study: Study
    folder: StudyFolder
    model: Model
    frozen: Frozen
    pipeline: Pipeline
    _proven: bool = field(default=False, init=False)
    """A batch of this shape has gone through: a later out-of-memory is one prompt's failure."""

    def run(
        self, unit: Unit, stop: Callable[[], bool] = lambda: False
    ) -> Iterator[list[Generation | Failure]]:
        """Make a unit; yields the rows of each batch once its files are in place."""
        waiting: deque[list[Future[Generation] | Failure]] = deque()
        embeddings: dict[str, Any] | None = None
        with ThreadPoolExecutor(WRITERS) as writers:
            for batch in self.batches(unit):
                if embeddings is None:
                    embeddings = self._encode(self.chunk(unit), batch.contender)
                waiting.append(self._make(batch, embeddings, writers))
                while len(waiting) > 1:
                    yield _rows(waiting.popleft())
                if stop():
                    break
            while waiting:
                yield _rows(waiting.popleft())

    def chunk(self, unit: Unit) -> tuple[Prompt, ...]:
        """The prompts of a unit, done or not."""
        start = unit.chunk * self.frozen.shape
        return self.study.prompts[start : start + self.frozen.shape]

    def batches(self, unit: Unit) -> Iterator[Batch]:
        """The batches of a unit that hold at least one wanted image; their slots never change."""
        prompts = self.chunk(unit)
        strengths = list(dict.fromkeys(prompt.strength for prompt in prompts))
        for contender in (c for c in self.study.contenders if c.model == self.model.name):
            for replicate in range(self.study.file.images_per_prompt):
                for strength in strengths:
                    alike = tuple(p for p in prompts if p.strength == strength)
                    keys = frozenset((contender.name, p.id, replicate) for p in alike) & unit.keys
                    if keys:
                        yield Batch(
                            contender=contender,
                            prompts=alike,
                            replicate=replicate,
                            strength=strength,
                            wanted=keys,
                        )

    def pixels(
        self, prompts: Sequence[Prompt], replicate: int, contender: Contender, embeddings: dict[str, Any]
    ):
        """uint8 (n, h, w, 3) of n <= shape prompts of one strength, padded to the shape with the last, and cut."""
        padded = [*prompts, *[prompts[-1]] * (self.frozen.shape - len(prompts))]
        seeds = [seed_of(prompt.id, replicate) for prompt in padded]
        start: dict[str, Any] = {}
        if self.study.edits:
            pictures = reference_pictures.pixels(self.folder, padded, contender.size)
            start = {"references": pictures, "strength": prompts[0].strength}
        latents = self.pipeline.denoise([embeddings[p.id] for p in padded], seeds, contender, **start)
        return self.pipeline.decode(latents)[: len(prompts)]

    def _encode(self, prompts: Sequence[Prompt], contender: Contender) -> dict[str, Any]:
        """Prompt id → embedding, encoded at the fixed shape; a prompt that fails holds its exception."""
        texts = [prompt.text for prompt in prompts]
        padded = [*texts, *[texts[-1]] * (self.frozen.shape - len(texts))]
        try:
            found = self.pipeline.encode(padded, contender)[: len(texts)]
        except (RuntimeError, ValueError, IndexError) as error:
            if isinstance(error, InputError):
                raise
            found = [self._encode_alone(text, contender) for text in texts]
        return {prompt.id: value for prompt, value in zip(prompts, found, strict=True)}

    def _encode_alone(self, text: str, contender: Contender) -> Any:
        try:
            return self.pipeline.encode([text] * self.frozen.shape, contender)[0]
        except (RuntimeError, ValueError, IndexError) as error:
            return error

    def _make(
        self, batch: Batch, embeddings: dict[str, Any], writers: ThreadPoolExecutor
    ) -> list[Future[Generation] | Failure]:
        began = time.perf_counter()
        good = [p for p in batch.prompts if not isinstance(embeddings[p.id], BaseException)]
        made: list[Any] = [None] * len(good)
        failures: list[Failure] = [
            _failure(batch, p, embeddings[p.id])
            for p in batch.prompts
            if p not in good and batch.key(p) in batch.wanted
        ]
        try:
            if good:
                made = list(self.pixels(good, batch.replicate, batch.contender, embeddings))
            self._proven = True
        except (RuntimeError, ValueError, ArithmeticError) as error:
            if isinstance(error, InputError):
                raise
            self._refuse_shape(error, batch.contender, embeddings[good[0].id])
            for i, prompt in enumerate(good):
                try:
                    made[i] = self.pixels([prompt], batch.replicate, batch.contender, embeddings)[0]
                except (RuntimeError, ValueError, ArithmeticError) as alone:
                    if batch.key(prompt) in batch.wanted:
                        failures.append(_failure(batch, prompt, alone))
        seconds = (time.perf_counter() - began) / len(batch.prompts)
        rows: list[Future[Generation] | Failure] = [*failures]
        for prompt, picture in zip(good, made, strict=True):
            if picture is not None and batch.key(prompt) in batch.wanted:
                rows.append(
                    writers.submit(self._write, batch, prompt, picture, seconds, embeddings[prompt.id])
                )
        return rows

    def _refuse_shape(self, error: Exception, contender: Contender, embedding: Any) -> None:
        """Out of memory at the first batch is the shape's fault, not a prompt's: say which shape would fit."""
        import torch

        if self._proven or self.frozen.shape == 1 or not isinstance(error, torch.OutOfMemoryError):
            return
        shape = self.frozen.shape
        while shape > 1:
            shape //= 2
            try:
                self.pipeline.denoise([embedding] * shape, list(range(shape)), contender)
                break
            except torch.OutOfMemoryError:
                continue
        raise InputError(
            f"'{contender.name}' runs out of GPU memory at batch size {self.frozen.shape}: {shape} would fit. Give the "
            f"study a new name, or delete {self.folder.path / 'plan.json'} if no image was made, and run with "
            f"--batch-size {shape}"
        ) from error

    def _write(
        self, batch: Batch, prompt: Prompt, picture: Any, seconds: float, embedding: Any
    ) -> Generation:
        data = encode_webp(picture)
        contender = batch.contender
        write_bytes(self.folder.image(contender.name, prompt.id, batch.replicate), data)
        return Generation(
            contender=contender.name,
            prompt_id=prompt.id,
            replicate=batch.replicate,
            seed=seed_of(prompt.id, batch.replicate),
            sha256=sha256(data),
            width=picture.shape[1],
            height=picture.shape[0],
            bytes=len(data),
            seconds=round(seconds, 6),
            settings=settings_of(self.model, contender, self.frozen),
            truncated=bool(getattr(embedding, "truncated", False)),
            black=int(picture.max()) <= BLACK,
        )


def settings_of(model: Model, contender: Contender, frozen: Frozen) -> str:
    """Hash of everything that decides the pixels beside prompt and seed."""
    return settings_hash({"model": model, "contender": contender, "frozen": frozen})


def encode_webp(pixels: Any) -> bytes:
    """Lossless WebP of uint8 (h, w, 3); the fastest effort, which on pictures costs about a tenth in size."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="WEBP", lossless=True, quality=0, method=0, exact=True)
    return buffer.getvalue()


def read_pixels(path: Path) -> Any:
    """uint8 (h, w, 3) of an image of the study. Raises InputError for a file that cannot be read."""
    import numpy as np
    from PIL import Image

    try:
        with Image.open(path) as picture:
            return np.asarray(picture.convert("RGB"))
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path} cannot be read ({error}): `bench verify` lists such, `bench generate` mends"
        ) from None


def _rows(items: list[Future[Generation] | Failure]) -> list[Generation | Failure]:
    return [item if isinstance(item, Failure) else item.result() for item in items]


def _record(folder: StudyFolder, rows: list[Generation | Failure], summary: Summary) -> None:
    made = [row for row in rows if isinstance(row, Generation)]
    failed = [row for row in rows if isinstance(row, Failure)]
    folder.append(folder.generations_file, made)
    folder.append(folder.failures_file, failed)
    summary.made += len(made)
    summary.failed += len(failed)
    summary.black += sum(row.black for row in made)
    summary.truncated += sum(row.truncated for row in made)


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


def _dtype(study: Study, options: Options) -> str | None:
    return options.dtype or study.file.generate.dtype


def _told(frozen: Frozen) -> str:
    return f"--batch-size {frozen.shape} --device {frozen.device} --dtype {frozen.dtype} --optimize {frozen.optimize}"


def _tally(study: Study, options: Options, done: set[Key]) -> tuple[dict[str, int], dict[str, int]]:
    """Images wanted, and images there, by contender."""
    ids = {prompt.id for prompt in study.prompts[: options.limit]}
    names = [c.name for c in study.contenders if not study.imported(c)]
    totals = dict.fromkeys(names, len(ids) * study.file.images_per_prompt)
    counts = dict.fromkeys(names, 0)
    for contender, prompt_id, replicate in done:
        if contender in counts and prompt_id in ids and replicate < study.file.images_per_prompt:
            counts[contender] += 1
    return totals, counts
