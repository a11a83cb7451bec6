"""Device, dtype and clocks: which device and dtype are used, and how time on it is read."""

from __future__ import annotations

import platform
import time

from bench.errors import InputError, unknown


def matrix_rate(device: str, seconds: float = 1.0) -> float:
    """TFLOP/s of a large square product, the best of many: what the device gives when it does nothing else.

    bfloat16, 8192² on a GPU, where the models run in 16 bits; float32, 1024² on a CPU.
    """
    import torch

    side, dtype = (8192, torch.bfloat16) if device.startswith("cuda") else (1024, torch.float32)
    a, b = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))  # of ones a card is faster
    best = float("inf")
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or best == float("inf"):
        began = now(device)
        _ = a @ b
        best = min(best, now(device) - began)
    return 2 * side**3 / best / 1e12


def now(device: str) -> float:
    """Seconds of a clock that is read when the device has done all it was given."""
    if device.startswith("cuda"):
        import torch

        torch.cuda.synchronize(device)
    return time.perf_counter()


def device_name(device: str) -> str:
    """`NVIDIA H200`, or the processor's architecture and the number of cores in use."""
    if device.startswith("cuda"):
        import torch

        return torch.cuda.get_device_name(device) if torch.cuda.is_available() else "GPUs of a cluster"
    return f"CPU {platform.machine()}"


def threads(device: str) -> int | None:
    """Of torch on a CPU; None on a GPU."""
    import torch

    return None if device.startswith("cuda") else torch.get_num_threads()


DTYPES = ("float16", "bfloat16", "float32")


def check_device(device: str) -> None:
    """Raises InputError for a device that this machine has not."""
    import torch

    kind, _, number = device.partition(":")
    if kind not in ("cpu", "cuda") or (number and not number.isdigit()):
        raise unknown("device", device, ("cpu", "cuda", "cuda:0"))
    if kind == "cuda" and not torch.cuda.is_available():
        raise InputError(f"device '{device}': torch sees no GPU here; use `--device cpu`, or a GPU machine")
    if kind == "cuda" and number and int(number) >= torch.cuda.device_count():
        count = torch.cuda.device_count()
        raise InputError(f"device '{device}': there are {count} GPUs here, cuda:0 to cuda:{count - 1}")
