"""Text as HTML: where long names and addresses may break, command lines, and which column names a row."""

from __future__ import annotations

import re
from collections.abc import Container
from typing import TYPE_CHECKING

from bench.report.tables.form import Table

if TYPE_CHECKING:
    from markupsafe import Markup

UNBROKEN = 16
"""Characters that stay together: a revision or a hash of this length is never split."""
LONGEST = 40
"""Characters after which even a word without punctuation may break."""


def breakable(text: str) -> Markup:
    """Escaped text; words longer than UNBROKEN may break after `/ _ - . : =` and before `@`."""
    from markupsafe import Markup, escape

    def opened(match: re.Match[str]) -> str:
        word = re.sub(r"(?<=[/_\-.:=])(?=\w)|(?<=\w)(?=@)", "\0", match[0])
        return re.sub(rf"([^\0]{{{LONGEST}}})(?=[^\0])", "\\1\0", word)

    marked = re.sub(rf"\S{{{UNBROKEN + 1},}}", opened, text.replace("\0", ""))
    return Markup("<wbr>").join(escape(part) for part in marked.split("\0"))


def code(text: str) -> Markup:
    """Escaped text, `command lines` between backticks in the type of code."""
    from markupsafe import Markup, escape

    parts = text.split("`")
    if len(parts) % 2 == 0:
        return escape(text)
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if index % 2 else escape(part)
        for index, part in enumerate(parts)
    )


def naming_column(table: Table, names: Container[str]) -> int | None:
    """The column that says which contender a row is of; None: no column holds a contender in every row."""
    for index in range(len(table.columns)):
        cells = table.column(index)
        if cells and all(isinstance(cell, str) and cell in names for cell in cells):
            return index
    return None
