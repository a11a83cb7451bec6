"""The job script of `bench slurm` on a real SLURM of two nodes: told to stop, sent again, the bytes of one process."""

from __future__ import annotations

import getpass
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from bench.models.load import load
from bench.store.study_folder import StudyFolder
from bench.study.study import read
from bench.sweep.generate import generate
from bench.sweep.settings import Options
from tests.conftest import ROOT, SYSTEM
from tests.support.arena_server import free_port
from tests.support.sweeping import hashes, rows

pytestmark = [pytest.mark.slurm, pytest.mark.ray, pytest.mark.timeout(1200)]
STUDY = """name = "small"
contenders = ["tiny-sdxl@50", "tiny-turbo@1"]
display_size = 64
[prompts]
file = "prompts.txt"
[generate]
batch_size = 1
"""
CONFIG = """ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={place}/munge.sock
SlurmctldPort={ports[0]}
StateSaveLocation={place}/state
SlurmdSpoolDir={place}/%n.spool
SlurmdPidFile={place}/%n.pid
SlurmctldPidFile={place}/controller.pid
SlurmdLogFile={place}/%n.log
SlurmctldLogFile={place}/controller.log
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
MpiDefault=none
KillWait=5
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=4
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=4
PartitionName=all Nodes=n1,n2 Default=YES MaxTime=INFINITE State=UP
"""


@pytest.fixture
def slurm():
    """The environment in which `sbatch` finds a controller and two nodes, all on this machine."""
    with tempfile.TemporaryDirectory(prefix="slurm-", ignore_cleanup_errors=True) as name:
        place = Path(name)
        place.chmod(0o755)  # munged wants its socket reachable
        for folder in ("state", "n1.spool", "n2.spool"):
            (place / folder).mkdir()
        key = place / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o400)
        settings = {"host": socket.gethostname().split(".")[0], "user": getpass.getuser(), "place": place}
        config = place / "slurm.conf"
        config.write_text(CONFIG.format(**settings, ports=[free_port() for _ in range(3)]))
        environment = {
            **os.environ,
            "PATH": SYSTEM,
            "SLURM_CONF": str(config),
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": str(ROOT),
        }
        paths = [f"--{part}={place / f'munge.{end}'}" for part, end in (
            ("key-file", "key"), ("socket", "sock"), ("pid-file", "pid"), ("log-file", "log"), ("seed-file", "seed"),
        )]  # fmt: skip
        daemons = [
            ["munged", "--foreground", "--force", *paths],
            ["slurmctld", "-D", "-f", config],
            ["slurmd", "-D", "-f", config, "-N", "n1"],
            ["slurmd", "-D", "-f", config, "-N", "n2"],
        ]
        running: list[subprocess.Popen[bytes]] = []
        try:
            with (place / "daemons.log").open("wb") as log:
                for words in daemons:
                    running.append(subprocess.Popen(words, env=environment, stdout=log, stderr=log))
                    wait_for(lambda: (place / "munge.sock").exists(), place)
            wait_for(
                lambda: told("sinfo", "-h", "-N", "-o", "%t", env=environment).split() == ["idle"] * 2, place
            )
            yield environment
        finally:
            subprocess.run(["scancel", "--user", getpass.getuser()], env=environment, check=False)
            for process in reversed(running):
                process.send_signal(signal.SIGTERM)
                process.wait(60)


def wait_for(found, place: Path, seconds: float = 300) -> None:
    end = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < end, "\n".join(f"{p.name}: {p.read_text()}" for p in place.glob("*.log"))
        time.sleep(0.2)


def told(*words: str | Path, env: dict[str, str]) -> str:
    done = subprocess.run([*map(str, words)], capture_output=True, text=True, env=env)
    return done.stdout if done.returncode == 0 else ""


def ended(job: str, environment: dict[str, str], place: Path) -> str:
    """The exit code of a job that is over, and of the signal that ended it."""
    wait_for(
        lambda: (
            "EndTime" in (shown := told("scontrol", "show", "job", job, env=environment))
            and not {"JobState=RUNNING", "JobState=COMPLETING", "JobState=PENDING"} & set(shown.split())
        ),
        place,
        600,
    )
    words = told("scontrol", "show", "job", job, env=environment).split()
    return next(word.removeprefix("ExitCode=") for word in words if word.startswith("ExitCode="))


def test_a_job_told_to_stop_and_sent_again_leaves_the_folder_of_one_process(slurm, tmp_path):
    # enough that the job is not over before the signal is there
    (tmp_path / "prompts.txt").write_text("".join(f"{number} cats\n" for number in range(24)))
    study = tmp_path / "study.toml"
    study.write_text(STUDY)
    whole = StudyFolder(tmp_path / "whole")
    whole.path.mkdir()
    generate(read(study), whole, Options(device="cpu"), load=load, threads=1)

    words = ["--results", tmp_path, "--nodes", "2", "--gpus", "0", "--cpus", "1", "--time", "20"]
    job = tmp_path / "job.sh"
    job.write_text(
        subprocess.run(
            [sys.executable, "-m", "bench", "slurm", study, *words],
            cwd=tmp_path,
            env=slurm,
            check=True,
            capture_output=True,
            text=True,
        ).stdout
    )
    folder = StudyFolder(tmp_path / "small")
    first = told("sbatch", "--parsable", "--chdir", tmp_path, job, env=slurm).strip()
    log = tmp_path / f"bench-study-{first}.log"
    wait_for(lambda: rows(folder) > 0, tmp_path)
    told("scancel", "--signal=INT", "--batch", first, env=slurm)
    assert ended(first, slurm, tmp_path) == "130:0", log.read_text()
    assert "run the same command again to go on" in log.read_text()
    made = rows(folder)
    assert 0 < made < len(hashes(whole))

    second = told("sbatch", "--parsable", "--chdir", tmp_path, job, env=slurm).strip()
    log = tmp_path / f"bench-study-{second}.log"
    assert ended(second, slurm, tmp_path) == "0:0", log.read_text()
    assert f"{made} were there, 0 failed" in " ".join(log.read_text().split())
    assert hashes(folder) == hashes(whole)
    assert folder.damaged() == []
