"""The layouts that public dumps of votes have: which columns mark each, and how its rows become battles.

A layout is one entry in FORMS. Every layout names its columns by the fields of FIELDS; ALIASES says which other
names of a column are taken for a field without being asked, `--columns field=name` names any other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.errors import InputError
from bench.ratings.vote_cells import NO_VOTE, Cells, Ints, Line, Sides, cell_labels, flag, list_cell, numbers
from bench.ratings.vote_rankings import by_rank, by_rank_lists
from bench.ratings.vote_table import BOTH_BAD, LEFT, RIGHT, TIE

ALIASES: dict[str, tuple[str, ...]] = {
    "model_a": ("left", "model_1", "model1", "model_a_name", "left_model", "model_left", "tool_a_id"),
    "model_b": ("right", "model_2", "model2", "model_b_name", "right_model", "model_right", "tool_b_id"),
    "winner": ("outcome", "vote_type", "vote", "choice"),
    "chosen": ("chosen_model", "winning_model"),
    "rejected": ("rejected_model", "losing_model", "loser"),
    "rater": (
        "judge",
        "user_id",
        "annotator",
        "annotator_id",
        "rater_id",
        "worker_id",
        "visitor_id",
        "evaluator",
    ),
    "prompt": ("prompt_id", "question_id", "caption", "opening_msg", "instruction"),
    "rank": ("ranking",),
    "model": ("models", "generator"),
}
"""Field → other names of its column, the first that is there counts. None of them divides the votes by question,
category or group."""


def names_of(*words: str, code: int) -> dict[str, int]:
    return dict.fromkeys(words, code)


WINNERS = {
    **names_of(
        "left", "model_a", "a", "model_1", "leftvote", "a>b", "a>>b", "left_model", "first", code=LEFT
    ),
    **names_of(
        "right", "model_b", "b", "model_2", "rightvote", "b>a", "b>>a", "right_model", "second", code=RIGHT
    ),
    **names_of(
        "tie", "tievote", "draw", "equal", "both_equal", "both good", "both_good", "a=b", "b=a", code=TIE
    ),
    **names_of("tie (both good)", "a=b=good", "bothgood_vote", code=TIE),
    **names_of("both_bad", "both bad", "bothbad", "tie (bothbad)", "tie (both bad)", code=BOTH_BAD),
    **names_of("bothbad_vote", "a=b=bad", "neither", code=BOTH_BAD),
}
"""What a `winner` cell may say, in lower case; else it is the name of one of the row's contenders."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    name: str
    """As the documentation calls it."""
    needs: tuple[str, ...]
    """Fields whose columns mark it."""
    uses: tuple[str, ...] = ()
    """Fields that it reads where they are there."""
    sides: Callable[[Cells, Line], Sides]
    example: str
    """A dump that has it."""


def _straight(cells: Cells, outcome: NDArray[Any], left: str = "model_a", right: str = "model_b") -> Sides:
    return Sides(
        left=cells[left], right=cells[right], outcome=outcome.astype(np.int8), row=np.arange(len(outcome))
    )


def _by_winner(cells: Cells, line: Line) -> Sides:
    """A `winner` column of words, or of contenders' names."""
    codes, labels = cell_labels(cells["winner"])
    sides = [cell_labels(cells[name]) for name in ("model_a", "model_b")]
    names = {name for _, known in sides for name in known}
    words = np.array([WINNERS.get(label.casefold(), NO_VOTE - 1) for label in labels])
    outcome = words[codes]
    named = np.array([label in names for label in labels])[codes]
    if named.any():
        by_name = _named(labels, codes, sides)
        differing = named & (outcome != NO_VOTE - 1) & (outcome != by_name)
        if differing.any():
            row = int(np.flatnonzero(differing)[0])
            raise InputError(
                f"{line(row)}: winner '{labels[codes[row]]}' is a side and a contender's name: "
                "write left, right, tie or both_bad"
            )
        outcome = np.where(named, by_name, outcome)
    bad = np.flatnonzero(outcome == NO_VOTE - 1)
    if bad.size:
        raise _unknown_winner(line(int(bad[0])), labels[codes[bad[0]]])
    return _straight(cells, outcome)


def _by_chosen_name(cells: Cells, line: Line) -> Sides:
    """ComparIA: the name of the chosen contender; or neither, and perhaps `both_equal`."""
    codes, labels = cell_labels(cells["chosen_model_name"])
    outcome = _named(labels, codes, [cell_labels(cells[name]) for name in ("model_a", "model_b")])
    empty = np.array([not label for label in labels])[codes]
    outcome = np.where(empty, np.where(flag(cells, "both_equal", len(codes)), TIE, NO_VOTE), outcome)
    bad = np.flatnonzero(outcome == NO_VOTE - 1)
    if bad.size:
        raise _unknown_winner(line(int(bad[0])), labels[codes[bad[0]]])
    return _straight(cells, outcome)


