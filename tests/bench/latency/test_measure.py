"""Latency in passes: order, warm-up, resumption, what the machine did, and intervals that have the pass as unit."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import time
import types

import numpy as np
import pytest
import scipy.stats

import bench.latency.conditions as conditions
import bench.latency.estimate as estimate
from bench.latency.blocks import time_contender
from bench.latency.measure import Protocol, calls_of, measure
from bench.records import Timing
from bench.store.documents import read_latency
from bench.store.study_folder import StudyFolder
from bench.study.study import read
from bench.sweep.settings import Options
from tests.support.null_pipeline import NullPipeline

STUDY = """name = "null"
contenders = ["tiny-sdxl@50", "tiny-turbo@1", "midjourney"]
[prompts]
file = "prompts.txt"
"""


@pytest.fixture
def study(tmp_path):
    (tmp_path / "prompts.txt").write_text("one\ntwo\nthree\n")
    (tmp_path / "study.toml").write_text(STUDY)
    return read(tmp_path / "study.toml")


@pytest.fixture
def folder(tmp_path):
    place = StudyFolder(tmp_path / "out")
    place.path.mkdir()
    place.write_json("plan.json", {"tiny-sdxl": {"shape": 4}})
    return place


@pytest.fixture(autouse=True)
def _kernel(monkeypatch):
    monkeypatch.setattr("bench.latency.measure.matrix_rate", lambda device: 1.0)
    monkeypatch.setattr("bench.latency.measure.calibration", lambda device: time.perf_counter)


def calls(study):
    return calls_of(study, StudyFolder(study.base), study.contenders[0], 2)


def timed(study, folder, protocol, load=None):
    return measure(
        study, folder, Options(device="cpu"), protocol, load=load or (lambda model, **_: NullPipeline())
    )


def test_every_sample_of_every_stage_is_kept_and_total_is_their_sum(study):
    rows = time_contender(
        NullPipeline(), study.contenders[0], calls(study), 2, "cpu", Protocol(samples=4, warm_up=1)
    )
    found = {row.stage: row.seconds for row in rows}
    assert {stage: len(seconds) for stage, seconds in found.items()} == {
        "encode": 4,
        "denoise": 4,
        "decode": 4,
        "total": 4,
        "forward": 3 * 49,
    }
    for parts in zip(found["encode"], found["denoise"], found["decode"], found["total"], strict=True):
        assert sum(parts[:3]) == pytest.approx(parts[3])


def test_warm_up_calls_are_not_among_the_samples(study):
    pipeline = NullPipeline()
    protocol = Protocol(samples=5, warm_up=3, forwards=1)
    time_contender(pipeline, study.contenders[0], calls(study), 2, "cpu", protocol)
    assert len(pipeline.calls) == 3 + 5 + 1
    assert {batch for _, batch in pipeline.calls} == {2}


def test_contenders_are_timed_in_rounds_of_random_order_and_warm_each_time(study, folder):
    pipelines = {}

    def load(model, **_):
        return pipelines.setdefault(model.name, NullPipeline())

    document = timed(study, folder, Protocol(passes=4, samples=8, least=8, warm_up=2, forwards=1), load)
    blocks = {"tiny-sdxl@50 batch 1", "tiny-sdxl@50 batch 4", "tiny-turbo@1 batch 1"}
    orders = [done.order for done in document.passes]
    assert all(set(order) == blocks for order in orders)
    assert len(set(orders)) > 1
    total = next(r for r in document.rows if (r.contender, r.stage) == ("tiny-turbo@1", "total"))
    assert total.passes == (0, 0, 1, 1, 2, 2, 3, 3)
    # Two samples a pass, warm-up of two and then one, and one call whose forwards are timed.
    assert len(pipelines["tiny-turbo"].calls) == 4 * 2 + 2 + 3 + 1
    kernels = [r for r in document.rows if r.stage == "calibration"]
    assert {(r.contender, r.batch) for r in kernels} == {
        ("tiny-sdxl@50", 1),
        ("tiny-sdxl@50", 4),
        ("tiny-turbo@1", 1),
    }
    assert all(r.passes == (0, 0, 1, 1, 2, 2, 3, 3) and min(r.seconds) > 0 for r in kernels)
    assert read_latency(folder) == document
    assert folder.timings() == list(document.rows)


def test_a_measurement_that_was_interrupted_goes_on_with_its_next_pass(study, folder):
    """The third opening of a pipeline's work ends the process; the passes before are on disk and stay."""
    protocol, count = Protocol(passes=5, samples=5, least=5, warm_up=0, forwards=0), [0]

    class Broken(NullPipeline):
        def encode(self, texts, contender):
            count[0] += 1
            if count[0] == 7:  # one sample of each of three blocks a pass: the third pass
                raise KeyboardInterrupt
            return super().encode(texts, contender)

    with pytest.raises(KeyboardInterrupt):
        timed(study, folder, protocol, lambda model, **_: Broken())
    half = read_latency(folder)
    assert half is not None
    assert [done.number for done in half.passes] == [0, 1]
    whole = timed(study, folder, protocol)
    assert [done.number for done in whole.passes] == [0, 1, 2, 3, 4]
    assert whole.passes[:2] == half.passes
    for row in half.rows:
        (longer,) = [
            r for r in whole.rows if (r.contender, r.batch, r.stage) == (row.contender, row.batch, row.stage)
        ]
        assert longer.seconds[: len(row.seconds)] == row.seconds
    again = timed(study, folder, protocol)
    assert again.rows[0].seconds[:1] != whole.rows[0].seconds[:1]  # a whole one is measured anew


