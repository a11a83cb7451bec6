"""`arena plan` and `arena rate` as a person calls them."""

from __future__ import annotations

import csv
import json

import pytest
from typer.testing import CliRunner

from arena.cli.app import app
from bench.errors import InputError
from bench.ratings.simulation import Design, simulate_votes
from bench.records import Battle, iterate_rows
from tests.support.arena_study import make_study

RUNNER = CliRunner()


def arena(*words):
    result = RUNNER.invoke(app, [str(word) for word in words], env={"COLUMNS": "200"})
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture
def battles(tmp_path):
    """Another arena's table: names, winners, raters, prompts, questions."""
    table = simulate_votes(
        Design(strengths=(0.8, 0.0, -0.8), raters=15, votes_per_rater=30, both_bad=0.05), 2
    )
    names = ("gold", "iron", "lead")
    path = tmp_path / "battles.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("model_a", "model_b", "winner", "rater", "prompt", "question"))
        for i in range(len(table)):
            outcome = ("model_a", "model_b", "tie", "tie (bothbad)")[table.outcome[i]]
            sides = (names[table.left[i]], names[table.right[i]])
            writer.writerow((*sides, outcome, f"r{table.rater[i]}", f"p{table.prompt[i]}", "quality"))
    return path


QUICK = ("--bootstrap", 20, "--shuffles", 5)


def test_any_votes_file_is_rated_and_written_where_one_says(battles, tmp_path):
    out = tmp_path / "out.json"
    said = arena("rate", "--votes", battles, "--anchor", "iron", "--out", out, *QUICK)
    document = json.loads(out.read_text())
    assert (document["study"], document["anchor"], document["n_votes"]) == ("battles", "iron", 450)
    overall, quality = (document["questions"][name] for name in ("overall", "quality"))
    assert overall | {"question": "quality"} == quality
    assert said.count("quality: 450 votes, 15 raters") == 1
    assert "overall:" not in said
    lines = said.splitlines()
    head = next(n for n, line in enumerate(lines) if line.startswith("rank  contender"))
    first, second, third = (line.split()[1] for line in lines[head + 1 : head + 4])
    assert (first, second, third) == ("gold", "iron", "lead")
    assert "1000 is iron" in said
    assert str(out) in said


def test_without_out_a_votes_file_leaves_nothing_behind(battles, tmp_path):
    assert json.loads(arena("rate", "--votes", battles, "--json", *QUICK))["n_votes"] == 450
    assert list(tmp_path.iterdir()) == [battles]


def test_a_winner_of_everything_is_rated_on_request(tmp_path):
    path = tmp_path / "won.csv"
    path.write_text("model_a,model_b,winner\nbest,rest,a\nrest,best,b\n")
    assert "best never lost" in arena("rate", "--votes", path, *QUICK)
    rows = json.loads(arena("rate", "--votes", path, "--penalty", 0.1, "--json", *QUICK))["questions"]
    assert rows["overall"]["ratings"][0]["rating"] > 1000


def test_weights_are_named_and_what_they_cost_is_said(battles):
    assert "weights 'raters': 450 votes weigh as 450 equal ones" in arena(
        "rate", "--votes", battles, "--weights", "raters", *QUICK
    )
    with pytest.raises(InputError, match="logged probability"):
        arena("rate", "--votes", battles, "--weights", "propensity", *QUICK)


def test_votes_without_a_question_stand_in_the_whole_only(battles):
    lines = battles.read_text().splitlines()
    battles.write_text(
        "\n".join([lines[0], *lines[1:300], *(row.replace(",quality", ",") for row in lines[300:])])
    )
    blocks = json.loads(arena("rate", "--votes", battles, "--json", *QUICK))["questions"]
    assert {name: block["n"] for name, block in blocks.items()} == {"quality": 299, "overall": 450}


def test_a_study_leaves_its_ratings_and_the_votes_they_stand_on(tmp_path):
    _, folder = make_study(tmp_path / "s", votes_per_pair=12)
    given = json.loads(arena("simulate", folder.path, "--raters", 4, "--json"))["simulated votes"]
    assert "SIMULATED" in arena("rate", folder.path, *QUICK)
    rows = list(iterate_rows(folder.battles_file, Battle))
    assert len(rows) == given
    document = folder.read_json("ratings.json")
    assert document["n_votes"] == sum(row.kind == "vote" and not row.excluded for row in rows)