def _named(labels: list[str], codes: Ints, sides: list[tuple[Ints, list[str]]]) -> NDArray[np.int64]:
    """(n,) the side whose contender the winner cell names; NO_VOTE - 1 where it names neither."""
    outcome = np.full(len(codes), NO_VOTE - 1)
    for side, (side_codes, side_labels) in zip((RIGHT, LEFT), reversed(sides), strict=True):
        place = {name: code for code, name in enumerate(side_labels)}
        wanted = np.array([place.get(label, -1) for label in labels])[codes]
        outcome[wanted == side_codes] = side
    return outcome


def _unknown_winner(where: str, label: str) -> InputError:
    if not label:
        return InputError(f"{where}: empty 'winner'; fill it in or delete the row")
    return InputError(
        f"{where}: unknown winner '{label}': it is neither of the row's contenders, nor one of "
        "left, right, tie, both_bad (or model_a, model_b, tie (bothbad))"
    )


def _by_columns(cells: Cells, line: Line) -> Sides:
    """One column of 0 and 1 an outcome."""
    columns = ("winner_model_a", "winner_model_b", "winner_tie", "winner_both_bad")
    rows = len(cells["model_a"])
    marks = np.column_stack(
        [numbers(cells[name], line) if name in cells else np.zeros(rows) for name in columns]
    )
    wrong = np.flatnonzero(~np.isin(marks, (0, 1)).all(axis=1) | (marks.sum(axis=1) > 1))
    if wrong.size:
        raise InputError(f"{line(int(wrong[0]))}: one of {', '.join(columns)} must be 1 and the others 0")
    codes = np.array([LEFT, RIGHT, TIE, BOTH_BAD])
    return _straight(cells, np.where(marks.any(axis=1), codes[marks.argmax(axis=1)], NO_VOTE))


def _by_labels(cells: Cells, line: Line) -> Sides:
    """Pick-a-Pic: label_0 and label_1 are 1 and 0, 0 and 1, or one half each."""
    first, second = (numbers(cells[name], line) for name in ("label_0", "label_1"))
    outcome = np.select([first > second, second > first, first == second], [LEFT, RIGHT, TIE], NO_VOTE)
    if "has_label" in cells:
        outcome = np.where(flag(cells, "has_label", len(outcome)), outcome, NO_VOTE)
    return _straight(cells, outcome, "model_0", "model_1")


def _by_preference(cells: Cells, line: Line) -> Sides:
    """AlpacaEval: 1 or 2 is the preferred one, 0 or 1.5 a tie."""
    values = numbers(cells["preference"], line)
    bad = np.flatnonzero(~(np.isnan(values) | np.isin(values, (0, 1, 1.5, 2))))
    if bad.size:
        raise InputError(
            f"{line(int(bad[0]))}: preference {values[bad[0]]:g} is not 1, 2, or 0 or 1.5 for a tie"
        )
    outcome = np.select([values == 1, values == 2, np.isnan(values)], [LEFT, RIGHT, NO_VOTE], TIE)
    return _straight(cells, outcome, "generator_1", "generator_2")


def _by_two_games(cells: Cells, line: Line) -> Sides:
    """MT-Bench's judge, asked in both orders: a tie unless both answers agree, as the benchmark counts them."""
    codes = []
    for name in ("g1_winner", "g2_winner"):
        column, labels = cell_labels(cells[name])
        known = [WINNERS.get(label.casefold(), NO_VOTE) for label in labels]
        codes.append(np.array(known)[column])
    outcome = np.where(codes[0] == codes[1], codes[0], TIE)
    return _straight(cells, np.where((codes[0] == NO_VOTE) | (codes[1] == NO_VOTE), NO_VOTE, outcome))


def _by_chosen(cells: Cells, line: Line) -> Sides:
    for name in ("chosen", "rejected"):
        codes, labels = cell_labels(cells[name])
        if len(labels) > 200 and len(labels) > len(codes) / 4:
            raise InputError(
                f"{line(0)}: '{name}' holds {len(labels)} different texts, not contenders' names; "
                f"name the column that does, with --columns {name}=COLUMN"
            )
    return _straight(cells, np.full(len(cells["chosen"]), LEFT), "chosen", "rejected")


