"""The table of ratings at any width: names stay whole, columns leave."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from arena.cli.tables import _show_rows

NAMES = ("a-model-with-a-long-name@1", "a-model-with-a-long-name@4", "other@50")
COLUMNS = ("rank", "contender", "rating", "95%", "wins", "95% ", "both bad", "votes")
ROWS = [
    dict(zip(COLUMNS, ("1–2", name, "1012", "980–1044", "52%", "49–55%", "3%", "1,234"), strict=True))
    for name in NAMES
]


def shown(width: int, terminal: bool) -> str:
    out = io.StringIO()
    console = Console(
        file=out, width=width, force_terminal=terminal, color_system=None, markup=False, emoji=False
    )
    _show_rows(console, "quality: 1,234 votes", ROWS)
    return out.getvalue()


@pytest.mark.parametrize(("width", "columns"), [(200, 8), (80, 6), (60, 4), (40, 2)])
def test_columns_leave_before_names_are_cut(width, columns):
    text = shown(width, terminal=True)
    for name in NAMES:
        assert name in text
    assert max(map(len, text.splitlines())) <= width
    (head,) = [line for line in text.splitlines() if "contender" in line]
    assert len(re.split(r"\s*┃\s*", head.strip("┃ "))) == columns
    assert "rating" in head
    assert ("a wider terminal" in text) == (columns < 8)


def test_without_a_terminal_rows_are_plain_and_whole():
    text = shown(80, terminal=False)
    assert not set("│┃─━┏┓") & set(text)
    title, head, *lines = text.splitlines()
    assert title == "quality: 1,234 votes"
    assert head.split() == ["rank", "contender", "rating", "95%", "wins", "95%", "both", "bad", "votes"]
    assert [line.split()[1] for line in lines] == list(NAMES)
    assert all(line.split()[-1] == "1,234" for line in lines)
