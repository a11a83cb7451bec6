"""Tables of what was planned and of what ratings owe to choices: cells, headline of a flip, silence without data."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench.ratings.analysis_rows import (
    CategoryEffect,
    CategoryEffects,
    CovariateBlock,
    CovariateRow,
    PlainRating,
    PlanBlock,
    PlannedRow,
)
from bench.ratings.document import AverageRow, CodingBlock, QuestionRatings, RatingRow, Slice
from bench.report.results import Results, read_results
from bench.report.tables import sensitivity
from tests.support.report_study import make_study

A, B = "sdxl-turbo@1", "sdxl@50"


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return read_results(make_study(tmp_path_factory.mktemp("study") / "study"))


def with_votes(results: Results, **parts: object) -> Results:
    question = QuestionRatings(
        question="overall",
        ratings=(
            RatingRow(contender=A, rating=1040.0, low=1010.0, high=1070.0),
            RatingRow(contender=B, rating=960.0, low=930.0, high=990.0),
        ),
        **parts,  # pyright: ignore[reportArgumentType]
    )
    return replace(results, preferences={"overall": question})


def ratings(first: float) -> tuple[PlainRating, ...]:
    return (
        PlainRating(contender=A, rating=first, low=first - 30, high=first + 30),
        PlainRating(contender=B, rating=2000 - first, low=1970 - first, high=2030 - first),
    )


def test_nothing_without_data(bare: Results) -> None:
    assert sensitivity.all_of(bare) == []
    assert sensitivity.all_of(with_votes(bare)) == []


def test_planned_comparisons_say_when_they_were_frozen_and_that_the_rest_was_not_planned(
    bare: Results,
) -> None:
    row = PlannedRow(
        a=A, b=B, primary=True, rate=0.58, low=0.52, high=0.64, n=800, p=0.01, p_adjusted=0.01, margin=3.0,
        p_not_worse=0.0001, p_equivalent=0.9, verdict="better",
    )  # fmt: skip
    plan = PlanBlock(
        sha256="ab" * 32,
        frozen="2024-05-01T10:00:00+00:00",
        votes_before=0,
        question="overall",
        correction="holm",
        rows=(row,),
        notes=("margin is 5 here, 3 in the plan",),
    )
    table = sensitivity.planned(replace(bare, plan=plan))
    assert table is not None
    assert table.rows[0][:3] == ("primary", A, B)
    assert table.rows[0][3].value == pytest.approx(58)  # pyright: ignore[reportAttributeAccessIssue, reportOptionalMemberAccess]
    assert table.rows[0][-1] == "better"
    notes = " ".join(table.notes)
    assert "Frozen before the first vote" in notes
    assert "Every other comparison in this report was not planned." in notes
    assert "Margin is 5 here, 3 in the plan." in notes
    late = sensitivity.planned(replace(bare, plan=replace(plan, votes_before=12)))
    assert late is not None
    assert "Frozen after 12 votes" in " ".join(late.notes)


def test_a_first_place_that_depends_on_both_bad_is_the_first_thing_said(bare: Results) -> None:
    def block(coding: str, rate: float) -> CodingBlock:
        rows = (AverageRow(contender=A, rate=rate, low=0.4, high=0.6), AverageRow(contender=B, rate=1 - rate))
        return CodingBlock(coding=coding, first=A if rate > 0.5 else B, rows=rows)

    same = with_votes(
        bare, both_bad_codings=(block("dropped", 0.55), block("tie", 0.53), block("loss", 0.52))
    )
    table = sensitivity.codings(same)
    assert table is not None
    assert table.notes[0] == "The first place is the same under each."
    flipped = with_votes(
        bare, both_bad_codings=(block("dropped", 0.55), block("tie", 0.53), block("loss", 0.45))
    )
    table = sensitivity.codings(flipped)
    assert table is not None
    assert table.notes[0].startswith("The first place depends on the coding.")
    assert f"{B} is first with both bad a loss for each, {A} with it not counted" in table.notes[0]
    assert [cell.value for cell in table.rows[0][2:]] == pytest.approx([55, 53, 45])  # pyright: ignore


def test_weights_side_by_side_and_who_is_first_under_each(bare: Results) -> None:
    results = with_votes(
        bare,
        sensitivity={
            "raters alike": Slice(level="raters alike", ratings=ratings(1020)),
            "reliability": Slice(level="reliability", ratings=ratings(980)),
            "stated mix": Slice(level="stated mix", note="the mix gives no share of category text"),
        },
        covariates=CovariateBlock(n=700, ratings=ratings(1001)),
    )
    table = sensitivity.weights(results)
    assert table is not None
    assert [column.head for column in table.columns] == [
        "Contender",
        "As analysed",
        "Every rater alike",
        "Raters by reliability",
        "At equal covariates",
    ]
    assert [cell.value for cell in table.rows[0][1:]] == [1040, 1020, 980, 1001]  # pyright: ignore
    assert table.notes[0] == f"The first place changes under: Raters by reliability ({B})."
    assert "Stated mix: the mix gives no share of category text." in table.notes


def test_categories_are_shown_shrunken_with_the_joint_test(bare: Results) -> None:
    rows = tuple(
        CategoryEffect(level=level, contender=name, deviation=2 * d, shrunk=d, low=d - 9, high=d + 9)
        for level, d in (("animals", 10.0), ("text", -10.0))
        for name in (A, B)
    )
    results = with_votes(bare, category_effects=CategoryEffects(prompts=90, p=0.2, spread=12.0, rows=rows))
    table = sensitivity.category_effects(results)
    assert table is not None
    assert [column.head for column in table.columns] == ["Contender", "animals", "text"]
    assert [cell.value for cell in table.rows[0][1:]] == [10, -10]  # pyright: ignore
    assert "is not shown: p = 0.200, one joint test" in table.notes[0]


def test_covariates_are_points_a_standard_deviation(bare: Results) -> None:
    row = CovariateRow(name="saturation", effect=31.0, low=20.0, high=42.0, spread=0.08)
    table = sensitivity.covariates(with_votes(bare, covariates=CovariateBlock(n=700, rows=(row,))))
    assert table is not None
    assert (table.rows[0][0], table.rows[0][2]) == ("saturation", 0.08)
    assert "A description, not a cause" in table.notes[0]