def test_an_interrupted_pass_goes_on_after_the_block_that_was_timed_last(study, folder):
    """Ended in the second block of the first pass: the first block's samples stay, and nothing is timed twice."""
    protocol, blocks = Protocol(passes=2, samples=2, least=2, warm_up=0, forwards=0), []

    class Counted(NullPipeline):
        def encode(self, texts, contender):
            blocks.append((contender.name, len(texts)))
            if len(blocks) == 2 and not (folder.path / "ended").exists():
                (folder.path / "ended").touch()
                raise KeyboardInterrupt
            return super().encode(texts, contender)

    with pytest.raises(KeyboardInterrupt):
        timed(study, folder, protocol, lambda model, **_: Counted())
    kept = folder.read_json("latency-part.json")
    assert [len(kept["blocks"]), kept["pass"]] == [1, 0]
    first = next(row for row in kept["blocks"][0]["rows"] if row["stage"] == "total")
    whole = timed(study, folder, protocol, lambda model, **_: Counted())
    row = next(
        r
        for r in whole.rows
        if (r.contender, r.batch, r.stage) == (first["contender"], first["batch"], "total")
    )
    assert row.seconds[0] == first["seconds"][0]
    assert (
        len(blocks) == 1 + 1 + 2 + 3
    )  # the first, the one that was ended, the rest of that pass, the next pass
    assert not (folder.path / "latency-part.json").exists()
    assert read_latency(folder) == whole


def test_another_protocol_does_not_go_on_with_the_passes_of_this_one(study, folder):
    first = timed(study, folder, Protocol(passes=1, samples=1, least=1, warm_up=0, forwards=0))
    data = folder.read_json("latency.json")
    folder.write_json("latency.json", data | {"protocol": data["protocol"] | {"passes": 3}})
    second = timed(study, folder, Protocol(passes=3, samples=3, least=3, warm_up=0, forwards=0))
    assert second.fingerprint != first.fingerprint
    assert [done.number for done in second.passes] == [0, 1, 2]


def test_both_batch_sizes_are_timed_and_imports_are_not(study, folder):
    document = timed(study, folder, Protocol(passes=1, samples=1, least=1))
    assert {(t.contender, t.batch) for t in folder.timings()} == {
        ("tiny-sdxl@50", 1),
        ("tiny-sdxl@50", 4),
        ("tiny-turbo@1", 1),
    }
    assert document.protocol["weights"]["tiny-sdxl"] == "random"


