"""A votes file from anywhere → a votes table, with a note of every column that was not used."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import fields as dataclass_fields
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bench.errors import InputError, unknown
from bench.ratings.vote_cells import NO_VOTE, Sides, cell_labels, is_nested
from bench.ratings.vote_columns import VoteColumns, column_named, frame_columns, open_columns
from bench.ratings.vote_forms import ALIASES, FORMS, Form
from bench.ratings.vote_table import KINDS, NEVER_RATED, VoteTable, coded_table
from bench.records import Battle

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

Floats = NDArray[np.float64]

LABELS = ("rater", "prompt", "question", "category", "challenge", "group")
OPTIONAL = (*LABELS, "probability", "weight", "kind", "replicate", "excluded", "simulated")
FIELDS = tuple(dict.fromkeys((*OPTIONAL, *(field for form in FORMS for field in (*form.needs, *form.uses)))))
"""What a column can be read as: the left side of `--columns field=column`."""
NOT_READ = tuple(field.name for field in dataclass_fields(Battle))
"""Columns of `arena export`; those that no rating needs are not listed as unused."""
TRUTH = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False, "": False}
MISTYPED = 0.8
"""Likeness above which the name of an unused column is called a slip of the pen."""


def read_votes(path: Path, columns: Mapping[str, str] | None = None) -> VoteTable:
    """A votes file → table. A million rows of CSV take about a second.

    Parameters
    ----------
    path : CSV, TSV, JSON, JSONL or Parquet, compressed or not, in one of the layouts of `vote_forms.FORMS`.
    columns : field → column of the file, before any name is recognised; '' leaves the field's column unused.

    Returns
    -------
    VoteTable : its `notes` list what was assumed and which columns were not used.

    Raises
    ------
    InputError : file and row of an empty or unknown cell; no layout fits; names that differ in case only.
    """
    return votes_of(open_columns(path), columns)


def votes_of_frame(rows: pd.DataFrame, columns: Mapping[str, str] | None = None) -> VoteTable:
    """A data frame → table, by the same layouts; a wrong row is named by its number from 0."""
    return votes_of(frame_columns(rows), columns)


def votes_of(source: VoteColumns, columns: Mapping[str, str] | None = None) -> VoteTable:
    """Columns of a file or a data frame → table; see `read_votes`."""
    path = source.path
    mapping = _mapping(source, columns or {})
    form = next((form for form in FORMS if all(field in mapping for field in form.needs)), None)
    if form is None:
        raise _no_form(source)
    fields = {field: mapping[field] for field in (*form.needs, *form.uses, *OPTIONAL) if field in mapping}
    read = source.read(list(dict.fromkeys(fields.values())))
    if read.num_rows == 0:
        raise InputError(f"{path}: no votes")
    cells = {field: read[column] for field, column in fields.items()}
    sides = form.sides(cells, source.line)
    if not len(sides.row):
        raise InputError(f"{path}: no votes")
    table = _table(source, sides, {field: cells[field] for field in OPTIONAL if field in cells})
    return replace(table, notes=(*source.notes, *_notes(source, form, fields), *table.notes))


def _mapping(source: VoteColumns, asked: Mapping[str, str]) -> dict[str, str]:
    """Field → the file's column: those asked for, else the field's own name, else the first alias that is there."""
    mapping: dict[str, str] = {}
    for field, column in asked.items():
        if field not in FIELDS:
            raise unknown("field of --columns", field, FIELDS)
        if column:
            mapping[field] = column_named(source, column)
    there = {name.casefold(): name for name in reversed(source.names)}
    for field in FIELDS:
        if field in asked:
            continue
        for name in (field, *ALIASES.get(field, ())):
            if name in there:
                mapping[field] = column_named(source, there[name])
                break
    return mapping


def _no_form(source: VoteColumns) -> InputError:
    names = [name.casefold() for name in source.names]
    message = (
        f"{source.path}: no votes are recognised; the columns are: {', '.join(source.names) or 'none'}. "
    )
    if {"image_path", "file_path"} & set(names):
        return InputError(
            f"{message}Its rows name images, not contenders: add a column that does, and name it with "
            "--columns model=COLUMN"
        )
    hints: list[str] = []
    taken: set[str] = set()
    for field in ("model_a", "model_b", "winner"):
        near = difflib.get_close_matches(
            field, [name for name in names if name not in taken], n=1, cutoff=0.6
        )
        taken.update(near)
        if near and near[0] != field:
            hints.append(f"{field}={source.names[names.index(near[0])]}")
    cure = (
        f"--columns {','.join(hints)}" if hints else "--columns model_a=COLUMN,model_b=COLUMN,winner=COLUMN"
    )
    return InputError(
        f"{message}They should be model_a, model_b, winner, or another layout of "
        f"docs/votes-files.md; name them with {cure}"
    )


def _notes(source: VoteColumns, form: Form, fields: Mapping[str, str]) -> list[str]:
    """Which columns were taken for another name, and which were not used."""
    renamed = [f"{field} = {column}" for field, column in fields.items() if field != column]
    notes = [f"read as {form.name}: {', '.join(renamed)}"] if renamed else []
    unused = [name for name in source.names if name not in fields.values() and name not in NOT_READ]
    if unused:
        shown = []
        for name in unused:
            near = difflib.get_close_matches(name.casefold(), ("rater", "prompt"), n=1, cutoff=MISTYPED)
            missing = near and near[0] not in fields
            shown.append(f"{name} (is it {near[0]}? --columns {near[0]}={name})" if missing else name)
        notes.append(f"columns not used: {', '.join(shown)}")
    return notes


def _table(source: VoteColumns, sides: Sides, cells: Mapping[str, pa.ChunkedArray]) -> VoteTable:
    """The battles with the columns that describe them, what is not to be rated counted and left out."""

    def line(vote: int) -> str:
        return source.line(int(sides.row[vote]))

    straight = len(sides.row) == len(next(iter(cells.values()), ())) and (np.diff(sides.row) == 1).all()
    columns = {name: column if straight else column.take(sides.row) for name, column in cells.items()}
    repeat, left_out, excluded = _kinds(columns, sides, line)
    if left_out.all():
        raise InputError(f"{source.path}: no votes to rate ({len(left_out)} excluded)")
    kept = np.flatnonzero(~left_out)
    left, right = (_contenders(side, kept, line) for side in (sides.left, sides.right))
    _check_names(source, [left, right], kept, line)
    same = np.flatnonzero(np.array(left[1])[left[0]] == np.array(right[1])[right[0]])
    names = {*left[1], *right[1]}
    if same.size and len(names) > 1:
        vote = int(same[0])
        raise InputError(
            f"{line(int(kept[vote]))}: contender '{left[1][left[0][vote]]}' is put against itself"
        )
    if len(names) < 2:
        raise InputError(f"{source.path}: all votes name one contender, '{left[1][0]}': a rating needs two")
    labels = {name: _labels(name, columns, kept, line) for name in LABELS}
    probability = _positive(source, columns, "probability", kept, line, at_most=1.0)
    weight = _positive(source, columns, "weight", kept, line)
    notes = tuple(note for name in ("rater", "prompt") if (note := _case_note(name, labels[name])))
    table = coded_table(
        left=_strings(*left),
        right=_strings(*right),
        outcome=sides.outcome[kept],
        columns={name: column and _strings(*column) for name, column in labels.items()},
        replicate=_replicates(columns, kept, line),
        probability=probability,
        weight=weight,
        repeat=repeat[kept],
        excluded=excluded,
        simulated=_simulated(columns, line),
    )
    return replace(table, notes=notes)


def _kinds(
    columns: Mapping[str, Any], sides: Sides, line: Any
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], dict[str, int]]:
    """(n,) planted repeats, (n,) rows that are not to be rated, and how many of those by reason."""
    n = len(sides.row)
    repeat, left_out = np.zeros(n, bool), np.zeros(n, bool)
    excluded: dict[str, int] = {}
    if "excluded" in columns:
        codes, labels = cell_labels(columns["excluded"])
        for code, label in enumerate(labels):
            reason = "excluded" if label.casefold() in ("true", "1", "yes") else label
            if reason and TRUTH.get(label.casefold(), True):
                left_out |= codes == code
                excluded[reason] = int((codes == code).sum())
    if "kind" in columns:
        codes, labels = cell_labels(columns["kind"])
        for code, label in enumerate(labels):
            if (label or "vote") not in KINDS:
                row = int(np.flatnonzero(codes == code)[0])
                raise InputError(
                    f"{line(row)}: {unknown('kind', label, KINDS)}, or leave it out: --columns kind="
                )
        kinds = np.array(labels)[codes]
        for kind, reason in NEVER_RATED.items():
            unrated = (kinds == kind) & ~left_out
            if unrated.any():
                excluded[reason] = int(unrated.sum())
            left_out = left_out | unrated
        repeat = kinds == "repeat"
    none = (sides.outcome == NO_VOTE) & ~left_out
    if none.any():
        excluded["no vote"] = int(none.sum())
    return repeat, left_out | none, excluded


def _contenders(side: Any, kept: NDArray[np.int64], line: Any) -> tuple[NDArray[np.int32], list[str]]:
    if not isinstance(side, list) and is_nested(side):
        raise InputError(f"{line(0)}: the column of the contenders holds lists or objects, not names")
    codes, labels = cell_labels(side)
    codes = codes[kept]
    if "" in labels and (codes == labels.index("")).any():
        vote = int(np.flatnonzero(codes == labels.index(""))[0])
        raise InputError(
            f"{line(int(kept[vote]))}: a contender's name is empty; fill it in or delete the row"
        )
    used = np.flatnonzero(np.bincount(codes, minlength=len(labels)))
    place = np.zeros(len(labels), np.int32)
    place[used] = np.arange(len(used))
    return place[codes], [labels[code] for code in used]


def _check_names(source: VoteColumns, sides: Sequence[Any], kept: NDArray[np.int64], line: Any) -> None:
    """Raises InputError for contenders whose names differ in case or white space only."""
    counts: Counter[str] = Counter()
    for codes, labels in sides:
        counts.update(dict(zip(labels, np.bincount(codes, minlength=len(labels)).tolist(), strict=True)))
    alike: dict[str, str] = {}
    for name in counts:
        other = alike.setdefault(" ".join(name.casefold().split()), name)
        if other != name:
            rare, usual = sorted((name, other), key=lambda each: counts[each])
            codes, labels = next(side for side in sides if rare in side[1])
            vote = int(np.flatnonzero(codes == labels.index(rare))[0])
            raise InputError(
                f"{line(int(kept[vote]))}: contender '{rare}' ({counts[rare]:,} times) differs from "
                f"'{usual}' ({counts[usual]:,} times) in case or blanks only: write both alike"
            )


def _labels(
    name: str, columns: Mapping[str, Any], kept: NDArray[np.int64], line: Any
) -> tuple[NDArray[np.int32], list[str]] | None:
    """Codes and labels of a column; None where it is absent or holds nothing."""
    if name not in columns:
        return None
    codes, labels = cell_labels(columns[name])
    codes = codes[kept]
    if "" not in labels or not (empty := codes == labels.index("")).any():
        return codes, labels
    if empty.all():
        return None
    if name in ("rater", "prompt"):
        vote = int(np.flatnonzero(empty)[0])
        raise InputError(
            f"{line(int(kept[vote]))}: empty '{name}' ({int(empty.sum()):,} such rows), while others have one; "
            f"fill it in, or leave the column out with --columns {name}="
        )
    return codes, labels


def _case_note(name: str, column: tuple[NDArray[np.int32], list[str]] | None) -> str:
    """Ids may differ in case on purpose, so they stay apart; but it is said."""
    if column is None:
        return ""
    labels = {label for label in column[1] if label}
    alike = len(labels) - len({label.casefold() for label in labels})
    return f"{alike} {name} ids differ from others in case only and count as different" if alike else ""


def _strings(codes: NDArray[np.int32], labels: Sequence[str]) -> pa.ChunkedArray:
    import pyarrow as pa

    return pa.chunked_array([pa.DictionaryArray.from_arrays(codes, pa.array(labels, pa.string()))])


def _positive(
    source: VoteColumns,
    columns: Mapping[str, Any],
    name: str,
    kept: NDArray[np.int64],
    line: Any,
    at_most: float = np.inf,
) -> Floats | None:
    """(kept,) numbers above 0; None where the column is absent or wholly empty."""
    if name not in columns:
        return None
    codes, labels = cell_labels(columns[name])
    used = set(codes[kept].tolist())
    if {labels[code] for code in used} == {""}:
        return None
    values = np.zeros(len(labels))
    for code in used:
        label = labels[code]
        try:
            values[code] = float(label.replace(",", ".") if source.decimal_comma else label)
        except ValueError:
            values[code] = np.nan
        if not (0 < values[code] <= at_most and np.isfinite(values[code])):
            row = int(kept[np.flatnonzero(codes[kept] == code)[0]])
            allowed = "above 0 and at most 1" if at_most == 1 else "a number above 0"
            raise InputError(
                f"{line(row)}: {name} '{label}' is not {allowed}; leave the column out with --columns {name}="
            )
    return values[codes[kept]]


def _replicates(columns: Mapping[str, Any], kept: NDArray[np.int64], line: Any) -> NDArray[np.int32]:
    if "replicate" not in columns:
        return np.zeros(len(kept), np.int32)
    codes, labels = cell_labels(columns["replicate"])
    values = np.zeros(len(labels), np.int32)
    for code, label in enumerate(labels):
        whole = label.removesuffix(".0") or "0"
        if not whole.isdecimal() or len(whole) > 9:
            row = int(np.flatnonzero(codes == code)[0])
            raise InputError(f"{line(row)}: replicate '{label}' is not a whole number from 0")
        values[code] = int(whole)
    return values[codes[kept]]


def _simulated(columns: Mapping[str, Any], line: Any) -> bool:
    if "simulated" not in columns:
        return False
    codes, labels = cell_labels(columns["simulated"])
    for code, label in enumerate(labels):
        if label.casefold() not in TRUTH:
            row = int(np.flatnonzero(codes == code)[0])
            raise InputError(f"{line(row)}: {unknown('value of simulated', label, ('true', 'false'))}")
    return any(TRUTH[label.casefold()] for label in labels)
