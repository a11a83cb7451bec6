"""What macOS and Windows do differently, on any machine: names of files, locks and signals."""

from __future__ import annotations

import errno
import signal
import threading
import types
from pathlib import Path, PureWindowsPath
from typing import IO

import pytest

from bench.errors import InputError
from bench.run import interruptible
from bench.store import file_lock
from bench.store.study_folder import StudyFolder

DEVICES = {"CON", "PRN", "AUX", "NUL", *(f"{name}{n}" for name in ("COM", "LPT") for n in range(1, 10))}
"""What Windows takes for a device, whatever the suffix."""


@pytest.mark.parametrize("contender", ["sdxl-turbo@1", "flux.1-schnell@4", "con", "ours"])
@pytest.mark.parametrize("prompt_id", ["p0000", "con", "NUL", "a.b", "x-1"])
def test_an_images_path_is_one_that_windows_can_write(contender: str, prompt_id: str, tmp_path: Path) -> None:
    path = StudyFolder(tmp_path).image(contender, prompt_id, 0).relative_to(tmp_path)
    for part in PureWindowsPath(*path.parts).parts:
        assert not set(part) & set('<>:"/\\|?*'), part
        assert not part.endswith((".", " ")), part
    assert path.name.split(".")[0].upper() not in DEVICES


class Msvcrt(types.ModuleType):
    """Windows' module: a byte of a file is locked by one process, here by one open file."""

    LK_NBLCK = 2

    def __init__(self) -> None:
        super().__init__("msvcrt")
        self.held: set[int] = set()

    def locking(self, descriptor: int, mode: int, count: int) -> None:
        import os

        assert (mode, count) == (self.LK_NBLCK, 1)
        assert os.lseek(descriptor, 0, os.SEEK_CUR) > 1 << 20, "the text itself must stay readable"
        if self.held:
            raise OSError(errno.EACCES, "Permission denied")
        self.held.add(descriptor)


@pytest.fixture(params=["posix", "windows"])
def system(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "windows":
        import sys

        monkeypatch.setattr(file_lock, "fcntl", None)
        monkeypatch.setitem(sys.modules, "msvcrt", Msvcrt())
    return request.param


def test_a_second_process_is_refused_with_the_name_of_the_first(system: str, tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path)
    with folder.lock():
        with (
            pytest.raises(InputError, match=r"being written by another process \(pid \d+ on "),
            folder.lock(),
        ):
            pass
        assert (tmp_path / ".lock").read_text().startswith("pid ")


def test_an_error_that_is_no_lock_is_not_taken_for_one(
    system: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise OSError(errno.EIO, "disk")

    import sys

    where = sys.modules["msvcrt"] if system == "windows" else file_lock.fcntl
    monkeypatch.setattr(where, "locking" if system == "windows" else "flock", broken)
    file: IO[str]
    with (tmp_path / "x").open("a+") as file, pytest.raises(OSError, match="disk"):
        file_lock.lock(file)


def test_ctrl_c_stops_after_the_batch_and_gives_the_handler_back() -> None:
    """SIGINT is the one signal of the driver, and the one that Windows has too."""
    before = signal.getsignal(signal.SIGINT)
    lines: list[str] = []
    with interruptible(lines.append) as asked:
        assert not asked()
        signal.raise_signal(signal.SIGINT)
        assert asked()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert len(lines) == 1
    assert signal.getsignal(signal.SIGINT) is before


def test_outside_the_main_thread_no_handler_is_set() -> None:
    before = signal.getsignal(signal.SIGINT)
    answers: list[bool] = []

    def work() -> None:
        with interruptible() as asked:
            answers.append(asked())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert answers == [False]
    assert signal.getsignal(signal.SIGINT) is before
