"""Behaviour under load: cold start, the sustained Offline rate, Server latency under Poisson arrivals, and clients.

One pipeline answers queries in the order of their arrival, up to a batch of them in one call. It answers one call at a
time, so arrivals need no process of their own: those that came during a call wait when it ends.
Source: MLPerf Inference's scenarios Offline and Server; Reddi et al. 2020, arXiv 1911.02549.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bench.device import now
from bench.latency.blocks import Call
from bench.latency.measure import calls_of
from bench.records import Contender, LoadRun
from bench.store.documents import read_latency, write_latency
from bench.store.study_folder import StudyFolder
from bench.study.study import Study
from bench.sweep.settings import Options, resolve_device
from bench.sweep.worker import Loader

SHARES = (0.2, 0.4, 0.6, 0.8, 0.9, 1.0, 1.2)
"""Of the Offline rate: the rates that are offered in the scenario Server."""
CLIENTS = (1, 2, 4, 8)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadProtocol:
    queries: int = 40
    """Of each run, one image each."""
    budget: float = 30.0
    """Seconds after which no further query is sent in a run."""
    warm_up: int = 2
    """Untimed calls before the first run."""


Serve = Callable[[int], None]
"""Answers that many queries in one call; returns when the images are in host memory."""


def measure_load(
    study: Study,
    folder: StudyFolder,
    options: Options,
    protocol: LoadProtocol,
    *,
    load: Loader,
    weights: str = "pretrained",
    progress: Callable[[str], None] = lambda label: None,
) -> list[LoadRun]:
    """Every contender under every load; goes into latency.json, whose passes must be there, after each contender.

    Parameters
    ----------
    load
        Opens a model's pipeline; timed as the cold start.
    """
    device = resolve_device(study, options.device)
    plan: dict[str, Any] = folder.plan()
    dtype = options.dtype or study.file.generate.dtype
    rows: list[LoadRun] = []
    for contender in study.contenders:
        model = study.models[contender.model]
        if model.kind == "imported":
            continue
        progress(f"load: {contender.name}")
        batch = int(plan.get(contender.model, {}).get("shape", 1))
        began = now(device)
        pipeline = load(model, device=device, dtype=dtype, optimize=options.optimize, weights=weights)
        opened = now(device)
        calls = {size: calls_of(study, folder, contender, size) for size in range(1, batch + 1)}
        serve = _server(pipeline, contender, calls, device)
        serve(1)
        first = now(device)
        cold = LoadRun(
            contender=contender.name,
            scenario="cold",
            batch=1,
            seconds=first - began,
            latencies=(opened - began, first - opened),
            memory=pipeline.memory_peak(),
        )
        for _ in range(protocol.warm_up):
            serve(batch)
        runs = under_load(serve, batch, protocol)
        peak = pipeline.memory_peak()
        rows += [cold, *(replace(run, contender=contender.name, memory=peak) for run in runs)]
        pipeline.close()
        document = read_latency(folder)
        assert document is not None
        write_latency(folder, replace(document, load=tuple(rows)))
    return rows


def _server(pipeline: Any, contender: Contender, calls: dict[int, Iterator[Call]], device: str) -> Serve:
    def serve(count: int) -> None:
        call = next(calls[count])
        embeddings = pipeline.encode(call.texts, contender)
        pipeline.decode(pipeline.denoise(embeddings, contender=contender, **call.start))
        now(device)

    return serve


def under_load(
    serve: Serve,
    batch: int,
    protocol: LoadProtocol,
    *,
    clock: Callable[[], float] = time.perf_counter,
    sleep: Callable[[float], None] = time.sleep,
    seed: int = 0,
) -> list[LoadRun]:
    """Offline, then Server at shares of the Offline rate, then clients; rows without a contender's name.

    Parameters
    ----------
    clock, sleep
        Seconds, and a wait of so many.
    """
    latencies, seconds = closed(serve, batch, batch, protocol, clock)
    rows = [LoadRun(contender="", scenario="offline", batch=batch, seconds=seconds, latencies=latencies)]
    top, random = rows[0].images_a_second, np.random.default_rng(seed)
    for share in SHARES:
        arrivals = np.cumsum(random.exponential(1 / (share * top), protocol.queries))
        latencies, seconds = offered(serve, arrivals - arrivals[0], batch, protocol.budget, clock, sleep)
        rows.append(
            LoadRun(
                contender="",
                scenario="server",
                batch=batch,
                rate=share * top,
                seconds=seconds,
                latencies=latencies,
            )
        )
    for clients in CLIENTS:
        latencies, seconds = closed(serve, clients, batch, protocol, clock)
        rows.append(
            LoadRun(
                contender="",
                scenario="clients",
                batch=batch,
                clients=clients,
                seconds=seconds,
                latencies=latencies,
            )
        )
    return rows


def offered(
    serve: Serve,
    arrivals: Sequence[float] | np.ndarray,
    batch: int,
    budget: float,
    clock: Callable[[], float],
    sleep: Callable[[float], None],
) -> tuple[tuple[float, ...], float]:
    """Seconds from arrival to image of each query, and from the first arrival to the last image.

    arrivals: ascending seconds. Queries that arrive after the budget are not sent; those that did are answered.
    """
    began, due, found = clock(), [at for at in map(float, arrivals) if at <= budget], []
    while len(found) < len(due):
        at, next_due = clock() - began, due[len(found)]
        if next_due > at:
            sleep(next_due - at)
            at = max(clock() - began, next_due)  # a sleep may end a rounding error too early
        waiting = [one for one in due[len(found) : len(found) + batch] if one <= at]
        serve(len(waiting))
        done = clock() - began
        found += [done - one for one in waiting]
    return tuple(found), clock() - began


def closed(
    serve: Serve, clients: int, batch: int, protocol: LoadProtocol, clock: Callable[[], float]
) -> tuple[tuple[float, ...], float]:
    """As `offered`, of clients who each send a query as soon as their last one is answered."""
    began, found = clock(), []
    sent = [0.0] * clients
    while len(found) < protocol.queries and clock() - began < protocol.budget:
        sent.sort()
        answered = sent[:batch]
        serve(len(answered))
        done = clock() - began
        found += [done - one for one in answered]
        sent = [*sent[len(answered) :], *[done] * len(answered)]
    return tuple(found), clock() - began
