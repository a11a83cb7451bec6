"""Hub-layout folders → diffusers pipelines: base, scheduler, UNet swap, LoRA, the parts of one step count."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bench.errors import InputError
from bench.models.families import FAMILIES, library_class
from bench.models.model import Model, Recipe, Scheduler, Weights
from bench.models.optimize import optimize_denoiser
from bench.models.pipeline import Pipeline, quiet
from bench.models.weights import base_folder, overlay_file, own_folder, variant_of


def load_pretrained(model: Model, device: str, dtype: str) -> Pipeline:
    """Everything but the parts of one step count, which `Pipeline.prepare` loads when they are asked for."""
    import torch
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    # Truncated captions are counted by us; progress bars are the command line's.
    for logging in (diffusers_logging, transformers_logging):
        logging.set_verbosity_error()
        logging.disable_progress_bar()
    family = FAMILIES[model.pipeline]
    kind = getattr(torch, dtype)
    pipe = _from_folder(
        model.name, library_class(model.pipeline), model.repository, model.revision, model.variant, kind,
        tuple(family.drop), _swapped_unet(model, model.unet, kind),
    )  # fmt: skip
    set_scheduler(pipe, model.scheduler, model.name)
    if model.pipeline == "AmusedPipeline":
        from bench.models.amused_scheduler import with_own_noise

        pipe.register_modules(scheduler=with_own_noise(pipe.scheduler))
    if model.lora is not None:
        _fuse(pipe, model, model.lora)
    pipe = quiet(pipe.to(device))
    stages = [
        quiet(_stage(model, number, kind, shared=pipe).to(device)) for number in range(len(model.stages))
    ]
    return Pipeline(model, pipe, device, stages, load_recipe=_recipe)


def _from_folder(
    name: str, kind: Any, repository: str, revision: str, variant: str | None, dtype: Any,
    drop: tuple[str, ...], unet: Any = None,
) -> Any:  # fmt: skip
    """`from_pretrained` of a checked folder, with the optional parts in `drop` left out."""
    folder = base_folder(name, repository, revision, variant, drop)
    accepted = kind._get_signature_keys(kind)
    absent = {part: None for part in drop if part in {*accepted[0], *accepted[1]}}
    given = {} if unet is None else {"unet": unet}
    if "requires_safety_checker" in accepted[1]:
        given["requires_safety_checker"] = False
    try:
        pipe = kind.from_pretrained(
            folder,
            dtype=dtype,
            variant=variant_of(folder, variant),
            local_files_only=True,
            **absent,
            **given,
        )
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"model '{name}': {folder} does not load as {kind.__name__}: {error}") from None
    return pipe


def _swapped_unet(model: Model, piece: Weights | None, dtype: Any) -> Any:
    """Another UNet in place of the base's: a folder with its own config, or bare weights in the base's."""
    if piece is None:
        return None
    from diffusers import UNet2DConditionModel
    from safetensors.torch import load_file

    path = overlay_file(model, piece)
    if piece.file:
        base = base_folder(model.name, model.repository, model.revision, model.variant, ())
        config: Any = UNet2DConditionModel.load_config(base / "unet")
    else:
        config = UNet2DConditionModel.load_config(_config_folder(model, piece, path))
    unet: Any = UNet2DConditionModel.from_config(config)
    try:
        unet.load_state_dict(load_file(path))
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"model '{model.name}': {path.name} does not fit the UNet: {reason}") from None
    return unet.to(dtype).eval()


def _config_folder(model: Model, piece: Weights, path: Path) -> Path:
    folder = own_folder(piece.repository)
    if folder is None:
        from bench.models.weights import piece_file

        config = Weights(
            repository=piece.repository,
            revision=piece.revision,
            file="config.json",
            subfolder=piece.subfolder,
        )
        return piece_file(model.name, config, "config.json").parent
    if not (path.parent / "config.json").is_file():
        raise InputError(f"model '{model.name}': part 'unet' has no config.json in {path.parent}")
    return path.parent


def set_scheduler(pipe: Any, wanted: Scheduler | None, name: str) -> None:
    """The entry's scheduler, its settings laid over the repository's configuration."""
    if wanted is None:
        return
    import diffusers

    kind = getattr(diffusers, wanted.name, None)
    if kind is None or not wanted.name.endswith("Scheduler"):
        raise InputError(f"model '{name}': diffusers has no scheduler '{wanted.name}'")
    known = kind._get_init_keys(kind)
    extra = sorted(set(wanted.settings) - known)
    if extra:
        raise InputError(
            f"model '{name}': {wanted.name} has no setting '{extra[0]}'; known: {', '.join(sorted(known))}"
        )
    pipe.register_modules(scheduler=kind.from_config(pipe.scheduler.config, **wanted.settings))


def _fuse(pipe: Any, model: Model, piece: Weights) -> None:
    """The LoRA through peft, fused into the weights: a forward costs what the base's costs."""
    path = overlay_file(model, piece)
    try:
        pipe.load_lora_weights(path.parent, weight_name=path.name)
        pipe.fuse_lora()
        pipe.unload_lora_weights()
    except (ValueError, KeyError, RuntimeError) as error:
        raise InputError(f"model '{model.name}': LoRA {path.name} does not fit: {error}") from None


def _recipe(loaded: Pipeline, recipe: Recipe) -> None:
    """Puts one step count's parts in place of whatever is there."""
    import torch

    pipe, model = loaded.pipe, loaded.model
    like = next(pipe.unet.parameters())
    if like.device.type == "cuda":
        torch.compiler.reset()  # or what was compiled keeps the memory of the one before
    if recipe.unet is not None:
        pipe.register_modules(unet=_swapped_unet(model, recipe.unet, like.dtype).to(like.device))
    elif recipe.lora is not None:
        # from the base anew: a fused LoRA is not taken out exactly
        folder = base_folder(model.name, model.repository, model.revision, model.variant, ())
        from diffusers import UNet2DConditionModel

        unet = UNet2DConditionModel.from_pretrained(
            folder, subfolder="unet", dtype=like.dtype, variant=variant_of(folder, model.variant)
        )
        pipe.register_modules(unet=unet.to(like.device))
        _fuse(pipe, model, recipe.lora)
    optimize_denoiser(loaded)
    set_scheduler(pipe, recipe.scheduler or model.scheduler, model.name)


def _stage(model: Model, number: int, dtype: Any, shared: Any) -> Any:
    """A later stage; the IF upscaler shares the first stage's text encoder, so it is not loaded twice."""
    entry = model.stages[number]
    drop = FAMILIES[model.pipeline].drop
    if entry.pipeline == "IFSuperResolutionPipeline":
        drop = (*drop, "text_encoder", "tokenizer")
    kind = library_class(entry.pipeline)
    return _from_folder(model.name, kind, entry.repository, entry.revision, entry.variant, dtype, tuple(drop))
