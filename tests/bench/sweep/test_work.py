"""Who is given what: by simulation, without pictures or processes."""

from __future__ import annotations

from collections import Counter, defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.study.study import read
from bench.sweep import work
from bench.sweep.inventory import Census
from bench.sweep.settings import Frozen
from bench.sweep.work import Handout, Settle, Unit

FROZEN = Frozen(shape=2, device="cpu", dtype="float32", optimize="none")


class Nothing(Census):
    """A census of nothing made."""

    def __init__(self) -> None:
        self.made: set = set()

    def __contains__(self, key) -> bool:
        return key in self.made


def units(model: str, count: int):
    for chunk in range(count):
        keys = frozenset({(f"{model}@1", f"p{chunk}", r) for r in range(2)})
        yield Unit(model=model, chunk=chunk, prompts=(), keys=keys, frozen=FROZEN)


def simulate(sizes: dict[str, int], speeds: list[int], costs: dict[str, int], lost=()):
    """Workers of the given speeds on models of the given cost a unit; `lost`: (worker, task number) that dies.

    Returns the units made, the loads of each worker, and the times at which each worker fell idle.
    """
    done = Nothing()
    handout = Handout([Settle(model=model, size=2) for model in sizes], done)
    busy: dict[str, tuple[int, object]] = {}
    made, loads, given = Counter(), defaultdict(list), Counter()
    idle: dict[str, int] = {}
    now = 0
    while True:
        for number, speed in enumerate(speeds):
            name = f"w{number}"
            if name in busy:
                continue
            task = handout.take(name)
            if task is None:
                idle.setdefault(name, now)
                continue
            idle.pop(name, None)
            given[name] += 1
            if not loads[name] or loads[name][-1] != task.model:
                loads[name].append(task.model)
            busy[name] = (now + costs[task.model] * speed, task)
        if not busy:
            return made, loads, idle, now
        name = min(busy, key=lambda worker: busy[worker][0])
        now, task = busy.pop(name)
        if (name, given[name]) in lost:
            handout.back(task)
        elif isinstance(task, Settle):
            handout.settled(task.model, units(task.model, sizes[task.model]))
        else:
            made[task.model, task.chunk] += 1
            done.made |= task.keys


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(st.sampled_from("abcde"), st.integers(0, 9), min_size=1),
    st.lists(st.integers(1, 5), min_size=1, max_size=5),
    st.sets(st.tuples(st.sampled_from(["w0", "w1"]), st.integers(1, 4)), max_size=3),
)
def test_every_unit_is_made_once_whoever_is_lost(sizes, speeds, lost):
    costs = dict.fromkeys(sizes, 1)
    made, *_ = simulate(sizes, speeds, costs, lost)
    assert made == Counter({(model, chunk): 1 for model in sizes for chunk in range(sizes[model])})


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(st.sampled_from("abcde"), st.integers(1, 9), min_size=1),
    st.lists(st.integers(1, 5), min_size=1, max_size=5),
)
def test_a_worker_loads_a_model_once(sizes, speeds):
    _, loads, *_ = simulate(sizes, speeds, dict.fromkeys(sizes, 1))
    for models in loads.values():
        assert len(models) == len(set(models))


def test_a_slow_contender_leaves_nobody_idle():
    """Eight units of cost 10 beside eight of cost 1, two workers: both end within one unit of each other."""
    made, _, idle, end = simulate({"slow": 8, "quick": 8}, [1, 1], {"slow": 10, "quick": 1})
    assert len(made) == 16
    assert all(end - when <= 10 for when in idle.values())


def test_a_free_worker_helps_where_the_fewest_are_and_takes_what_failed_before_last():
    done = Nothing()
    handout = Handout([Settle(model="failed", size=2)], done, late={"failed", "old"})
    for model in ("a", "b", "old"):
        handout.settled(model, units(model, 9))
    handout.holders = {"w1": "a", "w2": "a", "w3": "b"}
    assert handout.take("free").model == "b"
    assert handout.take("other").model == "a"  # two each now: the order of the study
    for _ in range(16):
        assert handout.take("w1").model in ("a", "b")
    assert handout.take("w1") == Settle(model="failed", size=2)
    handout.drop("old")
    assert handout.take("w2") is None


def test_what_a_lost_worker_had_finished_is_not_given_out_again():
    done = Nothing()
    handout = Handout([], done)
    handout.settled("a", units("a", 1))
    unit = handout.take("w")
    assert isinstance(unit, Unit)
    finished = sorted(unit.keys)[:1]
    done.made |= set(finished)
    handout.back(unit)
    again = handout.take("v")
    assert isinstance(again, Unit)
    assert again.keys == unit.keys - set(finished)
    done.made |= unit.keys
    handout.back(again)
    assert handout.take("v") is None


@pytest.mark.parametrize("there", [True, False])
def test_a_census_counts_what_the_study_asks_for(tmp_path, there):
    from bench.study.study import read
    from tests.support.sweeping import write_study

    study = read(write_study(tmp_path))
    census = Census(study)
    key = ("tiny-turbo@4", study.prompts[3].id, 1)
    for other in (("tiny-turbo@9", key[1], 0), (key[0], "gone", 0), (key[0], key[1], 2)):
        census.mark(other)
    census.mark(key)
    census.mark(key, there)
    assert census.counts.total() == there
    assert (key in census) is there
    assert census.totals["tiny-turbo@4"] == 40


def test_weights_of_a_step_count_are_loaded_once(tmp_path):
    """A model with a checkpoint for each step count goes through its prompts with one, then with the next."""
    (tmp_path / "prompts.txt").write_text("".join(f"prompt number {i}\n" for i in range(6)))
    (tmp_path / "study.toml").write_text(
        'name = "steps"\ncontenders = ["hyper-sd@1", "hyper-sd@4", "sdxl-turbo@1", "sdxl-turbo@4"]\n'
        '[prompts]\nfile = "prompts.txt"\n'
    )
    study = read(tmp_path / "study.toml")
    done = Census(study)
    order = {
        model: [
            tuple(sorted({name for name, *_ in unit.keys}))
            for unit in work.units(study, model, FROZEN, done, None)
        ]
        for model in ("hyper-sd", "sdxl-turbo")
    }
    assert order == {
        "hyper-sd": [("hyper-sd@1",)] * 3 + [("hyper-sd@4",)] * 3,
        "sdxl-turbo": [("sdxl-turbo@1", "sdxl-turbo@4")] * 3,
    }
