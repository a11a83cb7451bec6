"""The protocol of a shared folder, explored: every order in which two or three processes can interleave, each of which
may stop for ever at any point, take over from another at any point, and go on long after it was taken over from.

A process is a generator of store operations; its state is the list of results it received. States are explored
breadth first, each once.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator
from typing import Any

import pytest

import bench.store.fencing as fencing
from bench.store.fencing import Create, Delete, HeldError, List, Read, SupersededError, Write

KIND = "generations"
Store = dict[str, bytes]
Program = Callable[[], Generator[Any, Any, Any]]


def apply(store: Store, operation: Any) -> Any:
    """The operation's result, on a store that answers as one (as S3 does since 2020)."""
    match operation:
        case Create(name, data):
            if name in store:
                return False
            store[name] = data
            return True
        case Read(name):
            return store.get(name)
        case List(prefix):
            return {name: len(data) for name, data in sorted(store.items()) if name.startswith(prefix)}
        case Delete(name):
            return store.pop(name, None) and None
        case Write(name, data):
            store[name] = data


def driver(name: str, plan: list[str], *, differs: bool = False) -> Program:
    """What `generate` does in a store: take the lease, read the rows, generate what is missing, append, join, release.

    differs: its images have other bytes than everybody's, as on another card.
    """

    def program() -> Generator[Any, Any, Any]:
        try:
            generation = yield from fencing.take(json.dumps({"hold": name}).encode(), lambda holder: True)
        except HeldError:
            return "refused"
        number = 0

        def numbers() -> int:
            nonlocal number
            number += 1
            return number

        sizes = yield List(f"{KIND}/")
        there: set[str] = set()
        for part in sizes:
            data = yield Read(part)
            there |= {line.split("=")[0] for line in (data or b"").decode().split()}
        acknowledged = []
        try:
            for image in plan:
                if image not in there:
                    mine = f"pixels-of-{image}{name if differs else ''}".encode()
                    kept = yield from fencing.keep_image(f"images/{image}", mine)
                    row = f"{image}={kept.decode()}\n"
                    yield from fencing.append(KIND, generation, numbers(), row.encode())
                    acknowledged.append(row)
            yield from fencing.join(KIND, generation, numbers)
            yield from fencing.release(generation)
        except SupersededError:
            return ("superseded", tuple(acknowledged))
        return ("complete", tuple(acknowledged))

    return program


def rows_of(store: Store) -> set[str]:
    lines = b"".join(data for name, data in store.items() if name.startswith(f"{KIND}/")).decode()
    return set(lines.splitlines(keepends=True))


class Explorer:
    """All states that the programs can reach."""

    def __init__(self, programs: list[Program], plan: list[str], late_listing: bool = False) -> None:
        """late_listing: a listing may miss any one object, as in a store that lists eventually."""
        self.programs, self.plan, self.late_listing = programs, plan, late_listing
        self.states = self.outcomes_complete = self.takeovers = 0

    def replay(self, program: Program, results: tuple[Any, ...]) -> tuple[Any, Any]:
        """(next operation or None, what the program returned) after these results."""
        steps = program()
        try:
            operation = steps.send(None)
            for result in results:
                operation = steps.send(_thawed(result))
        except StopIteration as end:
            return None, end.value
        return operation, None

    def run(self) -> None:
        begin = ((), tuple(() for _ in self.programs))
        seen, frontier = {begin}, [begin]
        while frontier:
            items, histories = frontier.pop()
            store = dict(items)
            ends = []
            for number, program in enumerate(self.programs):
                operation, end = self.replay(program, histories[number])
                ends.append(end)
                if operation is None:
                    continue
                after = dict(store)
                result = apply(after, operation)
                self.check_step(store, after, operation)
                for answer in self.answers(result):
                    history = (*histories[:number], (*histories[number], answer), *histories[number + 1 :])
                    state = (tuple(sorted(after.items())), history)
                    if state not in seen:
                        seen.add(state)
                        frontier.append(state)
            self.check(store, ends)
        self.states = len(seen)

    def answers(self, result: Any) -> list[Any]:
        if not (self.late_listing and isinstance(result, dict)):
            return [_frozen(result)]
        return [
            _frozen(result),
            *(_frozen({k: v for k, v in result.items() if k != gone}) for gone in result),
        ]

    def check_step(self, before: Store, after: Store, operation: Any) -> None:
        """No operation loses a row, overwrites one, or changes an image."""
        assert rows_of(before) <= rows_of(after), operation
        for name, data in before.items():
            if name.startswith("images/"):
                assert after[name] == data, operation

    def check(self, store: Store, ends: list[Any]) -> None:
        for row in rows_of(store):
            image, _, pixels = row.strip().partition("=")
            assert store[f"images/{image}"] == pixels.encode(), row
        for end in ends:
            if isinstance(end, tuple):
                assert set(end[1]) <= rows_of(store)
            if isinstance(end, tuple) and end[0] == "complete":
                self.outcomes_complete += 1
                assert {row.partition("=")[0] for row in rows_of(store)} >= set(self.plan)
            self.takeovers += isinstance(end, tuple) and end[0] == "superseded"


def _frozen(result: Any) -> Any:
    return ("list", tuple(result.items())) if isinstance(result, dict) else result


def _thawed(result: Any) -> Any:
    return dict(result[1]) if isinstance(result, tuple) else result


def explored(programs: list[Program], plan: list[str], late_listing: bool = False) -> Explorer:
    explorer = Explorer(programs, plan, late_listing)
    explorer.run()
    assert explorer.outcomes_complete
    assert explorer.takeovers
    return explorer


