"""Where a model's files are: the hub's cache, a local folder or file, or a folder that the suite writes; whole, or
an error that names the part."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.errors import InputError
from bench.models import hub
from bench.models.model import Model, Weights
from bench.records import cache_folder

_CONFIGS = ("config.json", "tokenizer_config.json", "scheduler_config.json", "preprocessor_config.json")
_MINIATURE = Path(__file__).resolve().parent.parent / "miniature" / "weights"
CHECKPOINTS = (".safetensors", ".ckpt", ".gguf")
"""Endings of a file that is a model by itself."""
LORA_FILE = "pytorch_lora_weights.safetensors"


def own_folder(repository: str) -> Path | None:
    """A folder or file on this disk that needs no hub; None for a hub id.

    `tiny:NAME` is written into the cache on first use; `miniature:NAME` ships with the suite.
    """
    kind, colon, name = repository.partition(":")
    if colon and kind == "tiny":
        from bench.models.tiny import folder

        return folder(name, cache_folder() / "tiny")
    if colon and kind == "miniature":
        return _MINIATURE / name
    path = Path(repository).expanduser()
    if path.exists() or repository.startswith((".", "/", "~")):
        return path
    return None


def repository_problem(repository: str) -> str:
    """Why this cannot be a repository, with the cure; empty if it can. The disk and the hub are not asked."""
    if match := re.match(r"https?://([^/]+)/(.*)", repository):
        host, path = match.groups()
        if hub.HUB_ID.fullmatch("/".join(path.split("/")[:2])) and "huggingface" in host:
            return f"'{repository}' is an address: write '{'/'.join(path.split('/')[:2])}'"
        return f"'{repository}' is an address: download the file and name it, repository = \"./model.safetensors\""
    if own_folder_like(repository) or hub.HUB_ID.fullmatch(repository):
        return ""
    return f"'{repository}' is neither a hub id 'owner/name' nor a path './folder' or './model.safetensors'"


def own_folder_like(repository: str) -> bool:
    """True for what is written as a place on a disk, or as a folder of the suite."""
    return repository.startswith((".", "/", "~", "tiny:", "miniature:")) or Path(repository).exists()


def pieces(model: Model) -> list[Weights]:
    """Every repository the model needs, base first, each once."""
    found = [Weights(repository=model.repository, revision=model.revision, file=model.file)]
    found += [Weights(repository=stage.repository, revision=stage.revision) for stage in model.stages]
    return list(dict.fromkeys([*found, *overlays(model)]))


def overlays(model: Model) -> list[Weights]:
    """Everything that is laid over the base: denoisers and LoRAs, those of single step counts too."""
    found = [model.denoiser, *model.lora]
    for recipe in model.recipes.values():
        found += [recipe.denoiser, *recipe.lora]
    return list(dict.fromkeys(piece for piece in found if piece is not None))


def checkpoint_file(model: Model) -> Path | None:
    """The single file that the model is loaded from, fetched where it is not here; None for a pipeline folder."""
    own = own_folder(model.repository)
    if own is not None and own.suffix in CHECKPOINTS and not own.is_dir():
        if not own.is_file():
            raise InputError(f"model '{model.name}': no file {own}")
        _check_readable(own, model.name)
        return own
    if not model.file:
        return None
    if own is not None:
        return piece_file(model.name, Weights(repository=model.repository, file=model.file), model.file)
    return hub.fetch_file(model.name, model.repository, model.file, model.revision)


def config_folder(model: Model, file: Path) -> Path:
    """The folder of configurations and tokenizers that a single-file checkpoint is completed with."""
    repository = model.config or inferred_config(model.name, file)
    own = own_folder(repository)
    if own is not None:
        if not (own / "model_index.json").is_file():
            raise InputError(f"model '{model.name}': config: {own} has no model_index.json")
        return own
    return hub.fetch_configs(model.name, repository)


def inferred_config(name: str, file: Path) -> str:
    """The hub repository whose configuration fits a checkpoint, as diffusers infers it from the tensors' shapes."""
    from diffusers.loaders import single_file_utils

    if file.suffix != ".safetensors":
        raise InputError(f"model '{name}': {file.name} does not show what it is: name a 'config' repository")
    import torch

    shapes = {key: torch.empty(shape, device="meta") for key, shape in tensor_shapes(file)}
    try:
        kind = single_file_utils.infer_diffusers_model_type(shapes)
        return single_file_utils.DIFFUSERS_DEFAULT_PIPELINE_PATHS[kind]["pretrained_model_name_or_path"]
    except (KeyError, ValueError, TypeError):
        raise InputError(
            f"model '{name}': diffusers cannot tell what {file.name} is: name a 'config' repository"
        ) from None


def dropped_parts(model: Model, kind: Any) -> tuple[str, ...]:
    """Parts of the base pipeline that are never loaded, and so never fetched."""
    from bench.models.families import staged_family
    from bench.models.general import general_family

    family = staged_family(model) or general_family(kind)
    return tuple(family.drop)


