"""What gpu.py measured, as tables."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from typing import Any

GOALS = {"sdxl-turbo@1": (2.0, 0.35), "sdxl@50": (2.0, 0.50)}
"""Contender → (images a second over the stock call in a loop, share of the card's rate)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    contender: str
    size: int
    dtype: str
    level: str
    how: str
    """`call`: one batch after the other, pixels on the host, no file. `sweep`: `bench generate`, files written."""
    batch: int
    seconds: tuple[float, ...]
    """Of each call; of the whole sweep."""
    images: int
    """In each of `seconds`."""
    images_per_second: float
    encode_ms: float | None = None
    forward_ms: float | None = None
    decode_ms: float | None = None
    tflop: float
    """A picture."""
    share: float
    """Of the measured matrix rate."""
    over_stock: float | None = None
    """Images a second over the stock call in a loop, one picture a call."""
    memory_gib: float | None = None
    start_seconds: float | None = None
    """Load, compile and first call."""
    apart: tuple[float, int] | None = None
    """Mean and largest difference of the first picture from the one of level `none`, batch 1; in 255ths."""


def key(row: Row) -> tuple[Any, ...]:
    return (row.contender, row.size, row.dtype, row.level, row.how, row.batch)


def table(rows: list[Row], full: bool) -> str:
    head = ["contender", "px", "dtype", "level", "how", "batch", "images/s", "ms/image", "share", "× stock"]
    head += (
        ["encode ms", "forward ms", "decode ms", "TFLOP", "GiB", "start s", "mean Δ", "largest Δ", "N"]
        if full
        else []
    )
    lines = [head, ["---"] * len(head)]
    for row in rows:
        cells = [row.contender, row.size, row.dtype, row.level, row.how, row.batch]
        cells += [f"{row.images_per_second:.2f}", f"{1e3 / row.images_per_second:.1f}", percent(row.share)]
        cells += [number(row.over_stock, 2)]
        if full:
            parts = (row.encode_ms, row.forward_ms, row.decode_ms, row.tflop, row.memory_gib)
            cells += [*(number(part, 2) for part in parts), number(row.start_seconds, 1)]
            cells += [*(("–", "–") if row.apart is None else row.apart), len(row.seconds)]
        lines.append([str(cell) for cell in cells])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def line(row: Row) -> str:
    return table([row], full=False).splitlines()[-1]


def number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}%"


def goals(rows: list[Row]) -> list[str]:
    """Each goal with what was reached, by the call and by the sweep."""
    told = []
    for name, (speed, share) in GOALS.items():
        for how in ("call", "sweep"):
            ours = [
                row
                for row in rows
                if (row.contender, row.how, row.dtype) == (name, how, "bfloat16") and row.level != "stock"
            ]
            if ours:
                best = max(ours, key=lambda row: row.images_per_second)
                told.append(
                    f"{name} by {how}: {number(best.over_stock, 2)}× the stock call in a loop (goal {speed}×), "
                    f"{percent(best.share)} of the matrix rate (goal {percent(share)}), at {best.level}, "
                    f"batch {best.batch}"
                )
    return told


def document(data: dict[str, Any], rows: list[Row]) -> str:
    """data: what gpu.json holds."""
    lines = [
        f"# {data['device']}, torch {data['torch']}, random weights",
        "",
        table(rows, full=True),
        "",
    ]
    lines += [f"- {told}" for told in goals(rows)]
    lines += [f"- {name}: {json.dumps(value)}" for name, value in data["notes"].items()]
    lines += [f"- not measured: {told}" for told in data["skipped"]]
    lines += ["", *(f"{name}: {data[name]}." for name in ("matrix rate", "window", "start", "Δ"))]
    lines += [f"\n## {name}\n\n```\n{text.rstrip()}\n```" for name, text in data["kernels"].items()]
    return "\n".join(lines) + "\n"


def spent(events: list[tuple[str, float, int]], most: int = 30) -> str:
    """A table of (kernel, ms, calls), the longest first."""
    events = sorted(events, key=lambda event: -event[1])
    whole = sum(ms for _, ms, _ in events)
    lines = [f"{'ms':>8}  {'share':>6}  {'calls':>5}  kernel", f"{whole:8.2f}  {'100%':>6}  {'':5}  all"]
    lines += [
        f"{ms:8.2f}  {percent(ms / whole):>6}  {n:5}  {kernel[:110]}" for kernel, ms, n in events[:most]
    ]
    return "\n".join(lines)


def kind(kernel: str) -> str:
    """What a kernel's name says that it does."""
    for what, pattern in (
        ("norms and other fused arithmetic", "^triton"),
        ("attention", "sdpa|flash|fmha|attention"),
        ("convolutions", "fprop|conv|implicit_gemm"),
        ("matrix products", "nvjet|gemm|cublas|cutlass|addmm|bmm|::mm"),
        ("copies", "Memcpy|Memset|copy|Nhwc|Nchw"),
    ):
        if re.search(pattern, kernel):
            return what
    return "the rest"


def busy(events: Any) -> float:
    """Seconds in which at least one kernel or copy ran."""
    spans = sorted(
        (event.time_range.start, event.time_range.end)
        for event in events
        if "CUDA" in str(event.device_type) and not event.is_user_annotation
    )
    total, until = 0.0, -math.inf
    for start, end in spans:
        total += max(0.0, end - max(start, until))
        until = max(until, end)
    return total / 1e6
