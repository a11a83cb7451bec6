"""A tiny CLIP in open_clip's layout with seeded random weights, for rehearsals; its numbers mean nothing."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

from bench.errors import InputError


def folder(root: Path) -> Path:
    """An open_clip folder with seeded random weights, written on first use."""
    path = root / "clip-1"
    if path.is_dir():
        return path
    root.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=".clip-", dir=root))
    try:
        _write(made)
        made.chmod(0o755)
        made.rename(path)
    except OSError as error:
        if not path.is_dir():
            raise InputError(f"cannot write the tiny CLIP into {root}: {error.strerror}") from None
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return path


def _write(place: Path) -> None:
    import open_clip
    import torch
    from safetensors.torch import save_file

    from bench.models.tiny import filled

    config = {
        "model_cfg": {
            "embed_dim": 32,
            "vision_cfg": {"image_size": 64, "layers": 2, "width": 32, "head_width": 16, "patch_size": 16},
            "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
        },
        "preprocess_cfg": {
            "mean": list(open_clip.OPENAI_DATASET_MEAN),
            "std": list(open_clip.OPENAI_DATASET_STD),
            "interpolation": "bicubic",
            "resize_mode": "shortest",
        },
    }
    model = open_clip.CLIP(**config["model_cfg"])
    # `filled` draws arrays; CLIP's scale is a scalar.
    model.logit_scale = torch.nn.Parameter(torch.zeros(1))
    tensors = {name: value.contiguous() for name, value in filled(model, seed=11).state_dict().items()}
    tensors["logit_scale"] = tensors["logit_scale"].reshape(())
    save_file(tensors, place / "open_clip_model.safetensors")
    (place / "open_clip_config.json").write_text(json.dumps(config, indent=1), encoding="utf-8")
