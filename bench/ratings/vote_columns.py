"""A votes file of any format → its column names, the columns that are asked for, and each row's place in the file."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import InputError, unknown
from bench.text_files import COMPRESSED, decode, delimiter_of, is_quoted, read_file, rows_of, suffix_of

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

FORMATS = (".csv", ".tsv", ".txt", ".json", ".jsonl", ".ndjson", ".parquet")
"""Suffixes that are read, each also followed by a suffix of `text_files.COMPRESSED`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VoteColumns:
    """The columns of one votes file, read when they are asked for."""

    path: Path
    names: tuple[str, ...]
    """As the file has them; a nested field as `outer.inner`."""
    read: Callable[[Sequence[str]], pa.Table]
    """Columns by name; a cell of text is a string, an empty one is null or ''."""
    line: Callable[[int], str]
    """Where row i (from 0) stands: `votes.csv:12`, or `votes.parquet: row 12`."""
    notes: tuple[str, ...] = ()
    """What was assumed about the file."""
    decimal_comma: bool = False
    """Numbers are written `0,5`."""


def open_columns(path: Path) -> VoteColumns:
    """Open a votes file by its suffix.

    Raises InputError: no such file, unknown suffix, or a file that is not what its suffix says.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such votes file")
    suffix = suffix_of(path)
    if suffix not in FORMATS:
        allowed = f"known: {', '.join(FORMATS)}, also with {', '.join(COMPRESSED)} behind"
        raise InputError(f"{path}: unknown suffix '{suffix or path.name}'. {allowed}")
    if suffix == ".parquet":
        return _parquet(path)
    text, note = decode(read_file(path), str(path), fallback="cp1252")
    notes = (note,) if note else ()
    if suffix == ".json" or (suffix in (".jsonl", ".ndjson") and text.lstrip()[:1] == "["):
        return _records(path, _json_rows(path, text), notes)
    if suffix in (".jsonl", ".ndjson"):
        return _records(path, _json_lines(path, text), notes)
    return _delimited(path, text, "\t" if suffix == ".tsv" else ",", notes)


def frame_columns(rows: pd.DataFrame) -> VoteColumns:
    """The columns of a pandas data frame."""
    import pyarrow as pa

    names = tuple(str(name) for name in rows.columns)

    def read(wanted: Sequence[str]) -> pa.Table:
        columns = [pa.array(rows.iloc[:, names.index(name)], from_pandas=True) for name in wanted]
        return pa.table(columns, names=list(wanted)) if wanted else pa.table({"": pa.nulls(len(rows))})

    return VoteColumns(
        path=Path("the data frame"), names=names, read=read, line=lambda row: f"the data frame: row {row}"
    )


def _parquet(path: Path) -> VoteColumns:
    import pyarrow as pa
    import pyarrow.parquet as parquet

    try:
        schema = parquet.read_schema(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise InputError(f"{path}: not a Parquet file: {error}") from None
    paths = dict(_flat(schema, ()))

    def read(names: Sequence[str]) -> pa.Table:
        import pyarrow.compute as compute

        table = parquet.read_table(path, columns=list(dict.fromkeys(paths[name][0] for name in names)))
        columns = []
        for name in names:
            outer, *inner = paths[name]
            column = table[outer]
            for field in inner:
                column = compute.struct_field(column, field)  # pyright: ignore[reportAttributeAccessIssue]
            columns.append(column)
        return pa.table(columns, names=list(names)) if names else table

    return VoteColumns(path=path, names=tuple(paths), read=read, line=lambda row: f"{path}: row {row + 1}")


def _flat(fields: Iterable[Any], outer: tuple[str, ...]) -> Iterable[tuple[str, tuple[str, ...]]]:
    """Dotted name and path of each field, structs taken apart."""
    import pyarrow as pa

    for field in fields:
        where = (*outer, field.name)
        if pa.types.is_struct(field.type):
            yield from _flat(field.type, where)
        else:
            yield ".".join(where), where


def _json_rows(path: Path, text: str) -> list[tuple[str, dict[str, Any]]]:
    """Of an array of objects, an object that holds one under any key, or an object of columns."""
    try:
        value = json.loads(text)
    except ValueError as error:
        raise InputError(f"{path}: not JSON ({error}); an object a line needs the suffix .jsonl") from None
    if (
        isinstance(value, dict)
        and value
        and all(isinstance(column, dict | list) for column in value.values())
    ):
        lists = [
            item for item in value.values() if isinstance(item, list) and item and isinstance(item[0], dict)
        ]
        value = lists[0] if len(lists) == 1 else _transposed(path, value)
    if not isinstance(value, list) or not all(isinstance(row, dict) for row in value):
        raise InputError(f"{path}: not a JSON array of objects, one a vote")
    return [(f"{path}: item {number}", row) for number, row in enumerate(value, 1)]


def _transposed(path: Path, columns: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rows of an object that holds a list, or an object by row, for each column."""
    values = {
        name: list(cells.values()) if isinstance(cells, dict) else cells for name, cells in columns.items()
    }
    if len({len(cells) for cells in values.values()}) != 1:
        raise InputError(f"{path}: not a JSON array of objects, and its columns differ in length")
    return [dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)]


