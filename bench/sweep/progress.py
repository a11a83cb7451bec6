"""How fast a sweep is and when it will be done.

Contenders of one model take turns, so the wall clock says little of any of them: each is reported by its own seconds
an image, and the time left is what all that is left takes at those.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

RECENT = 64
"""Images that a contender's speed is about the mean of."""
FIRST = 0.1
"""Seconds: what is reported so soon after the first image was made before the clock began, and does not count."""


@dataclass(slots=True)
class Pace:
    clock: Callable[[], float] = time.monotonic
    done: Counter[str] = field(default_factory=Counter)
    totals: Counter[str] = field(default_factory=Counter)
    """Contender → images."""
    _failed: Counter[str] = field(default_factory=Counter)
    _told: Counter[str] = field(default_factory=Counter)
    """Contender → images whose seconds were reported."""
    _mean: dict[str, float] = field(default_factory=dict)
    """Contender → seconds an image, the latest counting most."""
    _first: float = 0.0
    _last: float = 0.0
    """When the first image was reported, and the latest."""
    _made: int = 0
    _work: float = 0.0
    """Seconds that the images reported since the first took, all processes together."""

    def tell(self, contender: str, done: int, total: int, seconds: float | None) -> None:
        """done, total: images of the contender. seconds: what the one just made took; None when the contender is
        first reported, and of an image that failed."""
        if seconds is None and contender in self.totals:
            self._failed[contender] += 1
        self.done[contender], self.totals[contender] = done, total
        if seconds is None:
            return
        self._told[contender] += 1
        mean = self._mean.get(contender, seconds)
        self._mean[contender] = mean + (seconds - mean) / min(self._told[contender], RECENT)
        self._last = self.clock()
        if self._told.total() == 1:
            self._first = self._last
        elif self._made or self._last - self._first >= FIRST:
            self._made += 1
            self._work += seconds

    def speed(self, contender: str) -> float | None:
        """Images a second of one process that makes nothing else; None until one was made."""
        mean = self._mean.get(contender)
        return 1 / mean if mean else None

    def rate(self) -> float | None:
        """Images a second of all contenders and processes, by the clock on the wall."""
        return self._made / (self._last - self._first) if self._made else None

    def seconds_left(self) -> tuple[float, bool] | None:
        """Seconds until all is made, and whether it is known of every contender: else it is longer.

        Loading models is not in it.
        """
        if not self._work:
            return None
        left = self.totals - self.done - self._failed
        work = sum(count * self._mean.get(contender, 0.0) for contender, count in left.items())
        return work * (self._last - self._first) / self._work, left.keys() <= self._mean.keys()
