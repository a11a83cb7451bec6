"""Which networks turn images into features, and where on this machine their weights are."""

from __future__ import annotations

import functools
import hashlib
import importlib
import importlib.util
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from bench.records import InputError, cache_folder, unknown

INCEPTION_FILES = ("inception-2015-12-05-trunk.pth", "weights-inception-2015-12-05-6726825d.pth")


@dataclass(frozen=True, slots=True, kw_only=True)
class Extractor:
    kind: Literal[
        "inception", "open_clip", "tiny-clip", "transformers-clip", "dinov2", "aesthetic", "miniature"
    ]
    resize: str
    """As it stands in the protocol."""
    weights: str
    """Hub id, file or tag."""
    architecture: str = ""
    """open_clip's name of it."""
    native: bool = False
    """Takes the image at its native size, not at the study's display size."""
    licence: str = ""
    note: str = ""


_CLIP_RESIZE = "bicubic with antialias, shortest side, centre crop (open_clip's own transform)"

EXTRACTORS: dict[str, Extractor] = {
    "inception-tf": Extractor(
        kind="inception",
        resize="inception-tf: TensorFlow 1 bilinear to 299, float",
        weights=INCEPTION_FILES[0],
        licence="Apache-2.0",
    ),
    "inception-clean": Extractor(
        kind="inception",
        resize="clean: PIL bicubic with antialias to 299, float, clipped",
        weights=INCEPTION_FILES[0],
        licence="Apache-2.0",
    ),
    "inception-patch": Extractor(
        kind="inception",
        resize="patch: centre crop of 299 at native size",
        weights=INCEPTION_FILES[0],
        native=True,
        licence="Apache-2.0",
    ),
    "clip-vit-g-14": Extractor(
        kind="open_clip",
        resize=_CLIP_RESIZE,
        architecture="ViT-g-14",
        weights="laion2b_s12b_b42k",
        licence="MIT",
    ),
    "clip-vit-l-14": Extractor(
        kind="open_clip",
        resize=_CLIP_RESIZE,
        architecture="ViT-L-14",
        weights="laion2b_s32b_b82k",
        licence="MIT",
    ),
    "clip-vit-b-32": Extractor(
        kind="open_clip",
        resize=_CLIP_RESIZE,
        architecture="ViT-B-32",
        weights="laion2b_s34b_b79k",
        licence="MIT",
    ),
    "clip-vit-b-32-openai": Extractor(
        kind="open_clip", resize=_CLIP_RESIZE, architecture="ViT-B-32", weights="openai", licence="MIT"
    ),
    "clip-vit-l-14-336": Extractor(
        kind="open_clip", resize=_CLIP_RESIZE, architecture="ViT-L-14-336", weights="openai", licence="MIT"
    ),
    "tiny-clip": Extractor(
        kind="tiny-clip",
        resize=_CLIP_RESIZE,
        weights="seeded random weights",
        note="random weights: means nothing",
    ),
    "dinov2": Extractor(
        kind="dinov2",
        resize="bicubic with antialias, PIL, to 224 x 224",
        weights="facebook/dinov2-large",
        licence="Apache-2.0",
    ),
    "pickscore": Extractor(
        kind="transformers-clip",
        resize="as the model's image processor",
        weights="yuvalkirstain/PickScore_v1",
        licence="MIT",
    ),
    "hpsv2.1": Extractor(
        kind="open_clip",
        resize=_CLIP_RESIZE,
        architecture="ViT-H-14",
        weights="xswu/HPSv2/HPS_v2.1_compressed.pt",
        licence="Apache-2.0",
    ),
    "aesthetic": Extractor(
        kind="aesthetic",
        resize=_CLIP_RESIZE,
        architecture="ViT-L-14",
        weights="sac+logos+ava1-l14-linearMSE.pth",
        licence="Apache-2.0",
    ),
    "mini-clip": Extractor(kind="miniature", resize="none", weights="miniature", licence="Apache-2.0"),
    "mini-features": Extractor(kind="miniature", resize="none", weights="miniature", licence="Apache-2.0"),
    "mini-scene": Extractor(kind="miniature", resize="none", weights="miniature", licence="Apache-2.0"),
}
DEFAULT_CLIP = "clip-vit-g-14"
"""The reference study's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Located:
    """An extractor whose weights are on this machine."""

    name: str
    extractor: Extractor
    path: Path
    """Weights file, or a folder in the layout of its library."""

    def protocol(self) -> dict[str, Any]:
        """Everything about it that decides a number."""
        return {
            "extractor": self.name,
            "architecture": self.extractor.architecture,
            "resize": self.extractor.resize,
            "weights": self.extractor.weights,
            "weights_sha256": tree_sha256(self.path),
            "dtype": "float32",
        } | ({"note": self.extractor.note} if self.extractor.note else {})


def clip_name(choice: str, base: Path) -> str:
    """The extractor of `[metrics] clip`: a name of the table, or a folder in open_clip layout."""
    if not choice:
        return DEFAULT_CLIP
    folder = base / Path(choice.removeprefix("local-dir:")).expanduser()
    if (folder / "open_clip_config.json").is_file():
        return f"local-dir:{folder.resolve()}"
    clips = [name for name, entry in EXTRACTORS.items() if entry.kind in ("open_clip", "tiny-clip")]
    if choice in clips:
        return choice
    raise InputError(
        f"[metrics] clip: {unknown('CLIP', choice, clips)}, or a folder with open_clip_config.json"
    )


def locate(name: str) -> Located:
    """Where the weights are. Reads the disk only. Raises InputError naming `bench fetch` if they are not."""
    if name.startswith("local-dir:"):
        folder = Path(name.removeprefix("local-dir:"))
        entry = Extractor(kind="open_clip", resize=_CLIP_RESIZE, weights=f"folder {folder.name}")
        if not (folder / "open_clip_config.json").is_file():
            raise InputError(f"{folder} has no open_clip_config.json: name a folder in open_clip layout")
        return Located(name=f"local-dir:{folder.name}", extractor=entry, path=folder)
    if name not in EXTRACTORS:
        raise unknown("extractor", name, EXTRACTORS)
    entry = EXTRACTORS[name]
    path = _FINDERS[entry.kind](entry)
    if path is None:
        raise InputError(
            f"the weights of '{name}' ({entry.architecture} {entry.weights}) are not on this machine: run "
            f"`bench fetch` where there is a network, or put them into {cache_folder() / 'weights'}"
        )
    return Located(name=name, extractor=entry, path=path)


def tree_sha256(path: Path) -> str:
    """sha256 of a file, or of the names and hashes of a folder's files."""
    stamp = tuple((p.name, p.stat().st_size, p.stat().st_mtime_ns) for p in _files(path))
    return _tree_sha256(path, stamp)


