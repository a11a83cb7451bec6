"""Faults that are not deaths: a damaged model, a model that kills its workers, a worker that hangs, another machine."""

from __future__ import annotations

import os
import signal
import time
from functools import partial
from pathlib import Path

import pytest

from bench import provenance
from bench.errors import InputError
from bench.store.study_folder import StudyFolder
from bench.study.study import read
from bench.sweep import settings
from bench.sweep.generate import generate
from bench.sweep.processes import Processes
from bench.sweep.settings import Options
from bench.sweep.work import alone
from tests.support.null_pipeline import NullPipeline, load
from tests.support.sweeping import IMAGES, assert_whole, hashes, undisturbed, write_study


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return write_study(tmp_path_factory.mktemp("study"))


@pytest.fixture(scope="module")
def whole(study):
    return undisturbed(study.parent)


def damaged(model, *, name: str, place: Path, kill: bool = False, **settings):
    """One model cannot be loaded until a file is there."""
    if model.name == name and not (place / "repaired").exists():
        if kill:
            os.kill(os.getpid(), signal.SIGKILL)
        raise OSError("Unable to load weights: header too large")
    return load(model, **settings)


@pytest.mark.parametrize(("engine", "kill"), [(None, False), (Processes([None, None], alone), True)])
def test_a_model_that_cannot_be_loaded_is_set_aside_and_the_others_are_finished(
    study, whole, tmp_path, engine, kill
):
    folder = StudyFolder(tmp_path / "sweep")
    folder.path.mkdir()
    loader = partial(damaged, name="tiny-turbo", place=tmp_path, kill=kill)
    lines: list[str] = []
    for made in (IMAGES // 2, 0):  # the second call has nothing to do but to try again
        arguments = {"load": loader, "engine": engine, "say": lines.append}
        if made:
            summary = generate(read(study), folder, Options(device="cpu"), **arguments)
            assert (summary.made, list(summary.set_aside)) == (made, ["tiny-turbo"])
        else:
            with pytest.raises(InputError, match="tiny-turbo"):
                generate(read(study), folder, Options(device="cpu"), **arguments)
    said = (
        "3 workers in a row were lost while loading 'tiny-turbo' (killed by signal 9)"
        if kill
        else "header too large"
    )
    assert any(said in line for line in lines)
    standing = folder.failures()
    assert {(row.stage, row.contender) for row in standing} == {
        ("load", "tiny-turbo@1"),
        ("load", "tiny-turbo@4"),
    }
    assert all(said in row.message for row in standing)
    (tmp_path / "repaired").touch()
    assert generate(read(study), folder, Options(device="cpu"), **arguments).made == IMAGES // 2
    assert folder.failures() == []
    assert_whole(folder, whole)


def hanging(model, *, place: Path, **settings):
    return Hanging(place)


class Hanging(NullPipeline):
    """The first worker that generates stops for ever, once."""

    def __init__(self, place: Path) -> None:
        super().__init__()
        self.place = place

    def denoise(self, embeddings, seeds, contender, **more):
        if any("number 7" in text for text in embeddings):
            try:
                (self.place / "hung").touch(exist_ok=False)
            except FileExistsError:
                pass
            else:
                time.sleep(3600)
        return super().denoise(embeddings, seeds, contender, **more)


def test_a_worker_that_hangs_is_reported_and_replaced(study, whole, tmp_path, monkeypatch):
    monkeypatch.setattr("bench.sweep.workers.NOTICE_SECONDS", 0.5)
    folder = StudyFolder(tmp_path / "sweep")
    folder.path.mkdir()
    lines: list[str] = []
    summary = generate(
        read(study),
        folder,
        Options(device="cpu", patience=0.01),
        load=partial(hanging, place=tmp_path),
        engine=Processes([None, None], alone),
        say=lines.append,
    )
    assert summary.made == IMAGES
    assert_whole(folder, whole)
    assert any("has been silent for" in line for line in lines), lines
    assert any("was lost (silent for" in line and "generating tiny-" in line for line in lines), lines


def test_ctrl_c_ends_with_a_worker_that_hangs(study, tmp_path, monkeypatch):
    monkeypatch.setattr("bench.sweep.workers.STOPPING_SECONDS", 1.0)
    folder = StudyFolder(tmp_path / "sweep")
    folder.path.mkdir()
    summary = generate(
        read(study),
        folder,
        Options(device="cpu"),
        load=partial(hanging, place=tmp_path),
        engine=Processes([None], alone),
        stop=lambda: (tmp_path / "hung").exists(),
    )
    assert summary.stopped
    assert folder.damaged() == []


def other(device):
    return {"torch": "1.0", "diffusers": "0.1", "transformers": "4", "device": "CPU other", "driver": None}


def test_another_machine_is_refused_with_what_differs_or_recorded(study, tmp_path, monkeypatch):
    folder = StudyFolder(tmp_path / "sweep")
    folder.path.mkdir()
    generate(read(study), folder, Options(device="cpu", limit=3), load=load)
    here = settings.environment("cpu")
    rows = folder.generations()
    table = folder.settings()
    assert {row.settings for row in rows.values()} == set(table)
    assert all(entry["environment"] == here for entry in table.values())
    assert {entry["contender"] for entry in table.values()} == {key[0] for key in rows}
    for place in ("bench.sweep.settings", "bench.sweep.generate", "bench.sweep.worker"):
        monkeypatch.setattr(f"{place}.environment", other)
    with pytest.raises(
        InputError, match=rf"torch {here['torch']}, here 1\.0;.*device CPU .*, here CPU other.*--mixed"
    ):
        generate(read(study), folder, Options(device="cpu"), load=load)
    assert folder.generations() == rows
    assert (
        generate(read(study), folder, Options(device="cpu", limit=3), load=load).made == 0
    )  # nothing to mix
    generate(read(study), folder, Options(device="cpu", mixed=True), load=load)
    found = provenance.environments(folder)
    images = {entry["environment"]["device"]: sum(entry["contenders"].values()) for entry in found}
    assert images == {"CPU other": IMAGES - 24, here["device"]: 24}


def test_a_call_that_generates_nothing_leaves_what_run_json_says_of_the_machine(study, tmp_path, monkeypatch):
    folder = StudyFolder(tmp_path / "sweep")
    folder.path.mkdir()
    found = read(study)
    generate(found, folder, Options(device="cpu"), load=load)
    before = provenance.write(found, folder, device="cpu", began="then")
    monkeypatch.setattr(provenance, "_versions", lambda: {"torch": "another"})
    assert provenance.write(found, folder, device="cpu", began="later", made=False) == before
    after = provenance.write(found, folder, device="cpu", began="later")
    assert after["versions"]["torch"] == "another"
    assert hashes(folder)


def test_the_report_says_which_contenders_come_from_which_machine():
    from types import SimpleNamespace

    from bench.report.text.warnings import _mixed

    here = {"torch": "2.1", "diffusers": "0.4", "transformers": "5", "device": "NVIDIA A", "driver": "550"}
    one = {"environment": here, "contenders": {"a@1": 3}}
    other = {"environment": here | {"torch": "2.2", "device": "NVIDIA B"}, "contenders": {"a@1": 2, "b@4": 5}}
    assert _mixed(SimpleNamespace(run={"environments": [one]})) is None  # pyright: ignore
    assert _mixed(SimpleNamespace(run={})) is None  # pyright: ignore
    banner = _mixed(SimpleNamespace(run={"environments": [one, other]}))  # pyright: ignore
    assert banner is not None
    assert "3 of a@1 on NVIDIA A, driver 550 with torch 2.1" in banner.text
    assert "2 of a@1 and 5 of b@4 on NVIDIA B, driver 550 with torch 2.2" in banner.text
