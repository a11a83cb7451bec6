"""A model entry → its pipeline, ready on a device: pretrained or of random weights, at an `--optimize` level."""

from __future__ import annotations

from bench.models.architectures import random_pipeline
from bench.models.entries import Model
from bench.models.loading import load_pretrained
from bench.models.optimize import check_level, optimized
from bench.models.staged import Pipeline, quiet
from bench.records import InputError, unknown

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


def load(
    model: Model,
    *,
    device: str = "cpu",
    dtype: str | None = None,
    optimize: str = "none",
    weights: str = "pretrained",
) -> Pipeline:
    """A model's pipeline on a device.

    dtype: one of DTYPES; None is the entry's on a GPU and float32 on a CPU. optimize: a level of
    `bench.models.optimize.LEVELS`. weights: `pretrained`, or `random`: the real architecture, nothing downloaded.
    Raises InputError: imported model, no such device, dtype or level, weights absent or not whole.
    """
    if model.kind == "imported":
        raise InputError(f"model '{model.name}' is imported images: bring them in with `bench import`")
    check_device(device)
    check_level(optimize)
    if device.startswith("cuda:"):
        import torch

        torch.cuda.set_device(device)  # or pinned memory and compiled graphs would also live on cuda:0
    dtype = dtype or ("float32" if device == "cpu" else model.dtype)
    if dtype not in DTYPES:
        raise unknown("dtype", dtype, DTYPES)
    if weights == "random" and model.weights != "random":
        loaded = Pipeline(model, quiet(random_pipeline(model, device, dtype)), device)
    elif weights in ("pretrained", "random"):
        loaded = load_pretrained(model, device, dtype)
    else:
        raise unknown("weights", weights, ("pretrained", "random"))
    return optimized(loaded, optimize)
