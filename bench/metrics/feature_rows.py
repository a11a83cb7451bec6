"""Rows of features, in memory or on disk, read block by block: memory does not grow with their number."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bench.errors import InputError

Array = NDArray[Any]
BLOCK = 2048
"""Rows read at once: 32 MB of 2,048 float64 features."""


class Rows(Protocol):
    """What the distances ask of features: a numpy array has it, and so has `StoredRows`."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __len__(self) -> int: ...

    def __getitem__(self, key: Any, /) -> Array: ...


class StoredRows:
    """(n, d) float32 in a file, some of its rows in some order; what is read is copied, nothing is kept."""

    def __init__(self, path: Path, width: int, order: Array, columns: slice = slice(None)) -> None:
        """width: numbers a row of the file has. order: (n,) row numbers of the file."""
        self.path = path
        self.width = width
        self.order = np.asarray(order, dtype=np.int64)
        self.columns = columns

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.order), len(range(*self.columns.indices(self.width)))

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, key: Any, /) -> Array:
        """Rows by slice, mask or numbers. The map of the file is closed again: its pages are given back."""
        chosen = self.order[key]
        if not self.order.size:
            return np.zeros((0, self.shape[1]), dtype=np.float32)
        table = np.memmap(self.path, dtype="<f4", mode="r").reshape(-1, self.width)
        return np.array(table[chosen][..., self.columns])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return np.asarray(self[:], dtype=dtype)


def blocks(rows: Rows, size: int = BLOCK) -> Iterator[tuple[slice, Array]]:
    """Each part of the rows with its place, float64. Raises InputError: a value that is not finite."""
    for start in range(0, len(rows), size):
        part = slice(start, min(start + size, len(rows)))
        yield part, finite(np.asarray(rows[part], dtype=np.float64))


def finite(values: Array) -> Array:
    """The values. Raises InputError where one is not finite."""
    if not np.isfinite(values).all():
        raise InputError(
            "features hold a value that is not finite: the images or the extractor's weights are damaged"
        )
    return values


def enough(n: int, wanted: int) -> None:
    """Raises InputError: fewer images than a metric needs."""
    if n < wanted:
        raise InputError(f"{n} images are too few for this metric: it needs at least {wanted}")


def enough_groups(groups: Array, wanted: int) -> None:
    """Raises InputError: images of fewer prompts than a metric needs."""
    found = len(np.unique(groups))
    if found < wanted:
        raise InputError(f"images of {found} prompts are too few for this metric: it needs at least {wanted}")


def same_width(x: Rows, y: Rows) -> None:
    """Raises InputError: features of two extractors."""
    if x.shape[1] != y.shape[1]:
        raise InputError(f"features of {x.shape[1]} and {y.shape[1]} dimensions cannot be compared")
