"""Features by several processes: the same rows as by one, whatever is killed in between; a study in a store."""

from __future__ import annotations

import shutil
from functools import partial

import pytest

import bench.scoring.feature_workers as feature_workers
from bench.errors import InputError
from bench.records import ImageScore, read_rows
from bench.report.build import build
from bench.scoring.feature_workers import compute
from bench.scoring.score import score
from bench.store.mirror import Mirror, mirrored
from bench.store.object_store import ObjectFolder
from bench.store.study_folder import StudyFolder
from bench.sweep.processes import Processes
from bench.sweep.work import alone
from bench.sweep.workers import Here
from tests.support.scoring import dying_start, make

METRICS = 'names = ["clip_score", "vendi"]'


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("TURBO_BENCH_CACHE", str(tmp_path_factory.getbasetemp() / "score-cache"))


def rows_by_key(folder):
    """Key → bytes of its row, of all stores of a folder."""
    found = {}
    for store in sorted((folder.path / "features").iterdir()):
        keys = (store / "keys.txt").read_text().split()
        data = (store / "rows.f32").read_bytes()
        width = len(data) // len(keys)
        found |= {(store.name, key): data[i * width : (i + 1) * width] for i, key in enumerate(keys)}
    return found


def copied(folder, to):
    shutil.copytree(folder.path, to / "other")
    return StudyFolder(to / "other")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A study of 2 × 41 images scored by this process alone, with its features and numbers."""
    place = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TURBO_BENCH_CACHE", str(tmp_path_factory.getbasetemp() / "score-cache"))
        folder, study = make(place, METRICS, prompts=41)
        unscored = place / "unscored"
        shutil.copytree(folder.path, unscored)
        rows = score(folder, study)
    return study, StudyFolder(unscored), rows_by_key(folder), rows


def test_processes_compute_the_rows_of_one_and_a_killed_one_is_replaced(whole, tmp_path, monkeypatch):
    """One worker ends itself at its second batch, by a real signal."""
    study, unscored, rows, numbers = whole
    folder = copied(unscored, tmp_path)
    said = []
    ahead = partial(
        compute,
        engine=Processes([None, None], alone),
        device="cpu",
        threads=1,
        shared=folder.path,
        say=said.append,
    )
    monkeypatch.setattr(feature_workers, "_start", partial(dying_start, tmp_path / "killed"))
    assert score(folder, study, compute=ahead) == numbers
    assert rows_by_key(folder) == rows
    assert "killed by signal 9" in said[0]


def test_a_stopped_call_keeps_what_it_has_and_the_next_goes_on(whole, tmp_path):
    study, unscored, rows, numbers = whole
    folder = copied(unscored, tmp_path)
    done = []
    ahead = partial(compute, engine=Here(), device="cpu", progress=lambda *now: done.append(now))
    with pytest.raises(KeyboardInterrupt):
        score(folder, study, compute=partial(ahead, stop=lambda: len(done) >= 3))
    kept = rows_by_key(folder)
    assert 0 < len(kept) < len(rows)
    assert score(folder, study, compute=ahead) == numbers
    assert rows_by_key(folder) == rows
    assert sum(at == total for _, at, total in done) == 1


def test_a_task_that_two_workers_were_given_adds_its_rows_once(whole, tmp_path):
    study, unscored, rows, _ = whole
    folder = copied(unscored, tmp_path)

    class Twice(Here):
        def run(self, start, source, stop, say=lambda line: None):
            for result in super().run(start, source, stop, say):
                yield result
                yield result

    score(folder, study, compute=partial(compute, engine=Twice(), device="cpu"))
    assert rows_by_key(folder) == rows


def test_rows_are_computed_with_the_threads_of_the_first(whole, tmp_path):
    import torch

    study, unscored, _, _ = whole
    folder = copied(unscored, tmp_path)
    before = torch.get_num_threads()
    stop = iter([False, False, True, True, True, True])
    with pytest.raises(KeyboardInterrupt):
        score(
            folder,
            study,
            compute=partial(compute, engine=Here(), device="cpu", threads=3, stop=lambda: next(stop)),
        )
    try:
        torch.set_num_threads(1)
        score(folder, study)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_a_study_in_a_store_is_scored_and_reported_where_it_lies(whole, tmp_path, monkeypatch):
    """In the memory file system of fsspec; `test_object_store` has the real server."""
    study, unscored, rows, numbers = whole
    monkeypatch.setenv("TURBO_BENCH_CACHE", str(tmp_path / "cache"))
    store = ObjectFolder("memory://sweeps/s")
    for path in unscored.path.rglob("*"):
        name = path.relative_to(unscored.path).as_posix()
        if path.is_file() and not name.startswith("."):
            store.write(
                name.replace("generations.jsonl", "generations/0000000001-000001.jsonl"), path.read_bytes()
            )
    with mirrored(store) as mirror:
        ahead = partial(compute, engine=Here(), device="cpu")
        assert score(mirror, study, compute=ahead) == numbers
        assert rows_by_key(mirror) == rows
        assert not (mirror.path / "images").exists()
    assert store.read_rows("image-scores.jsonl", ImageScore) == read_rows(
        mirror.image_scores_file, ImageScore
    )
    assert any(name.endswith("rows.f32") for name in store.sizes("features/"))
    shutil.rmtree(tmp_path / "cache")  # another machine: the features are not computed again
    with mirrored(store) as mirror:
        refuse = partial(compute, engine=None, device="cpu")  # pyright: ignore[reportArgumentType]
        assert score(mirror, study, compute=refuse) == numbers
        build(mirror)
    shown = len(list((mirror.path / "images").rglob("*.webp")))
    assert 0 < shown < len(numbers) * 41
    assert b"clip_score" in (store.read("report/index.html") or b"")


def test_a_damaged_image_of_a_store_is_named(whole, tmp_path, monkeypatch):
    _, unscored, *_ = whole
    monkeypatch.setenv("TURBO_BENCH_CACHE", str(tmp_path / "cache"))
    row = next(iter(unscored.generations().values()))
    folder = ObjectFolder("memory://sweeps/damaged")
    good = unscored.image(row.contender, row.prompt_id, row.replicate).read_bytes()
    folder.write(f"images/{row.contender}/{row.prompt_id}-0.webp", good[:-1] + b"x")
    mirror = Mirror(tmp_path, source=folder)
    with pytest.raises(InputError, match=f"{row.prompt_id}-0.webp is damaged: `bench verify memory"):
        mirror.image_file(row).read_bytes()
