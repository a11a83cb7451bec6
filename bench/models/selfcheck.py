"""Does this suite generate what diffusers does? The model card's call beside ours, with the same noise and weights.

The stock side is written as a model card writes it and shares nothing with the loader but the places of the files:
a scheduler forgotten by one, a LoRA scaled twice, or a decoder in the wrong dtype shows as a difference.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.device import default_dtype, memory_peak, now
from bench.errors import InputError
from bench.models.availability import check, commits
from bench.models.families import library_class
from bench.models.load import load
from bench.models.model import Model, Recipe, Weights
from bench.models.pretrained import quiet_libraries
from bench.records import Contender

TEXTS = ("a red dog on a wooden table", "two people in front of a house")
SEEDS = (11, 12)
TOLERANCE = {"float32": 1, "float16": 2, "bfloat16": 2}
"""Largest difference of a channel value, of 255, that rounding may leave: both sides run the same kernels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfCheck:
    contender: str
    device: str
    dtype: str
    largest: int | None
    """Largest difference of a channel value, 0 to 255; None: there is no stock call."""
    mean: float | None
    """Mean difference of a channel value, 0 to 255."""
    stock_seconds: float | None
    """Of the second of two images, text to pixels in host memory."""
    our_seconds: float | None
    stock_memory: int | None
    """Bytes allocated on the GPU at most; None on a CPU."""
    our_memory: int | None
    passed: bool | None
    """The largest difference is within TOLERANCE; None: not compared."""
    commits: dict[str, str]
    """Hub repository → commit of the weights that were compared."""
    note: str = ""
    """Why there was no comparison; empty: there was one."""


def selfcheck(model: Model, contender: Contender, *, device: str, dtype: str | None = None) -> SelfCheck:
    """Generates two prompts by diffusers' stock call and by ours.

    Parameters
    ----------
    model
        Whose weights must be on this machine.
    contender
        The step count and guidance.
    device
        `cpu`, `cuda` or `cuda:N`.
    dtype
        None: the one that a sweep would use there.

    Raises
    ------
    InputError
        The weights are not here, or do not load.
    """
    dtype = dtype or default_dtype(model.dtype, device)
    found = check(model)
    if not found.here:
        raise InputError(f"model '{model.name}': {found.message}")
    about: dict[str, Any] = {
        "contender": contender.name,
        "device": device,
        "dtype": dtype,
        "commits": commits(model),
    }
    if why := no_stock_call(model):
        empty: Any = dict.fromkeys(
            ("largest", "mean", "stock_seconds", "our_seconds", "stock_memory", "our_memory", "passed")
        )
        return SelfCheck(**about, **empty, note=why)
    theirs, stock_seconds, stock_memory = _timed(stock_call(model, contender, device, dtype), device)
    gc.collect()
    ours, our_seconds, our_memory = _timed(_our_call(model, contender, device, dtype), device)
    difference = np.abs(theirs.astype(int) - ours.astype(int))
    largest = int(difference.max())
    return SelfCheck(
        **about,
        largest=largest,
        mean=round(float(difference.mean()), 4),
        stock_seconds=round(stock_seconds, 4),
        our_seconds=round(our_seconds, 4),
        stock_memory=stock_memory,
        our_memory=our_memory,
        passed=largest <= TOLERANCE[dtype],
    )


def no_stock_call(model: Model) -> str:
    """Why diffusers has nothing to compare with; empty: it has."""
    if model.kind == "imported":
        return "imported images"
    if model.pipeline == "InstaFlow":
        return "diffusers has no pipeline of InstaFlow: the authors' own loop is used"
    return ""


Call = Callable[[str, int], np.ndarray]
"""(text, seed) → uint8 (h, w, 3)."""


def _timed(call: Call, device: str) -> tuple[np.ndarray, float, int | None]:
    """Both images, the seconds of the second, and the peak of memory."""
    memory_peak(device)
    images, seconds = [], 0.0
    for text, seed in zip(TEXTS, SEEDS, strict=True):
        began = now(device)
        images.append(call(text, seed))
        seconds = now(device) - began
    return np.stack(images), seconds, memory_peak(device)


def _our_call(model: Model, contender: Contender, device: str, dtype: str) -> Call:
    pipeline = load(model, device=device, dtype=dtype)

    def call(text: str, seed: int) -> np.ndarray:
        return pipeline.decode(pipeline.denoise(pipeline.encode([text], contender), [seed], contender))[0]

    return call


