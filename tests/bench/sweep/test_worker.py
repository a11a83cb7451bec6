"""Memory that does not suffice, threads that change bits, prompts from an enemy."""

from __future__ import annotations

import json
import random
from functools import partial

import pytest

from bench.errors import InputError
from bench.prompts.sets import read_file
from bench.store.study_folder import StudyFolder
from bench.study.study import read
from bench.sweep import settings
from bench.sweep.batch import Maker
from bench.sweep.generate import generate
from bench.sweep.settings import Options
from tests.support.null_pipeline import NullPipeline
from tests.support.sweeping import IMAGES, assert_whole, hashes, undisturbed, write_study


def limited(model, *, fits: int, **settings):
    return NullPipeline(fits=fits)


@pytest.fixture
def study(tmp_path):
    return read(write_study(tmp_path))


@pytest.fixture
def on_a_gpu(monkeypatch):
    """The device is called cuda; the pipeline is the null one, whose batches run out of memory above a size."""
    monkeypatch.setattr(settings, "resolve_device", lambda study, asked: "cuda")
    monkeypatch.setattr("bench.sweep.generate.resolve_device", lambda study, asked: "cuda")


@pytest.mark.parametrize(("fits", "shape"), [(1, 1), (2, 2), (7, 4), (1000, 64)])
def test_auto_finds_the_shape_that_fits_before_the_first_image_and_freezes_it(
    study, on_a_gpu, tmp_path, fits, shape
):
    folder = StudyFolder(tmp_path / "out")
    generate(study, folder, Options(batch_size="auto"), load=partial(limited, fits=fits))
    entries = folder.read_json("plan.json")
    assert {entry["shape"] for entry in entries.values()} == {shape}
    assert len(folder.generations()) == IMAGES
    assert folder.failures() == []


@pytest.mark.parametrize(("name", "largest"), [("sdxl@50", 16), ("sdxl-turbo@1", 64), ("tiny-sdxl@50", 64)])
def test_the_search_takes_few_steps_and_no_batch_that_fills_a_card_twice(tmp_path, name, largest):
    """Fifty steps of a batch that is too large anyway would be minutes of a GPU."""
    (tmp_path / "prompts.txt").write_text("".join(f"prompt number {i}\n" for i in range(200)))
    (tmp_path / "study.toml").write_text(
        f'name = "auto"\ncontenders = ["{name}"]\n[prompts]\nfile = "prompts.txt"\n'
    )
    study = read(tmp_path / "study.toml")
    steps = []

    class Counted(NullPipeline):
        def denoise(self, embeddings, seeds, contender, **more):
            steps.append(contender.steps)
            return super().denoise(embeddings, seeds, contender, **more)

    pipeline = Counted()
    model = study.models[name.partition("@")[0]]
    maker = Maker(study=study, folder=StudyFolder(tmp_path), model=model, device="cuda", pipeline=pipeline)
    assert maker.fitting_shape() == largest
    assert [shape for _, shape in pipeline.calls] == [largest]
    assert steps == [min(study.contenders[0].steps, 2)]


def test_the_frozen_shape_is_kept_where_more_would_fit(study, on_a_gpu, tmp_path):
    folder = StudyFolder(tmp_path / "out")
    generate(study, folder, Options(batch_size="auto", limit=4), load=partial(limited, fits=4))
    generate(study, folder, Options(batch_size="auto"), load=partial(limited, fits=1000))
    assert {entry["shape"] for entry in folder.read_json("plan.json").values()} == {4}


def test_a_given_size_that_does_not_fit_is_one_line_and_nothing_is_frozen(study, on_a_gpu, tmp_path):
    folder = StudyFolder(tmp_path / "out")
    with pytest.raises(InputError, match=r"at batch size 16: 4 would fit, run with --batch-size 4"):
        generate(study, folder, Options(batch_size=16), load=partial(limited, fits=5))
    generate(study, folder, Options(batch_size=4), load=partial(limited, fits=5))
    assert len(folder.generations()) == IMAGES


def test_memory_that_runs_out_later_is_one_prompt_s_failure(study, on_a_gpu, tmp_path):
    import torch

    class Late(NullPipeline):
        def denoise(self, embeddings, seeds, contender, on_step=None):
            if any("number 19" in text for text in embeddings):
                raise torch.OutOfMemoryError("CUDA out of memory")
            return super().denoise(embeddings, seeds, contender, on_step)

    folder = StudyFolder(tmp_path / "out")
    summary = generate(study, folder, Options(), load=lambda model, **_: Late())
    assert summary.failed == 4 * 2
    assert {failure.kind for failure in folder.failures()} == {"OutOfMemoryError"}


def test_a_resumed_study_uses_the_threads_it_was_begun_with(study, tmp_path, monkeypatch):
    """On a CPU the number of threads changes the last bits of a picture."""
    import torch

    used = []
    monkeypatch.setattr(torch, "set_num_threads", used.append)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    folder = StudyFolder(tmp_path / "out")
    load = partial(limited, fits=0)
    generate(study, folder, Options(device="cpu", limit=4), load=load)
    assert {entry["threads"] for entry in folder.read_json("plan.json").values()} == {3}
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    generate(study, folder, Options(device="cpu"), load=load)
    assert set(used) == {3}


