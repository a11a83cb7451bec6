"""A prompt file's bytes → prompts: the formats, and every complaint with the line it is about."""

from __future__ import annotations

import csv
import io
import json
import re
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.errors import InputError, unknown
from bench.records import Prompt
from bench.text_files import decode

FORMATS = ("tsv", "tsv-quoted", "csv", "jsonl", "json", "lines", "coco")
"""tsv: fields verbatim, as IANA's text/tab-separated-values has it: a quote is a character of the prompt.
tsv-quoted and csv: fields quoted as in RFC 4180. json: a list of objects or of texts. lines: a prompt a line.
coco: a COCO captions file; of each image the caption with the lowest id."""

USER_FORMATS = {".tsv": "tsv", ".csv": "csv", ".jsonl": "jsonl", ".json": "json", ".txt": "lines"}
EDIT_COLUMNS = ("reference", "strength", "reference_text", "instruction")
"""What a prompt of an image-to-image study has beside its text."""
USER_COLUMNS = ("id", "text", "category", "challenge", *EDIT_COLUMNS, "note")
"""`note` is for people and is not read; `prompt` may stand for `text`."""
TRANSLATED = re.compile(r"(text|instruction):([a-z]{2,3}(?:-[a-z0-9]{2,8})*)")
"""Columns such as `text:de`: what raters read who use the page in that language."""

LONGEST_TEXT = 10_240
"""Bytes of UTF-8."""
LONGEST_ID = 80
"""Characters; with the replicate and the suffix it stays far below the 255 bytes of a file name."""

_ID = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._-]{{0,{LONGEST_ID - 1}}}")

Row = tuple[str, dict[str, Any]]
"""Where it stands (`file:line`), and its fields by column."""


def parse(
    path: Path,
    data: bytes,
    format: str,
    columns: Mapping[str, str],
    *,
    name: str,
    category: str = "",
    start: int = 0,
    collapse: bool = False,
    mend: bool = False,
) -> tuple[Prompt, ...]:
    """Prompts of one file in file order.

    columns: Prompt field → column; the file may have others. name, start: prompts without an id of their own
    are `<name>-<row number, from start + 1>`. category: of prompts without one. collapse: rows that repeat an
    id with the same text are one prompt (a benchmark's file may have a row a question). mend: line breaks and
    tabs inside a text become a space, for files that are not the user's to mend.
    Raises InputError with file and line.
    """
    got: list[Row] = []
    for where, fields in _rows(path, data, format):
        for column in columns.values():
            if column not in fields:
                raise InputError(f"{where}: no column '{column}'; the columns are: {', '.join(fields)}")
        row = {field: fields[column] for field, column in columns.items()}
        row["category"] = row.get("category") or category
        if mend and isinstance(row["text"], str):
            row["text"] = re.sub(r"[\t\r\n]+", " ", row["text"])
        got.append((where, row))
    prompts = _prompts(path, got, name, start)
    if not collapse:
        return prompts
    return tuple(p for i, p in enumerate(prompts) if i == 0 or _said(p) != _said(prompts[i - 1]))


def parse_users(path: Path, data: bytes) -> tuple[Prompt, ...]:
    """Prompts of a file in this suite's own form: .tsv, .csv, .jsonl, .json or .txt, told apart by the suffix."""
    if path.suffix.lower() not in USER_FORMATS:
        raise InputError(f"{path}: {unknown('kind of prompt file', path.suffix, USER_FORMATS)}")
    rows = _rows(path, data, USER_FORMATS[path.suffix.lower()])
    rows = [(where, _renamed(where, fields)) for where, fields in rows]
    with_id = next((where for where, row in rows if "id" in row), None)
    for where, row in rows:
        if with_id and "id" not in row:
            raise InputError(f"{where}: no id, but {with_id} has one; give every prompt an id, or none")
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", path.stem).strip("-_")[: LONGEST_ID - 8] or "prompt"
    prompts = _prompts(path, rows, name)
    check_unique(str(path), prompts)
    for prompt in prompts:
        if prompt.reference is not None and not (path.parent / prompt.reference).is_file():
            missing = path.parent / prompt.reference
            raise InputError(f"{path}: reference image of prompt '{prompt.id}' is missing: {missing}")
    return prompts