def base_folder(model: Model, kind: Any, say: hub.Say | None = None) -> Path:
    """The checked folder of a model's pipeline in hub layout: on disk, or in the hub's cache (fetched if online)."""
    drop = dropped_parts(model, kind)
    replaced = replaced_parts(model)
    return _pipeline_folder(
        model.name, model.repository, model.revision, model.variant, kind, drop, replaced, say
    )


def replaced_parts(model: Model) -> tuple[str, ...]:
    """Denoisers of the base that others take the place of: their weights are neither loaded nor fetched."""
    always = model.denoiser is not None or (
        bool(model.recipes) and all(recipe.denoiser is not None for recipe in model.recipes.values())
    )
    return ("unet", "transformer") if always else ()


def stage_folder(model: Model, number: int, say: hub.Say | None = None) -> tuple[Path, Any, tuple[str, ...]]:
    """The checked folder of a later stage, its class, and the parts of it that are not loaded."""
    import diffusers

    stage = model.stages[number]
    kind = getattr(diffusers, stage.pipeline)
    drop = ("safety_checker", "feature_extractor", "watermarker")
    if stage.pipeline == "IFSuperResolutionPipeline":
        drop = (*drop, "text_encoder", "tokenizer")  # the first stage's serve both
    folder = _pipeline_folder(
        model.name, stage.repository, stage.revision, stage.variant, kind, drop, (), say
    )
    return folder, kind, drop


def _pipeline_folder(
    name: str, repository: str, revision: str, variant: str | None, kind: Any, drop: tuple[str, ...],
    replaced: tuple[str, ...], say: hub.Say | None,
) -> Path:  # fmt: skip
    path = own_folder(repository)
    if path is not None:
        check_folder(path, name, (*drop, *replaced), kind)
        return path
    index = hub.cached_file(repository, "model_index.json", revision)
    if index is None and hub.is_local_only():
        raise hub.not_here(name, repository, revision, "model_index.json")
    if index is not None:
        try:  # a whole copy is used as it is: nothing is asked of the network
            check_folder(index.parent, name, (*drop, *replaced), kind)
            return index.parent
        except InputError:
            if hub.is_local_only():
                raise
    path = hub.fetch_pipeline(name, repository, revision, variant, drop, replaced, say)
    check_folder(path, name, (*drop, *replaced), kind)
    return path


def piece_file(name: str, piece: Weights, default: str) -> Path:
    """One file of an overlay. default: the name looked for where the entry names none."""
    folder = own_folder(piece.repository)
    wanted = piece.file or default
    if folder is None:
        return hub.fetch_file(name, piece.repository, wanted, piece.revision, piece.subfolder)
    path = folder if folder.is_file() else folder / piece.subfolder / wanted
    if not path.is_file():
        raise InputError(f"model '{name}': '{wanted}' is missing in {folder / piece.subfolder}")
    return path


def overlay_file(model: Model, piece: Weights, lora: bool = False) -> Path:
    """The weights file of another denoiser or of a LoRA."""
    if piece.file:
        return _checked(piece_file(model.name, piece, piece.file), model.name)
    folder = own_folder(piece.repository)
    if folder is not None and folder.is_file():
        return _checked(folder, model.name)
    if lora:
        return _checked(_lora_file(model, piece, folder), model.name)
    names = ("diffusion_pytorch_model.fp16.safetensors", "diffusion_pytorch_model.safetensors")
    if folder is not None:
        names = tuple(n for n in names if (folder / piece.subfolder / n).is_file()) or names[1:]
    return _checked(piece_file(model.name, piece, names[0] if model.variant else names[-1]), model.name)


def _lora_file(model: Model, piece: Weights, folder: Path | None) -> Path:
    """The usual name, or the only safetensors file of a local folder."""
    if folder is None:
        return piece_file(model.name, piece, LORA_FILE)
    there = sorted((folder / piece.subfolder).glob("*.safetensors"))
    if len(there) == 1 or (folder / piece.subfolder / LORA_FILE) in there:
        return there[0] if len(there) == 1 else folder / piece.subfolder / LORA_FILE
    if not there:
        raise InputError(f"model '{model.name}': '{LORA_FILE}' is missing in {folder / piece.subfolder}")
    names = ", ".join(path.name for path in there)
    raise InputError(f"model '{model.name}': {folder} holds several LoRAs, name one as 'file': {names}")


def overlay_config(model: Model, piece: Weights, path: Path) -> Path:
    """The config.json that another denoiser is built with: its own, else (one bare file) the base's."""
    own = own_folder(piece.repository)
    if piece.file or (own is not None and own.is_file()):
        from bench.models.families import library_class
        from bench.models.pretrained import denoiser_name

        base = base_folder(model, library_class(model))
        return base / denoiser_name(base, model) / "config.json"
    if own is None:
        return hub.fetch_file(model.name, piece.repository, "config.json", piece.revision, piece.subfolder)
    if not (path.parent / "config.json").is_file():
        raise InputError(f"model '{model.name}': the replaced denoiser has no config.json in {path.parent}")
    return path.parent / "config.json"