def stock_call(model: Model, contender: Contender, device: str, dtype: str) -> Call:
    """diffusers as a model card uses it: `from_pretrained`, scheduler, LoRA, call."""
    import torch

    quiet_libraries()
    pipe = _stock_pipeline(model, contender, device, getattr(torch, dtype))
    pipe.set_progress_bar_config(disable=True)
    if model.stages:
        return _stock_cascade(model, contender, pipe, device, getattr(torch, dtype))
    recipe = model.recipes.get(contender.steps or 0, Recipe())
    settings: dict[str, Any] = {"num_inference_steps": contender.steps, "output_type": "np"}
    if contender.guidance is not None:
        settings["guidance_scale"] = contender.guidance
    settings |= {"height": contender.size, "width": contender.size}
    settings |= {**model.options, **recipe.options}
    if recipe.timesteps:
        settings["timesteps"] = list(recipe.timesteps)
    if model.pipeline == "SanaSprintPipeline":
        settings["use_resolution_binning"] = False
        settings |= {} if contender.steps == 2 else {"intermediate_timesteps": None}

    own_file = bool(model.custom_pipeline)

    def call(text: str, seed: int) -> np.ndarray:
        with torch.inference_mode():
            prompt = [text] if own_file else text  # a user's own class may know lists alone
            out = pipe(prompt=prompt, generator=torch.Generator("cpu").manual_seed(seed), **settings)
        return _to_bytes(out.images if hasattr(out, "images") else out[0])

    return call


def _stock_pipeline(model: Model, contender: Contender, device: str, dtype: Any) -> Any:
    import diffusers

    kind = library_class(model)
    recipe = model.recipes.get(contender.steps or 0, Recipe())
    pipe = _stock_base(model, kind, recipe.denoiser or model.denoiser, dtype)
    scheduler = recipe.scheduler or model.scheduler
    if scheduler is not None:
        own = getattr(diffusers, scheduler.name)
        pipe.scheduler = own.from_config(pipe.scheduler.config, **scheduler.settings)
    for number, piece in enumerate((*model.lora, *recipe.lora)):
        pipe.load_lora_weights(str(_file(model, piece, lora=True)), adapter_name=f"a{number}")
        pipe.fuse_lora(lora_scale=piece.scale, adapter_names=[f"a{number}"])
    return pipe.to(device)


def _stock_base(model: Model, kind: Any, denoiser: Weights | None, dtype: Any) -> Any:
    from bench.models.weights import base_folder, checkpoint_file, config_folder, dropped_parts, variant_of

    names = {*kind._get_signature_keys(kind)[0], *kind._get_signature_keys(kind)[1]}
    more: dict[str, Any] = {name: None for name in dropped_parts(model, kind) if name in names}
    if "requires_safety_checker" in names:
        more["requires_safety_checker"] = False
    if single := checkpoint_file(model):
        config = str(config_folder(model, single))
        return kind.from_single_file(str(single), config=config, torch_dtype=dtype, **more)
    folder = base_folder(model, kind)
    if denoiser is not None:
        part = "transformer" if "transformer" in names else "unet"
        more[part] = _stock_denoiser(model, denoiser, folder / part, dtype)
    if model.quantization:
        more["quantization_config"] = _stock_quantization(model, dtype)
    return kind.from_pretrained(folder, torch_dtype=dtype, variant=variant_of(folder, model.variant), **more)


def _stock_denoiser(model: Model, piece: Weights, base: Any, dtype: Any) -> Any:
    import diffusers
    import torch
    from safetensors.torch import load_file

    file = _file(model, piece)
    own = file.parent if (file.parent / "config.json").is_file() else base
    config = diffusers.ConfigMixin.load_config.__func__(diffusers.UNet2DConditionModel, own)
    kind: Any = getattr(diffusers, config["_class_name"])
    if file.suffix == ".gguf":
        settings = diffusers.GGUFQuantizationConfig(compute_dtype=dtype)
        return kind.from_single_file(
            str(file), quantization_config=settings, torch_dtype=dtype, config=str(base)
        )
    if own is not base and not piece.file:
        return kind.from_pretrained(own, torch_dtype=dtype, variant="fp16" if ".fp16" in file.name else None)
    denoiser = kind.from_config(config).to(dtype)
    weights = load_file(file) if file.suffix == ".safetensors" else torch.load(file, weights_only=True)
    denoiser.load_state_dict(weights)
    return denoiser


