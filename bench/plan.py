"""What is to be made, in which batches, and in which order it is handed out.

The prompts of a study are cut into chunks of the batch shape once and for all. A chunk of one model is the
unit of work: its prompts are encoded once and serve every contender and replicate of that model. A batch
always holds the same prompts in the same slots, whoever makes it and however often the work was interrupted,
so its bytes are the same too.
"""

from __future__ import annotations

import hashlib
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol

from bench.models.table import Model
from bench.records import Contender, InputError, Prompt, settings_hash
from bench.store import Key
from bench.study import Study


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
    threads: int | None = None
    """Of torch on a CPU, where they change the last bits of a picture; None on a GPU."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settle:
    """The first task of a model: load it, and say which batch shape fits."""

    model: str
    size: int | str
    """The shape that is asked for, or `auto`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """The smallest piece of images that is handed out: one chunk of prompts through a model's contenders."""

    model: str
    chunk: int
    """0-based."""
    keys: frozenset[Key]
    """Images still to be made."""
    frozen: Frozen


Task = Settle | Unit


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


class Folder(Protocol):
    """What planning needs of a study folder, on a disk or in an object store."""

    @property
    def where(self) -> str: ...
    def read_json(self, name: str) -> Any | None: ...
    def write_json(self, name: str, value: Any) -> None: ...
    def intact(self) -> Iterator[tuple[Key, bool]]: ...


