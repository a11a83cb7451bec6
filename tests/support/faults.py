"""Faults that are not deaths, each brought about for real on a small study: what is said, and what is lost.

`FAULTS` is the table; `examine` runs one of them, then the same command again, and compares with a study that nothing
disturbed. `python -m tests.performance.faults` writes `results/faults/faults.md`.
"""

from __future__ import annotations

import atexit
import contextlib
import errno
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import bench.store.durable as durable
import bench.store.object_store as objects
import bench.sweep.settings as settings
import bench.sweep.workers as workers
from bench.errors import InputError
from bench.store.fencing import List
from bench.store.object_store import ObjectFolder
from bench.store.store_access import StoreAccess
from bench.store.study_folder import StudyFolder
from bench.study.binding import bind
from bench.study.study import read
from bench.sweep.generate import Summary, generate
from bench.sweep.processes import Processes
from bench.sweep.settings import Options
from bench.sweep.work import alone
from tests.support.null_pipeline import NullPipeline, load
from tests.support.sweeping import finish, hashes, start, until


@dataclass(kw_only=True)
class Place:
    """Where a fault happens, and what it says."""

    study: Path
    root: Path
    patch: pytest.MonkeyPatch
    said: list[str] = field(default_factory=list)
    """Lines, as printed."""

    @property
    def folder(self) -> StudyFolder:
        return StudyFolder(self.root / "sweep")

    def store(self) -> ObjectFolder:
        return ObjectFolder(f"memory://{self.root.name}/sweep")

    def run(self, folder: Any = None, **arguments: Any) -> Summary | None:
        """`bench generate` in this process; a refusal becomes a line."""
        folder = folder or self.folder
        options = arguments.pop("options", Options(device="cpu"))
        try:
            with folder.lock():
                bind(read(self.study), folder)
                summary = generate(
                    read(self.study), folder, options, say=self.said.append, **{"load": load, **arguments}
                )
        except InputError as error:
            self.said.append(f"bench: {error}")
            return None
        self.said += [f"set aside: {message}" for message in summary.set_aside.values()]
        return summary


@dataclass(frozen=True, kw_only=True)
class Fault:
    what: str
    run: Callable[[Place], Any]
    """Returns the folder that the study is in, where it is not `place.folder`."""
    happens: str
    says: str
    """A part of what is said; empty: nothing has to be."""
    cheap: bool = True
    """Runs in the suite."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    said: tuple[str, ...]
    rows: int
    """Images that had a row after the disturbed call."""
    again: int
    """Images that the same command generated afterwards."""
    lost: int
    """Images of the disturbed call without a row, or with other bytes than an undisturbed study's, at the end."""


def examine(fault: Fault, study: Path, root: Path, whole: dict) -> Outcome:
    """Bring a fault about, run the same command again, and count what is not as if nothing had happened."""
    with pytest.MonkeyPatch.context() as patch:
        place = Place(study=study, root=root, patch=patch)
        folder = fault.run(place) or place.folder
    said, rows = tuple(place.said), len(hashes(folder))
    after = Place(study=study, root=root, patch=pytest.MonkeyPatch())
    summary = after.run(folder)
    assert summary is not None, after.said
    found = hashes(folder)
    wrong = sum(found.get(key) != digest for key, digest in whole.items())
    extra = len(found.keys() - whole.keys())
    return Outcome(
        said=said,
        rows=rows,
        again=summary.made,
        lost=wrong + extra + len(folder.damaged()),
    )


# Pipelines that misbehave


@dataclass
class Odd(NullPipeline):
    """Does something at a batch that holds a prompt, once."""

    act: Callable[[], None] = lambda: None
    flag: Path = Path()

    def denoise(self, embeddings, seeds, contender, **more):  # pyright: ignore[reportIncompatibleMethodOverride]
        if any("number 7" in text for text in embeddings) and not self.flag.exists():
            self.flag.touch()
            self.act()
        return super().denoise(embeddings, seeds, contender, **more)


def odd(model, *, act, flag, pause=0.0, **_):
    return Odd(act=act, flag=flag, pause=pause)


def hang():
    time.sleep(3600)


def stop_myself():
    os.kill(os.getpid(), signal.SIGSTOP)


def unloadable(model, *, flag, error, **more):
    if model.name == "tiny-turbo" and not flag.exists():
        raise error
    return load(model, **more)


