"""What is to be generated, in which batches, and in which order it is handed out.

The prompts of a study are cut into chunks of the batch shape in the order in which they came into the study
(`slots.jsonl`), so that prompts added later fill the last chunk and new ones, and move nothing. A chunk of one model is
the unit of work: its prompts are encoded once and serve every contender and replicate of that model. A batch holds the
same prompts in the same slots, whoever computes it and however often the work was interrupted.
"""

from __future__ import annotations

import hashlib
from collections import Counter, deque
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from bench.records import Contender, Prompt
from bench.store.study_folder import Key
from bench.study.identity import Slot, arranged
from bench.study.study import Study
from bench.sweep.inventory import Census
from bench.sweep.settings import Frozen


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
    prompts: tuple[Prompt, ...]
    """Of the chunk by slot, generated or not; one that has left the study is missing."""
    keys: frozenset[Key]
    """Images still to be generated."""
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


def seed_of(prompt_id: str, replicate: int) -> int:
    """The 63-bit seed of an image: a stable hash of prompt id and replicate, the same for every contender."""
    digest = hashlib.sha256(f"{prompt_id}\0{replicate}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def units(
    study: Study, model: str, frozen: Frozen, done: Census, limit: int | None, slots: Sequence[Slot] = ()
) -> Iterator[Unit]:
    """The units of a model that still have something to generate, in order. Of a model with its own weights for each
    step count, one step count after the other, so that each is loaded once.

    Parameters
    ----------
    study, model
        What is generated, and with which of its models.
    frozen
        The model's settings in this folder; its shape is the size of a chunk.
    done
        Which images exist.
    limit
        Only the first prompts of the study; None: all.
    slots
        The folder's, in the order of the chunks; prompts without one follow.
    """
    order = arranged(study.prompts, slots)
    wanted = {prompt.id for prompt in study.prompts[:limit]}
    for names in _loaded_together(study, model):
        for chunk, start in enumerate(range(0, len(order), frozen.shape)):
            prompts = tuple(p for p in order[start : start + frozen.shape] if p is not None)
            keys = frozenset(
                key
                for prompt in prompts
                if prompt.id in wanted
                for name in names
                for replicate in range(study.file.images_per_prompt)
                if (key := (name, prompt.id, replicate)) not in done
            )
            if keys:
                yield Unit(model=model, chunk=chunk, prompts=prompts, keys=keys, frozen=frozen)


def _loaded_together(study: Study, model: str) -> list[list[str]]:
    """The model's contenders, by the weights they need."""
    groups: dict[int | None, list[str]] = {}
    for contender in study.contenders:
        if contender.model == model:
            own = contender.steps if study.models[model].recipes else None
            groups.setdefault(own, []).append(contender.name)
    return list(groups.values())


def batches(study: Study, unit: Unit) -> Iterator[Batch]:
    """The batches of a unit that hold at least one wanted image."""
    strengths = list(dict.fromkeys(prompt.strength for prompt in unit.prompts))
    for contender in (c for c in study.contenders if c.model == unit.model):
        for replicate in range(study.file.images_per_prompt):
            for strength in strengths:
                alike = tuple(p for p in unit.prompts if p.strength == strength)
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
    """Who gets what next. A worker keeps its model while that has units left, so each loads a model once; then it takes
    a model that no worker has begun, or helps where the fewest are. For one driver; not thread-safe.
    """

    def __init__(self, fresh: Iterable[Settle], done: Census, late: Container[str] = ()) -> None:
        """late: models that are begun when there is nothing else to do."""
        self.done = done
        self.late = late
        self.fresh = deque(sorted(fresh, key=lambda task: task.model in late))
        """Of the models that no worker has begun."""
        self.open: dict[str, tuple[deque[Unit], Iterator[Unit]]] = {}
        self.holders: dict[str, str] = {}
        """Worker → the model it was last given."""
        self.dropped: set[str] = set()
        """Models that are set aside."""

    def settled(self, model: str, found: Iterator[Unit]) -> None:
        """The model's units may go out from now on."""
        self.open[model] = (deque(), found)

    def drop(self, model: str) -> None:
        """Hand out no more of a model."""
        self.dropped.add(model)
        self.open.pop(model, None)
        self.fresh = deque(task for task in self.fresh if task.model != model)

    def take(self, worker: str) -> Task | None:
        """The next task for a worker; None: nothing for it now, though a lost worker's may come back."""
        holds = self.holders.get(worker)
        if holds and (unit := self._unit(holds)):
            return unit
        for late in (False, True):
            if task := self._take_of([m for m in self._models() if (m in self.late) is late]):
                self.holders[worker] = task.model
                return task
        return None

    def _models(self) -> list[str]:
        return [*(task.model for task in self.fresh), *self.open]

    def _take_of(self, models: Sequence[str]) -> Task | None:
        """A model that no worker has begun, else a unit of the one that the fewest workers are on."""
        if self.fresh and self.fresh[0].model in models:
            return self.fresh.popleft()
        crowd = Counter(self.holders.values())
        for model in sorted((m for m in models if m in self.open), key=lambda name: crowd[name]):
            if unit := self._unit(model):
                return unit
        return None

    def back(self, task: Task) -> None:
        """A task whose worker was lost; what it had finished of it is not generated twice."""
        if task.model in self.dropped:
            return
        if isinstance(task, Settle):
            self.fresh.appendleft(task)
        elif keys := frozenset(key for key in task.keys if key not in self.done):
            self.open[task.model][0].append(replace(task, keys=keys))

    def _unit(self, model: str) -> Unit | None:
        returned, fresh = self.open.get(model, (deque(), iter(())))
        return returned.popleft() if returned else next(fresh, None)


def alone(task: Task) -> bool:
    """What a model's shape will be is not known yet: nothing is given to the worker behind this."""
    return isinstance(task, Settle)
