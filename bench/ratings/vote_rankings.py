"""Ranked images and lists of preferred ones → battles: every pair of one prompt and rater."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bench.errors import InputError
from bench.ratings.vote_cells import NO_VOTE, Cells, Line, Sides, cell_labels, is_nested, list_cell, numbers
from bench.ratings.vote_table import LEFT, RIGHT, TIE

if TYPE_CHECKING:
    import pyarrow as pa


def by_rank(cells: Cells, line: Line) -> Sides:
    """One image a row with its rank (1 is best): all pairs of one prompt, rater and question; equal ranks tie."""
    if _holds_lists(cells["model"]):
        return by_rank_lists(cells, line)
    if "prompt" not in cells:
        raise InputError(
            f"{line(0)}: ranks are compared within a prompt: name its column, --columns prompt=COLUMN"
        )
    ranks = numbers(cells["rank"], line)
    codes, labels = cell_labels(cells["model"])
    keys = np.column_stack(
        [cell_labels(cells[name])[0] for name in ("prompt", "rater", "question") if name in cells]
    )
    _, group = np.unique(keys, axis=0, return_inverse=True)
    order = np.argsort(group.ravel(), kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(group.ravel()[order])) + 1)
    pairs = [_pairs(part) for part in parts if len(part) > 1]
    first, second = np.concatenate(pairs, axis=1) if pairs else np.empty((2, 0), np.int64)
    names = np.array(labels, dtype=object)
    kept = codes[first] != codes[second]
    first, second = first[kept], second[kept]
    return Sides(
        left=names[codes[first]].tolist(),
        right=names[codes[second]].tolist(),
        outcome=_better(ranks[first], ranks[second]),
        row=second,
    )


def by_rank_lists(cells: Cells, line: Line) -> Sides:
    """One prompt a row: a list of contenders and a list of their ranks (1 is best), or of who was preferred (1)."""
    left, right, outcomes, rows = [], [], [], []
    field = "rank" if "rank" in cells else "human_preference"
    values = zip(cells["model"].to_pylist(), cells[field].to_pylist(), strict=True)
    for row, (models, given) in enumerate(values):
        names, ranks = list_cell(models, line, row, "model"), list_cell(given, line, row, field)
        if len(names) != len(ranks):
            raise InputError(f"{line(row)}: {len(names)} contenders, but {len(ranks)} ranks")
        try:
            order = np.array(ranks, dtype=float) * (1 if field == "rank" else -1)
        except ValueError:
            raise InputError(f"{line(row)}: '{field}' holds something that is not a number") from None
        first, second = _pairs(np.arange(len(names)))
        left += [str(names[i]) for i in first]
        right += [str(names[i]) for i in second]
        outcomes.append(_better(order[first], order[second]))
        rows.append(np.full(len(first), row))
    return Sides(left=left, right=right, outcome=np.concatenate(outcomes), row=np.concatenate(rows))


def _holds_lists(column: pa.ChunkedArray) -> bool:
    """Whether cells are lists, or lists written as text."""
    if is_nested(column):
        return True
    return len(column) > 0 and str(column[0].as_py()).lstrip().startswith("[")


def _pairs(items: NDArray[np.int64]) -> NDArray[np.int64]:
    """(2, n(n-1)/2) every pair of items, the earlier one first."""
    first, second = np.triu_indices(len(items), 1)
    return np.stack([items[first], items[second]])


def _better(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.int8]:
    """The lower rank wins; a rank that is missing leaves the pair without a vote."""
    return np.select([first < second, second < first, first == second], [LEFT, RIGHT, TIE], NO_VOTE).astype(
        np.int8
    )
