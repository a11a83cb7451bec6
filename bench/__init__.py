"""A human preference benchmark and evaluation suite for few-step text-to-image models.

>>> import bench
>>> study = bench.load("results/miniature")
>>> study.ratings, study.scores, study.latency
>>> bench.rate("votes.csv").plot()

The names of `__all__` are the public library and follow semantic versioning; every other module may change.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.errors import InputError as InputError
    from bench.library.images import frechet as frechet
    from bench.library.images import generate as generate
    from bench.library.images import score as score
    from bench.library.powered import powered as powered
    from bench.library.ratings import Ratings as Ratings
    from bench.library.ratings import rate as rate
    from bench.library.results import StudyResults as StudyResults
    from bench.library.results import load as load

    __version__: str

_HOMES = {
    "InputError": "bench.errors",
    "Ratings": "bench.library.ratings",
    "StudyResults": "bench.library.results",
    "frechet": "bench.library.images",
    "generate": "bench.library.images",
    "load": "bench.library.results",
    "powered": "bench.library.powered",
    "rate": "bench.library.ratings",
    "score": "bench.library.images",
}
"""Public name → its module, imported when the name is first used: `import bench` alone takes milliseconds."""

__all__ = [  # pyright: ignore[reportUnsupportedDunderAll]
    "InputError",
    "Ratings",
    "StudyResults",
    "__version__",
    "frechet",
    "generate",
    "load",
    "powered",
    "rate",
    "score",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("turbo-preference-bench")
    if name not in _HOMES:
        raise AttributeError(f"module 'bench' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
