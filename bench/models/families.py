"""One entry a pipeline class: how it encodes a prompt, how it is called, how its latents become pixels.

The classes differ in names and shapes only; `bench.models.pipeline` is the one loop over them. No torch is imported
here at the top: the table is also read by the study file's checks.
"""

from __future__ import annotations

import difflib
import hashlib
import importlib.metadata
import importlib.util
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.errors import InputError
from bench.models.model import Model

Tensors = dict[str, Any]
"""Call argument → tensor (one row a prompt), or a list of tensors of different length."""


def _called(pipe: Any, call: dict[str, Any]) -> Any:
    return pipe(**call).images


def _nothing(steps: int) -> dict[str, Any]:
    return {}


def _sana_steps(steps: int) -> dict[str, Any]:
    # its middle time is defined for two steps only; binning would change the size asked for
    return {"use_resolution_binning": False} | ({} if steps == 2 else {"intermediate_timesteps": None})


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    edit: str = ""
    """Image-to-image class in diffusers; empty: none."""
    denoiser: str = "unet"
    """Name of the part that is called once a step."""
    vae: str = "vae"
    """Name of the part that decodes; empty: the pipeline works on pixels."""
    encode: Callable[[Any, list[str], Mapping[str, Any]], Tensors]
    """(pipeline, texts, model options) → embeddings without guidance."""
    negative: Mapping[str, str]
    """Embedding → call argument that carries the empty prompt; empty: no true guidance."""
    noise: str = "spatial"
    """`spatial` (c, h, w), `packed` 2×2 patches, or `pipeline`: drawn inside from the generators."""
    float32_latents: bool = False
    """The class keeps its latents in float32 whatever the dtype of the denoiser: so must the first noise be."""
    decode: Callable[[Any, Any, int], Any]
    """(pipeline, latents, size) → pixels (n, 3, h, w) in [-1, 1]."""
    callback: str = "callback_on_step_end"
    """Name of the hook: the older classes have `callback`."""
    latent: str = "latent"
    """`output_type` that leaves the last latents as they are."""
    square: bool = True
    """Takes height and width; a cascade's first stage keeps its own."""
    run: Callable[[Any, dict[str, Any]], Any] = _called
    """(pipeline, call arguments) → last latents."""
    extra: Callable[[int], dict[str, Any]] = _nothing
    """Steps → further call arguments."""
    upcast: bool = False
    """Its decoder overflows in float16; diffusers decodes in float32 where the configuration says `force_upcast`."""
    library: str = ""
    """Class in diffusers, where it is not the entry's name."""
    drop: Sequence[str] = ()
    """Parts never loaded: filters and watermarks would change or hide images."""


def _clip_xl(pipe: Any, texts: list[str], options: Mapping[str, Any]) -> Tensors:
    embeds, _, pooled, _ = pipe.encode_prompt(prompt=texts, do_classifier_free_guidance=False)
    return {"prompt_embeds": embeds, "pooled_prompt_embeds": pooled}


def _clip(pipe: Any, texts: list[str], options: Mapping[str, Any]) -> Tensors:
    embeds, _ = pipe.encode_prompt(texts, pipe._execution_device, 1, False)
    return {"prompt_embeds": embeds}


def _t5(pipe: Any, texts: list[str], options: Mapping[str, Any]) -> Tensors:
    # clean_caption needs two more packages and is silently off without them: off for everybody.
    embeds, _ = pipe.encode_prompt(texts, do_classifier_free_guidance=False, clean_caption=False)
    return {"prompt_embeds": embeds}


def _muse(pipe: Any, texts: list[str], options: Mapping[str, Any]) -> Tensors:
    """AmusedPipeline encodes inside its call; this is the same computation."""
    tokens = pipe.tokenizer(
        texts,
        return_tensors="pt",
        padding="max_length",
        truncation=True,
        max_length=pipe.tokenizer.model_max_length,
    ).input_ids.to(pipe._execution_device)
    out = pipe.text_encoder(tokens, return_dict=True, output_hidden_states=True)
    return {"prompt_embeds": out.text_embeds, "encoder_hidden_states": out.hidden_states[-2]}


def _flux(pipe: Any, texts: list[str], options: Mapping[str, Any]) -> Tensors:
    embeds, pooled, _ = pipe.encode_prompt(texts, None, max_sequence_length=options["max_sequence_length"])
    return {"prompt_embeds": embeds, "pooled_prompt_embeds": pooled}


def _sd3(pipe: Any, texts: list[str], options: Mapping[str, Any]) -> Tensors:
    embeds, _, pooled, _ = pipe.encode_prompt(
        texts,
        None,
        None,
        do_classifier_free_guidance=False,
        max_sequence_length=options["max_sequence_length"],
    )
    return {"prompt_embeds": embeds, "pooled_prompt_embeds": pooled}


