"""Device, dtype, clocks and memory: which device and dtype are used, and how time and memory on it are read.

Nothing else in the suite decides these: a device that passes here passes everywhere.
"""

from __future__ import annotations

import functools
import os
import platform
import subprocess
import time
from pathlib import Path

from bench.errors import InputError, unknown

DTYPES = ("float16", "bfloat16", "float32")
DEVICES = ("auto", "cpu", "cuda", "cuda:0")
"""What `--device` takes; of `cuda:N` any number of a GPU that is there."""


def has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


def check_device(device: str) -> None:
    """Raises InputError for a device that this machine has not."""
    import torch

    kind, colon, number = device.partition(":")
    if kind not in ("cpu", "cuda") or (colon and (kind == "cpu" or not number.isdigit())):
        raise unknown("device", device, DEVICES[1:])
    if kind == "cuda" and not torch.cuda.is_available():
        raise InputError(f"device '{device}': torch sees no GPU here; use `--device cpu`, or a GPU machine")
    if number and int(number) >= torch.cuda.device_count():
        count = torch.cuda.device_count()
        raise InputError(f"device '{device}': there are {count} GPUs here, cuda:0 to cuda:{count - 1}")


def choose_device(asked: str, demanded: str = "any", study: str = "") -> str:
    """The device to use: `auto` is the GPU where there is one.

    Parameters
    ----------
    asked
        Of the user: `auto`, `cpu`, `cuda` or `cuda:N`.
    demanded
        Of the study file: `any`, `cpu` or `cuda`; the user's own word wins over `cpu`.
    study
        Its name, for the message.

    Raises
    ------
    InputError
        No such device here, or the study demands a GPU and there is none.
    """
    if asked == "cpu":
        return asked
    if asked == "auto":
        if demanded == "cpu":
            return "cpu"
        if not has_gpu() and demanded == "cuda":
            raise _needs_gpu(study)
        return "cuda" if has_gpu() else "cpu"
    if demanded == "cuda" and asked == "cuda" and not has_gpu():
        raise _needs_gpu(study)
    check_device(asked)
    return asked


def _needs_gpu(study: str) -> InputError:
    return InputError(
        f"study '{study}' asks for a GPU and there is none here: run it on a GPU node, or with "
        f"--device cpu (slow, and another protocol)"
    )


def default_dtype(own: str, device: str) -> str:
    """The dtype where none is asked for: the model's own on a GPU, float32 on a CPU."""
    return own if device.startswith("cuda") else "float32"


def check_dtype(dtype: str) -> None:
    if dtype not in DTYPES:
        raise unknown("dtype", dtype, DTYPES)


def synchronize(device: str) -> None:
    """Waits until the device has done all it was given; a clock read before that is not a time of it."""
    if device.startswith("cuda"):
        import torch

        torch.cuda.synchronize(device)


def now(device: str) -> float:
    """Seconds of a clock that is read when the device has done all it was given."""
    synchronize(device)
    return time.perf_counter()


def memory_peak(device: str) -> int | None:
    """Bytes allocated on the device at most since the last call; None on a CPU."""
    if not device.startswith("cuda"):
        return None
    import torch

    peak = torch.cuda.max_memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    return peak


def memory_there(device: str) -> int:
    """Bytes of memory: of the smallest GPU, or of the machine."""
    if not device.startswith("cuda"):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    import torch

    return min(torch.cuda.get_device_properties(n).total_memory for n in range(torch.cuda.device_count()))


def device_name(device: str) -> str:
    """`NVIDIA H200`, or the processor's architecture."""
    if device.startswith("cuda"):
        import torch

        return torch.cuda.get_device_name(device) if torch.cuda.is_available() else "GPUs of a cluster"
    return f"CPU {platform.machine()}"


def threads(device: str) -> int | None:
    """Of torch on a CPU; None on a GPU."""
    import torch

    return None if device.startswith("cuda") else torch.get_num_threads()


def matrix_rate(device: str, seconds: float = 1.0) -> float:
    """TFLOP/s of a large square product, the best of many: what the device gives when it does nothing else.

    bfloat16, 8192² on a GPU, where the models run in 16 bits; float32, 1024² on a CPU.
    """
    import torch

    side, dtype = (8192, torch.bfloat16) if device.startswith("cuda") else (1024, torch.float32)
    a, b = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))  # ones would run faster
    best = float("inf")
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or best == float("inf"):
        began = now(device)
        _ = a @ b
        best = min(best, now(device) - began)
    return 2 * side**3 / best / 1e12


def cpu_name() -> str:
    """The processor's model, as the system names it; its architecture where it does not."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


@functools.cache
def driver_version(device: str) -> str | None:
    """Of the GPU's driver; None on a CPU, or where it does not say."""
    if not device.startswith("cuda"):
        return None
    try:
        text = subprocess.run(
            ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            check=True,
            timeout=30,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return text.stdout.strip().splitlines()[0]
