"""The judge of pairs: both orders, ties where they disagree, its battles kept apart, rated as votes are, and how far it
agrees with people; a reader whose preferences are known stands for the model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from bench.cli.app import app
from bench.errors import InputError
from bench.records import Battle, read_rows
from bench.scoring.pairwise import judge_study, outcome
from bench.store.study_folder import write_rows
from tests.support.scored_study import NAMES, PROMPTS, make


class Brighter:
    """Prefers the brighter image by how much brighter it is; `lean` adds to the first image, whatever it shows."""

    def __init__(self, lean: float = 0.0) -> None:
        self.lean, self.asked = lean, []

    def prepare(self, image: Any) -> float:
        return float(np.asarray(image, dtype=float).mean())

    def probabilities(self, images: Sequence[Any], question: str, answers: Sequence[str]) -> list[float]:
        self.asked.append(question)
        first, second = images
        ahead = 1 / (1 + np.exp(second - first - self.lean))
        share = {"A": 0.6 * ahead, " A": 0.3 * ahead, "B": 0.6 * (1 - ahead), " B": 0.3 * (1 - ahead)}
        return [share[answer] for answer in answers]


def test_an_image_wins_only_where_both_orders_say_so() -> None:
    from bench.records import Prompt

    prompt = Prompt(id="p", text="a fox")
    assert outcome(Brighter(), 9.0, 2.0, prompt, "Which?") == "left"
    assert outcome(Brighter(), 2.0, 9.0, prompt, "Which?") == "right"
    assert outcome(Brighter(), 5.0, 5.0, prompt, "Which?") == "tie"
    assert outcome(Brighter(lean=10.0), 5.0, 2.0, prompt, "Which?") == "tie"
    assert outcome(Brighter(lean=10.0), 25.0, 2.0, prompt, "Which?") == "left"
    reader = Brighter()
    outcome(reader, 1.0, 2.0, prompt, "Which is better?")
    assert len(reader.asked) == 2
    assert all('"a fox"' in text and "Which is better?" in text for text in reader.asked)


@pytest.fixture
def study(tmp_path: Path) -> Any:
    return make(tmp_path, '[arena]\nquestions = ["alignment", "quality"]\n', replicates=1)


@pytest.fixture(autouse=True)
def _located(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from bench.metrics.extractors import EXTRACTORS
    from bench.metrics.weights import Located

    weights = tmp_path / "weights.bin"
    weights.write_bytes(b"1")
    monkeypatch.setattr(
        "bench.scoring.pairwise.locate",
        lambda name: Located(name=name, extractor=EXTRACTORS[name], path=weights),
    )


def test_every_pair_is_judged_and_people_s_files_are_not_touched(study: Any) -> None:
    folder, read = study
    write_rows(
        folder.battles_file, [Battle(left=NAMES[0], right=NAMES[1], outcome="left", question="quality")]
    )
    before = folder.battles_file.read_bytes()
    found = judge_study(folder, read, reader=Brighter())
    rows = read_rows(folder.path / "judge-battles.jsonl", Battle)
    assert rows == list(found.battles)
    assert len(rows) == len(PROMPTS) * 2
    # The images of the first contender are brighter on average, 128 against 108.
    assert {row.outcome for row in rows} == {"left"}
    assert {row.rater for row in rows} == {"model:qwen2.5-vl-7b"}
    assert folder.battles_file.read_bytes() == before
    assert folder.read_json("ratings.json") is None
    document = folder.read_json("judge.json")
    assert document["ratings"]["n_votes"] == 8
    assert document["protocol"]["orders"].startswith("both")


def test_its_agreement_with_people_is_counted_by_pair_beside_the_raters_own(study: Any) -> None:
    """By hand: of 8 decided votes on `quality`, 6 name the brighter image; the tie does not count. Two raters on each
    of four pairs: they agree on 3 of 4."""
    folder, read = study
    ids = [prompt.id for prompt in read.prompts]
    answers = {"r1": ["left", "left", "left", "right"], "r2": ["left", "left", "left", "left"]}
    votes = [
        Battle(left=NAMES[0], right=NAMES[1], outcome=said, question="quality", rater=rater, prompt_id=prompt)
        for rater, row in answers.items()
        for prompt, said in zip(ids, row, strict=True)
    ]
    turned = Battle(
        left=NAMES[1], right=NAMES[0], outcome="left", question="quality", rater="r3", prompt_id=ids[0]
    )
    tie = Battle(
        left=NAMES[0], right=NAMES[1], outcome="tie", question="quality", rater="r3", prompt_id=ids[1]
    )
    write_rows(folder.battles_file, [*votes, turned, tie])
    (row,) = judge_study(folder, read, reader=Brighter()).agreement
    assert (row.metric, row.question, row.n) == ("pairs by qwen2.5-vl-7b", "quality", 9)
    assert row.accuracy == pytest.approx(7 / 9)
    # Pairs of votes on one pair of images: 3 on the first (1 of 3 agree), 1 each on the others (2 of 3 agree).
    assert row.ceiling == pytest.approx((1 + 2) / (3 + 3))
    assert "judgement of pairs" in row.note


def test_a_question_of_the_operator_s_own_is_not_put_to_the_model(tmp_path: Path) -> None:
    folder, read = make(
        tmp_path,
        '[arena]\nquestions = ["style"]\n[arena.own_questions.style]\ntext = { en = "Which has more style?" }\n',
        replicates=1,
    )
    with pytest.raises(InputError, match="the judge can be asked alignment and quality, not style"):
        judge_study(folder, read, reader=Brighter())


def test_the_command_prints_ratings_and_agreement(study: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, read = study
    vote = {"left": NAMES[0], "right": NAMES[1], "question": "quality"}
    ids = [prompt.id for prompt in read.prompts]
    rows = [Battle(**vote, outcome="left", rater=rater, prompt_id=prompt) for rater in "ab" for prompt in ids]
    write_rows(folder.battles_file, rows)
    monkeypatch.setattr("bench.metrics.networks.loading.reader", lambda located, device: Brighter())
    command = [
        "judge",
        str(read.base / "study.toml"),
        "--results",
        str(folder.path.parent),
        "--device",
        "cpu",
    ]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    assert "rater with rater" in done.output
    assert "100%" in done.output
    done = CliRunner().invoke(app, [*command, "--json"])
    assert json.loads(done.stdout)[0]["accuracy"] == 1.0
