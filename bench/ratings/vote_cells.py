"""Cells of a votes file as codes, numbers and lists; what the layouts of `vote_forms` are built from."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bench.errors import InputError
from bench.ratings.vote_table import encoded

if TYPE_CHECKING:
    import pyarrow as pa

Ints = NDArray[np.int32]

Cells = Mapping[str, "pa.ChunkedArray"]
"""Column by field."""

Line = Callable[[int], str]

NO_VOTE = -1
"""Outcome of a row without a vote; counted, not rated."""

MISSING = frozenset({"", "na", "n/a", "nan", "null", "none", "<na>", "#n/a"})
"""Cells, in lower case, that hold nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sides:
    """Battles of a file, not yet counted; n may differ from the file's number of rows."""

    left: Any
    """(n,) contender on the left: a list or an Arrow column."""
    right: Any
    outcome: NDArray[np.int8]
    """(n,) LEFT, RIGHT, TIE, BOTH_BAD or NO_VOTE."""
    row: NDArray[np.int64]
    """(n,) row of the file, from 0."""


def cell_labels(column: Any) -> tuple[Ints, list[str]]:
    """(n,) codes and their labels, blanks around them removed; a cell that holds nothing is '', a list its JSON."""
    if not isinstance(column, list) and is_nested(column):
        column = [value if value is None else json.dumps(value, default=str) for value in column.to_pylist()]
    codes, labels = encoded(column)
    stripped = [label.strip() for label in labels]
    stripped = ["" if label.casefold() in MISSING else label for label in stripped]
    names = list(dict.fromkeys(stripped))
    place = {name: code for code, name in enumerate(names)}
    return np.array([place[label] for label in stripped], np.int32)[codes], names


def numbers(column: Any, line: Line) -> NDArray[np.float64]:
    """(n,) numbers; NaN for a cell that holds nothing. Raises InputError naming the row."""
    codes, labels = cell_labels(column)
    values = np.full(len(labels), np.nan)
    for code, label in enumerate(labels):
        try:
            values[code] = float(label) if label else np.nan
        except ValueError:
            row = int(np.flatnonzero(codes == code)[0])
            raise InputError(f"{line(row)}: '{label}' is not a number") from None
    return values[codes]


def flag(cells: Cells, name: str, rows: int) -> NDArray[np.bool_]:
    """(n,) whether the column is there and says true."""
    if name not in cells:
        return np.zeros(rows, bool)
    codes, labels = cell_labels(cells[name])
    return np.array([label.casefold() in ("true", "1", "1.0", "yes") for label in labels])[codes]


def is_nested(column: pa.ChunkedArray) -> bool:
    """Whether cells are lists or objects."""
    import pyarrow as pa

    return pa.types.is_nested(column.type)


def list_cell(value: Any, line: Line, row: int, name: str) -> list[Any]:
    """A list cell, or its text (`[1, 2]`, as CSV has it)."""
    if isinstance(value, str):
        try:
            value = json.loads(value.replace("'", '"'))
        except ValueError:
            value = None
    if not isinstance(value, list):
        raise InputError(f"{line(row)}: '{name}' is not a list")
    return value
