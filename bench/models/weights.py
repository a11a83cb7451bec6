"""Where a model's files are: the hub's cache, a local folder, or one the suite makes; whole, or an error."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bench.errors import InputError
from bench.models.model import Model, Weights
from bench.records import cache_folder

_CONFIGS = ("config.json", "tokenizer_config.json", "scheduler_config.json", "preprocessor_config.json")
_MINIATURE = Path(__file__).resolve().parent.parent / "miniature" / "weights"


def own_folder(repository: str) -> Path | None:
    """A folder on this disk that needs no hub; None for a hub id.

    `tiny:NAME` is made in the cache on first use; `miniature:NAME` ships with the suite.
    """
    kind, colon, name = repository.partition(":")
    if colon and kind == "tiny":
        from bench.models.tiny import folder

        return folder(name, cache_folder() / "tiny")
    if colon and kind == "miniature":
        return _MINIATURE / name
    path = Path(repository).expanduser()
    if path.is_dir() or repository.startswith((".", "/", "~")):
        return path
    return None


def pieces(model: Model) -> list[Weights]:
    """Every repository the model needs, base first, each once."""
    found = [Weights(repository=model.repository, revision=model.revision)]
    found += [Weights(repository=stage.repository, revision=stage.revision) for stage in model.stages]
    overlays = [model.unet, model.lora]
    for recipe in model.recipes.values():
        overlays += [recipe.unet, recipe.lora]
    found += [piece for piece in overlays if piece is not None]
    return list(dict.fromkeys(found))


def base_folder(
    name: str, repository: str, revision: str, variant: str | None, drop: tuple[str, ...]
) -> Path:
    """The checked folder of a pipeline in hub layout: on disk, or in the hub's cache (fetched if online)."""
    path = own_folder(repository)
    if path is None:
        path = _downloaded(name, repository, revision, variant)
    check_folder(path, name, drop)
    return path


def _downloaded(name: str, repository: str, revision: str, variant: str | None) -> Path:
    from diffusers import DiffusionPipeline

    try:
        return Path(DiffusionPipeline.download(repository, revision=revision, variant=variant))
    except (OSError, ValueError) as error:
        raise _absent(name, repository, revision, error) from None


def piece_file(name: str, piece: Weights, default: str) -> Path:
    """One safetensors file of an overlay. default: the name looked for where the entry names none."""
    folder = own_folder(piece.repository)
    wanted = piece.file or default
    if folder is not None:
        path = folder / piece.subfolder / wanted
        if not path.is_file():
            raise InputError(f"model '{name}': '{wanted}' is missing in {folder / piece.subfolder}")
        return path
    from huggingface_hub import hf_hub_download

    try:
        return Path(
            hf_hub_download(
                piece.repository, wanted, subfolder=piece.subfolder or None, revision=piece.revision
            )
        )
    except (OSError, ValueError) as error:
        raise _absent(name, piece.repository, piece.revision, error) from None


def _absent(name: str, repository: str, revision: str, error: Exception) -> InputError:
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return InputError(
        f"model '{name}': weights {repository}@{revision} are not on this machine and could not be fetched "
        f"({reason}); fetch them where there is a network (`bench fetch`), or name a local folder"
    )


def check_folder(folder: Path, name: str, drop: tuple[str, ...] = ()) -> None:
    """A pipeline folder is whole: its index, and for each part its configuration and readable weights.

    Raises InputError naming the part.
    """
    if not folder.is_dir():
        raise InputError(f"model '{name}': no folder {folder}; name a folder in hub layout, or a hub id")
    index = folder / "model_index.json"
    if not index.is_file():
        raise InputError(
            f"model '{name}': {folder} has no model_index.json; a pipeline folder in hub layout has one "
            "(`pipeline.save_pretrained(folder)` writes it)"
        )
    parts = _json(index, name)
    for part, kind in sorted(parts.items()):
        if part.startswith("_") or part in drop or not isinstance(kind, list) or kind[1] is None:
            continue
        _check_part(folder / part, part, name, is_model=_has_weights(kind[1]))


