"""What raters read, by language: one file a language in `arena/languages`, all with the same keys."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path

from bench.errors import unknown

FOLDER = Path(__file__).parent.parent / "languages"


@cache
def languages() -> dict[str, dict[str, str]]:
    """Language code → key → text, in the order of the codes."""
    files = sorted(FOLDER.glob("*.toml"))
    return {file.stem: tomllib.loads(file.read_text(encoding="utf-8")) for file in files}


def texts(language: str) -> dict[str, str]:
    """Key → text of one language. Raises InputError: there is no file for it."""
    if language not in languages():
        raise unknown("language", language, languages())
    return languages()[language]
