"""Questions as the study file writes them."""

import pytest

from bench.errors import InputError
from bench.study.file import Arena, StudyFile, _parse
from bench.study.questions import questions_of

STUDY = """
name = "s"
contenders = ["sdxl-turbo@1", "sdxl@50"]
[prompts]
set = "parti"
[arena]
questions = ["alignment", "hands"]
both_bad = true
[arena.own_questions.hands]
text = {en = "Whose hands are better?", es = "¿Qué manos son mejores?"}
answers = "seven_points"
comment = true
"""


def read(tmp_path, text=STUDY) -> StudyFile:
    path = tmp_path / "study.toml"
    path.write_text(text, encoding="utf-8")
    return _parse(path)[1]


def test_a_question_of_ones_own_is_asked_as_it_is_written(tmp_path):
    asked = questions_of(read(tmp_path).arena)
    assert list(asked) == ["alignment", "hands"]
    assert asked["alignment"].answers == ("left", "tie", "both_bad", "right")
    assert not asked["alignment"].text
    assert asked["hands"].scale
    assert asked["hands"].comment
    assert asked["hands"].answers == ("left", "tie", "right")
    assert asked["hands"].text["es"] == "¿Qué manos son mejores?"


@pytest.mark.parametrize(
    ("ties", "both_bad", "answers"),
    [
        (True, False, ("left", "tie", "right")),
        (False, False, ("left", "right")),
        (True, True, ("left", "tie", "both_bad", "right")),
        (False, True, ("left", "both_bad", "right")),
    ],
)
def test_the_plain_case_stays_two_switches(ties, both_bad, answers):
    asked = questions_of(Arena(ties=ties, both_bad=both_bad))
    assert {q.answers for q in asked.values()} == {answers}
    assert [q.shows_prompt for q in asked.values()] == [True, False]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"hands"]', '"feet"]', "study.toml:7: unknown question 'feet'"),
        ('text = {en = "Whose hands are better?", es = "¿Qué manos son mejores?"}', "", "has no words"),
        ('"seven_points"', '"nine_points"', "nine_points"),
        ("comment = true", "coment = true", "did you mean 'comment'"),
        ('"alignment", "hands"', '"hands", "hands"', "stands twice"),
    ],
)
def test_what_is_wrong_with_a_question_is_said(tmp_path, old, new, message):
    assert old in STUDY
    with pytest.raises(InputError, match=message):
        read(tmp_path, STUDY.replace(old, new))