def _json_lines(path: Path, text: str) -> list[tuple[str, dict[str, Any]]]:
    rows = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise InputError(
                f"{path}:{number}: not JSON ({error}); restore the file, or delete that line"
            ) from None
        if not isinstance(row, dict):
            raise InputError(f"{path}:{number}: not a JSON object")
        rows.append((f"{path}:{number}", row))
    return rows


def _records(path: Path, rows: list[tuple[str, dict[str, Any]]], notes: tuple[str, ...]) -> VoteColumns:
    names: dict[str, tuple[str, ...]] = {}
    for _, row in rows:
        for name, value in row.items():
            if isinstance(value, dict) and value:
                names.update((f"{name}.{inner}", (name, inner)) for inner in value)
            else:
                names.setdefault(name, (name,))

    def cell(row: Mapping[str, Any], where: tuple[str, ...]) -> Any:
        value: Any = row
        for part in where:
            value = value.get(part) if isinstance(value, dict) else None
        if isinstance(value, bool):
            return "true" if value else "false"
        return value if value is None or isinstance(value, str | list) else json.dumps(value)

    def read(wanted: Sequence[str]) -> pa.Table:
        import pyarrow as pa

        columns = []
        for name in wanted:
            cells = [cell(row, names[name]) for _, row in rows]
            if any(isinstance(value, list) for value in cells):
                cells = [value if isinstance(value, list) else None for value in cells]
                columns.append(pa.array([v if v is None else [_text(item) for item in v] for v in cells]))
            else:
                columns.append(pa.array(cells, pa.string()))
        return pa.table(columns, names=list(wanted)) if wanted else pa.table({"": pa.nulls(len(rows))})

    return VoteColumns(path=path, names=tuple(names), read=read, line=lambda row: rows[row][0], notes=notes)


def _text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value)


def _delimited(path: Path, text: str, preferred: str, notes: tuple[str, ...]) -> VoteColumns:
    import pyarrow as pa
    import pyarrow.csv as arrow_csv

    delimiter = delimiter_of(text, preferred)
    empty = re.compile(rf"(?m)^[ \t{re.escape(delimiter)}]+$")
    if empty.search(text):  # spreadsheets end in rows of empty cells
        text = empty.sub("", text)
    quoted = '"' in text and (delimiter != "\t" or is_quoted(text, delimiter))
    first = next(rows_of(text, str(path), delimiter, quoted=quoted), None)
    if first is None:
        raise InputError(f"{path}: no votes: the file is empty")
    header = [name.strip() for name in first[1]]
    keys = [f"{number}" for number in range(len(header))]

    def read(names: Sequence[str]) -> pa.Table:
        wanted = [keys[header.index(name)] for name in names] or keys[:1]
        data = text.encode()
        try:
            table = arrow_csv.read_csv(
                io.BytesIO(data),
                read_options=arrow_csv.ReadOptions(column_names=keys, skip_rows=0, block_size=1 << 24),
                parse_options=arrow_csv.ParseOptions(
                    delimiter=delimiter,
                    quote_char='"' if quoted else False,
                    newlines_in_values=quoted,
                    invalid_row_handler=lambda row: "error",
                ),
                convert_options=arrow_csv.ConvertOptions(
                    include_columns=wanted,
                    column_types=dict.fromkeys(wanted, pa.dictionary(pa.int32(), pa.string())),
                ),
            )
        except pa.ArrowInvalid as error:
            raise _uneven(path, text, delimiter, quoted, len(header)) or InputError(
                f"{path}: {error}"
            ) from None
        table = table.slice(1)  # the header
        return table.rename_columns(list(names)) if names else table

    def line(row: int) -> str:
        for number, (start, _) in enumerate(rows_of(text, str(path), delimiter, quoted=quoted), -1):
            if number == row:
                return f"{path}:{start}"
        return f"{path}: row {row + 1}"

    return VoteColumns(
        path=path, names=tuple(header), read=read, line=line, notes=notes, decimal_comma=delimiter == ";"
    )


def _uneven(path: Path, text: str, delimiter: str, quoted: bool, width: int) -> InputError | None:
    """The first row with more or fewer fields than the header."""
    for line, fields in rows_of(text, str(path), delimiter, quoted=quoted):
        if len(fields) != width:
            return InputError(f"{path}:{line}: {len(fields)} fields, but the header names {width}")
    return None


def column_named(columns: VoteColumns, name: str) -> str:
    """The file's own spelling of a column. Raises InputError: none, or two that differ in case only."""
    fitting = [given for given in columns.names if given == name] or [
        given for given in columns.names if given.strip().casefold() == name.strip().casefold()
    ]
    if not fitting:
        raise InputError(f"{columns.path}: {unknown('column', name, columns.names)}")
    if len(fitting) > 1 or columns.names.count(fitting[0]) > 1:
        raise InputError(f"{columns.path}: two columns are called '{name}'; rename one")
    return fitting[0]