def test_the_shape_that_is_found_does_not_depend_on_the_number_of_prompts(tmp_path):
    for count in (1, 30):
        (tmp_path / "prompts.txt").write_text("".join(f"prompt number {i}\n" for i in range(count)))
        (tmp_path / "study.toml").write_text(
            'name = "s"\ncontenders = ["tiny-turbo@1"]\n[prompts]\nfile = "prompts.txt"\n'
        )
        study = read(tmp_path / "study.toml")
        model, shapes = study.models["tiny-turbo"], []
        for device in ("cpu", "cuda"):
            folder, pipeline = StudyFolder(tmp_path), NullPipeline()
            maker = Maker(study=study, folder=folder, model=model, device=device, pipeline=pipeline)
            shapes.append(maker.fitting_shape())
        assert shapes == [8, 64]


class Neighbourly(NullPipeline):
    """Its images depend on their slot."""

    def decode(self, latents):
        pixels = super().decode(latents)
        pixels[:, 0, 0, 0] = range(len(pixels))
        return pixels


@pytest.mark.parametrize(("pipeline", "found"), [(NullPipeline, True), (Neighbourly, False)])
def test_whether_an_image_depends_on_its_slot_is_measured_and_kept(study, tmp_path, pipeline, found):
    folder = StudyFolder(tmp_path / "out")
    generate(study, folder, Options(device="cpu", limit=1), load=lambda model, **_: pipeline())
    assert {entry["independent"] for entry in folder.plan().values()} == {found}
    generate(study, folder, Options(device="cpu"), load=lambda model, **_: pipeline())  # held to it


class Black(NullPipeline):
    def decode(self, latents):
        pixels = super().decode(latents)
        pixels[0] = 8  # the brightest that is still black
        pixels[1] = 0
        pixels[1, 5, 5, 2] = 9
        return pixels


def test_a_black_image_is_recorded_as_black_and_one_bright_channel_is_not(study, tmp_path):
    folder = StudyFolder(tmp_path / "out")
    summary = generate(study, folder, Options(device="cpu"), load=lambda model, **_: Black())
    black = {(key[1], key[2]) for key, row in folder.generations().items() if row.black}
    first = study.prompts[::3]  # the first slot of each batch of three
    assert black == {(prompt.id, replicate) for prompt in first for replicate in (0, 1)}
    assert summary.black == len(black) * 4 == sum(row.black for row in folder.generations().values())


def test_the_same_study_again_makes_the_same_bytes(study, tmp_path):
    folder = StudyFolder(tmp_path / "out")
    generate(study, folder, Options(device="cpu"), load=lambda model, **_: NullPipeline())
    assert_whole(folder, undisturbed(tmp_path))


def hostile(count: int) -> list[dict[str, str]]:
    """Rows with control characters, 10 kB of text, emoji, and ids that climb out of the folder."""
    dice = random.Random(0)
    texts = [
        "a\x00b", "\x1b[2J a fox", "x" * 10_000, "🦊" * 500, "‮ right to left", "\ufeffa bom", "a\nb",
        "'; DROP TABLE prompts; --", "<script>alert(1)</script>", "${jndi:ldap://x}", "%s%n%x", "\u0301\u0301",
        "a \t tab", "\ud83e", " ", "", "null", "🏳️‍🌈 family 👩‍👩‍👧‍👦",
    ]  # fmt: skip
    ids = [
        "../../etc/passwd",
        "..",
        ".",
        "a/b",
        "a\\b",
        "/root",
        "CON",
        "-rf",
        "a b",
        "é",
        "",
        "x" * 300,
        "a\x00",
    ]
    rows = []
    for number in range(count):
        row = {"text": dice.choice(texts)}
        row["id"] = dice.choice(ids) if dice.random() < 0.3 else f"p{number}"
        rows.append(row)
    return rows


def test_a_thousand_hostile_prompts_are_refused_or_stored_safely(tmp_path):
    """Each is read alone: either one line says what is wrong, or its image lies inside the folder under its id."""
    rows = hostile(1000)
    place, safe = tmp_path / "one.jsonl", []
    for row in rows:
        place.write_text(json.dumps(row) + "\n")
        try:
            (prompt,) = read_file(place)
        except InputError as refused:
            told = str(refused)
            assert told.isprintable(), told  # so it is one line, and a terminal may show it
        else:
            assert "/" not in prompt.id
            safe.append(row)
    assert 100 < len(safe) < 900
    place.write_text("".join(json.dumps(row) + "\n" for row in safe_ids(safe)))
    (tmp_path / "study.toml").write_text(
        'name = "h"\ncontenders = ["tiny-turbo@1"]\ndisplay_size = 16\n[prompts]\nfile = "one.jsonl"\n'
    )
    study = read(tmp_path / "study.toml")
    out = tmp_path / "results" / "h"
    folder = StudyFolder(out)
    out.mkdir(parents=True)
    before = set(tmp_path.rglob("*"))
    folder.write_study(study.text, study.prompts)
    generate(study, folder, Options(device="cpu"), load=lambda model, **_: NullPipeline())
    assert len(hashes(folder)) == len(study.prompts)
    assert folder.damaged() == []
    assert [p.text for p in folder.prompts()] == [p.text for p in study.prompts]
    assert all(path.is_relative_to(out) for path in set(tmp_path.rglob("*")) - before)


def safe_ids(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    """The first row of each id, ids apart also where a file system does not tell cases apart."""
    return list({row["id"].casefold(): row for row in reversed(rows)}.values())