def _sana(pipe: Any, texts: list[str], options: Mapping[str, Any]) -> Tensors:
    instruction = inspect.signature(type(pipe).__call__).parameters["complex_human_instruction"].default
    embeds, mask = pipe.encode_prompt(
        texts,
        max_sequence_length=options["max_sequence_length"],
        complex_human_instruction=instruction,
    )
    return {"prompt_embeds": embeds, "prompt_attention_mask": mask}


def _z_image(pipe: Any, texts: list[str], options: Mapping[str, Any]) -> Tensors:
    # the pipeline writes its chat template into the list it is given
    embeds, _ = pipe.encode_prompt(
        list(texts), do_classifier_free_guidance=False, max_sequence_length=options["max_sequence_length"]
    )
    return {"prompt_embeds": embeds}


def rectified_flow(pipe: Any, call: dict[str, Any]) -> Any:
    """InstaFlow, which diffusers has no pipeline for, over the parts of Stable Diffusion 1.5.

    The UNet gives a velocity; Euler's rule walks it from noise (unit deviation) to latent. Guidance is
    distilled in. The network is asked at t = 1000 (1 - i / N).
    Source: Liu et al. 2023, arXiv 2309.06380: dz = v(z, t | text) dt.
    """
    import torch

    latents, count = call["latents"], call["num_inference_steps"]
    on_step = call.get("callback_on_step_end")
    for step in range(count):
        time = torch.full((len(latents),), 1000.0 * (1 - step / count), device=latents.device)
        velocity = pipe.unet(latents, time, encoder_hidden_states=call["prompt_embeds"]).sample
        latents = latents + velocity / count
        if on_step is not None:
            on_step(pipe, step, time, {})
    return latents


def unscaled(vae: Any, latents: Any) -> Any:
    """Latents as the denoiser has them → as the decoder wants them (its scale, shift, mean and deviation)."""
    import torch

    config = vae.config
    mean, deviation = getattr(config, "latents_mean", None), getattr(config, "latents_std", None)
    if mean is not None and deviation is not None:
        like = {"device": latents.device, "dtype": latents.dtype}
        mean, deviation = (torch.tensor(values, **like).view(1, -1, 1, 1) for values in (mean, deviation))
        return latents * deviation / config.scaling_factor + mean
    return latents / config.scaling_factor + (getattr(config, "shift_factor", None) or 0.0)


def _kl(pipe: Any, latents: Any, size: int) -> Any:
    return pipe.vae.decode(unscaled(pipe.vae, latents.to(pipe.vae.dtype)), return_dict=False)[0]


def _unpacked(pipe: Any, latents: Any, size: int) -> Any:
    return _kl(pipe, pipe._unpack_latents(latents, size, size, pipe.vae_scale_factor), size)


def _tokens(pipe: Any, latents: Any, size: int) -> Any:
    side = size // pipe.vae_scale_factor
    shape = (latents.shape[0], side, side, pipe.vqvae.config.latent_channels)
    pixels = pipe.vqvae.decode(latents, force_not_quantize=True, shape=shape).sample
    return pixels * 2 - 1


def _pixels(pipe: Any, latents: Any, size: int) -> Any:
    return latents


_FILTERS = ("safety_checker", "feature_extractor", "image_encoder", "watermarker")
_PLAIN = {"prompt_embeds": "negative_prompt_embeds"}
_POOLED = {**_PLAIN, "pooled_prompt_embeds": "negative_pooled_prompt_embeds"}

FAMILIES: dict[str, Family] = {
    "StableDiffusionXLPipeline": Family(
        edit="StableDiffusionXLImg2ImgPipeline",
        encode=_clip_xl,
        negative=_POOLED,
        decode=_kl,
        upcast=True,
        drop=("feature_extractor", "image_encoder"),
    ),
    "StableDiffusionPipeline": Family(
        edit="StableDiffusionImg2ImgPipeline", encode=_clip, negative=_PLAIN, decode=_kl, drop=_FILTERS[:3]
    ),
    "InstaFlow": Family(
        encode=_clip,
        negative={},
        decode=_kl,
        drop=_FILTERS[:3],
        run=rectified_flow,
        library="StableDiffusionPipeline",
    ),
    "IFPipeline": Family(
        edit="",  # the cascade's image-to-image pipelines want another first stage; not offered
        vae="",
        encode=_t5,
        negative=_PLAIN,
        noise="pipeline",
        decode=_pixels,
        callback="callback",
        latent="pt",
        square=False,
        drop=("safety_checker", "feature_extractor", "watermarker"),
    ),
    "AmusedPipeline": Family(
        edit="AmusedImg2ImgPipeline",
        denoiser="transformer",
        vae="vqvae",
        encode=_muse,
        negative={**_PLAIN, "encoder_hidden_states": "negative_encoder_hidden_states"},
        noise="pipeline",
        decode=_tokens,
        callback="callback",
        upcast=True,
    ),
    "FluxPipeline": Family(
        edit="FluxImg2ImgPipeline",
        denoiser="transformer",
        encode=_flux,
        negative={},
        noise="packed",
        decode=_unpacked,
        drop=("image_encoder", "feature_extractor"),
    ),
    "StableDiffusion3Pipeline": Family(
        edit="StableDiffusion3Img2ImgPipeline",
        denoiser="transformer",
        encode=_sd3,
        negative=_POOLED,
        decode=_kl,
        drop=("image_encoder", "feature_extractor"),
    ),
    "SanaSprintPipeline": Family(
        edit="SanaSprintImg2ImgPipeline",
        denoiser="transformer",
        encode=_sana,
        negative={},
        decode=_kl,
        extra=_sana_steps,
        float32_latents=True,
    ),
    "ZImagePipeline": Family(
        edit="ZImageImg2ImgPipeline",
        denoiser="transformer",
        encode=_z_image,
        negative=_PLAIN,
        decode=_kl,
        float32_latents=True,
    ),
}


