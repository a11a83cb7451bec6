"""Whose turn it is: one card, several people, the latest text wins.

A person has a seat for each contender on the page. A seat holds one piece of work; newer work takes its place, and
what it replaces never reaches the card. The next turn is that of the person who had one longest ago, and inside a
person of such a seat, so that nobody waits longer than one turn of everybody else. Memory is bounded: people ×
seats pieces of work.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

Work = TypeVar("Work")
Made = TypeVar("Made")

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
class _Person(Generic[Work, Made]):
    seen: float
    waiting: dict[Hashable, tuple[Work, Future[Made | None]]] = field(default_factory=dict)
    """Seat → its newest work."""
    newest: dict[Hashable, int] = field(default_factory=dict)
    """Seat → the highest number asked with."""
    last: dict[Hashable, int] = field(default_factory=dict)
    """Seat → the turn it last had."""

    @property
    def turn(self) -> int:
        """The person's last turn; below 0: none yet."""
        return max(self.last.values(), default=-1)


class Turns(Generic[Work, Made]):
    """One thread that draws, and what waits for it. Close it at the end."""

    def __init__(
        self,
        draw: Callable[[Work], Made],
        *,
        people: int = PEOPLE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._draw, self._places, self._clock = draw, people, clock
        self._people: dict[str, _Person[Work, Made]] = {}
        self._turn = 0
        self._change = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="turns", daemon=True)
        self._thread.start()

    def ask(self, person: str, seat: Hashable, work: Work, number: int = 0) -> Future[Made | None]:
        """What will be made of the work; None once newer work of that seat has taken its place.

        number: counts up with the person's work, for requests may overtake one another on their way.
        Raises Busy where the person has no place and none is free.
        """
        with self._change:
            someone = self._place(person)
            if seat not in someone.waiting and len(someone.waiting) >= SEATS:
                raise ValueError(f"a person has {SEATS} seats")
            made: Future[Made | None] = Future()
            if number < someone.newest.get(seat, number):
                stale = made
            else:
                _, stale = someone.waiting.pop(seat, (None, None))
                someone.newest[seat] = number
                someone.waiting[seat] = (work, made)
                self._change.notify()
        if stale is not None:
            _drop(stale)
        return made

    def _place(self, person: str) -> _Person[Work, Made]:
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
            someone = self._people.pop(person, None)
        for _, made in someone.waiting.values() if someone else ():
            _drop(made)

    def close(self) -> None:
        """Stops after the piece in hand; what waits is dropped."""
        with self._change:
            self._closed = True
            self._change.notify()
        self._thread.join()
        for person in list(self._people):
            self.leave(person)

    def _work(self) -> None:
        while (turn := self._next()) is not None:
            work, made = turn
            if not made.set_running_or_notify_cancel():
                continue
            try:
                made.set_result(self._draw(work))
            except Exception as error:  # it belongs to whoever asked, who raises it again
                made.set_exception(error)

    def _next(self) -> tuple[Work, Future[Made | None]] | None:
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


def _drop(made: Future[Any]) -> None:
    if made.set_running_or_notify_cancel():  # whoever asked may have gone
        made.set_result(None)
