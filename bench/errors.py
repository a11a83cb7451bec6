"""The error a user can correct, and its form for an unknown name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_CONFUSED = str.maketrans("lIo_ ", "110--")
"""Characters that are typed for one another."""


class InputError(ValueError):
    """The user's mistake: what, which value, what is allowed, what to do. Commands print it and exit 2."""


def unknown(what: str, value: str, allowed: Iterable[str]) -> InputError:
    """The one wording for a name that is not in a table: nearest match first, then everything allowed."""
    names = list(allowed)
    asked = value.lower().translate(_CONFUSED)
    likeness = [difflib.SequenceMatcher(None, asked, name.translate(_CONFUSED)).ratio() for name in names]
    best = max(likeness, default=0.0)
    hint = f": did you mean '{names[likeness.index(best)]}'?" if best >= 0.5 else "."
    return InputError(f"unknown {what} '{value}'{hint} known: {', '.join(names) or 'none'}")
