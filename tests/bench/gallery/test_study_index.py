"""What the gallery knows of a study, finished and growing, and what its server gives out."""

from __future__ import annotations

import base64
import io
import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from bench.errors import InputError
from bench.gallery.document import gallery_document, to_json
from bench.gallery.server import LiveIndex, Thumbnails, data_app, image_path
from bench.gallery.study_index import BOTH_BAD, LEFT, RIGHT, TIE, open_index
from bench.records import Battle, ImageScore
from bench.store.study_folder import StudyFolder
from tests.support.report_study import TURBO, make_study

HOSTILE = "</script><script>alert(1)</script>"


@pytest.fixture
def folder(tmp_path: Path) -> StudyFolder:
    return make_study(
        tmp_path / "study",
        side=24,
        rich=True,
        missing=(("sdxl@50", 1),),
        prompts=("a fox", HOSTILE, "قطة", "猫"),
    )


def decoded(text: str, kind: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), kind)


def test_the_index_has_every_image_score_and_counted_vote(folder: StudyFolder) -> None:
    index = open_index(folder)
    rows = [json.loads(line) for line in folder.generations_file.read_text().splitlines()]
    assert index.images == len(rows) == 4 * 5 - 1
    assert index.expected == 20
    assert not index.present[1, 0, TURBO.index("sdxl@50")]
    scores = [json.loads(line) for line in folder.image_scores_file.read_text().splitlines()]
    assert int((~np.isnan(index.scores["clip_score"])).sum()) == len(scores)
    one = scores[7]
    place = (index.prompt_index[one["prompt_id"]], 0, TURBO.index(one["contender"]))
    assert index.scores["clip_score"][place] == pytest.approx(one["value"])
    # `enrich` gives the first two contenders 5 : 1 on the first prompt; a check and an excluded vote do not count.
    assert index.votes[0, 0, 0, 1] == [5, 1, 0, 0]
    assert (LEFT, RIGHT, TIE, BOTH_BAD) == (0, 1, 2, 3)
    assert index.votes[1, 0, 0, 2] == [2, 2, 2, 0]
    assert index.simulated_votes


def test_rows_appended_while_it_is_open_appear_and_a_torn_line_waits(folder: StudyFolder) -> None:
    index = open_index(folder)
    before = index.images
    assert not index.refresh()
    row = json.loads(folder.generations_file.read_text().splitlines()[0])
    line = json.dumps({**row, "contender": "sdxl@50", "prompt_id": "p001"}) + "\n"
    with folder.generations_file.open("a", encoding="utf-8") as file:
        file.write(line[:40])
        file.flush()
        assert not index.refresh()
        assert index.images == before
        file.write(line[40:])
    assert index.refresh()
    assert index.images == before + 1


def test_replaced_scores_and_votes_are_read_anew(folder: StudyFolder) -> None:
    index = open_index(folder)
    score = ImageScore(
        metric="mine", fingerprint="f", contender="sdxl@50", prompt_id="p000", replicate=0, value=2.5
    )
    battle = Battle(
        left="sdxl@50", right="lcm-xl@4", outcome="both_bad", prompt_id="p002", question="quality"
    )
    for path, row in ((folder.image_scores_file, score), (folder.battles_file, battle)):
        fresh = path.with_suffix(".new")
        fresh.write_text(json.dumps(asdict(row)) + "\n")
        fresh.replace(path)
    assert index.refresh()
    assert list(index.scores) == ["mine"]
    assert list(index.votes.values()) == [[0, 0, 0, 1]]


def test_rows_that_the_study_no_longer_asks_for_are_left_out(folder: StudyFolder) -> None:
    row = json.loads(folder.generations_file.read_text().splitlines()[0])
    extra = [{**row, "contender": "gone@1"}, {**row, "prompt_id": "gone"}, {**row, "replicate": 7}]
    with folder.generations_file.open("a", encoding="utf-8") as file:
        file.writelines(json.dumps(one) + "\n" for one in extra)
    assert open_index(folder).images == 19


