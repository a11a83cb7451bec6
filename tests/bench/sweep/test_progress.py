"""Speeds and the time left, on a clock of the test's."""

from __future__ import annotations

import pytest

from bench.sweep.progress import Pace


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def swept(processes: int, chunks: int, fast: float = 0.1, slow: float = 1.0) -> Pace:
    """Two contenders in turn, batches of four, on processes that keep step; 40 images of each in all."""
    pace = Pace(clock := Clock())
    for name in ("fast", "slow"):
        pace.tell(name, 0, 40, None)
    done = {"fast": 0, "slow": 0}
    for _ in range(chunks):
        for name, seconds in (("fast", fast), ("slow", slow)):
            clock.now += 4 * seconds
            for _ in range(4 * processes):
                done[name] += 1
                pace.tell(name, done[name], 40, seconds)
    return pace


@pytest.mark.parametrize("processes", [1, 2])
def test_a_contender_has_its_own_speed_though_it_waits_its_turn(processes):
    pace = swept(processes, chunks=4)
    assert pace.speed("fast") == pytest.approx(10)
    assert pace.speed("slow") == pytest.approx(1)
    assert pace.rate() == pytest.approx(processes * 1.8, rel=0.2)  # 8 images in 4.4 seconds


@pytest.mark.parametrize("processes", [1, 2])
def test_the_time_left_is_what_the_rest_takes_on_so_many_processes(processes):
    seconds, whole = swept(processes, chunks=4).seconds_left()
    left = 40 - 4 * 4 * processes
    assert whole
    assert seconds == pytest.approx(left * 1.1 / processes, rel=0.02)


def test_nothing_is_said_before_a_second_report_and_less_of_what_has_not_begun():
    pace = Pace(clock := Clock())
    pace.tell("begun", 0, 10, None)
    pace.tell("not yet", 0, 10, None)
    assert pace.speed("begun") is pace.rate() is pace.seconds_left() is None
    for done in (1, 2):  # one report of two images
        pace.tell("begun", done, 10, 0.5)
    clock.now = 1.0
    assert pace.seconds_left() is None
    pace.tell("begun", 3, 10, 0.5)
    pace.tell("begun", 4, 10, 0.5)
    seconds, whole = pace.seconds_left()
    assert not whole
    assert seconds == pytest.approx(6 * 0.5)
    for _ in range(10):
        pace.tell("not yet", 0, 10, None)  # every one of it fails
    assert pace.seconds_left() == (pytest.approx(6 * 0.5), True)


def test_all_made_leaves_nothing():
    assert swept(1, chunks=10).seconds_left() == (0.0, True)


def test_what_comes_after_the_last_image_changes_no_rate():
    pace = swept(1, chunks=4)
    before = pace.rate(), pace.seconds_left()
    pace.clock.now += 1000
    assert (pace.rate(), pace.seconds_left()) == before


def test_a_speed_follows_the_latest_images():
    pace = Pace(clock := Clock())
    for done, seconds in enumerate([5.0] + [1.0] * 63 + [0.1] * 640, start=1):
        clock.now += seconds
        pace.tell("one", done, 1000, seconds)
    assert pace.speed("one") == pytest.approx(10, rel=0.01)
