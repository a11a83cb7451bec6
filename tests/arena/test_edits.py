"""Pictures from pictures in the arena: the reference between the two, the order in words, nothing more."""

import io

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from arena.db import database, schema
from arena.voting import Desk
from arena.web.app import create_app
from bench.records import Generation, Prompt
from bench.store.study_folder import StudyFolder, sha256
from bench.study.study import open_study
from tests.support.arena_desk import KEY, POST, Clock, start

NAMES = ("tiny-turbo@4", "tiny-sdxl@4")
STUDY = f"""name = "secret"
task = "image-to-image"
contenders = {list(NAMES)}
display_size = 32
[prompts]
set = "miniature-edit"
[arena]
questions = ["alignment", "faithfulness", "quality"]
attention_rate = 0.2
"""


@pytest.fixture
def desk(tmp_path):
    folder = StudyFolder(tmp_path)
    prompts = [
        Prompt(
            id=f"secret{i}",
            text=f"a blue circle {i}",
            reference=f"{i}.png",
            strength=0.5,
            instruction=f"make circle {i} blue",
        )
        for i in range(2)
    ]
    folder.write_study(STUDY, prompts)
    rows = []
    for i, prompt in enumerate(prompts):
        paint(folder.reference(prompt.id), (0, 200, i))
        for name in NAMES:
            data = paint(folder.image(name, prompt.id, 0), (200, 0, i))
            rows.append(
                Generation(
                    contender=name, prompt_id=prompt.id, replicate=0, seed=1, sha256=sha256(data), width=48,
                    height=48, seconds=0.1, settings="s", bytes=len(data),
                )
            )  # fmt: skip
    folder.append(folder.generations_file, rows)
    study = open_study(folder)
    votes = database.VoteDatabase(schema.sqlite_url(folder.votes_file), KEY)
    votes.migrate()
    desk = Desk(study, folder, votes, Clock())
    desk.prepare()
    yield desk
    desk.database.close()


def paint(path, colour):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (48, 48), colour).save(path, "WEBP", lossless=True)
    return path.read_bytes()


def vote(client, ballot):
    """Answers a pair after looking at it as a rater would; the next state."""
    if ballot["question"] == "quality":
        assert not {"reference", "prompt"} & set(ballot)
    else:
        number = int(ballot["prompt"].removeprefix("make circle ").removesuffix(" blue"))
        picture = client.get("/" + ballot["reference"])
        assert picture.status_code == 200
        pixels = np.asarray(Image.open(io.BytesIO(picture.content)))
        assert pixels.shape == (32, 32, 3)
        assert (pixels == (0, 200, number)).all()
        assert len(picture.content) == len(client.get("/" + ballot["left"]).content)
    reply = client.post("/api/vote", json={"token": ballot["token"], "answer": "tie"}, headers=POST)
    assert reply.json()["saved"]
    return reply.json()["state"]


def test_the_reference_and_the_order_are_shown_where_they_matter(desk):
    asked = set()
    for _ in range(20):  # each draws its own order of the questions
        client = TestClient(create_app(desk, KEY), base_url="http://arena.test")
        state = start(client)
        while state["stage"] == "vote":
            asked.add(state["ballots"][0]["question"])
            state = vote(client, state["ballots"][0])
    assert asked == {"alignment", "faithfulness", "quality"}