def test_an_even_design_is_not_reweighted_by_chances(tmp_path):
    _, folder = make_study(tmp_path / "s", votes_per_pair=12)
    arena("simulate", folder.path, "--raters", 4, "--json")
    with pytest.raises(InputError, match="'balanced', without such chances: use weights 'votes'"):
        arena("rate", folder.path, "--weights", "propensity", *QUICK)


@pytest.mark.parametrize("wrong", [("--contenders", 0), ("--prompts", 0), ("--votes-per-pair", 0)])
def test_nothing_is_not_read_as_the_default(wrong):
    with pytest.raises(InputError, match="at least"):
        arena("plan", *wrong)


@pytest.mark.parametrize("words", [(), ("some-study", "--votes", "v.csv")])
def test_rate_wants_a_study_or_a_file(words):
    with pytest.raises(InputError, match="a study, or --votes FILE"):
        arena("rate", *words)


def test_a_plan_takes_contenders_prompts_ties_and_votes_from_the_study(tmp_path):
    _, folder = make_study(tmp_path / "s", prompts=40, ties=False, votes_per_pair=200, votes_per_rater=60)
    words = ("plan", folder.path, "--rate", 0.75, "--repeats", 20)
    found = json.loads(arena(*words, "--json"))
    assert found["contenders"] == 3
    assert "equals tie in 0% of votes" in " ".join(found["assumptions"])
    assert found["assumptions"][0].startswith("a rater gives 60 answers")
    assert (found["prompts"], found["comparisons"], found["asked_votes"]) == (40, 3, 600)
    printed = " ".join(arena(*words).split())
    assert (
        "To show 75.0% against 25.0% in 80% of studies (3 comparisons of 3 contenders at once): 40 prompts"
        in printed
    )
    assert "As written, the study asks for 600 votes a question" in printed
    assert f"{found['answer']['votes']:,} votes a question" in printed


def test_a_plan_can_be_had_before_the_first_run(tmp_path):
    study = tmp_path / "mine.toml"
    study.write_text(
        'name = "mine"\ncontenders = ["tiny-turbo@1", "tiny-turbo@4"]\n[prompts]\nset = "turbo-264"\n'
    )
    found = json.loads(arena("plan", study, "--rate", 0.8, "--repeats", 20, "--json"))
    assert found["contenders"] == 2
    assert found["prompts"] == 264


def test_a_plan_is_frozen_before_the_first_vote_and_its_comparison_is_rated(tmp_path):
    """A later edit changes nothing and is said; styles of the images shown are read on request."""
    _, folder = make_study(tmp_path / "s", votes_per_pair=20)
    text = folder.study_file.read_text()
    plan = '[analysis]\nprimary = ["sdxl@50", "sdxl-turbo@1"]\nmargin = 4.0\n'
    folder.study_file.write_text(text + plan)
    arena("simulate", folder.path, "--raters", 12, "--strength", "sdxl@50=2")
    frozen = json.loads((folder.path / "analysis.json").read_text())
    assert frozen["votes"] == 0
    folder.study_file.write_text(text + plan.replace("4.0", "9.0"))
    document = json.loads(arena("rate", folder.path, "--style", "--json", *QUICK))
    block = document["plan"]
    assert (block["votes_before"], block["sha256"]) == (0, frozen["sha256"])
    assert block["rows"][0]["a"] == "sdxl@50"
    assert block["rows"][0]["margin"] == 4.0
    assert block["rows"][0]["verdict"] == "better"
    assert "edited in the study file since it was frozen, which changes nothing: margin" in block["notes"]
    covariates = document["questions"]["overall"]["covariates"]
    assert {row["name"] for row in covariates["rows"]} >= {"brightness", "saturation"}


def test_style_needs_images(battles):
    with pytest.raises(InputError, match="--style reads the images of a study"):
        arena("rate", "--votes", battles, "--style")