def _by_preferred_first(cells: Cells, line: Line) -> Sides:
    """HPDv3: the first of the two images is the preferred one; `choice_dist` counts the votes for each."""
    if "choice_dist" not in cells:
        return _straight(cells, np.full(len(cells["model_a"]), LEFT))
    counts = [
        list_cell(value, line, row, "choice_dist")
        for row, value in enumerate(cells["choice_dist"].to_pylist())
    ]
    if any(len(pair) != 2 for pair in counts):
        raise InputError(f"{line(0)}: 'choice_dist' must hold two numbers")
    return _repeated(cells, np.array(counts, float), (LEFT, RIGHT), line)


def _by_counts(cells: Cells, line: Line) -> Sides:
    names = [name for name in ("wins_a", "wins_b", "ties") if name in cells]
    counts = np.column_stack([np.nan_to_num(numbers(cells[name], line)) for name in names])
    return _repeated(cells, counts, (LEFT, RIGHT, TIE)[: len(names)], line)


def _repeated(cells: Cells, counts: NDArray[np.float64], outcomes: tuple[int, ...], line: Line) -> Sides:
    """Each row as many times as its counts (rows, outcomes) say."""
    wrong = np.flatnonzero(((counts < 0) | (counts != np.floor(counts))).any(axis=1))
    if wrong.size:
        raise InputError(f"{line(int(wrong[0]))}: votes must be counted in whole numbers from 0")
    each = counts.astype(np.int64)
    row = np.repeat(np.arange(len(each)), each.sum(axis=1))
    outcome = np.repeat(np.tile(outcomes, len(each)), each.ravel())
    left, right = (cells[name].take(row) for name in ("model_a", "model_b"))
    return Sides(left=left, right=right, outcome=outcome.astype(np.int8), row=row)


def _by_log(cells: Cells, line: Line) -> Sides:
    """The log of a FastChat server: other events than votes are left out."""
    codes, labels = cell_labels(cells["type"])
    known = np.array([WINNERS.get(label.casefold(), NO_VOTE) for label in labels])[codes]
    row = np.flatnonzero(known != NO_VOTE)
    values = cells["models"].to_pylist()
    models = {i: list_cell(values[i], line, i, "models") for i in row.tolist()}
    for i, pair in models.items():
        if len(pair) != 2 or not all(pair):
            raise InputError(f"{line(i)}: 'models' does not name two contenders")
    return Sides(
        left=[pair[0] for pair in models.values()],
        right=[pair[1] for pair in models.values()],
        outcome=known[row].astype(np.int8),
        row=row,
    )


FORMS = (
    Form(
        name="pair and chosen name",
        needs=("model_a", "model_b", "chosen_model_name"),
        uses=("both_equal",),
        sides=_by_chosen_name,
        example="ComparIA",
    ),
    Form(
        name="annotated outputs",
        needs=("generator_1", "generator_2", "preference"),
        sides=_by_preference,
        example="AlpacaEval",
    ),
    Form(
        name="pair and winner",
        needs=("model_a", "model_b", "winner"),
        sides=_by_winner,
        example="this suite, Chatbot Arena, MT-Bench, GenAI-Bench",
    ),
    Form(
        name="pair and a column an outcome",
        needs=("model_a", "model_b", "winner_model_a", "winner_model_b"),
        uses=("winner_tie", "winner_both_bad"),
        sides=_by_columns,
        example="LMSYS on Kaggle",
    ),
    Form(
        name="two images with labels",
        needs=("model_0", "model_1", "label_0", "label_1"),
        uses=("has_label",),
        sides=_by_labels,
        example="Pick-a-Pic",
    ),
    Form(
        name="judged in both orders",
        needs=("model_a", "model_b", "g1_winner", "g2_winner"),
        sides=_by_two_games,
        example="MT-Bench, model judgements",
    ),
    Form(
        name="chosen and rejected",
        needs=("chosen", "rejected"),
        sides=_by_chosen,
        example="preference pairs by contender",
    ),
    Form(
        name="winner and loser",
        needs=("winner", "rejected"),
        sides=lambda cells, line: _by_chosen({**cells, "chosen": cells["winner"]}, line),
        example="tables of matches",
    ),
    Form(
        name="preferred image first",
        needs=("model_a", "model_b", "path1", "path2"),
        uses=("choice_dist",),
        sides=_by_preferred_first,
        example="HPDv3",
    ),
    Form(
        name="counted pairs",
        needs=("model_a", "model_b", "wins_a", "wins_b"),
        uses=("ties",),
        sides=_by_counts,
        example="pair tables of papers",
    ),
    Form(name="server log", needs=("type", "models"), sides=_by_log, example="FastChat, GenAI-Arena"),
    Form(name="ranks", needs=("model", "rank"), sides=by_rank, example="ImageReward, HPDv2 test"),
    Form(
        name="preferred of a list",
        needs=("model", "human_preference"),
        sides=by_rank_lists,
        example="HPDv2, train",
    ),
)
"""In the order they are tried; the first whose columns are all there counts."""