def seed_of(prompt_id: str, replicate: int) -> int:
    """The 63-bit seed of an image: a stable hash of prompt id and replicate, the same for every contender."""
    digest = hashlib.sha256(f"{prompt_id}\0{replicate}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def settings_of(model: Model, contender: Contender, frozen: Frozen) -> str:
    """Hash of everything that decides the pixels beside prompt and seed."""
    return settings_hash({"model": model, "contender": contender, "frozen": frozen})


def resolve_device(study: Study, asked: str) -> str:
    """`auto` → `cuda` where there is one, else `cpu`. Raises InputError where the study or user demands a GPU."""
    if asked == "cpu":
        return asked
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


def demanded_device(study: Study, asked: str) -> str:
    """What the user, else the study, wants of a cluster: `cuda`, `cpu`, or `auto`. This machine has no say."""
    own = study.file.generate.device
    return asked.partition(":")[0] if asked != "auto" or own == "any" else own


class Census:
    """Which images of the study are there: one byte an image, so that a million take a megabyte."""

    def __init__(self, study: Study, limit: int | None = None) -> None:
        self.prompts = {prompt.id: i for i, prompt in enumerate(study.prompts[:limit])}
        names = [c.name for c in study.contenders if not study.imported(c)]
        self.there = {
            (name, replicate): bytearray(len(self.prompts))
            for name in names
            for replicate in range(study.file.images_per_prompt)
        }
        self.counts: Counter[str] = Counter({name: 0 for name in names})
        self.totals = dict.fromkeys(names, len(self.prompts) * study.file.images_per_prompt)

    def mark(self, key: Key, there: bool = True) -> None:
        """Note an image; one that the study does not ask for is ignored."""
        contender, prompt_id, replicate = key
        row, place = self.there.get((contender, replicate)), self.prompts.get(prompt_id)
        if row is not None and place is not None:
            self.counts[contender] += there - row[place]
            row[place] = there

    def __contains__(self, key: Key) -> bool:
        return bool(self.there[key[0], key[2]][self.prompts[key[1]]])

    def complete(self, contenders: Iterable[str]) -> bool:
        return all(self.counts[name] >= self.totals[name] for name in contenders)


def census(study: Study, folder: Folder, limit: int | None = None) -> Census:
    """A scan of rows and file sizes; no image is opened."""
    found = Census(study, limit)
    for key, whole in folder.intact():
        found.mark(key, whole)
    return found


def units(study: Study, model: str, frozen: Frozen, done: Census, limit: int | None) -> Iterator[Unit]:
    """The units of a model that still have something to make, in order; of a model with its own weights for each
    step count, one step count after the other, so that each is loaded once.
    """
    wanted = study.prompts[:limit]
    for names in _loaded_together(study, model):
        for chunk, start in enumerate(range(0, len(wanted), frozen.shape)):
            keys = frozenset(
                key
                for prompt in wanted[start : start + frozen.shape]
                for name in names
                for replicate in range(study.file.images_per_prompt)
                if (key := (name, prompt.id, replicate)) not in done
            )
            if keys:
                yield Unit(model=model, chunk=chunk, keys=keys, frozen=frozen)


def _loaded_together(study: Study, model: str) -> list[list[str]]:
    """The model's contenders, by the weights they need."""
    groups: dict[int | None, list[str]] = {}
    for contender in study.contenders:
        if contender.model == model:
            own = contender.steps if study.models[model].recipes else None
            groups.setdefault(own, []).append(contender.name)
    return list(groups.values())


def chunk_of(study: Study, unit: Unit) -> tuple[Prompt, ...]:
    """The prompts of a unit, done or not."""
    start = unit.chunk * unit.frozen.shape
    return study.prompts[start : start + unit.frozen.shape]


def batches(study: Study, unit: Unit) -> Iterator[Batch]:
    """The batches of a unit that hold at least one wanted image; their slots never change."""
    prompts = chunk_of(study, unit)
    strengths = list(dict.fromkeys(prompt.strength for prompt in prompts))
    for contender in (c for c in study.contenders if c.model == unit.model):
        for replicate in range(study.file.images_per_prompt):
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


class Handout:
    """Who gets what next. A worker keeps its model while that has units left, so each loads a model once;
    then it takes a model nobody has begun, or helps where the fewest are. For one driver; not thread-safe.
    """

    def __init__(self, fresh: Iterable[Settle], done: Census) -> None:
        self.done = done
        self.fresh = deque(fresh)
        """Of the models nobody has begun."""
        self.open: dict[str, tuple[deque[Unit], Iterator[Unit]]] = {}
        self.holders: dict[str, str] = {}
        """Worker → the model it was last given."""

    def settled(self, model: str, found: Iterator[Unit]) -> None:
        """The model's units may go out from now on."""
        self.open[model] = (deque(), found)

    def take(self, worker: str) -> Task | None:
        """The next task for a worker; None: nothing for it now, though a lost worker's may come back."""
        holds = self.holders.get(worker)
        if holds and (unit := self._unit(holds)):
            return unit
        if self.fresh:
            self.holders[worker] = self.fresh[0].model
            return self.fresh.popleft()
        crowd = Counter(self.holders.values())
        for model in sorted(self.open, key=lambda name: crowd[name]):
            if unit := self._unit(model):
                self.holders[worker] = model
                return unit
        return None

    def back(self, task: Task) -> None:
        """A task whose worker was lost; what it had finished of it is not made twice."""
        if isinstance(task, Settle):
            self.fresh.appendleft(task)
        elif keys := frozenset(key for key in task.keys if key not in self.done):
            self.open[task.model][0].append(replace(task, keys=keys))

    def _unit(self, model: str) -> Unit | None:
        returned, fresh = self.open.get(model, (deque(), iter(())))
        return returned.popleft() if returned else next(fresh, None)


def begun(study: Study, folder: Folder, model: Model, device: str, options: Options) -> Frozen | None:
    """What the folder's images of a model were begun with; None: there are none yet.

    Raises InputError, before anything is loaded, where other settings are asked for now.
    """
    entry: dict[str, Any] | None = (folder.read_json("plan.json") or {}).get(model.name)
    if entry is None:
        return None
    frozen = Frozen(**entry)
    size = size_of(study, options)
    shape = frozen.shape if size == "auto" else int(size)
    asked = replace(_asked(study, model, device, options, shape), threads=frozen.threads)
    if asked != frozen:
        raise InputError(
            f"{folder.where}: images of '{model.name}' were begun with {_told(frozen)}, now {_told(asked)}: "
            f"ask for the former, or give the study a new name"
        )
    return frozen


def freeze(
    study: Study, folder: Folder, model: Model, device: str, options: Options, shape: int, threads: int | None
) -> Frozen:
    """Write a model's settings into the folder, before its first image; later runs are held to them."""
    frozen = _asked(study, model, device, options, shape)
    if frozen.device == "cpu":
        frozen = replace(frozen, threads=threads)
    plan: dict[str, Any] = folder.read_json("plan.json") or {}
    folder.write_json("plan.json", {**plan, model.name: asdict(frozen)})
    return frozen


def _asked(study: Study, model: Model, device: str, options: Options, shape: int) -> Frozen:
    kind = device.partition(":")[0]
    dtype = dtype_of(study, options) or (model.dtype if kind == "cuda" else "float32")
    return Frozen(shape=shape, device=kind, dtype=dtype, optimize=options.optimize)


def forget(folder: Folder, model: str) -> None:
    """Take a model out of the plan: its shape did not fit and no image of it was made."""
    plan: dict[str, Any] = folder.read_json("plan.json") or {}
    folder.write_json("plan.json", {name: entry for name, entry in plan.items() if name != model})


def size_of(study: Study, options: Options) -> int | str:
    """The batch shape that is asked for: a number, or `auto`."""
    return options.batch_size or study.file.generate.batch_size


def alone(task: Task) -> bool:
    """What a model's shape will be is not known yet: nothing is given to the worker behind this."""
    return isinstance(task, Settle)


def dtype_of(study: Study, options: Options) -> str | None:
    return options.dtype or study.file.generate.dtype


def _told(frozen: Frozen) -> str:
    return f"--batch-size {frozen.shape} --device {frozen.device} --dtype {frozen.dtype} --optimize {frozen.optimize}"