def test_a_device_without_room_for_all_pipelines_opens_them_in_turn(study, folder):
    import torch

    state = {"open": 0, "loads": 0}

    class Counted(NullPipeline):
        def close(self):
            state["open"] -= 1

    def load(model, **_):
        if state["open"]:
            raise torch.OutOfMemoryError("CUDA out of memory")
        state["open"] += 1
        state["loads"] += 1
        return Counted()

    document = timed(study, folder, Protocol(passes=3, samples=3, least=3, warm_up=0, forwards=0), load)
    assert len(document.passes) == 3
    assert state["open"] == 0
    assert state["loads"] > 2


def test_work_is_counted_and_the_fingerprint_does_not_move_with_the_machine_s_rate(study, folder):
    """Oracle: torch's counter over the tiny model, as `tests/bench/models/test_optimize.py` holds it."""
    from bench.models.architectures import flops

    protocol = Protocol(passes=1, samples=1, least=1, forwards=1)
    documents = [timed(study, folder, protocol) for _ in range(2)]
    contender = study.contenders[0]
    assert documents[0].tflop[contender.name] == flops(study.models[contender.model], contender)["total"]
    assert documents[0].fingerprint == documents[1].fingerprint


def test_a_folder_of_the_last_version_opens(folder):
    """latency.json as 1.0 wrote it: no passes, samples of one block."""
    row = {"contender": "a@1", "stage": "total", "batch": 1, "seconds": [0.2, 0.1, 0.3]}
    old = {"protocol": {"device": "CPU x86_64"}, "fingerprint": "x", "memory": {}, "tflop": {}, "rows": [row]}
    folder.write_json("latency.json", old)
    document = read_latency(folder)
    assert document is not None
    assert document.passes == ()
    assert estimate.pass_medians(document.rows[0]).tolist() == [0.2]
    assert estimate.time_of(document.rows[0]).low is None


def timing(by_pass, stage="total"):
    seconds = [s for part in by_pass for s in part]
    numbers = [n for n, part in enumerate(by_pass) for _ in part]
    return Timing(contender="a@1", stage=stage, batch=1, seconds=tuple(seconds), passes=tuple(numbers))


def test_the_pass_is_the_unit_of_the_interval():
    """Twenty samples in five passes that differ: t of four degrees of freedom over log medians."""
    random = np.random.default_rng(0)
    moods = np.exp(0.2 * random.standard_normal(5))
    row = timing([mood * (1 + 0.01 * random.random(4)) for mood in moods])
    found = estimate.time_of(row)
    logs = np.log([np.median(np.array(row.seconds)[4 * i : 4 * i + 4]) for i in range(5)])
    low, high = scipy.stats.t.interval(0.95, 4, logs.mean(), scipy.stats.sem(logs))
    assert (found.value, found.passes) == (pytest.approx(np.exp(logs.mean())), 5)
    assert (found.low, found.high) == (pytest.approx(np.exp(low)), pytest.approx(np.exp(high)))


def test_a_ratio_is_welch_s_test_of_calibrated_passes():
    random = np.random.default_rng(1)
    old, new = random.standard_normal(5) * 0.1, random.standard_normal(6) * 0.3 + 0.5
    found = estimate.ratio(old, new)
    test = scipy.stats.ttest_ind(new, old, equal_var=False).confidence_interval(0.95)
    assert found.low == pytest.approx(np.exp(test.low))
    assert found.high == pytest.approx(np.exp(test.high))
    assert estimate.ratio(old[:2], new).low is None


