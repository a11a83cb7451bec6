"""How the report counts and lists things in its sentences."""

from __future__ import annotations


def counted(n: int, what: str) -> str:
    return f"{n} {what}{'' if n == 1 else 's'}"


def listed(names: list[str], comma: str = ", ") -> str:
    """`a, b and c`; `none` where there are none."""
    if not names:
        return "none"
    return names[0] if len(names) == 1 else f"{comma.join(names[:-1])} and {names[-1]}"
