"""The `--optimize` levels."""
from __future__ import annotations
from typing import Any
from bench.records import unknown
LEVELS = ("none", "exact")
def check_level(level: str) -> None:
    if level not in LEVELS:
        raise unknown("optimize level", level, LEVELS)
def optimized(loaded: Any, level: str) -> Any:
    return loaded