CASES = {
    "two drivers, two images": lambda: ([driver("x", ["a", "b"]), driver("y", ["a", "b"])], ["a", "b"]),
    "two drivers whose bytes differ, one image": lambda: (
        [driver("x", ["a"], differs=True), driver("y", ["a"], differs=True)],
        ["a"],
    ),
    "two drivers, one image, late listings": lambda: ([driver("x", ["a"]), driver("y", ["a"])], ["a"], True),
}


@pytest.mark.parametrize("case", CASES)
def test_no_row_is_lost_and_every_row_names_the_bytes_that_are_there(case):
    assert explored(*CASES[case]()).states > 500


def broken_names(kind: str, generation: int, number: int) -> str:
    return f"{kind}/{number:08d}.jsonl"


def overwriting(kind: str, generation: int, number: int, data: bytes) -> fencing.Steps:
    yield Write(fencing.part(kind, generation, number), data)


def hasty_join(kind: str, generation: int, numbers: Callable[[], int]) -> fencing.Steps:
    """Deletes the parts before their rows stand elsewhere."""
    names = yield List(f"{kind}/")
    read = {}
    for name in names:
        read[name] = (yield Read(name)) or b""
    for name in read:
        yield Delete(name)
    yield Create(fencing.part(kind, generation, numbers()), b"".join(read.values()))


def one_file(kind: str, generation: int, numbers: Callable[[], int]) -> fencing.Steps:
    """As version 0.1 joined: into one object that is overwritten."""
    names = yield List(f"{kind}/")
    read = {}
    for name in names:
        read[name] = (yield Read(name)) or b""
    yield Write(f"{kind}/00000000-all.jsonl", b"".join(read.values()))
    for name in read:
        if not name.endswith("all.jsonl"):
            yield Delete(name)


def overwritten_image(name: str, data: bytes) -> fencing.Steps:
    yield Write(name, data)
    return data


@pytest.mark.parametrize(
    ("name", "breakage"),
    [("part", broken_names), ("join", hasty_join), ("join", one_file), ("keep_image", overwritten_image)],
)
def test_the_exploration_finds_each_broken_protocol(monkeypatch, name, breakage):
    """Version 0.1's names, its join, a join that deletes first, images that are overwritten."""
    monkeypatch.setattr(fencing, name, breakage)
    if breakage is broken_names:
        monkeypatch.setattr(fencing, "append", lambda k, g, n, d: overwriting(k, g, n, d))
    differs = breakage is overwritten_image
    with pytest.raises((AssertionError, KeyError)):
        explored([driver(name, ["a", "b"][: 1 if differs else 2], differs=differs) for name in "xy"], ["a"])


def settle(store: Store, steps: fencing.Steps) -> Any:
    """Run one process's steps alone."""
    result = None
    try:
        while True:
            result = apply(store, steps.send(result))
    except StopIteration as end:
        return end.value


def test_a_superseded_process_appends_no_more():
    store: Store = {}
    first = settle(store, fencing.take(b'{"pid": 1}', lambda holder: False))
    settle(store, fencing.append(KIND, first, 1, b"row\n"))
    second = settle(store, fencing.take(b'{"pid": 2}', lambda holder: True))
    assert (first, second) == (1, 2)
    for steps in (fencing.append(KIND, first, 2, b"late\n"), fencing.join(KIND, first, lambda: 3)):
        with pytest.raises(SupersededError) as caught:
            settle(store, steps)
        assert caught.value.holder == {"pid": 2}
    settle(store, fencing.release(first))  # its own lease alone
    with pytest.raises(HeldError):
        settle(store, fencing.take(b'{"pid": 3}', lambda holder: False))
    settle(store, fencing.release(second))
    assert settle(store, fencing.take(b'{"pid": 3}', lambda holder: False)) == 3


def test_a_lease_that_lives_is_refused_and_the_newest_sign_of_life_counts():
    store: Store = {}
    settle(store, fencing.take(b'{"time": 1}', lambda holder: False))
    store[fencing.lease(1, "beat")] = b'{"time": 9}'
    asked = []
    with pytest.raises(HeldError):
        settle(store, fencing.take(b"{}", lambda holder: bool(asked.append(holder["time"]))))
    assert asked == [9]


def test_parts_are_joined_up_to_a_size_and_the_rows_keep_their_order(monkeypatch):
    monkeypatch.setattr(fencing, "JOINED_BYTES", 20)
    store = {fencing.part(KIND, 1, n): f"row {n}\n".encode() for n in range(1, 8)}
    store[fencing.part(KIND, 1, 4)] = b"row 4" + b"!" * 40 + b"\n"
    order = b"".join(store[name] for name in sorted(store))
    numbers = iter(range(8, 99))
    for left in (3, 3):  # the second time there is nothing to join
        settle(store, fencing.join(KIND, 1, lambda: next(numbers)))
        assert b"".join(store[name] for name in sorted(store)) == order
        assert len(store) == left
    store[fencing.part(KIND, 2, 1)] = b"new\n"
    settle(store, fencing.join(KIND, 2, lambda: next(numbers)))
    assert b"".join(store[name] for name in sorted(store)) == order + b"new\n"


if __name__ == "__main__":
    CASES["three drivers, one image"] = lambda: ([driver(name, ["a"]) for name in "xyz"], ["a"])
    for said, programs in CASES.items():
        found = explored(*programs())
        print(f"{said:<45}{found.states:>10,} states, no row lost")