STAGED_OPTIONS = {
    "max_sequence_length", "negative_prompt", "guidance_rescale", "eta", "clean_caption",
    "micro_conditioning_aesthetic_score", "temperature", "original_size", "target_size", "crops_coords_top_left",
}  # fmt: skip
"""Arguments of a call that mean the same where the prompt is encoded apart. Others (`clip_skip`, `prompt_2`, …)
would be ignored without a word there: a model that has one is of the general family."""


def staged_family(model: Model) -> Family | None:
    """The family of a model that is called in stages; None: it is called whole (`bench.models.general`)."""
    if model.custom_pipeline:
        return None
    options = {*model.options, *(key for recipe in model.recipes.values() for key in recipe.options)}
    if model.guidance is None or options - STAGED_OPTIONS:
        return None
    return FAMILIES.get(model.pipeline)


def library_class(model: Model) -> Any:
    """The pipeline class of a model: of diffusers, or of the user's own file.

    Raises InputError where there is none of that name.
    """
    if model.custom_pipeline:
        return custom_class(model)
    import diffusers

    family = FAMILIES.get(model.pipeline)
    name = family.library if family and family.library else model.pipeline
    kind = getattr(diffusers, name, None)
    if not (inspect.isclass(kind) and issubclass(kind, diffusers.DiffusionPipeline)):
        known = [name for name in dir(diffusers) if name.endswith("Pipeline")]
        raise unknown_pipeline(model.name, model.pipeline, known)
    return kind


def unknown_pipeline(model: str, pipeline: str, known: Sequence[str]) -> InputError:
    """The nearest names; all of the library's would fill the screen."""
    near = difflib.get_close_matches(pipeline, known, 3, 0.4)
    hint = f": did you mean {' or '.join(repr(n) for n in near)}?" if near else ""
    version = importlib.metadata.version("diffusers")
    return InputError(
        f"model '{model}': diffusers {version} has no pipeline '{pipeline}'{hint} A class of your own is named "
        'with custom_pipeline = "./file.py"'
    )


def custom_class(model: Model) -> Any:
    """The pipeline class that a user's Python file defines: the one named, or the only one.

    The file is executed: it is the user's own code, named in the user's own study.
    """
    import diffusers

    path = Path(model.custom_pipeline).expanduser()
    if not path.is_file():
        raise InputError(f"model '{model.name}': custom_pipeline: no file {path}")
    name = f"bench_custom_{hashlib.sha256(path.read_bytes()).hexdigest()[:16]}"
    module = sys.modules.get(name)
    if module is None:
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        try:
            spec.loader.exec_module(module)
        except Exception as error:
            del sys.modules[name]
            raise InputError(
                f"model '{model.name}': {path} fails: {type(error).__name__}: {error}"
            ) from error
    classes = {
        key: value
        for key, value in vars(module).items()
        if inspect.isclass(value)
        and issubclass(value, diffusers.DiffusionPipeline)
        and value.__module__ == module.__name__
    }
    if model.pipeline in classes:
        return classes[model.pipeline]
    if model.pipeline or len(classes) != 1:
        named = ", ".join(classes) or "none"
        raise InputError(
            f"model '{model.name}': {path} defines no pipeline '{model.pipeline}'; it defines: {named}"
        )
    return next(iter(classes.values()))


def guided(pipeline: str, denoiser: Any, guidance: float) -> bool:
    """True where each step runs the network twice (classifier-free guidance proper).

    A network with an embedded guidance (LCM, Sana-Sprint, FLUX) runs once whatever the scale.
    """
    if not FAMILIES[pipeline].negative:
        return False
    return guidance > 1 and getattr(denoiser.config, "time_cond_proj_dim", None) is None
