"""What the machine did during a pass: a calibration kernel, other processes, clocks, heat and throttling."""

from __future__ import annotations

import contextlib
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.device import now

BUSY = 0.1
"""Share of the processors that other processes may use in a pass that counts as undisturbed."""
SLOW = 1.25
"""Times its fastest pass that the calibration kernel may take in one."""
REPEATS = 5
"""Runs of the calibration kernel before and after each block of samples."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """Counters at one moment; the conditions of a pass lie between two."""

    at: float
    """Seconds of a monotonic clock."""
    busy: float | None
    """Processor seconds that all processes have used since the start of the machine."""
    own: float
    """Processor seconds that this process and its children have used."""
    joules: float | None
    """That the GPU has used; None without NVML."""
    clock_mhz: float | None
    """Of the GPU's multiprocessors, or the mean of the processors."""
    temperature: float | None
    """Degrees Celsius of the GPU."""
    throttled: str
    """Why the GPU runs below its clock: `heat`, `power`; empty: it does not, or it is not known."""


def calibration(device: str) -> Callable[[], float]:
    """A function that runs a fixed product of matrices and gives its median seconds.

    A machine that is slower for a while is slower here too, so that a contender's time over the kernel's holds
    across drift. About ten milliseconds on a processor, one on a GPU.
    """
    import torch

    side, dtype = (4096, torch.bfloat16) if device.startswith("cuda") else (512, torch.float32)
    generator = torch.Generator().manual_seed(0)
    a = torch.randn(side, side, generator=generator).to(device, dtype)

    def once() -> float:
        began = now(device)
        product = a
        for _ in range(4):
            product = a @ product
        return now(device) - began

    once()
    return lambda: statistics.median(once() for _ in range(REPEATS))


def read(device: str) -> Reading:
    """The counters now; what a machine does not offer is None."""
    times = os.times()
    gpu = _gpu(device) if device.startswith("cuda") else {}
    return Reading(
        at=time.monotonic(),
        busy=_busy(),
        own=times.user + times.system + times.children_user + times.children_system,
        joules=gpu.get("joules"),
        clock_mhz=gpu.get("clock_mhz", None if gpu else _processor_clock()),
        temperature=gpu.get("temperature"),
        throttled=gpu.get("throttled", ""),
    )


def others(before: Reading, after: Reading) -> float | None:
    """Share of all processors that other processes used between two readings, 0 to 1."""
    if before.busy is None or after.busy is None or after.at <= before.at:
        return None
    used = (after.busy - before.busy) - (after.own - before.own)
    return min(1.0, max(0.0, used / ((after.at - before.at) * (os.cpu_count() or 1))))


def disturbance(others_share: float | None, throttled: str, kernel: float, fastest: float) -> str:
    """Why a pass counts as disturbed; empty: it does not.

    Parameters
    ----------
    others_share
        As of `others`.
    kernel, fastest
        Seconds of the calibration kernel in this pass, and in the fastest pass so far.
    """
    found = []
    if others_share is not None and others_share > BUSY:
        found.append(f"other processes used {100 * others_share:.0f}% of the processors")
    if throttled:
        found.append(f"throttled by {throttled}")
    if kernel > SLOW * fastest:
        found.append(f"the calibration kernel took {kernel / fastest:.2f} times its fastest pass")
    return "; ".join(found)


def _busy(path: Path = Path("/proc/stat")) -> float | None:
    """Processor seconds that were not idle; None where there is no /proc."""
    try:
        fields = path.read_text(encoding="ascii").split("\n", 1)[0].split()[1:9]
    except OSError:
        return None
    user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, fields)
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def _processor_clock(path: Path = Path("/proc/cpuinfo")) -> float | None:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    clocks = [float(line.partition(":")[2]) for line in lines if line.startswith("cpu MHz")]
    return statistics.fmean(clocks) if clocks else None


def _gpu(device: str) -> dict[str, Any]:
    """What NVML says of a GPU; empty where `nvidia-ml-py` is not installed or the driver refuses."""
    try:
        import pynvml  # pyright: ignore[reportMissingImports]
    except ImportError:
        return {}
    found: dict[str, Any] = {}
    with contextlib.suppress(pynvml.NVMLError):
        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByIndex(int(device.partition(":")[2] or 0))
        found["clock_mhz"] = float(pynvml.nvmlDeviceGetClockInfo(handle, pynvml.NVML_CLOCK_SM))
        found["temperature"] = float(pynvml.nvmlDeviceGetTemperature(handle, pynvml.NVML_TEMPERATURE_GPU))
        reasons = pynvml.nvmlDeviceGetCurrentClocksThrottleReasons(handle)
        heat = (
            pynvml.nvmlClocksThrottleReasonSwThermalSlowdown
            | pynvml.nvmlClocksThrottleReasonHwThermalSlowdown
        )
        power = (
            pynvml.nvmlClocksThrottleReasonSwPowerCap | pynvml.nvmlClocksThrottleReasonHwPowerBrakeSlowdown
        )
        names = [name for name, bits in (("heat", heat), ("power", power)) if reasons & bits]
        found["throttled"] = " and ".join(names)
        found["joules"] = pynvml.nvmlDeviceGetTotalEnergyConsumption(handle) / 1000
    return found