def test_a_slow_machine_is_divided_out():
    """Everything twice as slow in the second run, the kernel too: the ratio is 1."""
    random = np.random.default_rng(2)
    moods = np.exp(0.3 * random.standard_normal((2, 5))) * np.array([[1.0], [2.0]])
    noise = np.exp(0.01 * random.standard_normal((2, 2, 5)))
    runs = [
        estimate.calibrated(
            timing([[t] for t in mood * first]), timing([[0.01 * t] for t in mood * second], "calibration")
        )
        for mood, first, second in zip(moods, noise[0], noise[1], strict=True)
    ]
    found = estimate.ratio(*runs)
    assert found.low < 1 < found.high
    assert found.high / found.low < 1.1


def test_a_percentile_has_an_interval_or_is_not_there():
    samples = np.random.default_rng(0).lognormal(size=500)
    found = estimate.percentile(samples, 0.95)
    assert found.low < np.quantile(samples, 0.95) == found.value < found.high
    ordered = np.sort(samples)
    ranks = [int(np.searchsorted(ordered, end)) for end in (found.low, found.high)]
    held = scipy.stats.binom.cdf(ranks[1], 500, 0.95) - scipy.stats.binom.cdf(ranks[0], 500, 0.95)
    assert 0.95 <= held < 0.975
    assert estimate.percentile(samples[:60], 0.95) is None


def test_the_calibration_kernel_takes_time():
    kernel = conditions.calibration("cpu")
    assert kernel() > 1e-5


def test_other_processes_are_seen_and_mark_the_pass():
    code = "import time\nend = time.time() + 20\nwhile time.time() < end: pass"
    busy = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(os.cpu_count())]
    try:
        before = conditions.read("cpu")
        time.sleep(1.0)
        share = conditions.others(before, conditions.read("cpu"))
    finally:
        for process in busy:
            process.kill()
            process.wait()
    assert share > conditions.BUSY
    assert "other processes used" in conditions.disturbance(share, "", 1.0, 1.0)
    assert conditions.disturbance(0.0, "", 1.0, 1.0) == ""
    assert conditions.disturbance(None, "heat", 2.0, 1.0) == (
        "throttled by heat; the calibration kernel took 2.00 times its fastest pass"
    )


def test_a_gpu_s_clock_heat_and_energy_are_read_through_nvml(study, folder, monkeypatch):
    """nvidia-ml-py's names and units: mJ, MHz, bits of reasons."""
    energy = iter(range(0, 10**9, 6000))
    fake = types.SimpleNamespace(
        NVMLError=RuntimeError, NVML_CLOCK_SM=1, NVML_TEMPERATURE_GPU=0,
        nvmlClocksThrottleReasonSwThermalSlowdown=0x20, nvmlClocksThrottleReasonHwThermalSlowdown=0x40,
        nvmlClocksThrottleReasonSwPowerCap=0x4, nvmlClocksThrottleReasonHwPowerBrakeSlowdown=0x80,
        nvmlInit=lambda: None, nvmlDeviceGetHandleByIndex=lambda index: index,
        nvmlDeviceGetClockInfo=lambda handle, kind: 1755, nvmlDeviceGetTemperature=lambda handle, kind: 61,
        nvmlDeviceGetCurrentClocksThrottleReasons=lambda handle: 0x4 | 0x20,
        nvmlDeviceGetTotalEnergyConsumption=lambda handle: next(energy),
    )  # fmt: skip
    monkeypatch.setitem(sys.modules, "pynvml", fake)
    real = conditions.read
    monkeypatch.setattr(conditions, "read", lambda device: real("cuda:1"))
    document = timed(study, folder, Protocol(passes=2, samples=4, least=4, warm_up=0, forwards=0))
    done = document.passes[0]
    assert (done.clock_mhz, done.temperature) == (1755, 61)
    assert "throttled by heat and power" in done.disturbed
    assert document.joules["tiny-sdxl@50 batch 4"] == pytest.approx(6 / 8)  # 6 J, two calls of four images
    assert dataclasses.asdict(document)["joules"]["tiny-turbo@1 batch 1"] == pytest.approx(3)