def check_folder(folder: Path, name: str, drop: tuple[str, ...] = (), kind: Any = None) -> None:
    """A pipeline folder is whole: its index, and for each part its configuration and readable weights.

    Parameters
    ----------
    drop
        Parts that are not loaded and may be absent.
    kind
        The pipeline class: the index must name every part that it requires. None: not checked.

    Raises
    ------
    InputError
        Names the part, and what is wrong with it.
    """
    if not folder.is_dir():
        raise InputError(f"model '{name}': no folder {folder}; name a folder in hub layout, or a hub id")
    index = folder / "model_index.json"
    if not index.is_file():
        raise InputError(
            f"model '{name}': {folder} has no model_index.json; a pipeline folder in hub layout has one "
            "(`pipeline.save_pretrained(folder)` writes it)"
        )
    parts = read_json(index, name)
    if kind is not None:
        _check_index(folder, name, parts, kind, drop)
    for part, value in sorted(parts.items()):
        if part.startswith("_") or part in drop or not isinstance(value, list) or value[1] is None:
            continue
        _check_part(folder / part, part, name, is_model=_has_weights(value[1]))


def _check_index(folder: Path, name: str, parts: dict[str, Any], kind: Any, drop: tuple[str, ...]) -> None:
    """Every part that the class requires is in the index."""
    required = set(kind._get_signature_keys(kind)[0]) - set(getattr(kind, "_optional_components", ()))
    absent = sorted(part for part in required if part not in parts and part not in drop)
    if absent:
        own = parts.get("_class_name", "nothing")
        raise InputError(
            f"model '{name}': {folder} is a {own}, and the entry says {kind.__name__}, which needs "
            f"the part '{absent[0]}'"
        )


def _has_weights(class_name: str) -> bool:
    without = ("Tokenizer", "TokenizerFast", "Scheduler", "Processor", "FeatureExtractor")
    return not class_name.endswith(without)


def _check_part(folder: Path, part: str, name: str, is_model: bool) -> None:
    cure = "copy the part again, or remove the folder and run `bench fetch`"
    if not folder.is_dir():
        raise InputError(f"model '{name}': part '{part}' is missing ({folder}); {cure}")
    configs = [folder / config for config in _CONFIGS if (folder / config).is_file()]
    if not configs:
        raise InputError(f"model '{name}': part '{part}' has no configuration file in {folder}; {cure}")
    for config in configs:
        read_json(config, name)
    if not is_model:
        return
    names = [path.name for path in folder.iterdir()]
    if not hub.weight_files(names, "fp16"):
        raise InputError(f"model '{name}': part '{part}' has no weights in {folder}; {cure}")
    for index in sorted(folder.glob("*.safetensors.index*.json")):
        _check_shards(index, names, part, name)
    for file in sorted(folder.glob("*.safetensors")):
        if not _readable(file):
            raise InputError(f"model '{name}': part '{part}' is damaged: {file.name} is cut short; {cure}")


def _check_shards(index: Path, names: list[str], part: str, name: str) -> None:
    """All shards of an index are there, or none of them: an index of a precision that was not fetched has none."""
    shards = set(read_json(index, name).get("weight_map", {}).values())
    absent = sorted(shards - set(names))
    if absent and len(absent) < len(shards):
        raise InputError(
            f"model '{name}': part '{part}' is not whole: {absent[0]} is missing; run `bench fetch`"
        )


def _checked(path: Path, name: str) -> Path:
    _check_readable(path, name)
    return path


def _check_readable(path: Path, name: str) -> None:
    if path.suffix == ".safetensors" and not _readable(path):
        raise InputError(f"model '{name}': {path.name} is damaged or cut short; fetch or copy it again")


def _readable(file: Path) -> bool:
    """The header parses and the file is as long as it says."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, "pt") as tensors:
            return bool(list(tensors.keys()))
    except (SafetensorError, OSError):
        return False


def tensor_shapes(path: Path) -> Iterator[tuple[str, list[int]]]:
    """Names and shapes of a safetensors file's tensors; nothing but its header is read."""
    from safetensors import safe_open

    with safe_open(path, framework="np") as file:
        for name in list(file.keys()):
            yield name, file.get_slice(name).get_shape()


def read_json(path: Path, name: str) -> dict[str, Any]:
    """A JSON object of a model's folder. Raises InputError naming the model."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        raise InputError(f"model '{name}': {path} is not JSON; fetch the file again") from None
    if not isinstance(data, dict):
        raise InputError(f"model '{name}': {path} should hold an object")
    return data


def variant_of(folder: Path, variant: str | None) -> str | None:
    """The variant if the folder has its files, else None: a local copy may hold the plain ones only."""
    if variant and any(folder.rglob(f"*.{variant}*.safetensors")):
        return variant
    return None
