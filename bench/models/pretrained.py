"""Hub-layout folders and single files → diffusers pipelines: base, scheduler, other denoiser, LoRAs, quantised
parts, the parts of one step count."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bench.errors import InputError
from bench.models.families import library_class, staged_family
from bench.models.model import Model, Recipe, Scheduler, Weights
from bench.models.optimize import optimize_denoiser
from bench.models.pipeline import Pipeline, placed
from bench.models.quantize import check_quantization, quantization_config
from bench.models.weights import (
    base_folder,
    checkpoint_file,
    config_folder,
    dropped_parts,
    overlay_config,
    overlay_file,
    read_json,
    replaced_parts,
    variant_of,
)


def load_pretrained(model: Model, device: str, dtype: str) -> Pipeline:
    """Everything but the parts of one step count, which `Pipeline.prepare` loads when they are asked for.

    Parameters
    ----------
    model
        An entry of the registry, or a user's.
    device
        `cpu`, `cuda` or `cuda:N`.
    dtype
        `float16`, `bfloat16` or `float32`.

    Raises
    ------
    InputError
        Weights absent or not whole, or parts that do not fit together.
    """
    import torch

    quiet_libraries()
    check_quantization(model.name, model.quantization, device)
    kind: Any = library_class(model)
    family = staged_family(model)
    kept = getattr(torch, dtype)
    pipe = _base(model, kind, kept)
    set_scheduler(pipe, model.scheduler, model.name)
    if model.pipeline == "AmusedPipeline" and family is not None:
        from bench.models.amused_scheduler import with_own_noise

        pipe.register_modules(scheduler=with_own_noise(pipe.scheduler))
    fuse_loras(pipe, model, model.lora)
    pipe = placed(pipe, device)
    if family is None:
        from bench.models.general import GeneralPipeline

        return GeneralPipeline(model, pipe, device, dtype, load_recipe=_recipe)
    stages = [placed(_stage(model, number, kept), device) for number in range(len(model.stages))]
    return Pipeline(model, pipe, device, dtype, stages, load_recipe=_recipe)


def quiet_libraries() -> None:
    """Truncated captions are counted by us; progress bars are the command line's."""
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    for logging in (diffusers_logging, transformers_logging):
        logging.set_verbosity(50)  # an older checkpoint's pickles are announced as errors
        logging.disable_progress_bar()


def _base(model: Model, kind: Any, dtype: Any) -> Any:
    """The pipeline with its denoiser, replaced where the entry says so, and its parts quantised."""
    if single := checkpoint_file(model):
        return _from_single_file(model, kind, single, dtype)
    folder = base_folder(model, kind)
    given: dict[str, Any] = {}
    if model.denoiser is not None:
        name = denoiser_name(folder, model)
        given[name] = load_denoiser(model, model.denoiser, dtype, level=model.quantization.get(name))
    elif replaced_parts(model):
        given[denoiser_name(folder, model)] = None  # each step count brings its own
    levels = {part: level for part, level in model.quantization.items() if part not in given}
    if levels:
        given["quantization_config"] = _pipeline_quantization(model, folder, levels, dtype)
    return from_folder(model.name, kind, folder, model.variant, dtype, dropped_parts(model, kind), given)


def _pipeline_quantization(model: Model, folder: Path, levels: dict[str, str], dtype: Any) -> Any:
    from diffusers.quantizers import PipelineQuantizationConfig

    index = read_json(folder / "model_index.json", model.name)
    mapping = {}
    for part, level in levels.items():
        if not isinstance(index.get(part), list):
            parts = ", ".join(sorted(p for p, kind in index.items() if isinstance(kind, list) and kind[1]))
            raise InputError(f"model '{model.name}': quantization of '{part}': no such part; parts: {parts}")
        library = "transformers" if index[part][0] == "transformers" else "diffusers"
        mapping[part] = quantization_config(level, dtype, library)
    return PipelineQuantizationConfig(quant_mapping=mapping)


