"""Contenders × prompts → images: same noise for every contender, a fixed batch shape, resumable at any instant.

`bench.sweep.work` plans the batches, `bench.sweep.worker` computes one process's share of them, an engine of
`bench.sweep.workers` decides where; the rows are written here, by one process alone.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from bench.errors import InputError
from bench.records import Failure, Generation
from bench.store.object_store import ObjectFolder
from bench.store.study_folder import StudyFolder
from bench.study.identity import SLOTS, Slot
from bench.study.study import Study
from bench.sweep.batch import ShapeError
from bench.sweep.inventory import Census, census
from bench.sweep.settings import Options, Settled, begun, freeze, resolve_device, size_of
from bench.sweep.work import Handout, Settle, units
from bench.sweep.worker import Loader, Rows, Worker
from bench.sweep.workers import Emit, Engine, Here


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
) -> Summary:
    """Make every image of the study that is not there yet. The caller holds the folder's lock.

    engine: this process if None. device: of its workers; None: as options and this machine say. threads:
    torch's in a worker on a CPU; None: as they are. `progress(contender, images done of it, images of it, seconds
    of the one just made; None at the start, and of one that failed)`; `stop()` is asked between batches. Raises
    InputError for what the user can mend; a prompt that fails is a row in failures.jsonl.
    """
    began = time.perf_counter()
    device = device or resolve_device(study, options.device)
    if isinstance(folder, ObjectFolder):
        folder.remove_unfit()
    done = census(study, folder, options.limit)
    summary = Summary(kept=done.counts.total())

    def halted() -> bool:
        summary.stopped = summary.stopped or stop()
        return summary.stopped

    slots = folder.read_rows(SLOTS, Slot)
    handout = _handout(study, folder, options, device, done, slots)
    for name, total in done.totals.items():
        progress(name, done.counts[name], total, None)
    start = partial(_start, study, _anywhere(folder), options, device, threads, load)
    try:
        for task, value in (engine or Here()).run(start, handout, halted):
            if isinstance(value, Settled):
                model = study.models[task.model]
                frozen = freeze(study, folder, model, device, options, value)
                handout.settled(task.model, units(study, task.model, frozen, done, options.limit, slots))
            else:
                _record(folder, value, summary)
                for row in value:
                    made = isinstance(row, Generation)
                    done.mark((row.contender, row.prompt_id, row.replicate), made)
                    seconds = row.seconds if made else None
                    progress(row.contender, done.counts[row.contender], done.totals[row.contender], seconds)
    except ShapeError as error:
        if not any(done.counts[c.name] for c in study.contenders if c.model == error.model):
            folder.forget_model(error.model)
        raise
    if isinstance(folder, StudyFolder):
        folder.remove_temporaries()
    summary.seconds = time.perf_counter() - began
    return summary


def _handout(
    study: Study,
    folder: StudyFolder | ObjectFolder,
    options: Options,
    device: str,
    done: Census,
    slots: Sequence[Slot],
) -> Handout:
    """The work that is left. Raises InputError where the folder was begun with other settings."""
    fresh: list[Settle] = []
    going = []
    for name, model in study.models.items():
        if model.kind == "imported" or done.complete(c.name for c in study.contenders if c.model == name):
            continue
        frozen = begun(study, folder, model, device, options)
        if frozen is None:
            fresh.append(Settle(model=name, size=size_of(study, options)))
        else:
            going.append((name, frozen))
    handout = Handout(fresh, done)
    for name, frozen in going:
        handout.settled(name, units(study, name, frozen, done, options.limit, slots))
    return handout


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
