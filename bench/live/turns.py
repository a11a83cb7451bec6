"""The queue of the live page: one device, several people, the latest text wins.

A person has a seat for each contender on the page. A seat holds one request; a newer one replaces it, and a replaced
request never reaches the device. The next turn goes to the person whose last turn is longest ago, and among that
person's seats to the one whose last turn is longest ago, so that a request waits at most one turn of every other
person. Memory is bounded: people × seats requests.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

Work = TypeVar("Work")
Result = TypeVar("Result")

PEOPLE = 8
SEATS = 4
"""Of one person: two contenders, and a picture to be saved; one to spare."""
IDLE = 60.0
"""Seconds after which a person who asks for nothing gives the place up."""


class Busy(Exception):
    """Every place is taken; holds how many there are."""

    def __init__(self, people: int) -> None:
        super().__init__(f"{people} people are drawing here already: the page tries again by itself")
        self.people = people


@dataclass(slots=True)
class _Person(Generic[Work, Result]):
    seen: float
    waiting: dict[Hashable, tuple[Work, Future[Result | None]]] = field(default_factory=dict)
    """Seat → its newest work."""
    newest: dict[Hashable, int] = field(default_factory=dict)
    """Seat → the highest number asked with."""
    last: dict[Hashable, int] = field(default_factory=dict)
    """Seat → the turn it last had."""

    @property
    def turn(self) -> int:
        """The person's last turn; below 0: none yet."""
        return max(self.last.values(), default=-1)


class Turns(Generic[Work, Result]):
    """One thread that works, and the requests that wait for it. Close it at the end."""

    def __init__(
        self,
        draw: Callable[[Work], Result],
        *,
        people: int = PEOPLE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._draw, self._places, self._clock = draw, people, clock
        self._people: dict[str, _Person[Work, Result]] = {}
        self._turn = 0
        self._change = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="turns", daemon=True)
        self._thread.start()

    def ask(self, person: str, seat: Hashable, work: Work, number: int = 0) -> Future[Result | None]:
        """The future result; None once newer work of that seat has replaced it.

        number: counts up with the person's work, for requests may overtake one another on their way.
        Raises Busy where the person has no place and none is free.
        """
        with self._change:
            entry = self._place(person)
            if seat not in entry.waiting and len(entry.waiting) >= SEATS:
                raise ValueError(f"a person has {SEATS} seats")
            result: Future[Result | None] = Future()
            if number < entry.newest.get(seat, number):
                stale = result
            else:
                _, stale = entry.waiting.pop(seat, (None, None))
                entry.newest[seat] = number
                entry.waiting[seat] = (work, result)
                self._change.notify()
        if stale is not None:
            _drop(stale)
        return result

    def _place(self, person: str) -> _Person[Work, Result]:
        now = self._clock()
        if person not in self._people:
            for name in [n for n, p in self._people.items() if not p.waiting and now - p.seen > IDLE]:
                del self._people[name]
            if len(self._people) >= self._places:
                raise Busy(self._places)
            self._people[person] = _Person(seen=now)
        self._people[person].seen = now
        return self._people[person]

    def enter(self, person: str) -> None:
        """Takes or keeps a place. Raises Busy where none is free."""
        with self._change:
            self._place(person)

    def has(self, person: str) -> bool:
        with self._change:
            return person in self._people

    def people(self) -> int:
        """Places taken."""
        with self._change:
            return len(self._people)

    def leave(self, person: str) -> None:
        """Gives the place up; what waits is dropped."""
        with self._change:
            entry = self._people.pop(person, None)
        for _, result in entry.waiting.values() if entry else ():
            _drop(result)

    def close(self) -> None:
        """Stops after the request in hand; what waits is dropped."""
        with self._change:
            self._closed = True
            self._change.notify()
        self._thread.join()
        for person in list(self._people):
            self.leave(person)

    def _work(self) -> None:
        while (turn := self._next()) is not None:
            work, result = turn
            if not result.set_running_or_notify_cancel():
                continue
            try:
                result.set_result(self._draw(work))
            except Exception as error:  # raised again where the result is awaited
                result.set_exception(error)

    def _next(self) -> tuple[Work, Future[Result | None]] | None:
        """The next piece of work, once there is one; None when closed."""
        with self._change:
            while not self._closed:
                waiting = [person for person in self._people.values() if person.waiting]
                if waiting:
                    person = min(waiting, key=lambda p: p.turn)
                    seat = min(person.waiting, key=lambda s: person.last.get(s, -1))
                    person.last[seat] = self._turn
                    self._turn += 1
                    return person.waiting.pop(seat)
                self._change.wait()
        return None


def _drop(result: Future[Any]) -> None:
    if result.set_running_or_notify_cancel():  # the request may have been cancelled
        result.set_result(None)