def from_folder(
    name: str,
    kind: Any,
    folder: Path,
    variant: str | None,
    dtype: Any,
    drop: tuple[str, ...],
    given: dict[str, Any],
) -> Any:
    """`from_pretrained` of a checked folder.

    Parameters
    ----------
    name
        The model's, for messages.
    drop
        Parts left out.
    given
        Parts that are already loaded, and further arguments.
    """
    accepted = kind._get_signature_keys(kind)
    absent = {part: None for part in drop if part in {*accepted[0], *accepted[1]} and part not in given}
    more = {"requires_safety_checker": False} if "requires_safety_checker" in accepted[1] else {}
    try:
        return kind.from_pretrained(
            folder,
            dtype=dtype,
            variant=variant_of(folder, variant),
            local_files_only=True,
            **absent,
            **more,
            **given,
        )
    except (OSError, ValueError, KeyError, RuntimeError, AttributeError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InputError(f"model '{name}': {folder} does not load as {kind.__name__}: {reason}") from None


def _from_single_file(model: Model, kind: Any, file: Path, dtype: Any) -> Any:
    if not hasattr(kind, "from_single_file"):
        raise InputError(f"model '{model.name}': {kind.__name__} cannot be loaded from a single file")
    config = config_folder(model, file)
    accepted = kind._get_signature_keys(kind)
    absent: dict[str, Any] = {
        part: None for part in dropped_parts(model, kind) if part in {*accepted[0], *accepted[1]}
    }
    if "requires_safety_checker" in accepted[1]:
        absent["requires_safety_checker"] = False
    try:
        pipe = kind.from_single_file(
            str(file), config=str(config), torch_dtype=dtype, local_files_only=True, **absent
        )
    except (OSError, ValueError, KeyError, RuntimeError, AttributeError, TypeError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InputError(f"model '{model.name}': {file} does not load as {kind.__name__}: {reason}") from None
    if model.quantization:
        parts = ", ".join(model.quantization)
        raise InputError(
            f"model '{model.name}': quantization of {parts} needs a pipeline folder; a single file is loaded whole"
        )
    return pipe


def denoiser_name(folder: Path, model: Model) -> str:
    """`unet` or `transformer`, whichever the folder's index has."""
    index = read_json(folder / "model_index.json", model.name)
    for name in ("transformer", "unet", "prior"):
        if isinstance(index.get(name), list) and index[name][1]:
            return name
    raise InputError(f"model '{model.name}': {folder} has no denoiser ('unet' or 'transformer') to replace")


def load_denoiser(model: Model, piece: Weights, dtype: Any, level: str | None = None) -> Any:
    """Another UNet or transformer: a folder with its own configuration, or bare weights in the base's.

    Parameters
    ----------
    piece
        Where its weights are.
    level
        Its quantization; None: the dtype.
    """
    import diffusers
    from accelerate import init_empty_weights

    path = overlay_file(model, piece)
    config_path = overlay_config(model, piece, path)
    config = read_json(config_path, model.name)
    kind: Any = getattr(diffusers, str(config.get("_class_name", "UNet2DConditionModel")))
    if path.suffix == ".gguf" or level is not None:
        return _quantised_denoiser(model, kind, path, config_path.parent, dtype, level or "gguf")
    with init_empty_weights(include_buffers=False):
        denoiser: Any = kind.from_config(config)
    try:
        denoiser.load_state_dict({k: v.to(dtype) for k, v in read_weights(path).items()}, assign=True)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(
            f"model '{model.name}': {path.name} does not fit {kind.__name__}: {reason}"
        ) from None
    return denoiser.eval()


def read_weights(path: Path) -> dict[str, Any]:
    """The tensors of a safetensors file, or of a pickle that holds nothing but tensors."""
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path)
    import torch

    return torch.load(path, map_location="cpu", weights_only=True)


def _quantised_denoiser(model: Model, kind: Any, path: Path, config: Path, dtype: Any, level: str) -> Any:
    if path.suffix == ".gguf" and level != "gguf":
        raise InputError(f"model '{model.name}': {path.name} is quantised as gguf, not '{level}'")
    check_quantization(model.name, {"denoiser": level}, "cuda")
    settings = quantization_config(level, dtype, "diffusers")
    try:
        if path.suffix == ".gguf":
            return kind.from_single_file(
                str(path), quantization_config=settings, torch_dtype=dtype, config=str(config)
            ).eval()
        return kind.from_pretrained(path.parent, quantization_config=settings, torch_dtype=dtype).eval()
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(
            f"model '{model.name}': {path.name} does not load as {kind.__name__}: {reason}"
        ) from None


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


def fuse_loras(pipe: Any, model: Model, loras: tuple[Weights, ...]) -> None:
    """Every LoRA through peft at its scale, fused into the weights: a forward costs what the base's costs."""
    if not loras:
        return
    if not hasattr(pipe, "load_lora_weights"):
        raise InputError(f"model '{model.name}': {type(pipe).__name__} takes no LoRA")
    path = Path()
    try:
        for number, piece in enumerate(loras):
            path, name = overlay_file(model, piece, lora=True), f"lora{number}"
            pipe.load_lora_weights(path.parent, weight_name=path.name, adapter_name=name)
            if model.quantization:
                continue  # a quantised weight cannot take an update in: it is added at each forward
            pipe.fuse_lora(lora_scale=piece.scale, adapter_names=[name])
            pipe.unload_lora_weights()
        if model.quantization:
            pipe.set_adapters([f"lora{n}" for n in range(len(loras))], [piece.scale for piece in loras])
    except (ValueError, KeyError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"model '{model.name}': LoRA {path.name} does not fit: {reason}") from None


def _recipe(loaded: Pipeline, recipe: Recipe) -> None:
    """Puts one step count's parts in place of whatever is there."""
    import torch

    pipe, model, part = loaded.pipe, loaded.model, loaded.family.denoiser
    dtype = getattr(torch, loaded.dtype)
    if loaded.device.startswith("cuda"):
        torch.compiler.reset()  # or what was compiled keeps the memory of the one before
    if recipe.denoiser is not None:
        denoiser = load_denoiser(model, recipe.denoiser, dtype)
        pipe.register_modules(**{part: denoiser.to(loaded.device)})
    elif recipe.lora:
        # from the base anew: a fused LoRA is not taken out exactly
        pipe.register_modules(**{part: _own_denoiser(model, part, type(pipe), dtype).to(loaded.device)})
        fuse_loras(pipe, model, (*model.lora, *recipe.lora))
    optimize_denoiser(loaded)
    set_scheduler(pipe, recipe.scheduler or model.scheduler, model.name)


def _own_denoiser(model: Model, part: str, kind: Any, dtype: Any) -> Any:
    """The model's denoiser as it was before any LoRA."""
    import diffusers

    level = model.quantization.get(part)
    if model.denoiser is not None:
        return load_denoiser(model, model.denoiser, dtype, level)
    folder = base_folder(model, kind)
    name = read_json(folder / "model_index.json", model.name)[part][1]
    more = {"quantization_config": quantization_config(level, dtype, "diffusers")} if level else {}
    return getattr(diffusers, name).from_pretrained(
        folder, subfolder=part, dtype=dtype, variant=variant_of(folder / part, model.variant), **more
    )


def _stage(model: Model, number: int, dtype: Any) -> Any:
    """A later stage; the IF upscaler shares the first stage's text encoder, so it is not loaded twice."""
    from bench.models.weights import stage_folder

    folder, kind, drop = stage_folder(model, number)
    return from_folder(model.name, kind, folder, model.stages[number].variant, dtype, drop, {})
