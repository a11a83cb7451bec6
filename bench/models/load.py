"""A model entry → its pipeline, ready on a device: pretrained or of random weights, at an `--optimize` level."""

from __future__ import annotations

from bench.device import check_device, check_dtype, default_dtype
from bench.errors import InputError, unknown
from bench.models.architectures import random_pipeline
from bench.models.model import Model
from bench.models.optimize import check_level, optimized
from bench.models.pipeline import Pipeline, placed
from bench.models.pretrained import load_pretrained


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
    dtype = dtype or default_dtype(model.dtype, device)
    check_dtype(dtype)
    if weights == "random" and model.weights != "random":
        loaded = Pipeline(model, placed(random_pipeline(model, device, dtype), device), device, dtype)
    elif weights in ("pretrained", "random"):
        loaded = load_pretrained(model, device, dtype)
    else:
        raise unknown("weights", weights, ("pretrained", "random"))
    return optimized(loaded, optimize)
