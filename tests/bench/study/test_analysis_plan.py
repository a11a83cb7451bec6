"""The frozen analysis plan: frozen once, before the votes, untouched; what departs from it is said."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from bench.errors import InputError
from bench.ratings.planned import plan_block
from bench.ratings.rate import Options, rate
from bench.ratings.simulation import Design, simulate_votes
from bench.store.study_folder import StudyFolder
from bench.study.analysis_plan import freeze, read_plan
from bench.study.file import StudyFile

BASE = {
    "name": "pilot",
    "contenders": ("contender-01", "contender-02", "contender-03"),
    "prompts": {"set": "hand"},
}
ANALYSIS = {
    "primary": ("contender-02", "contender-01"),
    "secondary": (("contender-01", "contender-03"), ("contender-02", "contender-03")),
    "margin": 5.0,
}


def study_file(**analysis):
    return StudyFile.model_validate({**BASE, "analysis": {**ANALYSIS, **analysis}})


@pytest.fixture
def folder(tmp_path):
    return StudyFolder(tmp_path)


def test_frozen_once_and_later_edits_are_named(folder):
    first = freeze(folder, study_file(), votes=0)
    assert first.votes == 0
    again = freeze(folder, study_file(margin=8.0, correction="none"), votes=120)
    assert (again.sha256, again.frozen, again.votes) == (first.sha256, first.frozen, 0)
    assert again.analysis["margin"] == 5.0
    assert again.changed == ("correction", "margin")


def test_no_section_no_plan(folder):
    bare = StudyFile.model_validate(BASE)
    assert freeze(folder, bare, votes=0) is None
    assert not (folder.path / "analysis.json").exists()


def test_an_edited_plan_is_refused(folder):
    freeze(folder, study_file(), votes=0)
    path = folder.path / "analysis.json"
    document = json.loads(path.read_text())
    document["plan"]["analysis"]["margin"] = 9.0
    path.write_text(json.dumps(document))
    with pytest.raises(InputError, match="was edited: its plan has another hash"):
        read_plan(folder, study_file())


def test_comparisons_must_name_contenders():
    with pytest.raises(ValueError, match="contender-2"):
        study_file(primary=("contender-2", "contender-01"))


def test_planned_comparisons_are_the_documents_own_numbers_seen_from_the_first_named(folder):
    """Holm by hand: the smaller of two p-values doubled, the other raised to it at least."""
    table = simulate_votes(Design(strengths=(0.6, 0.0, -0.2), raters=20, votes_per_rater=60), 2)
    document = rate(table, options=Options(bootstrap=0, shuffles=0, margin=3.0))
    block = plan_block(document, freeze(folder, study_file(), votes=7))
    primary, *secondary = block.rows
    win = next(
        row
        for row in document.questions["overall"].win_rates
        if {row.a, row.b} == {"contender-01", "contender-02"}
    )
    assert (primary.a, primary.primary, primary.rate) == ("contender-02", True, pytest.approx(1 - win.rate))
    assert (primary.low, primary.high) == (pytest.approx(1 - win.high), pytest.approx(1 - win.low))
    assert primary.verdict == "worse"
    assert primary.p_adjusted == primary.p
    small, large = sorted(row.p for row in secondary)
    assert sorted(row.p_adjusted for row in secondary) == pytest.approx(
        [min(1, 2 * small), max(2 * small, large)]
    )
    notes = " ".join(block.notes)
    assert "frozen when 7 votes were there already" in notes
    assert "margin is 3.0 here, 5.0 in the plan" in notes


def test_p_value_and_interval_agree_on_one_half():
    for seed in range(6):
        document = rate(
            simulate_votes(Design(strengths=(0.25, 0.0, -0.1), raters=15, votes_per_rater=30), seed),
            options=Options(bootstrap=0, shuffles=0),
        )
        for row in document.questions["overall"].win_rates:
            assert row.apart == (row.p < 0.05)


def test_no_votes_on_a_planned_pair_is_said(folder):
    table = simulate_votes(Design(strengths=(0.3, 0.0), raters=10, votes_per_rater=30), 1)
    block = plan_block(
        rate(table, options=Options(bootstrap=0, shuffles=0)), freeze(folder, study_file(), votes=0)
    )
    assert len(block.rows) == 1
    assert "no votes yet on contender-01 against contender-03" in block.notes
    plan = replace(
        freeze(folder, study_file(), votes=0), plan={"analysis": {**ANALYSIS, "question": "quality"}}
    )
    assert "no votes on the planned question 'quality' yet" in plan_block(rate(table), plan).notes