def two(place: Place, **more) -> Summary | None:
    """With two processes, and bounds of a second instead of minutes."""
    place.patch.setattr(workers, "NOTICE_SECONDS", 0.5)
    options = Options(device="cpu", patience=0.005)
    return place.run(engine=Processes([None, None], alone), options=options, **more)


# The faults


def hung_worker(place: Place) -> None:
    two(place, load=partial(odd, act=hang, flag=place.root / "hung"))


def stopped_worker(place: Place) -> None:
    two(place, load=partial(odd, act=stop_myself, flag=place.root / "stopped"))


def poisoned_prompt(place: Place) -> None:
    summary = place.run(load=partial(load, poison="number 7"))
    assert summary is not None
    place.said.append(f"{summary.made} images generated, {summary.failed} failed")


def damaged_model(place: Place) -> None:
    error = OSError("Unable to load weights: header too large")
    place.run(load=partial(unloadable, flag=place.root / "repaired", error=error))


def too_little_memory(place: Place) -> None:
    """The address space ends 64 MiB above what the process has, while a model asks for 1 GiB."""

    def greedy(model, **more):
        if model.name != "tiny-turbo":
            return load(model, **more)
        before = resource.getrlimit(resource.RLIMIT_AS)
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + 2**26, before[1]))
        try:
            return bytearray(2**30) and load(model, **more)
        finally:
            resource.setrlimit(resource.RLIMIT_AS, before)

    place.run(load=greedy)


def other_software(place: Place) -> None:
    place.run(options=Options(device="cpu", limit=5))
    here = settings.environment("cpu")
    place.patch.setattr("bench.sweep.generate.environment", lambda device: {**here, "torch": "1.0"})
    place.run()


def failing(place: Place, number: int, code: int, times: int) -> None:
    """The file system refuses to synchronise from the n-th call on, so many times."""
    real, calls = os.fsync, [0]

    def fsync(descriptor):
        calls[0] += 1
        if number <= calls[0] < number + times:
            raise OSError(code, os.strerror(code))
        real(descriptor)

    place.patch.setattr(os, "fsync", fsync)
    place.run()


def stale_handle(place: Place) -> None:
    place.patch.setattr(durable, "backoff", lambda total: iter([0.01] * 8))
    failing(place, 40, errno.ESTALE, 3)


def nfs_away_for_good(place: Place) -> None:
    place.patch.setattr(durable, "backoff", lambda total: iter([0.0] * 8))
    failing(place, 40, errno.ESTALE, 10**9)


def full_disk(place: Place) -> None:
    failing(place, 40, errno.ENOSPC, 10**9)


def failed_fsync(place: Place) -> None:
    failing(place, 40, errno.EIO, 1)


def slow_disk(place: Place) -> None:
    real = os.fsync
    place.patch.setattr(os, "fsync", lambda descriptor: (time.sleep(0.02), real(descriptor))[1])
    place.run()


