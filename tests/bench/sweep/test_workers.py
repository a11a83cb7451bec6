"""Several processes: the same bytes as one, whatever is killed. Real processes, null pipelines."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from functools import partial

import psutil
import pytest

from bench.errors import InputError
from bench.store.study_folder import StudyFolder
from bench.study.study import read
from bench.sweep.generate import generate
from bench.sweep.processes import Processes
from bench.sweep.settings import Options
from bench.sweep.work import alone
from tests.support.null_pipeline import load
from tests.support.sweeping import (
    IMAGES,
    assert_whole,
    finish,
    hashes,
    rows,
    start,
    undisturbed,
    until,
    workers,
    write_study,
)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return write_study(tmp_path_factory.mktemp("study"))


@pytest.fixture(scope="module")
def whole(study):
    return undisturbed(study.parent)


def broken(model, **settings):
    raise KeyError("a bug of ours")


def dying(model, **settings):
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("count", [1, 4])
def test_bytes_are_the_same_on_any_number_of_processes(study, whole, tmp_path, count):
    folder = StudyFolder(tmp_path / "sweep")
    folder.path.mkdir()
    seen = []
    summary = generate(
        read(study),
        folder,
        Options(device="cpu"),
        load=load,
        engine=Processes([None] * count, alone),
        progress=lambda *told: seen.append(told),
    )
    assert summary.made == IMAGES
    assert_whole(folder, whole)
    assert {(name, total) for name, done, total, _ in seen if done == total} == {
        (key[0], 40) for key in whole
    }
    assert sum(seconds is not None for *_, seconds in seen) == IMAGES


def test_a_killed_worker_is_replaced_and_nothing_is_lost(study, whole, tmp_path):
    process = start(study, tmp_path, "--processes", "2", "--pause", "0.2")
    folder = StudyFolder(tmp_path / "sweep")
    until(lambda: rows(folder) > 10, process)
    workers(process)[0].kill()
    code, told = finish(process)
    assert code == 0, told
    assert_whole(folder, whole)


def test_a_killed_driver_takes_its_workers_along_and_another_goes_on(study, whole, tmp_path):
    process = start(study, tmp_path, "--processes", "2", "--pause", "0.2")
    folder = StudyFolder(tmp_path / "sweep")
    until(lambda: rows(folder) > 10, process)
    orphans = workers(process)
    process.kill()
    process.communicate()
    gone, alive = psutil.wait_procs(orphans, timeout=30)
    assert len(gone) == 2
    assert not alive
    assert 0 < rows(folder) < IMAGES
    code, told = finish(start(study, tmp_path))  # this time in one process
    assert code == 0, told
    assert_whole(folder, whole)


def test_interrupting_several_processes_ends_after_a_batch_and_can_go_on(study, whole, tmp_path):
    process = start(study, tmp_path, "--processes", "2", "--pause", "0.2")
    folder = StudyFolder(tmp_path / "sweep")
    until(lambda: rows(folder) > 10, process)
    process.send_signal(signal.SIGSTOP)  # it holds the folder as long as we like
    code, told = finish(start(study, tmp_path))
    assert code == 2, told
    assert f"is being written by another process (pid {process.pid} " in told
    process.send_signal(signal.SIGCONT)
    os.killpg(process.pid, signal.SIGINT)
    code, told = finish(process)
    assert code == 130, told
    assert 0 < rows(folder) < IMAGES
    assert folder.damaged() == []
    code, told = finish(start(study, tmp_path, "--processes", "2"))
    assert code == 0, told
    assert_whole(folder, whole)


def test_a_bug_in_a_worker_keeps_its_traceback(study, tmp_path):
    folder = StudyFolder(tmp_path)
    with pytest.raises(RuntimeError, match=r"(?s)in a worker.*def|raise KeyError.*a bug of ours"):
        generate(read(study), folder, Options(device="cpu"), load=broken, engine=Processes([None], alone))


def test_work_that_kills_every_worker_ends_with_one_line(study, tmp_path):
    folder = StudyFolder(tmp_path)
    with pytest.raises(
        InputError, match=r"3 workers in a row were lost while loading 'tiny-turbo' \(killed by signal 9\)"
    ):
        generate(read(study), folder, Options(device="cpu"), load=dying, engine=Processes([None], alone))


def test_a_full_disk_in_a_worker_is_one_line_and_the_study_goes_on(study, whole, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=96k", "tmpfs", disk], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting a tmpfs is not permitted here")
    try:
        code, told = finish(start(study, disk, "--processes", "2"))
        assert code == 2, told
        assert "disk is full" in told
        folder = StudyFolder(disk / "sweep")
        kept = hashes(folder)
        assert kept
        assert folder.damaged() == []
        subprocess.run(["mount", "-o", "remount,size=8m", disk], check=True)
        code, told = finish(start(study, disk, "--processes", "2"))
        assert code == 0, told
        assert_whole(folder, whole)
    finally:
        subprocess.run(["umount", disk], check=True)
    shutil.rmtree(disk)


def test_a_prompt_that_fails_in_a_worker_is_a_row(study, tmp_path):
    folder = StudyFolder(tmp_path)
    poisoned = partial(load, poison="number 4")
    summary = generate(
        read(study), folder, Options(device="cpu"), load=poisoned, engine=Processes([None], alone)
    )
    assert summary.failed == 4 * 2 == len(folder.failures())
    assert summary.made == IMAGES - summary.failed
