"""A study that grows, with real (tiny) pipelines: only what is new is generated, with the bytes of a study that had it
from the start. `python -m tests.bench.study.test_growth` prints the table of twelve edits."""

from __future__ import annotations

import itertools
import json
import shutil
import tempfile
from pathlib import Path

import pytest

from bench.errors import InputError
from bench.records import Battle, to_json
from bench.run import on_disk_or_not
from bench.store.study_folder import StudyFolder
from bench.study.study import open_study, read
from bench.sweep.generate import generate
from bench.sweep.settings import Options
from tests.support.growing import TEXTS, Growing, loaded
from tests.support.null_pipeline import load as null_load

START = Growing()
MORE = tuple((f"q{i}", f"{text} again") for i, text in enumerate(TEXTS[:3]))
EDITS = (
    ("a comment", lambda s: s.with_(head="# spring\n")),
    ("the title", lambda s: s.with_(title="Spring")),
    ("a metric", lambda s: s.with_(tail='[metrics]\nnames = ["scene_accuracy"]\n')),
    ("votes a pair", lambda s: s.with_(tail=s.tail + "[arena]\nvotes_per_pair = 7\n")),
    ("a contender of the same model", lambda s: s.with_(contenders=(*s.contenders, "tiny-turbo@4"))),
    ("prompts appended", lambda s: s.with_(prompts=(*s.prompts, *MORE[:2]))),
    ("a prompt put first", lambda s: s.with_(prompts=(MORE[2], *s.prompts))),
    ("a contender of another model", lambda s: s.with_(contenders=("tiny-lcm@4", *s.contenders))),
    ("two images a prompt", lambda s: s.with_(images_per_prompt=2)),
    ("the prompts reversed", lambda s: s.with_(prompts=s.prompts[::-1])),
    (
        "a contender removed",
        lambda s: s.with_(contenders=tuple(c for c in s.contenders if c != "tiny-turbo@4")),
    ),
    (
        "it comes back, a prompt leaves",
        lambda s: s.with_(contenders=(*s.contenders, "tiny-turbo@4"), prompts=s.prompts[1:]),
    ),
)
GENERATED = (0, 0, 0, 0, 10, 4, 2, 13, 39, 0, 0, 0)
"""By arithmetic: 10 prompts x 1 new contender; 2 prompts x 2 contenders; 1 x 2; 13 x 1; 13 x 3 second images."""


def hashes(folder: StudyFolder) -> dict:
    return {key: row.sha256 for key, row in folder.generations().items()}


def grow(place: Path) -> list[tuple[str, int, int, int]]:
    """(edit, images generated, images that are there, those that differ from a study generated whole)."""
    study = START
    summary, folder = study.generate(place / "grown")
    rows = [("the beginning", summary.made, summary.made, 0)]
    for number, (said, edit) in enumerate(EDITS):
        study = edit(study)
        before = hashes(folder)
        summary, folder = study.generate(place / "grown")
        after = hashes(folder)
        assert {key: after[key] for key in before} == before
        _, whole = study.generate(place / f"whole-{number}")
        expected = hashes(whole)
        wrong = sum(after.get(key) != sha for key, sha in expected.items())
        rows.append((said, summary.made, len(expected), wrong))
    return rows


def test_twelve_edits_generate_only_what_is_new_with_the_bytes_of_a_whole_study(tmp_path):
    rows = grow(tmp_path)
    assert tuple(row[1] for row in rows[1:]) == GENERATED
    assert [row[3] for row in rows] == [0] * 13
    assert json.loads((tmp_path / "grown/growing/plan.json").read_text())["tiny-turbo"]["independent"] is True


def test_every_order_of_growing_gives_the_same_bytes(tmp_path):
    """Five prompts, of which any subset comes first, then any of the rest, then the last; shape 4."""
    prompts = START.prompts[:5]
    _, whole = START.with_(prompts=prompts).generate(tmp_path / "whole")
    expected = hashes(whole)
    orders = list(itertools.permutations(range(5), 3))[::12]
    for number, order in enumerate(orders):
        place = tmp_path / str(number)
        for count in (1, 2, 3):
            chosen = tuple(p for i, p in enumerate(prompts) if i in order[:count])
            START.with_(prompts=chosen).generate(place)
        summary, folder = START.with_(prompts=prompts).generate(place)
        assert summary.made == 2
        assert hashes(folder) == expected, order


def test_what_would_change_images_is_refused_with_the_difference_and_both_cures(tmp_path):
    START.generate(tmp_path)
    changed = START.with_(prompts=(("p00", "another text"), *START.prompts[1:]))
    with pytest.raises(
        InputError, match=r"p00: the text changed.*new name.*bench generate growing --replace p00"
    ):
        changed.generate(tmp_path)
    own = '[models.ours]\nrepository = "tiny:turbo"\npipeline = "StableDiffusionXLPipeline"\nguidance = {}\n'
    mine = START.with_(contenders=("ours@1",), tail=own.format(0.0) + "steps = [1]\nsize = 64\n")
    place = tmp_path / "own"
    mine.generate(place)
    with pytest.raises(InputError, match=r"ours@1: guidance 0\.0 → 7\.0"):
        mine.with_(tail=own.format(7.0) + "steps = [1]\nsize = 64\n").generate(place)
    study = read(mine.write(place))
    (place / "growing/images/ours@1/p00-0.webp").unlink()
    with (
        on_disk_or_not(study, place) as folder,
        pytest.raises(InputError, match=r"were begun with --batch-size 4 .* --replace ours@1"),
    ):
        generate(study, folder, Options(device="cpu", batch_size=8), load=loaded)


