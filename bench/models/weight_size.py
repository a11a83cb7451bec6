"""What a model's weights take, before they are loaded: from the headers of its files, or from its architecture."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

from bench.models.model import Model
from bench.models.weights import own_folder

BYTES = {"float16": 2, "bfloat16": 2, "float32": 4}
"""A number."""


def weight_bytes(model: Model, dtype: str) -> int | None:
    """Bytes of all parts of a model in a dtype; None: neither its files nor its architecture are here.

    The stages of a cascade are counted together, as they are loaded together; a swapped UNet takes what the
    base's does, and a LoRA is fused.
    """
    folders = [_folder(p.repository, p.revision) for p in (model, *model.stages)]
    found = [count_parameters(folder) for folder in folders if folder is not None]
    if len(found) == len(folders) and all(found):
        return sum(found) * BYTES[dtype]
    from bench.models.architectures import ARCHITECTURES, meta_parts

    if model.name not in ARCHITECTURES:
        return None
    return sum(p.numel() for part in meta_parts(model).values() for p in part.parameters()) * BYTES[dtype]


def count_parameters(folder: Path) -> int:
    """Numbers in the safetensors files of a pipeline folder, each part once: a part's `fp16` files are left out
    where it has plain ones too. 0 where there are none.
    """
    total = 0
    for part in sorted({path.parent for path in folder.glob("*/*.safetensors")}):
        files = sorted(part.glob("*.safetensors"))
        plain = [path for path in files if ".fp16" not in path.name]
        total += sum(math.prod(shape) for path in plain or files for shape in _shapes(path))
    return total


def _folder(repository: str, revision: str) -> Path | None:
    own = own_folder(repository)
    if own is not None:
        return own if own.is_dir() else None
    from huggingface_hub import try_to_load_from_cache

    index = try_to_load_from_cache(repository, "model_index.json", revision=revision)
    return Path(index).parent if isinstance(index, str) else None


def _shapes(path: Path) -> Iterator[list[int]]:
    """Of the tensors of a safetensors file; nothing but its header is read."""
    from safetensors import safe_open

    with safe_open(path, framework="np") as file:
        names = file.keys()
        for name in names:
            yield file.get_slice(name).get_shape()
