"""A folder on a disk that two machines see, or that is renamed: the writer stops before a row is lost."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

import bench.store.folder_lock as folder_lock
from bench.errors import InputError
from bench.records import Generation
from bench.store.folder_lock import held
from bench.store.study_folder import StudyFolder

OTHER = "pid 4711 on other-node 0123456789abcdef"


def generation(contender, prompt):
    return Generation(
        contender=contender, prompt_id=prompt, replicate=0, seed=1, sha256="0" * 64, bytes=1, width=1, height=1,
        seconds=0.1, settings="",
    )  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    return StudyFolder(tmp_path / "s")


def as_another_machine(folder, seconds_ago=0.0):
    """`.lock` as a process of another machine leaves it where `flock` does not reach."""
    folder.path.mkdir(exist_ok=True)
    lock = folder.path / ".lock"
    lock.write_text(OTHER)
    then = time.time() - seconds_ago
    os.utime(lock, (then, then))


def test_a_living_holder_on_another_machine_is_respected_and_a_dead_one_is_not(folder):
    as_another_machine(folder, 5)
    said = r"written from another machine \(pid 4711 on other-node, seen 5 s ago\).* its hold ends 60 s after"
    with pytest.raises(InputError, match=said), folder.lock():
        pass
    as_another_machine(folder, 61)
    with folder.lock():
        folder.append(folder.generations_file, [generation("c", "p")])
    assert len(folder.generations()) == 1


def test_a_writer_that_was_taken_over_from_writes_no_row(folder):
    with folder.lock():
        folder.append(folder.generations_file, [generation("c", "p")])
        as_another_machine(folder)
        with pytest.raises(InputError, match="taken over by another process \\(pid 4711 on other-node\\)"):
            folder.append(folder.generations_file, [generation("c", "q")])
    assert len(folder.generations()) == 1
    assert (folder.path / ".lock").read_text() == OTHER  # the other one's hold stands


@pytest.mark.parametrize("put_back", [False, True])
def test_a_renamed_folder_stops_its_writer(folder, put_back):
    with folder.lock():
        folder.path.rename(folder.path.with_name("elsewhere"))
        if put_back:
            as_another_machine(folder)
        with pytest.raises(InputError, match="was renamed, replaced or removed while"):
            folder.append(folder.generations_file, [generation("c", "p")])
        with pytest.raises(InputError, match="was renamed, replaced or removed while"):
            folder.write_image("c", "p", 0, b"x")
    assert not (folder.path / "images").exists()


def test_a_hold_gives_signs_of_life_and_leaves_nothing_behind(folder, monkeypatch):
    monkeypatch.setattr(folder_lock, "BEAT_SECONDS", 0.01)
    lock = folder.path / ".lock"
    with folder.lock():
        os.utime(lock, (0, 0))
        end = time.monotonic() + 60
        while lock.stat().st_mtime == 0 and time.monotonic() < end:
            time.sleep(0.01)
        assert lock.stat().st_mtime > 0
        assert re.fullmatch(rf"pid {os.getpid()} on \S+ [0-9a-f]{{32}}", lock.read_text())
    assert lock.read_text() == ""
    assert [path.name for path in folder.path.iterdir()] == [".lock"]


def test_places_where_no_folder_can_be_are_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    for place, said in (
        (tmp_path / "file", "is a file, not a folder"),
        (tmp_path / "file" / "s", "is below a file"),
        (Path("/proc/nothing/s"), "no such file or directory: choose another place"),
    ):
        with pytest.raises(InputError, match=said), held(place):
            pass


@pytest.mark.skipif(os.getuid() != 0, reason="needs a second user")
def test_another_user_s_folder_is_named_with_both_users(folder):
    with folder.lock():
        pass
    folder.path.chmod(0o755)
    code = (
        "import os, pwd, sys\nfrom pathlib import Path\nfrom bench.store.folder_lock import held\n"
        "os.seteuid(65534)\n"
        "try:\n    with held(Path(sys.argv[1])): pass\nexcept Exception as e: print(type(e).__name__, e)"
    )
    for path in (folder.path.parent, *folder.path.parents[1:4]):
        if str(path).startswith("/tmp/pytest"):
            path.chmod(0o755)
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder.path)], capture_output=True, text=True, timeout=120
    )
    assert "InputError cannot write" in done.stdout, done
    assert "no permission (it is root's, this process nobody's)" in done.stdout
