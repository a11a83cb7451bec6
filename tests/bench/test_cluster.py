"""Ray for real: a head and a second node on this machine, actors on both, one of them killed."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from bench.store import StudyFolder
from tests.conftest import ROOT

from .sweeping import IMAGES, assert_whole, finish, rows, start, undisturbed, until, write_study

pytestmark = pytest.mark.ray
RAY = Path(sys.executable).with_name("ray")
SMALL = ("--num-cpus=1", "--num-gpus=0", "--object-store-memory=80000000", "--disable-usage-stats", "--block")


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return write_study(tmp_path_factory.mktemp("study"))


@pytest.fixture(scope="module")
def whole(study):
    return undisturbed(study.parent)


def node(*words: str) -> subprocess.Popen[bytes]:
    """A Ray node of this machine, in a process group of its own."""
    return subprocess.Popen(
        [RAY, "start", *words, *SMALL],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "RAY_health_check_period_ms": "1000"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def kill(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL for a node and everything it started, nothing of any other node."""
    family = [process, *psutil.Process(process.pid).children(recursive=True)]
    for member in family:
        member.kill()
    process.wait()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """The address of a head node."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    head = node(
        "--head", "--node-ip-address=127.0.0.1", f"--port={port}", "--include-dashboard=false",
        f"--temp-dir={tmp_path_factory.mktemp('r')}",
    )  # fmt: skip
    address = f"127.0.0.1:{port}"
    try:
        until(lambda: answers(address, 1), head, 120)  # pyright: ignore
        yield address
    finally:
        if head.poll() is None:
            kill(head)


def answers(address: str, count: int) -> bool:
    """Whether the head's own table lists that many living nodes."""
    from ray._raylet import GcsClient

    try:
        nodes = GcsClient(address=address).get_all_node_info(timeout=5)
    except Exception:  # not up yet; Ray has no one class for that
        return False
    return sum(info.state == 0 for info in nodes.values()) >= count


def test_bytes_are_the_same_on_two_nodes_of_which_one_is_killed(study, whole, cluster, tmp_path):
    second = node(f"--address={cluster}")
    try:
        until(lambda: answers(cluster, 2), second, 120)
        process = start(study, tmp_path, "--ray", cluster, "--pause", "0.3")
        folder = StudyFolder(tmp_path / "sweep")
        until(lambda: rows(folder) > 10, process)
    finally:
        kill(second)
    assert rows(folder) < IMAGES
    code, told = finish(process)
    assert code == 0, told
    assert_whole(folder, whole)
    code, told = finish(start(study, tmp_path))  # nothing is left for one process
    assert f"0 made, {IMAGES} kept" in told


def test_no_cluster_is_one_line(study, tmp_path):
    code, told = finish(start(study, tmp_path, "--ray", "127.0.0.1:1"))
    assert code == 2
    assert "no Ray cluster at '127.0.0.1:1'" in told.splitlines()[-1]