def check_unique(where: str, prompts: Sequence[Prompt]) -> None:
    """Two ids that differ in case only would be one file on some disks, so they count as one."""
    seen: dict[str, int] = {}
    for number, prompt in enumerate(prompts, 1):
        first = seen.setdefault(prompt.id.casefold(), number)
        if first != number:
            raise InputError(
                f"{where}: prompts {first} and {number} have the same id '{prompt.id}'; "
                "give each its own (upper and lower case do not count)"
            )


def _renamed(where: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """A user's row by field of a Prompt."""
    row: dict[str, Any] = {}
    for column, value in fields.items():
        name = re.sub(r"^prompt(?=$|:)", "text", column.strip().casefold())
        if name not in USER_COLUMNS and not TRANSLATED.fullmatch(name):
            example = "text:de"
            raise InputError(f"{where}: {unknown('column', column, (*USER_COLUMNS, example))}")
        if name in row:
            raise InputError(f"{where}: two columns for {name}, the second is '{column}'; keep one")
        row[name] = value
    if "text" not in row:
        raise InputError(f"{where}: no column 'text'; the columns are: {', '.join(fields)}")
    row.pop("note", None)
    return row


def _prompts(path: Path, rows: Sequence[Row], name: str, start: int = 0) -> tuple[Prompt, ...]:
    if not rows:
        cure = "write one a line (.txt), or rows under a header (.tsv, .csv)"
        raise InputError(f"{path}: no prompts in it; {cure}")
    named = ({"id": f"{name}-{number:04d}", **row} for number, (_, row) in enumerate(rows, start + 1))
    return tuple(_prompt(where, row) for (where, _), row in zip(rows, named, strict=True))


def _said(prompt: Prompt) -> tuple[str, str]:
    return prompt.id, prompt.text


def _prompt(where: str, got: Mapping[str, Any]) -> Prompt:
    values = {field: _string(where, field, value) for field, value in got.items() if field != "strength"}
    if not _ID.fullmatch(values["id"]) or ".." in values["id"]:
        raise InputError(
            f"{where}: id {_shown(values['id'])} cannot name a file; use letters, digits, '.', '_', '-' "
            f"(no '..', a letter or digit first), at most {LONGEST_ID}"
        )
    if not values["text"].strip():
        raise InputError(f"{where}: empty text; write the prompt or delete the row")
    size = len(values["text"].encode())
    if size > LONGEST_TEXT:
        raise InputError(f"{where}: text of {size:,} bytes; at most {LONGEST_TEXT:,}; shorten it")
    strength = _strength(where, got.get("strength"))
    for field in EDIT_COLUMNS[1:]:
        if got.get(field) not in (None, "") and not values.get("reference"):
            raise InputError(
                f"{where}: {field} {_shown(got[field])} without a reference image; give one or leave it empty"
            )
    translations = {name: value for name, value in values.items() if TRANSLATED.fullmatch(name)}
    return Prompt(
        id=values["id"],
        text=values["text"],
        category=values.get("category", ""),
        challenge=values.get("challenge", ""),
        reference=values.get("reference") or None,
        strength=strength,
        reference_text=values.get("reference_text", ""),
        instruction=values.get("instruction", ""),
        translations=_translations(
            where, translations, "instruction" if values.get("instruction") else "text"
        ),
    )


def _translations(where: str, columns: Mapping[str, str], read: str) -> dict[str, str]:
    """Language → text, of columns such as `text:de`; empty cells are no translations.

    read: what raters read of this prompt, `text` or `instruction`. Raises InputError: a translation of the other.
    """
    found = {}
    for name, value in columns.items():
        column, _, language = name.partition(":")
        if not value.strip():
            continue
        if column != read:
            raise InputError(
                f"{where}: '{name}' has text, but raters read the {read} of this prompt; "
                f"write it under '{read}:{language}'"
            )
        size = len(value.encode())
        if size > LONGEST_TEXT:
            raise InputError(f"{where}: {name} of {size:,} bytes; at most {LONGEST_TEXT:,}; shorten it")
        found[language] = value
    return found


def _string(where: str, field: str, value: Any) -> str:
    if field == "id" and isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if value is None and field not in ("id", "text"):
        return ""
    if not isinstance(value, str):
        raise InputError(f"{where}: {field} is {_shown(value)}; it must be a text")
    for character in value:
        kind = unicodedata.category(character)
        if kind == "Cc":
            raise InputError(f"{where}: control character U+{ord(character):04X} in the {field}; delete it")
        if kind == "Cs":
            raise InputError(f"{where}: half a character (U+{ord(character):04X}) in the {field}; retype it")
    return value


def _strength(where: str, value: Any) -> float | None:
    if value is None or value == "":
        return None
    try:
        strength = float(value)
    except (TypeError, ValueError):
        strength = -1.0
    if isinstance(value, bool) or not 0 <= strength <= 1:
        raise InputError(f"{where}: strength is {_shown(value)}; it goes from 0 (keep the reference) to 1")
    return strength


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _rows(path: Path, data: bytes, format: str) -> list[Row]:
    text, _ = decode(data, str(path))
    if format in ("json", "coco"):
        return (
            _coco(path, _json(str(path), text))
            if format == "coco"
            else _json_list(path, _json(str(path), text))
        )
    if format == "csv" or format == "tsv-quoted":
        return _quoted(path, text, "," if format == "csv" else "\t")
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    while lines and not lines[-1]:
        lines.pop()
    if format == "tsv":
        return _headed(path, [(number, line.split("\t")) for number, line in enumerate(lines, 1) if line])
    if format == "jsonl":
        return [_object(f"{path}:{number}", line) for number, line in enumerate(lines, 1) if line.strip()]
    return [(f"{path}:{number}", {"text": line}) for number, line in enumerate(lines, 1)]


def _quoted(path: Path, text: str, delimiter: str) -> list[Row]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows: list[tuple[int, list[str]]] = []
    try:
        for fields in reader:
            if any(fields):  # a spreadsheet may end in rows of empty cells
                rows.append((reader.line_num, fields))
    except csv.Error as error:
        raise InputError(
            f"{path}:{reader.line_num}: {error}; put a field with quotes or commas in quotes, quotes doubled"
        ) from None
    return _headed(path, rows, quoted=True)


def _headed(path: Path, rows: Sequence[tuple[int, list[str]]], quoted: bool = False) -> list[Row]:
    if not rows:
        return []
    header = rows[0][1]
    for column in header:
        if header.count(column) > 1:
            raise InputError(f"{path}:{rows[0][0]}: two columns named '{column}'; rename one")
    out: list[Row] = []
    for line, fields in rows[1:]:
        where = f"{path}:{line}"
        if len(fields) != len(header):
            raise InputError(f"{where}: {len(fields)} fields, but the header names {len(header)}")
        for field in fields:
            if not quoted and len(field) > 2 and field[0] == field[-1] == '"' and '""' in field[1:-1]:
                raise InputError(
                    f"{where}: {_shown(field)} is quoted as in CSV, but in a .tsv every quote counts; "
                    "save it as .csv, or take the outer quotes away and undouble the inner ones"
                )
        out.append((where, dict(zip(header, fields, strict=True))))
    return out


def _json(where: str, text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise InputError(f"{where}: not JSON ({error}); mend it or fetch it again") from None


def _object(where: str, line: str) -> Row:
    value = _json(where, line)
    if not isinstance(value, dict):
        raise InputError(f'{where}: {_shown(value)} is not an object; write {{"text": "..."}}')
    return where, value


def _json_list(path: Path, value: Any) -> list[Row]:
    if not isinstance(value, list) or not all(isinstance(item, str | dict) for item in value):
        raise InputError(f"{path}: not a JSON list of texts or of objects; fetch it again")
    items = [{"text": item} if isinstance(item, str) else item for item in value]
    return [(f"{path} item {number}", item) for number, item in enumerate(items, 1)]


def _coco(path: Path, value: Any) -> list[Row]:
    """Of each image the caption with the lowest annotation id; white space (some end in a newline) tidied."""
    first: dict[int, tuple[int, str]] = {}
    try:
        for note in value["annotations"]:
            image, entry = note["image_id"], (note["id"], note["caption"])
            first[image] = min(first.get(image, entry), entry)
    except (KeyError, TypeError):
        raise InputError(
            f"{path}: not a COCO captions file ('annotations' of id, image_id, caption)"
        ) from None
    return [
        (f"{path} image {image}", {"id": image, "text": " ".join(str(first[image][1]).split())})
        for image in sorted(first)
    ]
