"""Where an extractor's weights are on this machine, what they hash to, and how they get here."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib
import importlib.util
import json
import os
import pickle
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.errors import InputError, unknown
from bench.metrics.extractors import (
    AESTHETIC_TOWER,
    BERT,
    CLIP_RESIZE,
    EXTRACTORS,
    FLAN_T5,
    HPS_V3_TEXT,
    INCEPTION_FILES,
    Extractor,
)
from bench.metrics.networks import tiny_clip
from bench.records import cache_folder
from bench.store.download import download
from bench.store.images import PIXELS

SAID = ("note", "captions", "answers", "base", "questions")
"""Fields of an extractor that its protocol holds where they are not empty."""
_LARGE = "bfloat16 on a GPU, float32 on a CPU"
DTYPES = {"hps-v3": _LARGE, "clip-flan-t5": _LARGE, "qwen-vl": _LARGE}
"""By kind; all others compute in float32."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Located:
    """An extractor whose weights are on this machine."""

    name: str
    extractor: Extractor
    path: Path
    """Weights file, or a folder in the layout of its library; of a user's metric the file of its code."""
    open: Callable[[str], Any] | None = None
    """Device to the network, where it is none of `bench.metrics.networks`."""
    questions: Path | None = None
    """The file of questions, of an extractor that asks those of a file."""

    def protocol(self) -> dict[str, Any]:
        """Everything about it that decides a number."""
        return {
            "extractor": self.name,
            "architecture": self.extractor.architecture,
            "colour": PIXELS,
            "resize": self.extractor.resize,
            "weights": self.extractor.weights,
            "weights_sha256": tree_sha256(self.path),
            "dtype": DTYPES.get(self.extractor.kind, "float32"),
            **({"questions_sha256": tree_sha256(self.questions)} if self.questions else {}),
        } | {key: value for key in SAID if (value := getattr(self.extractor, key))}


