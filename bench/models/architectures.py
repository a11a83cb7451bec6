"""The real architectures in figures: for `--weights random`, and for counting work without any memory.

Speed does not depend on the values of weights, so a latency table can be made where there is no model hub.
The figures are those of the public configuration files of the repositories named in `bench.models.registry`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bench.errors import InputError
from bench.models.model import Model
from bench.records import Contender

SDXL_UNET: dict[str, Any] = {
    "sample_size": 128,
    "in_channels": 4,
    "out_channels": 4,
    "block_out_channels": (320, 640, 1280),
    "layers_per_block": 2,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "transformer_layers_per_block": (1, 2, 10),
    "attention_head_dim": (5, 10, 20),
    "cross_attention_dim": 2048,
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
}
SDXL_VAE: dict[str, Any] = {
    "sample_size": 1024,
    "in_channels": 3,
    "out_channels": 3,
    "latent_channels": 4,
    "block_out_channels": (128, 256, 512, 512),
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "layers_per_block": 2,
    "scaling_factor": 0.13025,
    "force_upcast": True,
}
CLIP_L: dict[str, Any] = {
    "vocab_size": 49408,
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "hidden_act": "quick_gelu",
    "projection_dim": 768,
}
CLIP_BIG_G: dict[str, Any] = {
    "vocab_size": 49408,
    "hidden_size": 1280,
    "intermediate_size": 5120,
    "num_hidden_layers": 32,
    "num_attention_heads": 20,
    "hidden_act": "gelu",
    "projection_dim": 1280,
}
_BASE = {"unet": SDXL_UNET, "vae": SDXL_VAE, "text_encoder": CLIP_L, "text_encoder_2": CLIP_BIG_G}

ARCHITECTURES: dict[str, dict[str, dict[str, Any]]] = {
    "sdxl": _BASE,
    "sdxl-turbo": _BASE,
    "lcm-xl": {**_BASE, "unet": {**SDXL_UNET, "time_cond_proj_dim": 256}},
    "lcm-lora-xl": _BASE,
}
"""Model name → part → configuration. A LoRA is fused, so its model costs what its base does."""


def meta_parts(model: Model) -> dict[str, Any]:
    """UNet, decoder and text encoders without storage, from the figures above or a folder's configurations.

    Raises InputError for a pipeline whose figures are not here.
    """
    import torch

    from bench.models.weights import own_folder

    if model.name in ARCHITECTURES:
        with torch.device("meta"):
            return _built(ARCHITECTURES[model.name])
    folder = own_folder(model.repository)  # a tiny one may be made here, and the UNet's: both need storage
    known = ("StableDiffusionXLPipeline", "StableDiffusionPipeline")
    if folder is None or not folder.is_dir() or model.pipeline not in known or model.custom_pipeline:
        raise InputError(
            f"model '{model.name}': its architecture is not written in the suite; random weights and "
            f"counted work are to be had for: {', '.join(ARCHITECTURES)}"
        )
    other = model.denoiser
    swapped = other and not other.file and own_folder(other.repository)
    unet = swapped / other.subfolder if swapped and other else folder / "unet"
    with torch.device("meta"):
        return _from_configs(folder, unet)


def _built(parts: dict[str, dict[str, Any]]) -> dict[str, Any]:
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    return {
        "unet": UNet2DConditionModel(**parts["unet"]).eval(),
        "vae": AutoencoderKL(**parts["vae"]).eval(),
        "text_encoder": CLIPTextModel(CLIPTextConfig(**parts["text_encoder"])).eval(),
        "text_encoder_2": CLIPTextModelWithProjection(CLIPTextConfig(**parts["text_encoder_2"])).eval(),
    }


def _from_configs(folder: Path, unet: Path) -> dict[str, Any]:
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    denoiser: Any = UNet2DConditionModel.load_config(unet)
    vae: Any = AutoencoderKL.load_config(folder / "vae")
    parts: dict[str, Any] = {
        "unet": UNet2DConditionModel.from_config(denoiser),
        "vae": AutoencoderKL.from_config(vae),
        "text_encoder": CLIPTextModel(CLIPTextConfig.from_pretrained(folder / "text_encoder")),
    }
    if (folder / "text_encoder_2").is_dir():
        second = CLIPTextConfig.from_pretrained(folder / "text_encoder_2")
        parts["text_encoder_2"] = CLIPTextModelWithProjection(second)
    return {name: part.eval() for name, part in parts.items()}


def random_pipeline(model: Model, device: str, dtype: str) -> Any:
    """The real architecture with seeded random weights, made on the device: nothing is downloaded.

    The parts are described without storage first and then given memory where they will run, in the dtype
    they will have: SDXL takes 7 GB in 16 bits and seconds on a GPU.
    """
    import torch
    from diffusers import EulerDiscreteScheduler, StableDiffusionXLPipeline

    from bench.models.pretrained import set_scheduler
    from bench.models.tiny import SDXL_SCHEDULER, clip_tokenizer

    if model.name not in ARCHITECTURES:
        raise InputError(
            f"model '{model.name}': random weights are to be had for {', '.join(ARCHITECTURES)}; "
            "the others need their own"
        )
    parts = meta_parts(model)
    for part in parts.values():
        part.to(getattr(torch, dtype)).to_empty(device=device)
        fill(part)
    tokenizer = clip_tokenizer()
    pipe = StableDiffusionXLPipeline(
        **parts,
        tokenizer=tokenizer,
        tokenizer_2=tokenizer,
        scheduler=EulerDiscreteScheduler(**SDXL_SCHEDULER),  # pyright: ignore[reportArgumentType]
        add_watermarker=False,
    )
    set_scheduler(pipe, model.scheduler, model.name)
    return pipe


def fill(module: Any) -> None:
    """Values for a module that has only memory: small normal matrices, norms 1, biases 0, positions."""
    import torch

    with torch.no_grad():
        for number, (name, tensor) in enumerate(module.named_parameters()):
            if tensor.ndim >= 2:
                generator = torch.Generator(device=tensor.device).manual_seed(number)
                tensor.normal_(0.0, tensor[0].numel() ** -0.5, generator=generator)
            else:
                tensor.fill_(1.0 if name.endswith("weight") else 0.0)
        for name, buffer in module.named_buffers():
            if not name.endswith("position_ids"):
                raise ValueError(f"no value known for the buffer {name}")
            buffer.copy_(torch.arange(buffer.shape[-1], device=buffer.device).expand_as(buffer))


def flops(model: Model, contender: Contender, size: int | None = None) -> dict[str, float]:
    """Work of one image, TFLOP (a multiply-add is two): `encode`, `forward` (one network row), `denoise`
    (all forwards, guidance included), `decode`, `total`.

    Counted by torch on tensors without storage; the empty prompt of guidance, encoded once, is not in it.
    """
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    parts = meta_parts(model)
    side = (size or contender.size) // 2 ** (len(parts["vae"].config.block_out_channels) - 1)

    def counted(call: Any) -> float:
        with torch.inference_mode(), FlopCounterMode(display=False) as counter:
            call()
        return counter.get_total_flops() / 1e12

    unet = parts["unet"]
    with torch.device("meta"):
        encode = sum(
            counted(lambda part=parts[name]: part(torch.zeros((1, _tokens(part)), dtype=torch.long)))
            for name in ("text_encoder", "text_encoder_2")
            if name in parts
        )
        forward = counted(lambda: unet(**_unet_inputs(unet, side, _tokens(parts["text_encoder"]))))
        decode = counted(lambda: parts["vae"].decode(torch.zeros(1, unet.config.in_channels, side, side)))
    guided = (contender.guidance or 0.0) > 1 and unet.config.time_cond_proj_dim is None
    denoise = forward * (contender.steps or 0) * (2 if guided else 1)
    return {
        "encode": encode,
        "forward": forward,
        "denoise": denoise,
        "decode": decode,
        "total": encode + denoise + decode,
    }


def _tokens(part: Any) -> int:
    """Tokens a text encoder is given: 77 of the CLIPs, 32 of the miniature family."""
    return part.config.max_position_embeddings


def _unet_inputs(unet: Any, side: int, tokens: int) -> dict[str, Any]:
    import torch

    config = unet.config
    inputs: dict[str, Any] = {
        "sample": torch.zeros(1, config.in_channels, side, side),
        "timestep": torch.zeros(1),
        "encoder_hidden_states": torch.zeros(1, tokens, config.cross_attention_dim),
    }
    if config.addition_embed_type == "text_time":
        pooled = config.projection_class_embeddings_input_dim - 6 * config.addition_time_embed_dim
        inputs["added_cond_kwargs"] = {"text_embeds": torch.zeros(1, pooled), "time_ids": torch.zeros(1, 6)}
    if config.time_cond_proj_dim is not None:
        inputs["timestep_cond"] = torch.zeros(1, config.time_cond_proj_dim)
    return inputs