def test_a_broken_row_or_folder_is_named(folder: StudyFolder, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds no study\.toml"):
        open_index(StudyFolder(tmp_path))
    with folder.generations_file.open("a", encoding="utf-8") as file:
        file.write('{"contender": "sdxl@50"}\n')
    with pytest.raises(InputError, match=r"generations.jsonl.*prompt_id"):
        open_index(folder)


def test_the_document_holds_the_arrays_in_order_and_no_markup(folder: StudyFolder) -> None:
    index = open_index(folder)
    data = json.loads(to_json(gallery_document(index, thumbnails="t", images="i")))
    assert "<" not in to_json(gallery_document(index, thumbnails="t", images="i"))
    assert data["contenders"] == list(TURBO)
    assert [prompt[1] for prompt in data["prompts"]] == ["a fox", HOSTILE, "قطة", "猫"]
    state = decoded(data["state"], "u1").reshape(4, 1, 5)
    assert state[1, 0].tolist() == [1, 1, 1, 0, 1]
    digest = json.loads(folder.generations_file.read_text().splitlines()[0])["sha256"]
    assert decoded(data["version"], "<u4")[0] == int(digest[:8], 16)
    values = decoded(data["metrics"][0]["values"], "<f4").reshape(4, 1, 5)
    assert values[2, 0, 3] == pytest.approx(0.2 + 0.06 + 0.002)
    assert data["metrics"][0]["label"] == "CLIP score"
    assert [0, 0, 0, 1, 5, 1, 0, 0] in data["votes"]


def test_the_server_gives_images_of_the_study_and_nothing_else(folder: StudyFolder) -> None:
    client = TestClient(data_app(LiveIndex(folder)))
    full = client.get("/gallery/images/sdxl@50/p000-0.webp")
    assert full.content == folder.image("sdxl@50", "p000", 0).read_bytes()
    small = client.get("/gallery/thumbs/sdxl@50/p000-0.webp?v=1")
    with Image.open(io.BytesIO(small.content)) as image:
        assert image.size == (24, 24)
    for address in (
        "images/sdxl@50/p001-0.webp", "thumbs/sdxl@50/p001-0.webp", "images/sdxl@50/p000-1.webp",
        "images/nobody/p000-0.webp", "images/..%2F..%2Fstudy/p000-0.webp", "images/sdxl@50/..%2F..%2Fstudy.toml",
        "images/_reference/p000-0.webp", "page.py", "..%2Fserver.py",
    ):  # fmt: skip
        assert client.get(f"/gallery/{address}").status_code == 404, address
    assert client.get("/gallery/gallery.js").text.startswith("// The gallery")


def test_state_changes_with_new_rows_only(folder: StudyFolder) -> None:
    client = TestClient(data_app(LiveIndex(folder)))
    first = client.get("/gallery/state").json()
    assert client.get("/gallery/state").json() == first
    battle = Battle(left="sdxl@50", right="lcm-xl@4", outcome="left", prompt_id="p002", question="quality")
    folder.append(folder.battles_file, [battle, replace(battle, excluded="attention check")])
    assert client.get("/gallery/state").json()["revision"] == first["revision"] + 1
    votes = client.get("/gallery/data.json").json()["votes"]
    assert [2, 0, 3, 4, 1, 0, 0, 0] in votes


def test_thumbnails_keep_to_their_capacity(folder: StudyFolder) -> None:
    paths = [folder.image("sdxl-turbo@1", f"p{i:03d}", 0) for i in range(4)]
    thumbnails = Thumbnails(capacity=1)
    assert all(thumbnails.get(path, "0") for path in paths)
    assert len(thumbnails._kept) == 0
    roomy = Thumbnails()
    data = roomy.get(paths[0], "0")
    paths[0].unlink()
    assert roomy.get(paths[0], "0") == data
    assert roomy.get(paths[0], "1") is None


def test_a_reference_is_shown_only_where_there_is_one(tmp_path: Path) -> None:
    folder = make_study(tmp_path / "edit", task="image-to-image", side=16, latency=False, scores=False)
    index = open_index(folder)
    assert image_path(index, "_reference", "p000-0.webp") == folder.reference("p000")
    assert image_path(index, "_reference", "nowhere-0.webp") is None
