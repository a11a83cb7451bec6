"""The stages of a study in order, each under the folder's lock, each ending in provenance."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType

from bench import provenance
from bench.errors import InputError
from bench.latency.measure import Protocol, measure
from bench.records import Score
from bench.store import references
from bench.store.mirror import Mirror, mirrored
from bench.store.object_store import ObjectFolder, folder_at
from bench.store.study_folder import StudyFolder
from bench.study.binding import bind
from bench.study.study import Study
from bench.sweep.engine_choice import Where, engine_for
from bench.sweep.generate import Summary, generate
from bench.sweep.settings import Options, demanded_device, resolve_device


@dataclass(frozen=True, slots=True)
class Reporter:
    """Where the stages say how far they are; the command line draws it, tests ignore it."""

    made: Callable[[str, int, int, float | None], None] = lambda contender, done, total, seconds: None
    """contender, images done of it, images of it, seconds that the one just made took; None where none was"""
    images: Callable[[str, int, int], None] = lambda label, done, total: None
    """what else goes over images: its label, images done, images of it"""
    step: Callable[[str], None] = lambda label: None
    """What is being done now."""


@contextmanager
def opened(study: Study, results: Path) -> Iterator[StudyFolder]:
    """The study's folder, locked and frozen to the study."""
    with on_disk_or_not(study, results) as folder:
        if not isinstance(folder, StudyFolder):
            raise InputError(
                f"{folder.where}: `bench generate`, `latency`, `score`, `report` and `verify` work in an object store; "
                f"for all else bring the study here with `bench copy {folder.where}`"
            )
        yield folder


@contextmanager
def opened_anywhere(study: Study, results: Path) -> Iterator[StudyFolder]:
    """As `opened`; a study of an object store as its `Mirror`, for stages that write documents and no images."""
    with on_disk_or_not(study, results) as folder:
        if isinstance(folder, StudyFolder):
            yield folder
        else:
            with mirrored(folder) as mirror:
                yield mirror


@contextmanager
def on_disk_or_not(
    study: Study,
    results: Path,
    replace: Sequence[str] = (),
    say: Callable[[str], None] = lambda line: None,
) -> Iterator[StudyFolder | ObjectFolder]:
    """As `opened`, and also in an object store.

    Parameters
    ----------
    study, results
        What is run, and where its folder lies.
    replace
        Contenders and prompts whose images are taken out first.
    say
        Is given a line about what was taken out.
    """
    folder = folder_at(results, study.name)
    with folder.lock():
        replaced = bind(study, folder, replace)
        if replace:
            say(str(replaced) if replaced else "no images to replace")
        if study.edits:
            if not isinstance(folder, StudyFolder):
                raise InputError(f"{folder.where}: an image-to-image study needs a folder on a disk")
            side = max(study.file.display_size, *(c.size for c in study.contenders))
            references.store_references(study.prompts, study.references, folder, side)
        yield folder


def generate_stage(
    study: Study,
    folder: StudyFolder | ObjectFolder,
    options: Options,
    reporter: Reporter,
    where: Where | None = None,
) -> Summary:
    """Make the images. Raises InputError where an imported contender has none yet."""
    from bench.models.load import load

    began = provenance.now()
    where = where or Where()
    remote = where.engine == "ray"
    device = demanded_device(study, options.device) if remote else resolve_device(study, options.device)
    with interruptible(reporter.step) as stop:
        engine, device, threads = engine_for(where, device)
        summary = generate(
            study, folder, options, load=load, engine=engine, device=device, threads=threads,
            progress=reporter.made, stop=stop, say=reporter.step,
        )  # fmt: skip
    if not summary.stopped:
        provenance.write(study, folder, device=device, began=began, made=summary.made > 0)
    return summary


def latency_stage(
    study: Study, folder: StudyFolder, options: Options, protocol: Protocol, weights: str, reporter: Reporter
) -> None:
    from bench.models.load import load

    measure(study, folder, options, protocol, load=load, weights=weights, progress=reporter.step)


def load_stage(study: Study, folder: StudyFolder, options: Options, weights: str, reporter: Reporter) -> None:
    from bench.latency.load import LoadProtocol, measure_load
    from bench.models.load import load

    measure_load(study, folder, options, LoadProtocol(), load=load, weights=weights, progress=reporter.step)


