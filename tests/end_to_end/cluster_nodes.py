"""What the tests that start Ray nodes share."""

from __future__ import annotations

from pathlib import Path


def light_agents(place: Path) -> Path:
    """A folder for PYTHONPATH with which Ray's agents start at once.

    Ray gives them 15 s, which a busy machine may not keep; without what the dashboard needs (as where the plain
    `ray` package is installed) they load next to nothing.
    """
    folder = place / "light"
    folder.mkdir()
    for missing in ("aiohttp_cors", "grpc"):
        (folder / f"{missing}.py").write_text("raise ModuleNotFoundError('not wanted here')")
    return folder