def _has_weights(class_name: str) -> bool:
    without = ("Tokenizer", "TokenizerFast", "Scheduler", "Processor", "FeatureExtractor")
    return not class_name.endswith(without)


def _check_part(folder: Path, part: str, name: str, is_model: bool) -> None:
    cure = "copy the part again, or remove the folder and fetch the model anew"
    if not folder.is_dir():
        raise InputError(f"model '{name}': part '{part}' is missing ({folder}); {cure}")
    configs = [folder / config for config in _CONFIGS if (folder / config).is_file()]
    if not configs:
        raise InputError(f"model '{name}': part '{part}' has no configuration file in {folder}; {cure}")
    for config in configs:
        _json(config, name)
    files = sorted(folder.glob("*.safetensors")) + sorted(folder.glob("*.bin"))
    if is_model and not files:
        raise InputError(f"model '{name}': part '{part}' has no weights in {folder}; {cure}")
    for file in files:
        if file.suffix == ".safetensors" and not _readable(file):
            raise InputError(f"model '{name}': part '{part}' is damaged: {file.name} is cut short; {cure}")


def _readable(file: Path) -> bool:
    """The header parses and the file is as long as it says."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, "pt") as tensors:
            return bool(list(tensors.keys()))
    except (SafetensorError, OSError):
        return False


def _json(path: Path, name: str) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        raise InputError(f"model '{name}': {path} is not JSON; fetch the file again") from None
    if not isinstance(data, dict):
        raise InputError(f"model '{name}': {path} should hold an object")
    return data


def variant_of(folder: Path, variant: str | None) -> str | None:
    """The variant if the folder has its files, else None: a local copy may hold the plain ones only."""
    if variant and any(folder.rglob(f"*.{variant}.safetensors")):
        return variant
    return None


def fetch(model: Model) -> dict[str, str]:
    """Downloads everything a model needs into the hub's cache: repository → commit it resolved to.

    Models of the suite's own need nothing. Raises InputError where the hub does not answer.
    """
    if model.kind == "imported":
        return {}
    from bench.models.families import FAMILIES

    drop = tuple(FAMILIES[model.pipeline].drop)
    commits = {}
    bases = [(model.repository, model.revision, model.variant)]
    bases += [(stage.repository, stage.revision, stage.variant) for stage in model.stages]
    for repository, revision, variant in bases:
        commits[repository] = _commit(base_folder(model.name, repository, revision, variant, drop))
    for piece in pieces(model)[len(bases) :]:
        commits[piece.repository] = _commit(overlay_file(model, piece))
    return {name: commit for name, commit in commits.items() if own_folder(name) is None}


def overlay_file(model: Model, piece: Weights) -> Path:
    """The weights file of a UNet swap or LoRA."""
    if piece.file:
        return piece_file(model.name, piece, piece.file)
    names = ("diffusion_pytorch_model.fp16.safetensors", "diffusion_pytorch_model.safetensors")
    folder = own_folder(piece.repository)
    if folder is not None:
        names = tuple(n for n in names if (folder / piece.subfolder / n).is_file()) or names[1:]
    return piece_file(model.name, piece, names[0] if model.variant else names[-1])


def _commit(path: Path) -> str:
    """The commit in a hub cache path `…/snapshots/COMMIT/…`; empty for a local folder."""
    parts = path.parts
    return parts[parts.index("snapshots") + 1] if "snapshots" in parts else ""


def is_cached(model: Model) -> bool:
    """True when nothing of the model needs a network. Reads the disk only."""
    if model.kind == "imported":
        return True
    from huggingface_hub import scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    needed = {piece.repository for piece in pieces(model) if ":" not in piece.repository}
    needed = {name for name in needed if own_folder(name) is None}
    missing_own = [p for p in pieces(model) if p.repository.startswith("miniature:")]
    if any(not (own_folder(piece.repository) or Path()).is_dir() for piece in missing_own):
        return False
    if not needed:
        return True
    try:
        return needed <= {repo.repo_id for repo in scan_cache_dir().repos}
    except CacheNotFound:
        return False
