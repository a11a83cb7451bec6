"""Contenders × prompts → images: same noise for every contender, a fixed batch shape, resumable at any instant.

`bench.sweep.work` plans the batches, `bench.sweep.worker` computes one process's share of them, an engine
(`bench.sweep.workers`) decides where; the rows are written here, by one process alone.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from bench.errors import InputError
from bench.records import Failure, Generation
from bench.store.object_store import ObjectFolder
from bench.store.study_folder import StudyFolder
from bench.study.identity import SLOTS, Slot, weights_digest
from bench.study.study import Study
from bench.sweep.batch import ShapeError
from bench.sweep.inventory import Census, census
from bench.sweep.processes import Processes
from bench.sweep.settings import (
    Entry,
    Frozen,
    Options,
    Settled,
    begun,
    environment,
    freeze,
    refuse_mixture,
    resolve_device,
    size_of,
)
from bench.sweep.work import Handout, Settle, Task, Unit, units
from bench.sweep.worker import Loader, Rows, SetAside, Worker
from bench.sweep.workers import DEATHS, Abandoned, Emit, Engine, Here, Start

SET_ASIDE = "set-aside.json"
"""Model → why it could not be used, and the digest of its files then."""


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
    set_aside: dict[str, str] = field(default_factory=dict)
    """Model → why it could not be used; the others were finished."""


def generate(
    study: Study,
    folder: StudyFolder | ObjectFolder,
    options: Options,
    *,
    load: Loader,
    engine: Engine | None = None,
    device: str | None = None,
    threads: int | None = None,
    progress: Callable[[str, int, int, float | None], None] = lambda contender, done, total, seconds: None,
    stop: Callable[[], bool] = lambda: False,
    say: Callable[[str], None] = lambda line: None,
) -> Summary:
    """Generate every image of the study that does not exist yet. The caller holds the folder's lock.

    Parameters
    ----------
    study, folder, options
        What is generated, where to, and how.
    load
        Loads a model.
    engine
        Where the work runs; None: in this process.
    device
        Of the workers; None: as options and this machine say.
    threads
        Torch's in a worker on a CPU; None: as they are.
    progress
        Is given contender, images done of it, images of it, and the seconds of the one just generated; None at the
        start, and of one that failed.
    stop
        Is asked between batches.
    say
        Is given a line about what a person should know: a silent worker, a model set aside.

    Raises
    ------
    InputError
        What the user can repair. A prompt that fails is a row in failures.jsonl, a model that cannot be loaded too:
        it is set aside, and the others are finished.
    """
    began = time.perf_counter()
    device = device or resolve_device(study, options.device)
    if isinstance(folder, ObjectFolder):
        folder.remove_unfit()
    done = census(study, folder, options.limit)
    sweep = Sweep(
        study=study, folder=folder, options=options, device=device, done=done, progress=progress, say=say
    )
    start = partial(_start, study, _anywhere(folder), options, device, threads, load)
    sweep.work(engine or Here(), start, stop)
    if isinstance(folder, StudyFolder):
        folder.remove_temporaries()
    sweep.summary.seconds = time.perf_counter() - began
    sweep.refuse_if_nothing_loads()
    return sweep.summary


@dataclass(kw_only=True)
class Sweep:
    """What one call of `generate` works on."""

    study: Study
    folder: StudyFolder | ObjectFolder
    options: Options
    device: str
    done: Census
    progress: Callable[[str, int, int, float | None], None]
    say: Callable[[str], None]
    summary: Summary = field(init=False)
    slots: Sequence[Slot] = field(init=False)
    pending: set[str] = field(default_factory=set, init=False)
    """Models that have something left to generate."""

    def __post_init__(self) -> None:
        self.summary = Summary(kept=self.done.counts.total())
        self.slots = self.folder.read_rows(SLOTS, Slot)
        self.settings = set(self.folder.settings())
        self.aside: dict[str, Any] = self.folder.read_json(SET_ASIDE) or {}

    def work(self, engine: Engine, start: Start, stop: Callable[[], bool]) -> None:
        """Have the engine do what is left, and take in what comes of it, until `stop()`."""
        summary = self.summary

        def halted() -> bool:
            summary.stopped = summary.stopped or stop()
            return summary.stopped

        handout = self.handout()
        if self.pending and isinstance(engine, Here | Processes):
            refuse_mixture(self.study, self.folder, environment(self.device), self.options)
        for name, total in self.done.totals.items():
            self.progress(name, self.done.counts[name], total, None)
        try:
            for task, value in engine.run(start, handout, halted, self.say):
                self.receive(handout, task, value)
        except ShapeError as error:
            self.forget(error.model)
            raise

    def forget(self, model: str) -> None:
        """Take a model out of the plan, where it has no image: its shape may be chosen anew."""
        if not any(self.done.counts[c.name] for c in self.study.contenders if c.model == model):
            self.folder.forget_model(model)

    def refuse_if_nothing_loads(self) -> None:
        """Raises InputError where every model that had something to generate was set aside."""
        aside = self.summary.set_aside
        if aside and not self.summary.made and not self.summary.stopped and self.pending <= set(aside):
            raise InputError(next(iter(aside.values())))

    def handout(self) -> Handout:
        """The work that is left. Raises InputError where the folder was begun with other settings."""
        fresh: list[Settle] = []
        going = []
        for name, model in self.study.models.items():
            mine = [c.name for c in self.study.contenders if c.model == name]
            if model.kind == "imported" or self.done.complete(mine):
                continue
            self.pending.add(name)
            frozen = begun(self.study, self.folder, model, self.device, self.options)
            if frozen is None:
                fresh.append(Settle(model=name, size=size_of(self.study, self.options)))
            else:
                going.append((name, frozen))
        handout = Handout(fresh, self.done, self._late())
        for name, frozen in going:
            handout.settled(name, self._units(name, frozen))
        return handout

    def _late(self) -> set[str]:
        """Models that could not be loaded before and whose files are as they were: tried again at the end."""
        models = self.study.models
        return {n for n, e in self.aside.items() if n in models and e["files"] == weights_digest(models[n])}

    def _units(self, model: str, frozen: Frozen) -> Iterator[Unit]:
        return units(self.study, model, frozen, self.done, self.options.limit, self.slots)

    def receive(self, handout: Handout, task: Task, value: Any) -> None:
        """Take in what came of a task."""
        match value:
            case Settled():
                model = self.study.models[task.model]
                frozen = freeze(self.study, self.folder, model, self.device, self.options, value)
                handout.settled(task.model, self._units(task.model, frozen))
            case Entry():
                self._keep(value)
            case SetAside():
                self._set_aside(handout, value)
            case Abandoned():
                self._set_aside(
                    handout, SetAside(model=task.model, message=_abandoned(task, value), kind="lost")
                )
            case _:
                self._record(value)

    def _keep(self, entry: Entry) -> None:
        """Note what rows to come stand for. Raises InputError where that would mix machines."""
        if entry.key in self.settings:
            return
        refuse_mixture(self.study, self.folder, entry.values["environment"], self.options)
        self.folder.keep_settings(entry.key, entry.values)
        self.settings.add(entry.key)

    def _record(self, rows: Rows) -> None:
        _record(self.folder, rows, self.summary)
        for row in rows:
            made = isinstance(row, Generation)
            self.done.mark((row.contender, row.prompt_id, row.replicate), made)
            seconds = row.seconds if made else None
            self.progress(
                row.contender, self.done.counts[row.contender], self.done.totals[row.contender], seconds
            )
        if self.aside and rows and (back := self.study.contender(rows[0].contender).model) in self.aside:
            del self.aside[back]
            self.folder.write_json(SET_ASIDE, self.aside)

    def _set_aside(self, handout: Handout, value: SetAside) -> None:
        """Finish without a model: a failure row for each of its contenders, and what to do."""
        if value.model in self.summary.set_aside:
            return
        handout.drop(value.model)
        self.summary.set_aside[value.model] = value.message
        digest = weights_digest(self.study.models[value.model])
        self.aside[value.model] = {"message": value.message, "kind": value.kind, "files": digest}
        self.folder.write_json(SET_ASIDE, self.aside)
        rows: Rows = [
            Failure(
                stage="load",
                contender=c.name,
                prompt_id="",
                replicate=0,
                kind=value.kind,
                message=value.message,
            )
            for c in self.study.contenders
            if c.model == value.model
        ]
        self.folder.append(self.folder.failures_file, rows)  # pyright: ignore[reportArgumentType]
        if len(self.pending) > len(self.summary.set_aside):
            self.say(f"'{value.model}' is set aside, the others go on: {value.message}")


def _abandoned(task: Task, value: Abandoned) -> str:
    if isinstance(task, Settle) or value.stage.startswith(("loading", "starting")):
        return (
            f"{DEATHS} workers in a row were lost while loading '{task.model}' ({value.reason}): its files are "
            f"damaged, or it needs more memory than this machine has"
        )
    chunk = f", chunk {task.chunk}" if isinstance(task, Unit) else ""
    return (
        f"{DEATHS} workers died over the same piece of work (model '{task.model}'{chunk}; {value.reason}, "
        f"{value.stage}): the machine's memory may be too small for as many; run again with fewer (--processes N)"
    )


def _start(
    study: Study, folder: StudyFolder | ObjectFolder, options: Options, device: str, threads: int | None, load: Loader,
    own: str | None, emit: Emit, submit: Any = None,
) -> Worker:  # fmt: skip
    if submit is not None and not folder.has(study.text):  # on a cluster
        raise InputError(
            f"node {platform.node()} does not see {folder.where}: the results must lie on a folder that all "
            f"nodes share, or in an object store (--results s3://…)"
        )
    return Worker(
        study=study,
        folder=folder,
        options=options,
        device=own or device,
        threads=threads,
        load=load,
        emit=emit,
        submit=submit,
    )


def _anywhere(folder: StudyFolder | ObjectFolder) -> StudyFolder | ObjectFolder:
    """The folder as a worker in another working directory finds it."""
    return StudyFolder(folder.path.absolute()) if isinstance(folder, StudyFolder) else folder


def _record(folder: StudyFolder | ObjectFolder, rows: Rows, summary: Summary) -> None:
    made = [row for row in rows if isinstance(row, Generation)]
    failed = [row for row in rows if isinstance(row, Failure)]
    folder.append(folder.generations_file, made)  # pyright: ignore[reportArgumentType]
    folder.append(folder.failures_file, failed)  # pyright: ignore[reportArgumentType]
    summary.made += len(made)
    summary.failed += len(failed)
    summary.black += sum(row.black for row in made)
    summary.truncated += sum(row.truncated for row in made)
