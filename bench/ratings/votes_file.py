"""A votes file from anywhere → a votes table: CSV, TSV and Parquet by column, JSONL by battle."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bench.errors import InputError, unknown
from bench.ratings.vote_table import (
    BOTH_BAD,
    KINDS,
    LEFT,
    RIGHT,
    TIE,
    VoteTable,
    code_battles,
    coded_table,
    encoded,
)
from bench.records import Battle, iterate_rows

if TYPE_CHECKING:
    import pyarrow as pa

Floats = NDArray[np.float64]

WINNERS = {
    "left": LEFT,
    "model_a": LEFT,
    "a": LEFT,
    "right": RIGHT,
    "model_b": RIGHT,
    "b": RIGHT,
    "tie": TIE,
    "both_bad": BOTH_BAD,
    "tie (bothbad)": BOTH_BAD,
}
"""What a `winner` cell may say; anything else stops. `model_a` is the left one."""

REQUIRED = ("model_a", "model_b", "winner")
LABELS = ("rater", "prompt", "question", "category", "challenge", "group")
NUMBERS = ("probability", "weight")
OPTIONAL = (*LABELS, *NUMBERS, "kind", "replicate", "seconds", "excluded", "simulated")
EXPORTED = {"left": "model_a", "right": "model_b", "outcome": "winner", "prompt_id": "prompt"}
"""Columns of `arena export` by the names they have here."""
MAY_BE_EMPTY = ("question", "category", "challenge", "group", "seconds", "excluded")


def read_votes(path: Path) -> VoteTable:
    """A votes file → table. `.csv`, `.tsv`, `.parquet` need the columns model_a, model_b, winner and may
    have those of OPTIONAL, or be what `arena export` writes; `.jsonl` holds Battle rows. A million rows take
    about half a second.

    Raises InputError: no such file, unknown suffix, missing or unknown column, empty cell, unknown winner.
    """
    if not path.exists():
        raise InputError(f"{path}: no such votes file")
    if path.suffix == ".jsonl":
        return code_battles(iterate_rows(path, Battle))
    data = _read_columns(path)
    data = data.rename_columns([EXPORTED.get(name, name) for name in data.column_names])
    for name in data.column_names:
        if name not in REQUIRED + OPTIONAL:
            raise InputError(f"{path}: {unknown('column', name, REQUIRED + OPTIONAL)}")
        if data.column_names.count(name) > 1:
            raise InputError(f"{path}: two columns are called '{name}'")
    for name in REQUIRED:
        if name not in data.column_names:
            raise InputError(f"{path}: column '{name}' is missing; it has {', '.join(data.column_names)}")
    if data.num_rows == 0:
        raise InputError(f"{path}: no votes")
    return _from_columns(path, _filled(path, data))


def _read_columns(path: Path) -> pa.Table:
    import pyarrow as pa

    if path.suffix == ".parquet":
        import pyarrow.parquet as parquet

        try:
            return parquet.read_table(path)
        except pa.ArrowInvalid as error:
            raise InputError(f"{path}: not a Parquet file: {error}") from None
    if path.suffix not in (".csv", ".tsv"):
        raise InputError(f"{path}: {unknown('suffix', path.suffix, ('.csv', '.tsv', '.parquet', '.jsonl'))}")
    import pyarrow.csv as csv

    texts = (*REQUIRED, *LABELS, *EXPORTED, "kind", "excluded", "simulated")
    types: dict[str, Any] = dict.fromkeys(texts, pa.dictionary(pa.int32(), pa.string()))
    types |= dict.fromkeys(NUMBERS, pa.float64())
    try:
        return csv.read_csv(
            path,
            parse_options=csv.ParseOptions(delimiter="\t" if path.suffix == ".tsv" else ","),
            convert_options=csv.ConvertOptions(
                column_types=types, null_values=[""], strings_can_be_null=True
            ),
        )
    except pa.ArrowInvalid as error:
        raise InputError(f"{path}: {error}") from None


def _filled(path: Path, data: pa.Table) -> pa.Table:
    """Without optional columns in which no cell is filled. Raises InputError for a cell that must be."""
    for name in data.column_names:
        empty = data[name].null_count
        if empty == data.num_rows and name in OPTIONAL:
            data = data.drop_columns([name])
        elif empty and name not in MAY_BE_EMPTY:
            row = int(np.flatnonzero(data[name].is_null().to_numpy())[0]) + 1
            raise InputError(f"{path}: row {row} has an empty '{name}'; fill it in or leave the column out")
    return data


def _from_columns(path: Path, data: pa.Table) -> VoteTable:
    codes, labels = encoded(data["winner"])
    outcome = _looked_up(path, "winner", WINNERS, codes, labels).astype(np.int8)
    repeat, left_out, excluded = _kinds(path, data)
    probability = _positive(path, data, "probability")
    if probability is not None and (probability > 1).any():
        raise InputError(f"{path}: a 'probability' is above 1")
    simulated = False
    if "simulated" in data.column_names:
        truth = {"true": 1, "false": 0, "True": 1, "False": 0}
        simulated = bool(_looked_up(path, "simulated", truth, *encoded(data["simulated"])).any())
    weight = _positive(path, data, "weight")
    replicate = _replicates(path, data)
    if left_out.all():
        raise InputError(f"{path}: no votes to rate ({len(outcome)} excluded)")
    keep = ~left_out
    if left_out.any():
        data = data.filter(keep)
    return coded_table(
        left=data["model_a"],
        right=data["model_b"],
        outcome=outcome[keep],
        columns={name: data[name] if name in data.column_names else None for name in LABELS},
        replicate=replicate[keep],
        probability=None if probability is None else probability[keep],
        weight=None if weight is None else weight[keep],
        repeat=repeat[keep],
        excluded=excluded,
        simulated=simulated,
    )


def _looked_up(
    path: Path, name: str, known: dict[str, int], codes: NDArray[np.int32], labels: list[str]
) -> NDArray[np.int64]:
    """(n,) what `known` says for the label of each row."""
    for label in labels:
        if label not in known:
            row = int(np.flatnonzero(codes == labels.index(label))[0]) + 1
            raise InputError(f"{path}: row {row}: {unknown(name, label, known)}")
    return np.array([known[label] for label in labels])[codes]


def _kinds(path: Path, data: pa.Table) -> tuple[NDArray[np.bool_], NDArray[np.bool_], dict[str, int]]:
    """(n,) planted repeats, (n,) rows that are not to be rated, and how many of those by reason."""
    rows = data.num_rows
    repeat, left_out = np.zeros(rows, bool), np.zeros(rows, bool)
    excluded: dict[str, int] = {}
    if "excluded" in data.column_names:
        codes, labels = encoded(data["excluded"])
        for code, reason in enumerate(labels):
            if reason:
                left_out |= codes == code
                excluded[reason] = int((codes == code).sum())
    if "kind" in data.column_names:
        codes = _looked_up(path, "kind", {name: i for i, name in enumerate(KINDS)}, *encoded(data["kind"]))
        check = (codes == KINDS.index("check")) & ~left_out
        if check.any():
            excluded["attention check"] = int(check.sum())
        repeat, left_out = codes == KINDS.index("repeat"), left_out | check
    return repeat, left_out, excluded


def _replicates(path: Path, data: pa.Table) -> NDArray[np.int32]:
    if "replicate" not in data.column_names:
        return np.zeros(data.num_rows, np.int32)
    values = data["replicate"].to_numpy()
    if not np.issubdtype(values.dtype, np.integer) or (values < 0).any():
        raise InputError(f"{path}: column 'replicate' must hold whole numbers from 0")
    return values.astype(np.int32)


def _positive(path: Path, data: pa.Table, name: str) -> Floats | None:
    if name not in data.column_names:
        return None
    try:
        values = data[name].to_numpy().astype(np.float64)
    except (ValueError, TypeError):
        raise InputError(f"{path}: column '{name}' holds something that is not a number") from None
    bad = np.flatnonzero(~(np.isfinite(values) & (values > 0)))
    if bad.size:
        raise InputError(f"{path}: row {bad[0] + 1}: {name} {values[bad[0]]} is not above 0")
    return values