def few_open_files(place: Place) -> None:
    """A limit as low as what the process has open already."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    real = os.fsync

    def fsync(descriptor):
        if len(hashes(place.folder)) >= 20:
            resource.setrlimit(resource.RLIMIT_NOFILE, (3, before[1]))
        real(descriptor)

    place.patch.setattr(os, "fsync", fsync)
    try:
        place.run()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def another_host(place: Place) -> None:
    """A machine whose `flock` this one does not see holds the folder; later its sign of life is old."""
    place.folder.path.mkdir()
    lock = place.folder.path / ".lock"
    lock.write_text("pid 4711 on other-node 0123456789abcdef")
    place.run()
    os.utime(lock, (0, 0))


def taken_over_by_another_host(place: Place) -> None:
    flag = place.root / "stalled"

    def other():
        (place.folder.path / ".lock").write_text("pid 4711 on other-node 0123456789abcdef")

    place.run(load=partial(odd, act=other, flag=flag))
    os.utime(place.folder.path / ".lock", (0, 0))


def renamed_folder(place: Place) -> StudyFolder:
    elsewhere = place.root / "renamed" / "sweep"
    elsewhere.parent.mkdir()
    place.run(load=partial(odd, act=lambda: place.folder.path.rename(elsewhere), flag=place.root / "moved"))
    return StudyFolder(elsewhere)


def foreign_files(place: Place) -> None:
    place.run(options=Options(device="cpu", limit=5))
    images = place.folder.path / "images"
    (images / ".DS_Store").write_bytes(b"\0")
    (images / "tiny-turbo@1" / "Thumbs.db").write_bytes(b"\0")
    (images / "notes").mkdir()
    (place.folder.path / "generations.jsonl.bak").write_text("{")
    place.run()
    assert (images / ".DS_Store").exists()


def damaged_row(place: Place) -> None:
    place.run(options=Options(device="cpu", limit=5))
    rows = place.folder.generations_file
    whole = rows.read_bytes()
    rows.write_bytes(whole.replace(b'"contender"', b"\0\0\0", 1))
    place.run()
    rows.write_bytes(whole)  # "restore it from a copy"


def other_umask(place: Place) -> None:
    """A folder of another user that this one may not write to."""
    place.run(options=Options(device="cpu", limit=5))
    for path in (place.folder.path, *place.folder.path.rglob("*")):
        path.chmod(0o700 if path.is_dir() else 0o600)
    os.seteuid(65534)
    try:
        place.run()
    finally:
        os.seteuid(0)


def stopped_driver(place: Place) -> None:
    """SIGSTOP for two seconds, with two workers; then it goes on."""
    process = start(place.study, place.root, "--processes", "2", "--pause", "0.05")
    until(lambda: place.folder.generations_file.exists() and len(hashes(place.folder)) > 10, process)
    os.kill(process.pid, signal.SIGSTOP)
    time.sleep(2)
    os.kill(process.pid, signal.SIGCONT)
    code, told = finish(process)
    assert code == 0, told
    place.said += told.splitlines()


def hung_file_system(place: Place) -> None:
    """The driver's own fsync does not come back: two lines, and Ctrl-C twice ends it."""
    hold = threading.Event()
    real = os.fsync

    def fsync(descriptor):
        if threading.current_thread() is threading.main_thread() and not hold.is_set():
            hold.wait(2.5)
            hold.set()
        real(descriptor)

    place.patch.setattr(durable, "SLOW_SECONDS", 0.3)
    place.patch.setattr(os, "fsync", fsync)
    with captured(place):
        place.run()


@contextlib.contextmanager
def captured(place: Place) -> Iterator[None]:
    """Warnings of the log are among what is said."""
    import logging

    class Lines(logging.Handler):
        def emit(self, record):
            place.said.append(record.getMessage())

    handler = Lines()
    logging.getLogger("bench").addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger("bench").removeHandler(handler)


def store_outage(place: Place) -> ObjectFolder:
    """No answer for 0.4 seconds from the 60th request on, with pauses shortened alike."""
    folder, real, state = place.store(), StoreAccess._once, {"calls": 0, "until": 0.0}

    def once(self, operation, again):
        state["calls"] += 1
        if state["calls"] == 60:
            state["until"] = time.monotonic() + 0.4
        if time.monotonic() < state["until"]:
            raise ConnectionResetError("the store is away")
        return real(self, operation, again)

    place.patch.setattr(StoreAccess, "_once", once)
    place.patch.setattr("bench.store.store_access.backoff", partial(durable.backoff, first=0.02, most=0.1))
    with captured(place):
        place.run(folder)
    return folder


def lagging_listing(place: Place) -> ObjectFolder:
    """Each listing is the one before it: what was written last is missing, what was deleted is still there."""
    folder, real = place.store(), StoreAccess._once
    before: dict[str, dict[str, int]] = {}

    def once(self, operation, again):
        found = real(self, operation, again)
        if isinstance(operation, List):
            found, before[operation.prefix] = before.get(operation.prefix, found), found
        return found

    place.patch.setattr(StoreAccess, "_once", once)
    place.patch.setattr(objects, "PART_SECONDS", 0.0)
    place.run(folder)
    place.run(folder)
    return folder


def clock_jump(place: Place) -> ObjectFolder:
    """While one process works, another's clock is an hour ahead: it takes the lease, and does the whole study."""
    folder, other = place.store(), place.store()
    place.patch.setattr(objects, "PART_SECONDS", 0.0)
    second = Place(study=place.study, root=place.root, patch=place.patch)

    def meanwhile():
        with pytest.MonkeyPatch.context() as patch:
            real = time.time
            patch.setattr(time, "time", lambda: real() + 3600)
            second.run(other)

    def ahead():
        thread = threading.Thread(target=meanwhile)
        thread.start()
        thread.join()

    place.run(folder, load=partial(odd, act=ahead, flag=place.root / "jumped"))
    return folder