def _files(path: Path) -> list[Path]:
    return sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]


@functools.cache
def _tree_sha256(path: Path, _stamp: tuple[Any, ...]) -> str:
    hashes = []
    for file in _files(path):
        with file.open("rb") as stream:
            hashes.append(
                (file.relative_to(path).as_posix(), hashlib.file_digest(stream, "sha256").hexdigest())
            )
    return hashes[0][1] if path.is_file() else hashlib.sha256(json.dumps(hashes).encode()).hexdigest()


def weights_folders() -> list[Path]:
    """Where weight files are looked for, in order."""
    folders = [cache_folder() / "weights"]
    if os.environ.get("BENCH_SHARED"):
        folders.append(Path(os.environ["BENCH_SHARED"]) / "data" / "weights")
    return folders


def _find_file(*names: str) -> Path | None:
    found = (folder / name for folder in weights_folders() for name in names)
    return next((path for path in found if path.is_file()), None)


def _find_inception(entry: Extractor) -> Path | None:
    return _find_file(*INCEPTION_FILES)


def find_open_clip(entry: Extractor) -> Path | None:
    if entry.weights.endswith(".pt"):
        repository, _, file = entry.weights.rpartition("/")
        return _find_file(file) or _cached(repository, file)
    import open_clip

    hub = open_clip.get_pretrained_cfg(entry.architecture, entry.weights).get("hf_hub", "").strip("/")
    names = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
    return next((path for name in names if (path := _cached(hub, name))), None)


def _find_tiny(entry: Extractor) -> Path | None:
    return tiny_clip_folder(cache_folder() / "tiny")


def _find_hub_folder(entry: Extractor) -> Path | None:
    local = next((f / entry.weights.rpartition("/")[2] for f in weights_folders()), None)
    if local is not None and (local / "config.json").is_file():
        return local
    config = _cached(entry.weights, "config.json")
    return config.parent if config else None


def _find_aesthetic(entry: Extractor) -> Path | None:
    return _find_file(entry.weights) if find_open_clip(AESTHETIC_TOWER) else None


def _find_miniature(entry: Extractor) -> Path | None:
    if importlib.util.find_spec("bench.miniature.instruments") is None:
        return None
    instruments = importlib.import_module("bench.miniature.instruments")
    return instruments.weights_path()


AESTHETIC_TOWER = Extractor(kind="open_clip", resize=_CLIP_RESIZE, architecture="ViT-L-14", weights="openai")
_FINDERS: dict[str, Callable[[Extractor], Path | None]] = {
    "inception": _find_inception,
    "open_clip": find_open_clip,
    "tiny-clip": _find_tiny,
    "transformers-clip": _find_hub_folder,
    "dinov2": _find_hub_folder,
    "aesthetic": _find_aesthetic,
    "miniature": _find_miniature,
}


def _cached(repository: str, file: str) -> Path | None:
    """A file of the hub's cache, without the network."""
    from huggingface_hub import try_to_load_from_cache

    if not repository:
        return None
    found = try_to_load_from_cache(repository, file)
    return Path(found) if isinstance(found, str) else None


def tiny_clip_folder(root: Path) -> Path:
    """An open_clip folder with seeded random weights, written on first use."""
    import shutil
    import tempfile

    path = root / "clip-1"
    if path.is_dir():
        return path
    root.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=".clip-", dir=root))
    try:
        _write_tiny_clip(made)
        made.chmod(0o755)
        made.rename(path)
    except OSError as error:
        if not path.is_dir():
            raise InputError(f"cannot write the tiny CLIP into {root}: {error.strerror}") from None
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return path


def _write_tiny_clip(folder: Path) -> None:
    import open_clip
    import torch
    from safetensors.torch import save_file

    from bench.tiny import filled

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
    save_file(tensors, folder / "open_clip_model.safetensors")
    (folder / "open_clip_config.json").write_text(json.dumps(config, indent=1), encoding="utf-8")
