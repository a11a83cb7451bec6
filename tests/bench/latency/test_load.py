"""Load on a clock that is moved by hand: queueing theory for Poisson arrivals, Little's law for clients, batches."""

from __future__ import annotations

import numpy as np
import pytest

from bench.latency.load import CLIENTS, SHARES, LoadProtocol, closed, measure_load, offered, under_load
from bench.latency.measure import Protocol, measure
from bench.records import LoadRun
from bench.store.documents import read_latency
from bench.store.study_folder import StudyFolder
from bench.study.study import read
from bench.sweep.settings import Options
from tests.support.null_pipeline import NullPipeline


class Clock:
    """Time that passes only where somebody works or sleeps."""

    def __init__(self, service: float) -> None:
        self.at, self.service, self.calls = 100.0, service, []

    def __call__(self) -> float:
        return self.at

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.at += seconds

    def serve(self, count: int) -> None:
        self.calls.append(count)
        self.at += self.service


@pytest.mark.parametrize("load", [0.5, 0.8])
def test_waits_under_poisson_arrivals_are_those_of_queueing_theory(load: float) -> None:
    """Constant service, one query a call: the mean wait of M/D/1 is load / (2 (1 - load)) services (Pollaczek and
    Khinchine)."""
    clock, count = Clock(service=2.0), 100_000
    arrivals = np.cumsum(np.random.default_rng(1).exponential(2.0 / load, count))
    latencies, seconds = offered(clock.serve, arrivals, 1, np.inf, clock, clock.sleep)
    assert np.mean(latencies) - 2.0 == pytest.approx(2.0 * load / (2 * (1 - load)), rel=0.05)
    assert len(latencies) == count
    assert seconds == pytest.approx(arrivals[-1] + latencies[-1])


def test_what_waits_is_answered_together_up_to_the_batch() -> None:
    clock = Clock(service=1.0)
    latencies, seconds = offered(clock.serve, [0.0, 0.1, 0.2, 0.3, 5.0], 3, 60.0, clock, clock.sleep)
    assert clock.calls == [1, 3, 1]
    assert latencies == pytest.approx((1.0, 1.9, 1.8, 1.7, 1.0))
    assert seconds == pytest.approx(6.0)


def test_clients_obey_little_s_law() -> None:
    """Clients = throughput x latency, in a loop that never idles; eight clients on a batch of three."""
    clock, protocol = Clock(service=0.5), LoadProtocol(queries=600, budget=1e9)
    latencies, seconds = closed(clock.serve, 8, 3, protocol, clock)
    run = LoadRun(contender="a", scenario="clients", batch=3, clients=8, seconds=seconds, latencies=latencies)
    assert run.images_a_second == pytest.approx(3 / 0.5)
    assert run.images_a_second * np.mean(latencies[50:]) == pytest.approx(8, rel=0.02)


def test_offered_rates_are_shares_of_the_offline_rate_and_goodput_falls_past_it() -> None:
    clock = Clock(service=0.25)
    rows = under_load(clock.serve, 1, LoadProtocol(queries=400, budget=1e9), clock=clock, sleep=clock.sleep)
    assert rows[0].scenario == "offline"
    assert rows[0].images_a_second == pytest.approx(4.0)
    server = [row for row in rows if row.scenario == "server"]
    assert [row.rate for row in server] == pytest.approx([4 * share for share in SHARES])
    assert [row.clients for row in rows if row.scenario == "clients"] == list(CLIENTS)
    limit = 1.0
    assert server[1].goodput(limit) == pytest.approx(server[1].images_a_second, rel=0.02)
    assert server[-1].goodput(limit) < 0.5 * server[-1].images_a_second
    assert server[-1].goodput(np.inf) == pytest.approx(server[-1].images_a_second)


def test_a_budget_ends_a_run_and_nothing_that_was_sent_goes_unanswered() -> None:
    clock = Clock(service=1.0)
    latencies, _ = offered(clock.serve, np.arange(100) * 2.0, 1, 11.0, clock, clock.sleep)
    assert len(latencies) == 6


def test_load_stands_beside_the_passes_and_a_cold_start_has_two_parts(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("bench.latency.measure.matrix_rate", lambda device: 1.0)
    monkeypatch.setattr("bench.latency.measure.calibration", lambda device: lambda: 0.001)
    (tmp_path / "prompts.txt").write_text("one\ntwo\nthree\n")
    (tmp_path / "study.toml").write_text(
        'name = "null"\ncontenders = ["tiny-turbo@1", "midjourney"]\n[prompts]\nfile = "prompts.txt"\n'
    )
    study, folder = read(tmp_path / "study.toml"), StudyFolder(tmp_path / "out")
    folder.path.mkdir()
    folder.write_json("plan.json", {"tiny-turbo": {"shape": 4}})
    pipelines = []

    def load(model, **_):
        pipelines.append(NullPipeline())
        return pipelines[-1]

    options = Options(device="cpu")
    timed = measure(study, folder, options, Protocol(passes=1, samples=1, least=1, forwards=0), load=load)
    rows = measure_load(study, folder, options, LoadProtocol(queries=6, budget=0.5, warm_up=1), load=load)
    document = read_latency(folder)
    assert document is not None
    assert document.rows == timed.rows
    assert document.load == tuple(rows)
    cold = rows[0]
    assert (cold.contender, cold.scenario, len(cold.latencies)) == ("tiny-turbo@1", "cold", 2)
    assert sum(cold.latencies) == pytest.approx(cold.seconds)
    assert {row.contender for row in rows} == {"tiny-turbo@1"}
    assert max(batch for _, batch in pipelines[-1].calls) == 4