def _stock_quantization(model: Model, dtype: Any) -> Any:
    from diffusers.quantizers import PipelineQuantizationConfig

    from bench.models.quantize import quantization_config

    library = {
        part: "transformers" if part.startswith("text_encoder") else "diffusers"
        for part in model.quantization
    }
    return PipelineQuantizationConfig(
        quant_mapping={
            p: quantization_config(level, dtype, library[p]) for p, level in model.quantization.items()
        }
    )


def _stock_cascade(model: Model, contender: Contender, first: Any, device: str, dtype: Any) -> Call:
    """DeepFloyd IF as its card has it: 64 px, then 256 px with the same embeddings, then the upscaler."""
    import torch

    from bench.models.weights import stage_folder, variant_of

    later = []
    for number in range(len(model.stages)):
        folder, kind, drop = stage_folder(model, number)
        names = {*kind._get_signature_keys(kind)[0], *kind._get_signature_keys(kind)[1]}
        more: dict[str, Any] = {name: None for name in drop if name in names}
        more |= {"requires_safety_checker": False} if "requires_safety_checker" in names else {}
        variant = variant_of(folder, model.stages[number].variant)
        pipe = kind.from_pretrained(folder, torch_dtype=dtype, variant=variant, **more).to(device)
        pipe.set_progress_bar_config(disable=True)
        later.append(pipe)

    def call(text: str, seed: int) -> np.ndarray:
        generator = torch.Generator("cpu").manual_seed(seed)
        with torch.inference_mode():
            embeds, negative = first.encode_prompt(text, clean_caption=False)
            named = {"prompt_embeds": embeds, "negative_prompt_embeds": negative, "generator": generator}
            images = first(
                **named,
                num_inference_steps=contender.steps,
                guidance_scale=contender.guidance,
                output_type="pt",
            ).images
            two, three = model.stages
            images = later[0](
                image=images, **named, num_inference_steps=two.steps, guidance_scale=two.guidance,
                noise_level=two.noise_level, height=two.size, width=two.size, output_type="pt",
            ).images  # fmt: skip
            out = later[1](
                prompt=text,
                image=(images / 2 + 0.5).clamp(0, 1),
                generator=generator,
                num_inference_steps=three.steps,
                guidance_scale=three.guidance,
                noise_level=three.noise_level,
                output_type="np",
            )
        return _to_bytes(out.images)

    return call


def _file(model: Model, piece: Weights, lora: bool = False) -> Any:
    from bench.models.weights import overlay_file

    return overlay_file(model, piece, lora=lora)


def _to_bytes(images: Any) -> np.ndarray:
    """The first image of a call's result, floats in [0, 1], bytes, or PIL → uint8 (h, w, 3)."""
    first = images[0]
    if hasattr(first, "convert"):
        return np.asarray(first.convert("RGB"))
    array = np.asarray(first)
    return array if array.dtype == np.uint8 else np.round(array * 255).astype(np.uint8)


def summary(checks: Sequence[SelfCheck]) -> list[dict[str, Any]]:
    """A row a contender, for the terminal and for a table of results."""
    return [
        {
            "contender": c.contender,
            "device": c.device,
            "dtype": c.dtype,
            "result": {True: "equal within rounding", False: "DIFFERENT", None: "not compared"}[c.passed],
            "largest of 255": c.largest,
            "mean of 255": c.mean,
            "stock s": c.stock_seconds,
            "ours s": c.our_seconds,
            "note": c.note,
        }
        for c in checks
    ]


def markdown(checks: Sequence[SelfCheck], device: str) -> str:
    """The results as a page: a sentence, and a table with a row a contender."""
    from importlib import metadata

    versions = ", ".join(
        f"{name} {metadata.version(name)}" for name in ("diffusers", "torch", "transformers")
    )
    rows = [
        f"| {c.contender} | {c.dtype} | {'–' if c.largest is None else c.largest} | "
        f"{'–' if c.mean is None else f'{c.mean:.4f}'} | "
        f"{ {True: 'equal within rounding', False: 'DIFFERENT', None: 'not compared'}[c.passed] } | {c.note} |"
        for c in checks
    ]
    head = "| contender | dtype | largest | mean | result | note |\n|---|---|---|---|---|---|\n"
    return (
        f"Two prompts by diffusers' own call and by this suite's, with the same noise, on {device}; {versions}. "
        f"Differences are of a channel value, of 255.\n\n{head}" + "\n".join(rows) + "\n"
    )
