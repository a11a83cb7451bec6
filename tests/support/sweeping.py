"""What the tests of engines, cluster and object store share: one study, its undisturbed folder, a driver to kill."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from bench.records import read_rows
from bench.store.study_folder import StudyFolder
from bench.study.study import read
from tests.conftest import ROOT

STUDY = """name = "sweep"
contenders = ["tiny-turbo@1", "tiny-turbo@4", "tiny-sdxl@50", "tiny-lcm@4"]
images_per_prompt = 2
display_size = 16
[prompts]
file = "prompts.txt"
[generate]
batch_size = 3
"""
IMAGES = 4 * 2 * 20


def write_study(place: Path) -> Path:
    (place / "prompts.txt").write_text("".join(f"prompt number {i}\n" for i in range(20)))
    (place / "study.toml").write_text(STUDY)
    return place / "study.toml"


def undisturbed(place: Path) -> dict:
    """Hashes of the study made in this process, without an engine of several."""
    from bench.sweep.generate import generate
    from bench.sweep.settings import Options
    from tests.support.null_pipeline import load

    folder = StudyFolder(place / "whole")
    folder.path.mkdir()
    generate(read(place / "study.toml"), folder, Options(device="cpu"), load=load)
    return hashes(folder)


def hashes(folder) -> dict:
    return {key: row.sha256 for key, row in folder.generations().items()}


def start(study: Path, results: Path | str, *options: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.support.sweep_process", str(study), str(results), *options],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def finish(process: subprocess.Popen[str], seconds: float = 240) -> tuple[int, str]:
    out, err = process.communicate(timeout=seconds)
    return process.returncode, out + err


def until(found: Callable[[], bool], process: subprocess.Popen[str], seconds: float = 240) -> None:
    """Wait for something that the process brings about."""
    end = time.monotonic() + seconds
    while not found():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.02)


def rows(folder: StudyFolder) -> int:
    path = folder.generations_file
    return path.read_bytes().count(b"\n") if path.exists() else 0


def workers(process: subprocess.Popen[str]) -> list[psutil.Process]:
    family = psutil.Process(process.pid).children(recursive=True)
    return [child for child in family if "spawn_main" in " ".join(child.cmdline())]


def assert_whole(folder: StudyFolder, expected: dict) -> None:
    """As an undisturbed run leaves it: every image once, with these bytes."""
    from bench.records import Generation

    found = read_rows(folder.generations_file, Generation)
    assert len(found) == len(expected) == IMAGES
    assert hashes(folder) == expected
    assert folder.damaged() == []
    assert not list(folder.path.glob("**/.*.tmp"))