@contextlib.contextmanager
def reading(path: Path, what: str) -> Iterator[None]:
    """Raises InputError naming the file where a library cannot read it: damaged, cut short, or of another network."""
    from safetensors import SafetensorError

    unreadable = (OSError, EOFError, RuntimeError, ValueError, KeyError, AttributeError)
    try:
        yield
    except (*unreadable, SafetensorError, pickle.UnpicklingError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(f"{path} is not {what} ({reason}): remove it and run `bench fetch`") from None


def locate(name: str) -> Located:
    """Where the weights are. Reads the disk only. Raises InputError naming `bench fetch` if they are not."""
    if name.startswith("local-dir:"):
        folder = Path(name.removeprefix("local-dir:"))
        entry = Extractor(kind="open_clip", resize=CLIP_RESIZE, weights=f"folder {folder.name}")
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


def find_file(*names: str) -> Path | None:
    found = (folder / name for folder in weights_folders() for name in names)
    return next((path for path in found if path.is_file()), None)


def _find_inception(entry: Extractor) -> Path | None:
    return find_file(*INCEPTION_FILES)


def _find_hub_file(entry: Extractor) -> Path | None:
    repository, _, file = entry.weights.rpartition("/")
    return find_file(file) or _cached(repository, file)


def find_open_clip(entry: Extractor) -> Path | None:
    if entry.weights.endswith(".pt"):
        return _find_hub_file(entry)
    import open_clip

    hub = open_clip.get_pretrained_cfg(entry.architecture, entry.weights).get("hf_hub", "").strip("/")
    names = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
    return next((path for name in names if (path := _cached(hub, name))), None)


def _find_tiny(entry: Extractor) -> Path | None:
    return tiny_clip.folder(cache_folder() / "tiny")


def hub_folder(repository: str, file: str = "config.json") -> Path | None:
    """Where a hub's repository is on this machine: in a folder of weights by its name, or in the hub's cache."""
    folders = (folder / repository.rpartition("/")[2] for folder in weights_folders())
    local = next((folder for folder in folders if (folder / file).is_file()), None)
    found = None if local else _cached(repository, file)
    return local or (found.parent if found else None)


def _find_hub_folder(entry: Extractor) -> Path | None:
    return hub_folder(entry.weights)


def _find_hps_v3(entry: Extractor) -> Path | None:
    return _find_hub_file(entry) if hub_folder(entry.base) and find_file(HPS_V3_TEXT) else None


def _find_clip_flan_t5(entry: Extractor) -> Path | None:
    parts = hub_folder(entry.base), hub_folder(FLAN_T5, "tokenizer_config.json")
    return hub_folder(entry.weights) if all(parts) else None


def _find_aesthetic(entry: Extractor) -> Path | None:
    return find_file(entry.weights) if find_open_clip(AESTHETIC_TOWER) else None


def _find_miniature(entry: Extractor) -> Path | None:
    if importlib.util.find_spec("bench.miniature.instruments") is None:
        return None
    instruments = importlib.import_module("bench.miniature.instruments")
    return instruments.weights_path()


def _find_image_reward(entry: Extractor) -> Path | None:
    return _find_hub_file(entry) if bert_folder() else None


def bert_folder() -> Path | None:
    """The folder with the vocabulary that ImageReward's captions are read with."""
    return hub_folder(BERT, "vocab.txt")


def _find_named(entry: Extractor) -> Path | None:
    return find_file(entry.weights)


_FINDERS: dict[str, Callable[[Extractor], Path | None]] = {
    "inception": _find_inception,
    "open_clip": find_open_clip,
    "tiny-clip": _find_tiny,
    "transformers-clip": _find_hub_folder,
    "dinov2": _find_hub_folder,
    "instructblip": _find_hub_folder,
    "aesthetic": _find_aesthetic,
    "image-reward": _find_image_reward,
    "lpips": _find_named,
    "hps-v3": _find_hps_v3,
    "clip-flan-t5": _find_clip_flan_t5,
    "qwen-vl": _find_hub_folder,
    "miniature": _find_miniature,
}


def fetch(name: str) -> Path:
    """Brings an extractor's weights to this machine where there is a network; where they are then.

    Raises InputError: unknown name, or the host does not answer.
    """
    entry = EXTRACTORS[name]
    if _FINDERS[entry.kind](entry) is None:
        for one in (entry, *_PARTS.get(entry.kind, ())):
            try:
                _FETCHERS.get(one.kind, _fetch_hub_folder)(one)
            except OSError as error:
                reason = (str(error).strip() or type(error).__name__).splitlines()[0]
                raise InputError(f"the weights of '{name}' could not be fetched: {reason}") from None
    return locate(name).path


def _fetch_url(url: str, name: str) -> None:
    """A file into the cache's folder of weights; an address may end in the head of the file's sha256.

    Raises InputError: its home does not answer, or another file came.
    """
    folder = cache_folder() / "weights"
    folder.mkdir(parents=True, exist_ok=True)
    stem = url.rpartition("/")[2].rpartition(".")[0].rpartition("-")[2]
    wanted = stem if len(stem) == 8 and not set(stem) - set("0123456789abcdef") else ""
    with tempfile.TemporaryDirectory(dir=folder, prefix=".fetch-") as place:
        got = Path(place) / name
        download(url, got, f"check the network, or bring {name} into {folder}")
        found = tree_sha256(got)
        if not found.startswith(wanted):
            raise InputError(f"{url} gave a file of sha256 {found[:8]}…, not {wanted}…: try again")
        os.replace(got, folder / name)


def _fetch_inception(entry: Extractor) -> None:
    from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3

    _fetch_url(URL_INCEPTION_V3, INCEPTION_FILES[1])


def _fetch_open_clip(entry: Extractor) -> None:
    if entry.weights.endswith(".pt"):
        return _fetch_hub_file(entry)
    import open_clip

    configuration = open_clip.get_pretrained_cfg(entry.architecture, entry.weights)
    open_clip.download_pretrained(configuration, prefer_hf_hub=True)


def _fetch_hub_file(entry: Extractor) -> None:
    from huggingface_hub import hf_hub_download

    repository, _, file = entry.weights.rpartition("/")
    hf_hub_download(repository, file)


def _fetch_hub_folder(entry: Extractor) -> None:
    from huggingface_hub import snapshot_download

    snapshot_download(entry.weights, allow_patterns=["*.json", "*.safetensors", "*.txt", "*.model"])


def _fetch_aesthetic(entry: Extractor) -> None:
    home = "https://github.com/christophschuhmann/improved-aesthetic-predictor/raw/main/"
    _fetch_url(home + entry.weights, entry.weights)


def _fetch_image_reward(entry: Extractor) -> None:
    from huggingface_hub import hf_hub_download

    _fetch_hub_file(entry)
    for file in ("vocab.txt", "tokenizer_config.json"):
        hf_hub_download(BERT, file)


def _fetch_lpips(entry: Extractor) -> None:
    from torchvision.models import AlexNet_Weights

    _fetch_url(AlexNet_Weights.IMAGENET1K_V1.url, entry.weights)


def _fetch_hps_v3(entry: Extractor) -> None:
    from huggingface_hub import snapshot_download

    _fetch_hub_file(entry)
    snapshot_download(entry.base, allow_patterns=["*.json", "*.txt"])
    home = "https://raw.githubusercontent.com/MizzenAI/HPSv3/72b7ebaf0fe76bce636b3f4997aee319d0f65aef/"
    _fetch_url(home + "hpsv3/dataset/data_collator_qwen.py", HPS_V3_TEXT)


def _fetch_clip_flan_t5(entry: Extractor) -> None:
    from huggingface_hub import snapshot_download

    snapshot_download(entry.weights, allow_patterns=["*.json", "*.safetensors", "*.bin"])
    snapshot_download(entry.base, allow_patterns=["*.json", "*.safetensors"])
    snapshot_download(FLAN_T5, allow_patterns=["*tokenizer*", "spiece.model"])


_PARTS: dict[str, tuple[Extractor, ...]] = {"aesthetic": (AESTHETIC_TOWER,)}
_FETCHERS: dict[str, Callable[[Extractor], None]] = {
    "inception": _fetch_inception,
    "open_clip": _fetch_open_clip,
    "aesthetic": _fetch_aesthetic,
    "image-reward": _fetch_image_reward,
    "lpips": _fetch_lpips,
    "hps-v3": _fetch_hps_v3,
    "clip-flan-t5": _fetch_clip_flan_t5,
}


def _cached(repository: str, file: str) -> Path | None:
    """A file of the hub's cache, without the network."""
    from huggingface_hub import try_to_load_from_cache

    if not repository:
        return None
    found = try_to_load_from_cache(repository, file)
    return Path(found) if isinstance(found, str) else None
