"""What a model's weights take, before they are loaded: from the headers of its files, or from its architecture."""

from __future__ import annotations

import math
from pathlib import Path

from bench.models.model import Model
from bench.models.quantize import BITS
from bench.models.weights import own_folder, tensor_shapes

BYTES = {"float16": 2, "bfloat16": 2, "float32": 4}
"""A number."""


def weight_bytes(model: Model, dtype: str) -> int | None:
    """Bytes of all parts of a model in a dtype; None: neither its files nor its architecture are here.

    The stages of a cascade are counted together, as they are loaded together; a replaced denoiser takes what the
    base's does, a LoRA is fused, and a quantised part takes its own width.
    """
    own = own_folder(model.repository)
    if own is not None and own.is_file():
        return (
            sum(math.prod(shape) for _, shape in tensor_shapes(own)) * BYTES[dtype]
            if _is_plain(own)
            else None
        )
    folders = [_folder(p.repository, p.revision) for p in (model, *model.stages)]
    sizes = [part_parameters(folder) for folder in folders if folder is not None]
    if len(sizes) == len(folders) and all(sizes):
        return round(
            sum(count * _width(model, part, dtype) for parts in sizes for part, count in parts.items())
        )
    from bench.models.architectures import ARCHITECTURES, meta_parts

    if model.name not in ARCHITECTURES:
        return None
    return sum(p.numel() for part in meta_parts(model).values() for p in part.parameters()) * BYTES[dtype]


def _width(model: Model, part: str, dtype: str) -> float:
    """Bytes a number of a part."""
    level = model.quantization.get(part)
    return BITS[level] / 8 if level in BITS else BYTES[dtype]


def _is_plain(file: Path) -> bool:
    return file.suffix == ".safetensors"


def count_parameters(folder: Path) -> int:
    """Numbers in the safetensors files of a pipeline folder; 0 where there are none."""
    return sum(part_parameters(folder).values())


def part_parameters(folder: Path) -> dict[str, int]:
    """Part → numbers in its safetensors files: its `fp16` files are left out where it has plain ones too."""
    counts = {}
    for part in sorted({path.parent for path in folder.glob("*/*.safetensors")}):
        files = sorted(part.glob("*.safetensors"))
        plain = [path for path in files if ".fp16" not in path.name]
        counts[part.name] = sum(
            math.prod(shape) for path in plain or files for _, shape in tensor_shapes(path)
        )
    return counts


def _folder(repository: str, revision: str) -> Path | None:
    own = own_folder(repository)
    if own is not None:
        return own if own.is_dir() else None
    from huggingface_hub import try_to_load_from_cache

    index = try_to_load_from_cache(repository, "model_index.json", revision=revision)
    return Path(index).parent if isinstance(index, str) else None