def test_an_edit_of_what_was_never_generated_is_free(tmp_path):
    study = read(START.with_(contenders=("tiny-turbo@1", "tiny-lcm@4")).write(tmp_path))
    with on_disk_or_not(study, tmp_path):
        pass
    changed = START.with_(prompts=(("p00", "another text"), *START.prompts[1:]))
    summary, _ = changed.generate(tmp_path)
    assert summary.made == 10


def test_replacing_archives_the_rows_and_counts_the_votes_that_are_lost(tmp_path):
    _, folder = START.with_(contenders=("tiny-turbo@1", "tiny-turbo@4")).generate(tmp_path)
    before = hashes(folder)
    battles = [
        Battle(left="tiny-turbo@1", right="tiny-turbo@4", outcome="left", prompt_id=f"p0{i}")
        for i in range(3)
    ]
    folder.battles_file.write_text("".join(to_json(b) + "\n" for b in battles))
    changed = START.with_(
        contenders=("tiny-turbo@1", "tiny-turbo@4"), prompts=(("p00", "another text"), *START.prompts[1:])
    )
    said: list[str] = []
    with on_disk_or_not(read(changed.write(tmp_path)), tmp_path, ("p00",), said.append):
        pass
    place = folder.path / "replaced/0001"
    assert said == [
        f"2 images replaced, their rows and files are in {place}; votes on them that no longer count: 1"
    ]
    assert sorted(p.name for p in place.glob("images/*/*")) == ["p00-0.webp"] * 2
    assert len((place / "generations.jsonl").read_text().splitlines()) == 2
    summary, _ = changed.generate(tmp_path)
    assert summary.made == 2
    after = hashes(folder)
    assert {key for key in after if after[key] != before[key]} == {key for key in before if key[1] == "p00"}
    assert folder.damaged() == []
    with pytest.raises(InputError, match="did you mean 'tiny-turbo@1'"):
        changed.generate(tmp_path, "tiny-turbo@5")


def test_replacing_a_model_s_last_contender_frees_its_settings(tmp_path):
    START.generate(tmp_path)
    study = read(START.write(tmp_path))
    with on_disk_or_not(study, tmp_path, ("tiny-turbo@1",)) as folder:
        assert folder.plan() == {}
        summary = generate(study, folder, Options(device="cpu", batch_size=2), load=loaded, threads=1)
    assert summary.made == 10
    assert folder.plan()["tiny-turbo"]["shape"] == 2


def test_changed_weights_under_the_same_path_are_noticed(tmp_path, cache):
    from bench.models.weights import own_folder

    source = own_folder("tiny:turbo")
    assert source is not None
    shutil.copytree(source, tmp_path / "weights")
    tail = '[models.ours]\nrepository = "./weights"\npipeline = "StableDiffusionXLPipeline"\nguidance = 0.0\n'
    tail += "steps = [1]\nsize = 64\n"
    mine = START.with_(contenders=("ours@1",), tail=tail, prompts=START.prompts[:2])
    mine.generate(tmp_path)
    assert mine.generate(tmp_path)[0].made == 0
    weights = next((tmp_path / "weights/unet").glob("*.safetensors"))
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    with pytest.raises(InputError, match=r"ours@1: the files of its weights changed"):
        mine.generate(tmp_path)


OLD = Path(__file__).parent / "version-0.1"
"""A folder that version 0.1 wrote, with null pipelines, and its study."""


def test_a_folder_of_version_0_1_opens_and_grows(tmp_path):
    shutil.copytree(OLD, tmp_path / "v")
    place = tmp_path / "v"
    before = hashes(StudyFolder(place / "old"))
    text = (place / "study.toml").read_text()
    (place / "study.toml").write_text(
        "# months later\n" + text.replace('"tiny-lcm@4"', '"tiny-lcm@4", "tiny-sdxl@2"')
    )
    with (place / "prompts.txt").open("a") as file:
        file.write("a fifth prompt\n")
    study = read(place / "study.toml")
    with on_disk_or_not(study, place) as folder:
        summary = generate(study, folder, Options(device="cpu"), load=null_load)
    assert summary.made == 2 + 5
    after = hashes(StudyFolder(place / "old"))
    assert {key: after[key] for key in before} == before
    assert len(open_study(StudyFolder(place / "old")).prompts) == 5
    (place / "prompts.txt").write_text(
        (place / "prompts.txt").read_text().replace("a red circle", "a red disc")
    )
    with (
        pytest.raises(InputError, match="prompts-0001: the text changed"),
        on_disk_or_not(read(place / "study.toml"), place),
    ):
        pass


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        print(f"{'edit':<36}{'generated':>10}{'there':>7}{'differ':>8}")
        for said, made, there, wrong in grow(Path(name)):
            print(f"{said:<36}{made:>10}{there:>7}{wrong:>8}")