def score_stage(
    study: Study,
    folder: StudyFolder,
    device: str,
    allow_missing: bool,
    reporter: Reporter,
    protocol: str | None = None,
    where: Where | None = None,
) -> list[Score]:
    """The study's metrics.

    Parameters
    ----------
    device
        `cuda`, `cuda:1`, `cpu`; with Ray also `auto`.
    allow_missing, protocol
        As of `bench.scoring.score.score`.
    where
        Where features are computed; None, or one process: here.
    """
    from bench.scoring.feature_workers import compute
    from bench.scoring.score import score

    reporter.step("scoring")
    if where is None or (where.engine == "local" and where.workers is None):
        return score(
            folder,
            study,
            device=device,
            allow_missing=allow_missing,
            protocol=protocol,
            progress=reporter.images,
        )
    with interruptible(reporter.step) as stop:
        engine, device, threads = engine_for(where, device)
        shared = None if isinstance(folder, Mirror) else folder.path.absolute()
        ahead = partial(
            compute, engine=engine, device=device, threads=threads, shared=shared, progress=reporter.images,
            stop=stop, say=reporter.step,
        )  # fmt: skip
        here = "cpu" if where.engine == "ray" else device  # captions are encoded by this process
        return score(
            folder,
            study,
            device=here,
            allow_missing=allow_missing,
            protocol=protocol,
            progress=reporter.images,
            compute=ahead,
        )


def report_stage(folder: StudyFolder, columns: str, reporter: Reporter) -> Path:
    from bench.report.build import build

    reporter.step("writing the report")
    return build(folder, columns=columns)


def run(
    study: Study, results: Path, options: Options, protocol: Protocol, reporter: Reporter
) -> tuple[Summary, Path]:
    """Images, latency, scores, report. Imported images must be there: `bench import` brings them."""
    from bench.scoring.default_metrics import with_metrics
    from bench.scoring.requirements import plan

    with opened(study, results) as folder:
        began = provenance.now()
        check_imports(study, folder)
        study, chosen = with_metrics(study)
        _check_scoring(study)
        summary = generate_stage(study, folder, options, reporter)
        if summary.stopped or summary.set_aside:
            return summary, folder.path
        device = resolve_device(study, options.device)
        if any(not study.imported(c) for c in study.contenders):
            latency_stage(study, folder, options, protocol, "pretrained", reporter)
        if chosen:
            reporter.step(chosen)
        if plan(study):
            score_stage(study, folder, device, True, reporter)
        provenance.write(study, folder, device=device, began=began, made=summary.made > 0)
        return summary, report_stage(folder, "one", reporter)


def check_imports(study: Study, folder: StudyFolder) -> None:
    """Raises InputError naming the imported contender that has no image yet, and the command that brings them."""
    there = {key[0] for key in folder.generations()}
    for contender in study.contenders:
        if study.imported(contender) and contender.name not in there:
            raise InputError(
                f"'{contender.name}' has no images yet: "
                f"bench import {study.name} --as {contender.name} --images DIR --map FILE"
            )


def _check_scoring(study: Study) -> None:
    """Raises InputError where the metrics lack something: now, not when the images have taken a night."""
    from bench.scoring.requirements import wanting

    problems = wanting(study)
    if problems:
        more = f" (and {len(problems) - 1} more: `bench doctor`)" if len(problems) > 1 else ""
        raise InputError(f"the images could not be scored: {problems[0]}{more}")


@contextmanager
def interruptible(say: Callable[[str], None] = lambda line: None) -> Iterator[Callable[[], bool]]:
    """Ctrl-C asks the work to stop after the current batch, and `say` gets a line; a second one stops it at once."""
    asked = False

    def note(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True
        say("finishing this batch; Ctrl-C again to stop at once")

    try:
        before = signal.signal(signal.SIGINT, note)
    except ValueError:  # not the main thread: whoever owns it handles the signal
        yield lambda: False
        return
    try:
        yield lambda: asked
    finally:
        signal.signal(signal.SIGINT, before)
