"""Whose turn it is: latest wins, fair to people, bounded. The card is a gate that the test opens."""

import threading
from concurrent.futures import wait

import pytest

from bench.live.turns import SEATS, Busy, Turns


class Card:
    """Draws one piece each time `let` is called; remembers what reached it."""

    def __init__(self):
        self.seen = []
        self.gate = threading.Semaphore(0)
        self.begun = threading.Semaphore(0)

    def draw(self, work):
        self.seen.append(work)
        self.begun.release()
        assert self.gate.acquire(timeout=10)
        if work == "bad":
            raise ValueError("cannot draw that")
        return f"picture of {work}"

    def let(self, count=1):
        for _ in range(count):
            self.gate.release()

    def reached(self):
        assert self.begun.acquire(timeout=10)


@pytest.fixture
def card():
    return Card()


@pytest.fixture
def turns(card):
    now = [0.0]
    made = Turns(card.draw, people=3, clock=lambda: now[0])
    made.now = now
    yield made
    card.let(100)
    made.close()


def test_of_sixty_keys_typed_at_once_the_first_and_the_last_are_drawn(card, turns):
    text = "a red circle left of a blue square, on a grey background ..."
    asked = [turns.ask("ann", 0, text[:1])]
    card.reached()
    asked += [turns.ask("ann", 0, text[:n]) for n in range(2, 61)]
    card.let(2)
    assert asked[0].result(10) == "picture of a"
    assert asked[-1].result(10) == f"picture of {text}"
    assert all(one.result(10) is None for one in asked[1:-1])
    assert card.seen == ["a", text]


def test_work_that_was_overtaken_on_its_way_is_not_drawn(card, turns):
    turns.ask("ann", 0, "drawing", 1)
    card.reached()
    newest, late = turns.ask("ann", 0, "newest", 5), turns.ask("ann", 0, "late", 4)
    card.let(2)
    assert late.result(10) is None
    assert newest.result(10) == "picture of newest"
    assert card.seen == ["drawing", "newest"]


def test_nobody_waits_longer_than_one_turn_of_everybody_else(card, turns):
    first = turns.ask("ann", 0, "ann 0")
    card.reached()
    others = [turns.ask(who, 0, f"{who} 0") for who in ("bob", "cy")]
    for n in range(1, 4):
        again = turns.ask("ann", 0, f"ann {n}")  # types faster than anybody
        card.let()
        wait([first], 10)
        card.reached()
    card.let(2)
    again.result(10)
    assert [one.result(10) for one in others] == ["picture of bob 0", "picture of cy 0"]
    assert card.seen[:3] == ["ann 0", "bob 0", "cy 0"]


def test_both_contenders_of_one_person_get_their_turn_while_the_text_changes(card, turns):
    turns.ask("ann", 0, "first")
    card.reached()
    for n in range(6):
        for seat in (0, 1):
            turns.ask("ann", seat, f"{seat}: text {n}")
        card.let()
        card.reached()
    assert [work[0] for work in card.seen[1:]] == ["1", "0", "1", "0", "1", "0"]


def test_a_place_is_refused_when_all_are_taken_and_comes_free(card, turns):
    for who in ("ann", "bob", "cy"):
        turns.ask(who, 0, who)
    with pytest.raises(Busy, match="3 people are drawing"):
        turns.ask("dee", 0, "dee")
    card.let(3)
    turns.leave("bob")
    assert turns.people() == 2
    turns.ask("dee", 0, "dee")
    assert turns.has("dee")


def test_whoever_is_idle_for_a_minute_gives_up_the_place(card, turns):
    card.let(10)
    for who in ("ann", "bob", "cy"):
        turns.ask(who, 0, who).result(10)
    turns.now[0] = 61.0
    turns.ask("cy", 0, "still here").result(10)
    turns.ask("dee", 0, "dee").result(10)
    assert turns.has("cy")
    assert not turns.has("ann")


def test_seats_are_bounded(card, turns):
    turns.ask("ann", "a", "a")
    card.reached()
    for seat in range(SEATS):
        turns.ask("ann", seat, "x")
    with pytest.raises(ValueError, match="seats"):
        turns.ask("ann", "one more", "x")


def test_a_fault_is_the_askers_and_the_card_goes_on(card, turns):
    card.let(2)
    with pytest.raises(ValueError, match="cannot draw that"):
        turns.ask("ann", 0, "bad").result(10)
    assert turns.ask("ann", 0, "good").result(10) == "picture of good"


def test_who_leaves_or_closes_leaves_nobody_waiting(card, turns):
    turns.ask("ann", 0, "drawn")
    card.reached()
    dropped, cancelled = turns.ask("ann", 1, "dropped"), turns.ask("bob", 0, "cancelled")
    cancelled.cancel()
    turns.leave("ann")
    assert dropped.result(10) is None
    turns.ask("bob", 0, "newer")  # what it replaces was cancelled: no complaint
    left = turns.ask("cy", 0, "left")
    card.let(3)
    turns.close()
    assert left.done()
