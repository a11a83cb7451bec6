"""Which engine the user's options, or the launcher that started this process, ask for."""

from __future__ import annotations

import os
from dataclasses import dataclass

import bench.sweep.processes as processes
from bench.errors import InputError, unknown
from bench.sweep.settings import Options
from bench.sweep.work import alone
from bench.sweep.workers import Engine, Here

ENGINES = ("local", "ray")


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """Where the work runs."""

    engine: str = "local"
    """`local` or `ray`."""
    address: str = "auto"
    """Of the Ray cluster."""
    workers: int | None = None
    """Processes or actors; None: this process alone, or as many as the cluster has GPUs."""


def where_of(engine: str, address: str, gpus: str | None, processes: int | None) -> Where:
    """From the command line's words. Raises InputError where they contradict one another or the machine."""
    if gpus is not None and processes is not None:
        raise InputError("--gpus and --processes: a process a GPU, or processes on the CPU, not both")
    if gpus is None:
        return Where(engine=engine, address=address, workers=processes)
    if gpus != "all" and not (gpus.isdigit() and int(gpus) > 0):
        raise InputError(f"--gpus {gpus}: 'all' or a number from 1")
    if engine == "ray":
        return Where(engine=engine, address=address, workers=None if gpus == "all" else int(gpus))
    import torch

    there = torch.cuda.device_count()
    if there == 0:
        raise InputError(f"--gpus {gpus}: torch sees no GPU here; --processes N works on the CPU")
    if gpus != "all" and int(gpus) > there:
        raise InputError(f"--gpus {gpus}: this machine has {there}")
    return Where(workers=there if gpus == "all" else int(gpus))


def join_ranks(options: Options) -> bool:
    """True if a launcher started this process as one of many and it is not the first: its work is done then."""
    number, size = processes.rank()
    if size == 1 or number == 0:
        return False
    processes.join(None if options.device == "cpu" else _own_gpu())
    return True


def _own_gpu() -> str | None:
    """The GPU a launcher meant for this process; None: there is none."""
    import torch

    return f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if torch.cuda.is_available() else None


def engine_for(where: Where, device: str) -> tuple[Engine, str, int | None]:
    """The engine, the device its workers have, and torch's threads in each on a CPU (None: as they are)."""
    import torch

    if where.engine not in ENGINES:
        raise unknown("engine", where.engine, ENGINES)
    if where.engine == "ray":
        from bench.sweep.ray_cluster import Cluster

        cluster = Cluster(where.address, where.workers, device, alone)
        return cluster, cluster.device, 1
    _, size = processes.rank()
    count = size if size > 1 else where.workers or 1
    threads = None if device != "cpu" or count == 1 else max(1, torch.get_num_threads() // count)
    if size > 1:
        return (
            processes.Processes([_own_gpu() if device != "cpu" else None], alone, processes.gather()),
            device,
            threads,
        )
    if where.workers is None:
        return Here(), device, threads
    devices = [None] * count if device == "cpu" else [f"cuda:{n}" for n in range(count)]
    return processes.Processes(devices, alone), device, threads
