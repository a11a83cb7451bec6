"""Whether what a model loads is on this machine, and fetching it. A check says what it checked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.errors import InputError
from bench.models import hub
from bench.models.families import library_class
from bench.models.model import Model, Weights
from bench.models.weights import (
    LORA_FILE,
    base_folder,
    checkpoint_file,
    config_folder,
    overlay_config,
    overlay_file,
    overlays,
    own_folder,
    pieces,
    replaced_parts,
    stage_folder,
    tensor_shapes,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Availability:
    """What a check of a model's files came to."""

    here: bool
    """Everything the model loads is on this machine and whole, as far as `message` says."""
    message: str
    """What was checked, or the first fault."""
    gated: str = ""
    """What to do before fetching; empty: nothing, or the files are here."""


def check(model: Model) -> Availability:
    """Reads the disk only: files complete, the index against the pipeline class, shapes of LoRAs."""
    if model.kind == "imported":
        return Availability(here=True, message="imported images")
    if model.repository.startswith("tiny:"):
        return Availability(here=True, message="random weights, written on the spot")
    try:
        with hub.local_only():
            folders = _folders(model)
            checked = [_overlay(model, piece) for piece in overlays(model)]
    except InputError as error:
        gated = hub.gated_cure(model.repository) if model.gated else ""
        return Availability(
            here=False, message=str(error).removeprefix(f"model '{model.name}': "), gated=gated
        )
    size = sum(file_bytes(path) for path in folders)
    done = [f"files complete ({hub.size_text(size)})", *dict.fromkeys(text for text in checked if text)]
    return Availability(here=True, message=", ".join(done))


def is_here(model: Model) -> bool:
    """`check`, for a caller that wants no more than yes or no, of many models: diffusers is imported only for those
    of which something is here.
    """
    absent = any(own_folder(p.repository) is None and not _any_file(p) for p in pieces(model))
    return not absent and check(model).here


def _any_file(piece: Weights) -> Path | None:
    """A file of a hub repository that is in the cache."""
    names = [name for name in (piece.file, "model_index.json", "config.json", LORA_FILE) if name]
    inside = f"{piece.subfolder}/" if piece.subfolder else ""
    found = (hub.cached_file(piece.repository, inside + name, piece.revision) for name in names)
    return next((path for path in found if path is not None), None)


def fetch(model: Model, say: hub.Say | None = None) -> dict[str, str]:
    """Downloads what a model loads into the hub's cache: repository → commit it resolved to.

    Parameters
    ----------
    say
        Given a line with the size of each repository's part, before it is fetched.

    Raises
    ------
    InputError
        The hub does not answer, a repository is gated or absent, or what came is not whole.
    """
    if model.kind == "imported":
        return {}
    commits: dict[str, str] = {}
    places = [model.repository, *(stage.repository for stage in model.stages)]
    for repository, path in zip(places, _folders(model, say), strict=False):
        commits[repository] = commit_of(path)
    for piece in overlays(model):
        path = overlay_file(model, piece, lora=_is_lora(model, piece))
        if not _is_lora(model, piece):
            overlay_config(model, piece, path)
        commits[piece.repository] = commit_of(path)
    return {name: commit for name, commit in commits.items() if own_folder(name) is None}


def commits(model: Model) -> dict[str, str]:
    """Repository → commit of what is in the cache now; a local folder or file has none."""
    return {
        piece.repository: commit_of(path)
        for piece in pieces(model)
        if own_folder(piece.repository) is None and (path := _any_file(piece))
    }


def commit_of(path: Path) -> str:
    """The commit in a hub cache path `…/snapshots/COMMIT/…`; empty for a local folder."""
    parts = path.parts
    return parts[parts.index("snapshots") + 1] if "snapshots" in parts else ""


def file_bytes(path: Path) -> int:
    """Bytes of a file, or of all files of a folder; links of the hub's cache are followed."""
    if path.is_file():
        return path.stat().st_size
    return sum(p.stat().st_size for p in path.rglob("*") if p.is_file())


def _folders(model: Model, say: hub.Say | None = None) -> list[Path]:
    """The base (a folder, or a single file) and each later stage, checked."""
    if single := checkpoint_file(model):
        config_folder(model, single)
        return [single]
    base = base_folder(model, library_class(model), say)
    return [base, *(stage_folder(model, number, say)[0] for number in range(len(model.stages)))]


def _is_lora(model: Model, piece: Weights) -> bool:
    loras = [*model.lora, *(lora for recipe in model.recipes.values() for lora in recipe.lora)]
    return piece in loras


def _overlay(model: Model, piece: Weights) -> str:
    """Checks one overlay; what was checked beside its files, or nothing. Raises InputError for what does not fit."""
    lora = _is_lora(model, piece)
    path = overlay_file(model, piece, lora=lora)
    if not lora:
        overlay_config(model, piece, path)
        return ""
    if path.suffix != ".safetensors" or checkpoint_file(model) or replaced_parts(model):
        return ""
    base = dict(_denoiser_shapes(base_folder(model, library_class(model))))
    fitted = 0
    for name, update in _lora_updates(path):
        own = base.get(name)
        if own is None:
            continue
        if (own[0], own[1]) != update and len(own) >= 2:
            raise InputError(
                f"model '{model.name}': LoRA {path.name} is for another model: its update of {name} is "
                f"{update[0]} × {update[1]}, the weight is {own[0]} × {own[1]}"
            )
        fitted += 1
    if not fitted:
        return "a LoRA whose layers could not be checked before loading"
    return f"LoRA shapes fit ({fitted} layers)"


def _denoiser_shapes(folder: Path) -> Iterator[tuple[str, list[int]]]:
    """Names and shapes of the base's UNet or transformer."""
    for part in ("unet", "transformer"):
        for path in sorted((folder / part).glob("*.safetensors")):
            yield from tensor_shapes(path)


def _lora_updates(path: Path) -> Iterator[tuple[str, tuple[int, int]]]:
    """(weight of the base, its rows and columns) that a LoRA in diffusers' or peft's names changes."""
    shapes = dict(tensor_shapes(path))
    for down, up in ((".lora_A.weight", ".lora_B.weight"), (".lora.down.weight", ".lora.up.weight")):
        for name, shape in shapes.items():
            if name.endswith(down) and (other := name.removesuffix(down) + up) in shapes:
                layer = name.removesuffix(down)
                for prefix in ("unet.", "transformer.", "base_model.model."):
                    layer = layer.removeprefix(prefix)
                yield f"{layer}.weight", (shapes[other][0], shape[1])
