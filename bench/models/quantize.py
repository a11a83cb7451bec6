"""Quantised parts through diffusers' own configurations: bitsandbytes, torchao, gguf. Each is an extra to install."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from typing import Any

from bench.errors import InputError, unknown
from bench.models.model import QUANTIZATIONS

PACKAGES = {"nf4": "bitsandbytes", "int8": "torchao", "fp8": "torchao", "gguf": "gguf"}
BITS = {"nf4": 4, "int8": 8, "fp8": 8}
"""A weight of a quantised matrix; what a gguf file's take is in the file."""


def check_quantization(model: str, quantization: Mapping[str, str], device: str) -> None:
    """Raises InputError for a level that is unknown, whose package is absent, or that needs a GPU."""
    for part, level in quantization.items():
        if level not in QUANTIZATIONS:
            raise unknown(f"quantization of {part} of model '{model}'", level, QUANTIZATIONS)
        package = PACKAGES[level]
        if importlib.util.find_spec(package) is None:
            raise InputError(
                f"model '{model}': quantization '{level}' needs the package {package}: "
                "pip install turbo-preference-bench[quantized]"
            )
        if level == "nf4" and not device.startswith("cuda"):
            raise InputError(
                f"model '{model}': quantization 'nf4' (bitsandbytes) needs a GPU, and --device is {device}"
            )


def quantization_config(level: str, dtype: Any, library: str) -> Any:
    """The configuration of a level for `from_pretrained`.

    Parameters
    ----------
    level
        One of QUANTIZATIONS.
    dtype
        torch dtype in which a quantised layer computes.
    library
        `diffusers` or `transformers`: each has classes of its own.
    """
    import importlib

    holder: Any = importlib.import_module(library)
    if level == "nf4":
        return holder.BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=dtype
        )
    if level == "gguf":
        if library != "diffusers":
            raise InputError("quantization 'gguf' is for the denoiser; text encoders take nf4, int8 or fp8")
        return holder.GGUFQuantizationConfig(compute_dtype=dtype)
    from torchao.quantization import (  # pyright: ignore[reportMissingImports]
        Float8WeightOnlyConfig,
        Int8WeightOnlyConfig,
    )

    return holder.TorchAoConfig(Int8WeightOnlyConfig() if level == "int8" else Float8WeightOnlyConfig())