def stopped_store(place: Place) -> ObjectFolder:
    """SIGSTOP of a real S3-compatible server for eight seconds."""
    import fsspec

    log = place.root / "moto.log"
    with log.open("wb") as out:
        server = subprocess.Popen(
            [Path(sys.executable).with_name("moto_server"), "-H", "127.0.0.1", "-p", "0"],
            stdout=out,
            stderr=out,
        )
    atexit.register(server.kill)  # the same command goes on with it
    while "Running on http" not in log.read_text():
        time.sleep(0.1)
    address = log.read_text().split("Running on ")[1].split()[0]
    for name, value in (("ENDPOINT_URL", address), ("ACCESS_KEY_ID", "a"), ("SECRET_ACCESS_KEY", "b")):
        os.environ[f"AWS_{name}"] = value
    os.environ["AWS_DEFAULT_REGION"] = "us-east-1"
    fsspec.filesystem("s3", skip_instance_cache=True).mkdir("faults")
    folder = ObjectFolder("s3://faults/sweep")
    process = start(place.study, "s3://faults", "--pause", "0.05")
    until(lambda: len(folder.sizes("images")) > 10, process)
    os.kill(server.pid, signal.SIGSTOP)
    time.sleep(8)
    os.kill(server.pid, signal.SIGCONT)
    code, told = finish(process)
    assert code == 0, told
    place.said += told.splitlines()
    return folder


FAULTS = [
    Fault(what="a worker hangs", run=hung_worker, happens="ended after its bound; its work goes to another",
          says="was lost (silent for", cheap=False),
    Fault(what="SIGSTOP of a worker", run=stopped_worker, happens="as a worker that hangs", says="was lost (silent for",
          cheap=False),
    Fault(what="SIGSTOP of the driver, 2 s", run=stopped_driver, happens="goes on when it is continued", says="",
          cheap=False),
    Fault(what="a prompt that fails (poison)", run=poisoned_prompt,
          happens="its images fail alone, a row each; its batch's others are generated", says="failed"),
    Fault(what="a damaged model", run=damaged_model, happens="set aside, the others are finished, exit 1",
          says="header too large"),
    Fault(what="too little memory for a model", run=too_little_memory, happens="set aside, the others are finished",
          says="does not fit into the memory"),
    Fault(what="other software (mixture)", run=other_software, happens="refused before anything is generated",
          says="torch"),
    Fault(what="slow disk (20 ms a file)", run=slow_disk, happens="slower", says=""),
    Fault(what="the driver's fsync does not return (hung file system)", run=hung_file_system,
          happens="reported while it lasts; goes on when it returns", says="has not answered for"),
    Fault(what="ESTALE three times", run=stale_handle, happens="waited for", says=""),
    Fault(what="ESTALE for good", run=nfs_away_for_good, happens="ends after five minutes, exit 2",
          says="run the same command again when the file system is back"),
    Fault(what="ENOSPC, then space", run=full_disk, happens="ends, exit 2; the next goes on", says="the disk is full"),
    Fault(what="EIO from fsync", run=failed_fsync, happens="ends, exit 2; never taken for success",
          says="the disk reported an error"),
    Fault(what="low `ulimit -n`", run=few_open_files, happens="ends, exit 2", says="too many open files"),
    Fault(what="two hosts, one folder without network locks: the second", run=another_host,
          happens="refused while the first gives signs of life", says="is being written from another machine"),
    Fault(what="two hosts: the first was stalled and taken over", run=taken_over_by_another_host,
          happens="stops before its next row, exit 2", says="was taken over by another process"),
    Fault(what="the folder is renamed under way", run=renamed_folder, happens="stops, exit 2; goes on where it is now",
          says="was renamed, replaced or removed"),
    Fault(what="foreign files in the folder", run=foreign_files, happens="left alone", says=""),
    Fault(what="a damaged row", run=damaged_row, happens="refused by file and line, exit 2", says="generations.jsonl:"),
    Fault(what="another user's folder, umask 077", run=other_umask, happens="refused, exit 2", says="no permission"),
    Fault(what="store: no answer for a while", run=store_outage, happens="waited for, up to five minutes",
          says="does not answer"),
    Fault(what="store: SIGSTOP of the server, 8 s", run=stopped_store, happens="waited for", says="", cheap=False),
    Fault(what="store: listings lag behind", run=lagging_listing, happens="as without", says=""),
    Fault(what="store: a clock jumps, the lease is taken over", run=clock_jump,
          happens="the first stops at its next row, the second goes on", says="was taken over by another process"),
]  # fmt: skip
