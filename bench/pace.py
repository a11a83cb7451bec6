"""How fast a sweep is and when it will be done.

Contenders of one model take turns, so the wall clock says little of any of them: each is told by its own seconds
an image, and the time left is what all that is left takes at those.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field

RECENT = 64
"""Images that a contender's speed is the mean of."""
FIRST = 0.1
"""Seconds: what is told so soon after the first image was made before the clock began, and does not count."""


@dataclass(slots=True)
class Pace:
    clock: Callable[[], float] = time.monotonic
    done: Counter[str] = field(default_factory=Counter)
    totals: Counter[str] = field(default_factory=Counter)
    """Contender → images."""
    _seconds: dict[str, deque[float]] = field(default_factory=dict)
    _began: float | None = None
    """When the first image was told."""
    _made: int = 0
    _work: float = 0.0
    """Seconds that the images took, all processes together."""
    _told: float = -1.0

    def tell(self, contender: str, done: int, total: int, seconds: float | None = None) -> None:
        """done, total: images of the contender. seconds: what the one just made took."""
        self.done[contender], self.totals[contender] = done, total
        if seconds is None:
            return
        self._seconds.setdefault(contender, deque(maxlen=RECENT)).append(seconds)
        if self._began is None:
            self._began = self.clock()
        elif self._made or self.clock() - self._began >= FIRST:
            self._made += 1
            self._work += seconds

    def speed(self, contender: str) -> float | None:
        """Images a second of one process that makes nothing else; None until one was made."""
        found = self._seconds.get(contender)
        return len(found) / sum(found) if found and sum(found) > 0 else None

    def rate(self) -> float | None:
        """Images a second of all contenders and processes, by the clock on the wall."""
        elapsed = self._elapsed()
        return self._made / elapsed if elapsed and self._made else None

    def seconds_left(self) -> tuple[float, bool] | None:
        """Seconds until all is made, and whether it is known of every contender: else it is longer.

        Loading models is not in it.
        """
        elapsed = self._elapsed()
        if not elapsed or not self._work:
            return None
        left = self.totals - self.done
        speeds = {contender: self.speed(contender) for contender in left}
        work = sum(left[contender] / speed for contender, speed in speeds.items() if speed)
        return work * elapsed / self._work, None not in speeds.values()

    def due(self) -> bool:
        """True a few times a second, and when all is made: more often nobody can read it."""
        now = self.clock()
        if now - self._told < 0.2 and self.done != self.totals:
            return False
        self._told = now
        return True

    def _elapsed(self) -> float | None:
        return None if self._began is None else self.clock() - self._began
