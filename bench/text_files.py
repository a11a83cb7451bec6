"""Text files as people have them: compressed or not, in any usual encoding, with any usual line end and delimiter."""

from __future__ import annotations

import bz2
import codecs
import csv
import gzip
import io
import lzma
import re
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.errors import InputError

COMPRESSED = {".gz": gzip.decompress, ".bz2": bz2.decompress, ".xz": lzma.decompress}
"""Suffix → decompressor."""
DELIMITERS = ("\t", ";", ",", "|")
"""Delimiters that are recognised in a header."""
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
"""Byte order mark → codec; UTF-32 before UTF-16, whose little-endian mark begins like it."""


def suffix_of(path: Path) -> str:
    """The suffix in lower case, that of a compression left out: `.csv` of `Votes.CSV.gz`."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in COMPRESSED:
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


def read_file(path: Path) -> bytes:
    """The file's bytes, decompressed. Raises InputError: it cannot be read, or is cut off."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    decompress = COMPRESSED.get(path.suffix.lower())
    if decompress is None:
        return data
    try:
        return decompress(data)
    except (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError) as error:
        raise InputError(f"{path}: not a whole {path.suffix} file ({error}); copy it again") from None


def decode(data: bytes, where: str, *, fallback: str | None = None) -> tuple[str, str]:
    """Text with its line ends as they are, and a note where the encoding was assumed.

    Parameters
    ----------
    data : the bytes. A byte order mark decides; else UTF-16 is recognised by its zero bytes, else UTF-8.
    where : the file, for the message.
    fallback : the codec of a file that is not UTF-8; None refuses it.

    Raises
    ------
    InputError : not UTF-8 and no fallback, or not whole; names the line.
    """
    encoding = next((codec for mark, codec in _MARKS if data.startswith(mark)), None)
    if encoding is None and len(data) >= 4 and b"\0" in data[:4]:
        encoding = "utf-16-be" if data[0] == 0 else "utf-16-le"
    try:
        text, note = data.decode(encoding or "utf-8"), ""
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        byte = error.object[error.start]
        if encoding or not fallback:
            named = (encoding or "utf-8").upper().removesuffix("-SIG")
            raise InputError(
                f"{where}:{line}: not {named} (byte 0x{byte:02x}); save the file as UTF-8"
            ) from None
        text = data.decode(fallback, errors="replace")
        note = (
            f"line {line} is not UTF-8: the file was read as {fallback}; save it as UTF-8 if names look wrong"
        )
    text = text.removeprefix("\ufeff")
    if "\n" not in text and "\r" in text:
        text = text.replace("\r", "\n")
    return text, note


def delimiter_of(text: str, preferred: str) -> str:
    """The delimiter that splits the first line that is not blank into the most columns; `preferred` on a tie."""
    found = re.search(r"\S.*", text)
    header = found[0] if found else ""
    header = re.sub(r'"[^"]*"', '""', header)
    return max((preferred, *DELIMITERS), key=header.count)


def rows_of(text: str, where: str, delimiter: str, *, quoted: bool = True) -> Iterator[tuple[int, list[str]]]:
    """(line, fields) of each row, the header included; blank lines are left out but counted.

    Parameters
    ----------
    text : decoded text.
    where : the file, for the message.
    delimiter : one character.
    quoted : fields may be quoted as in RFC 4180; else a quote is an ordinary character.

    Raises
    ------
    InputError : a quote that is not closed, or text after a closing quote; names the line.
    """
    if not quoted:
        for line, content in enumerate(io.StringIO(text, newline="\n"), 1):
            content = content.rstrip("\r\n")
            if content.strip():
                yield line, content.split(delimiter)
        return
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    csv.field_size_limit(1 << 30)
    start = 1
    try:
        for fields in reader:
            if any(field.strip() for field in fields):
                yield start, fields
            start = reader.line_num + 1
    except csv.Error as error:
        raise InputError(
            f"{where}:{reader.line_num}: {error}; put a field with quotes or delimiters in quotes, quotes doubled"
        ) from None


def is_quoted(text: str, delimiter: str) -> bool:
    """Whether quotes delimit fields in a tab-separated file, where a quote may also be an ordinary character.

    They do if each field that starts with a quote also ends with one, or if only then every row has as many
    fields as the header.
    """
    if '"' not in text:
        return False
    rows = [line.removesuffix("\r").split(delimiter) for line in text.split("\n") if line.strip()]
    starting = [field for row in rows for field in row if field.startswith('"')]
    if not starting:
        return False
    if all(len(row) == len(rows[0]) for row in rows):
        return all(len(field) > 1 and field.endswith('"') for field in starting)
    try:
        return len({len(fields) for _, fields in rows_of(text, "", delimiter)}) == 1
    except InputError:
        return False


def table_of(
    text: str, where: str, preferred: str = ","
) -> tuple[list[str], list[tuple[int, dict[str, str]]]]:
    """Columns, and (line, row by column) of a small table with a header; for maps and prompt lists.

    Columns are stripped and in lower case. A row that is shorter than the header has empty cells at its end.
    Raises InputError: two columns of one name, or a row that is longer than the header.
    """
    delimiter = delimiter_of(text, preferred)
    quoted = delimiter != "\t" or is_quoted(text, delimiter)
    rows = list(rows_of(text, where, delimiter, quoted=quoted))
    if not rows:
        return [], []
    header = [name.strip().casefold() for name in rows[0][1]]
    _check_header(header, f"{where}:{rows[0][0]}")
    table = []
    for line, fields in rows[1:]:
        if len(fields) > len(header) and any(field.strip() for field in fields[len(header) :]):
            raise InputError(f"{where}:{line}: {len(fields)} fields, but the header names {len(header)}")
        cells = [*fields[: len(header)], *[""] * (len(header) - len(fields))]
        table.append((line, dict(zip(header, cells, strict=True))))
    return header, table


def _check_header(header: Sequence[str], where: str) -> None:
    for name in header:
        if name and header.count(name) > 1:
            raise InputError(f"{where}: two columns are called '{name}'; rename one")
