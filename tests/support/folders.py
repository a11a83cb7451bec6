"""Tiny random folders in the hub's layout of every pipeline class: what the loader meets, in kilobytes."""

from __future__ import annotations

import json
from pathlib import Path

from bench.models import tiny

T5_LETTERS = "▁abcdefghijklmnopqrstuvwxyz0123456789.,"


def clip_text(hidden: int = 32, projection: bool = False, act: str = "quick_gelu"):
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    sizes = {**tiny.CLIP_TEXT, "hidden_size": hidden, "projection_dim": hidden}
    config = CLIPTextConfig(**sizes, **tiny.special_tokens(), hidden_act=act)
    return tiny.filled((CLIPTextModelWithProjection if projection else CLIPTextModel)(config), 11)


def t5():
    from transformers import T5Config, T5EncoderModel, T5Tokenizer

    vocab = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), *((letter, -3.0) for letter in T5_LETTERS)]
    tokenizer = T5Tokenizer(vocab=vocab, extra_ids=0, model_max_length=77)
    config = T5Config(vocab_size=len(vocab), d_model=32, d_ff=37, d_kv=8, num_heads=4, num_layers=2)
    return tokenizer, tiny.filled(T5EncoderModel(config), 12)


def sd15(path: Path) -> Path:
    """As the Stable Diffusion 1.5 folders are: with a safety checker in the index, which is never loaded."""
    from diffusers import PNDMScheduler, StableDiffusionPipeline

    unet = tiny.unet(
        21,
        addition_embed_type=None,
        addition_time_embed_dim=None,
        cross_attention_dim=32,
        projection_class_embeddings_input_dim=None,
        use_linear_projection=False,
    )
    StableDiffusionPipeline(
        vae=tiny.vae(22, scaling_factor=0.18215, force_upcast=False),
        text_encoder=clip_text(),
        tokenizer=tiny.clip_tokenizer(),
        unet=unet,
        scheduler=PNDMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear",
                                skip_prk_steps=True, steps_offset=1, set_alpha_to_one=False),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(path)  # fmt: skip
    index = path / "model_index.json"
    parts = json.loads(index.read_text())
    parts["safety_checker"] = ["stable_diffusion", "StableDiffusionSafetyChecker"]
    parts["feature_extractor"] = ["transformers", "CLIPImageProcessor"]
    index.write_text(json.dumps(parts))
    return path


def _if_unet(seed: int, **changes):
    from diffusers import UNet2DConditionModel

    config = {
        "sample_size": 16, "in_channels": 3, "out_channels": 6, "layers_per_block": 1,
        "block_out_channels": (16, 32), "norm_num_groups": 8,
        "down_block_types": ("ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"),
        "mid_block_type": "UNetMidBlock2DSimpleCrossAttn",
        "up_block_types": ("SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D"),
        "cross_attention_dim": 32, "encoder_hid_dim": 32, "attention_head_dim": 8,
        "addition_embed_type": "text", "addition_embed_type_num_heads": 2,
        "cross_attention_norm": "group_norm", "resnet_time_scale_shift": "scale_shift", "act_fn": "gelu",
    }  # fmt: skip
    return tiny.filled(UNet2DConditionModel(**{**config, **changes}), seed)


def _ddpm(variance: str):
    from diffusers import DDPMScheduler

    return DDPMScheduler(
        beta_schedule="squaredcos_cap_v2",
        thresholding=True,
        dynamic_thresholding_ratio=0.95,
        sample_max_value=1.0,
        variance_type=variance,
    )


def if_cascade(path: Path) -> tuple[Path, Path, Path]:
    """The three stages: 16, 32 and 64 px."""
    from diffusers import (
        DDIMScheduler,
        DDPMScheduler,
        IFPipeline,
        IFSuperResolutionPipeline,
        StableDiffusionUpscalePipeline,
    )

    tokenizer, encoder = t5()
    none = {"safety_checker": None, "feature_extractor": None, "watermarker": None}
    first, second, third = path / "one", path / "two", path / "three"
    IFPipeline(
        tokenizer=tokenizer,
        text_encoder=encoder,
        unet=_if_unet(31),
        scheduler=_ddpm("learned_range"),
        **none,
        requires_safety_checker=False,
    ).save_pretrained(first)
    IFSuperResolutionPipeline(
        tokenizer=tokenizer,
        text_encoder=encoder,
        unet=_if_unet(32, sample_size=32, in_channels=6, class_embed_type="timestep"),
        scheduler=_ddpm("learned_range"),
        image_noising_scheduler=DDPMScheduler(),
        **none,
        requires_safety_checker=False,
    ).save_pretrained(second)
    unet = tiny.unet(
        33, in_channels=7, num_class_embeds=1000, addition_embed_type=None, cross_attention_dim=32,
        projection_class_embeddings_input_dim=None, addition_time_embed_dim=None, sample_size=32,
    )  # fmt: skip
    vae = tiny.vae(
        34,
        block_out_channels=(8, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        scaling_factor=0.08333,
        force_upcast=False,
    )
    StableDiffusionUpscalePipeline(
        vae=vae,
        text_encoder=clip_text(),
        tokenizer=tiny.clip_tokenizer(),
        unet=unet,
        low_res_scheduler=DDPMScheduler(),
        scheduler=DDIMScheduler(),
        max_noise_level=350,
    ).save_pretrained(third)
    return first, second, third


def amused(path: Path) -> Path:
    from diffusers import AmusedPipeline, AmusedScheduler, UVit2DModel, VQModel

    transformer = UVit2DModel(
        hidden_size=16, cond_embed_dim=16, micro_cond_encode_dim=2, micro_cond_embed_dim=10,
        encoder_hidden_size=16, vocab_size=32, codebook_size=16, in_channels=16, block_out_channels=16,
        num_res_blocks=1, downsample=True, upsample=True, block_num_heads=1, num_hidden_layers=1,
        num_attention_heads=1, intermediate_size=16, sample_size=8,
    )  # fmt: skip
    vqvae = VQModel(
        block_out_channels=(8, 8), down_block_types=("DownEncoderBlock2D",) * 2, latent_channels=8,
        up_block_types=("UpDecoderBlock2D",) * 2, layers_per_block=1, norm_num_groups=8,
        num_vq_embeddings=16, sample_size=16, mid_block_add_attention=False, lookup_from_codebook=True,
    )  # fmt: skip
    AmusedPipeline(
        vqvae=tiny.filled(vqvae, 41),
        tokenizer=tiny.clip_tokenizer(),
        text_encoder=clip_text(16, True),
        transformer=tiny.filled(transformer, 42),
        scheduler=AmusedScheduler(mask_token_id=31),
    ).save_pretrained(path)
    return path


def _kl16(seed: int):
    return tiny.vae(
        seed, block_out_channels=(8, 8), down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2, latent_channels=4, shift_factor=0.0609,
        scaling_factor=1.5035, force_upcast=False, use_quant_conv=False, use_post_quant_conv=False,
    )  # fmt: skip


def flux(path: Path, guidance_embeds: bool = False) -> Path:
    from diffusers import FlowMatchEulerDiscreteScheduler, FluxPipeline, FluxTransformer2DModel

    tokenizer, encoder = t5()
    transformer = FluxTransformer2DModel(
        patch_size=1, in_channels=16, num_layers=1, num_single_layers=1, attention_head_dim=16,
        num_attention_heads=2, joint_attention_dim=32, pooled_projection_dim=32, axes_dims_rope=(4, 4, 8),
        guidance_embeds=guidance_embeds,
    )  # fmt: skip
    FluxPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(shift=1.0),
        vae=_kl16(51),
        text_encoder=clip_text(),
        tokenizer=tiny.clip_tokenizer(),
        text_encoder_2=encoder,
        tokenizer_2=tokenizer,
        transformer=tiny.filled(transformer, 52),
    ).save_pretrained(path)
    return path


def sd3(path: Path) -> Path:
    from diffusers import FlowMatchEulerDiscreteScheduler, SD3Transformer2DModel, StableDiffusion3Pipeline

    tokenizer, encoder = t5()
    transformer = SD3Transformer2DModel(
        sample_size=32, patch_size=1, in_channels=4, num_layers=1, attention_head_dim=8,
        num_attention_heads=4, joint_attention_dim=32, caption_projection_dim=32, pooled_projection_dim=32,
        out_channels=4, pos_embed_max_size=96,
    )  # fmt: skip
    words = tiny.clip_tokenizer()
    StableDiffusion3Pipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
        vae=_kl16(61),
        transformer=tiny.filled(transformer, 62),
        text_encoder=clip_text(16, True),
        tokenizer=words,
        text_encoder_2=clip_text(16, True, "gelu"),
        tokenizer_2=words,
        text_encoder_3=encoder,
        tokenizer_3=tokenizer,
    ).save_pretrained(path)
    return path


def sana_sprint(path: Path) -> Path:
    from diffusers import AutoencoderDC, SanaSprintPipeline, SanaTransformer2DModel, SCMScheduler
    from transformers import Gemma2Config, Gemma2Model, GemmaTokenizer

    vocab = ["<pad>", "<eos>", "<bos>", "<unk>", *T5_LETTERS]
    tokenizer = GemmaTokenizer(vocab={token: i for i, token in enumerate(vocab)}, merges=[])
    config = Gemma2Config(
        vocab_size=len(vocab),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=8,
    )
    transformer = SanaTransformer2DModel(
        patch_size=1, in_channels=4, out_channels=4, num_layers=1, num_attention_heads=2,
        attention_head_dim=4, num_cross_attention_heads=2, cross_attention_head_dim=4,
        cross_attention_dim=8, caption_channels=16, sample_size=32, qk_norm="rms_norm_across_heads",
        guidance_embeds=True,
    )  # fmt: skip
    vae = AutoencoderDC(
        in_channels=3, latent_channels=4, attention_head_dim=2, encoder_block_out_channels=(8, 8),
        decoder_block_out_channels=(8, 8), encoder_layers_per_block=(1, 1), decoder_layers_per_block=(1, 1),
        encoder_block_types=("ResBlock", "EfficientViTBlock"), encoder_qkv_multiscales=((), (5,)),
        decoder_block_types=("ResBlock", "EfficientViTBlock"), decoder_qkv_multiscales=((), (5,)),
        downsample_block_type="conv", upsample_block_type="interpolate",
        decoder_norm_types="rms_norm", decoder_act_fns="silu", scaling_factor=0.41407,
    )  # fmt: skip
    SanaSprintPipeline(
        transformer=tiny.filled(transformer, 71),
        vae=tiny.filled(vae, 72),
        scheduler=SCMScheduler(),
        text_encoder=tiny.filled(Gemma2Model(config), 73),
        tokenizer=tokenizer,
    ).save_pretrained(path)
    return path


def z_image(path: Path) -> Path:
    from diffusers import FlowMatchEulerDiscreteScheduler, ZImagePipeline, ZImageTransformer2DModel
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import Qwen2Tokenizer, Qwen3Config, Qwen3Model

    letters = sorted(ByteLevel.alphabet())
    tokenizer = Qwen2Tokenizer(
        vocab={token: i for i, token in enumerate([*letters, "<|endoftext|>"])},
        merges=[],
        unk_token="<|endoftext|>",
        eos_token="<|endoftext|>",
        pad_token="<|endoftext|>",
    )
    tokenizer.chat_template = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}assistant:"
    config = Qwen3Config(
        vocab_size=len(letters) + 1, hidden_size=16, intermediate_size=16, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=2, head_dim=8, max_position_embeddings=512,
    )  # fmt: skip
    transformer = ZImageTransformer2DModel(
        in_channels=4, dim=32, n_layers=1, n_refiner_layers=1, n_heads=2, n_kv_heads=2, cap_feat_dim=16,
        axes_dims=[8, 4, 4], axes_lens=[256, 32, 32],
    )  # fmt: skip
    ZImagePipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
        vae=_kl16(81),
        tokenizer=tokenizer,
        text_encoder=tiny.filled(Qwen3Model(config), 82),
        transformer=tiny.filled(transformer, 83),
    ).save_pretrained(path)
    return path


def _qwen_tokenizer():
    """Bytes, and the four marks that the chat templates of Qwen's models use."""
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import Qwen2Tokenizer

    letters = [*sorted(ByteLevel.alphabet()), "<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    tokenizer = Qwen2Tokenizer(
        vocab={token: i for i, token in enumerate(letters)},
        merges=[],
        unk_token="<|endoftext|>",
        eos_token="<|endoftext|>",
        pad_token="<|endoftext|>",
    )
    tokenizer.chat_template = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}assistant:"
    return tokenizer, len(letters)


def flux2_klein(path: Path) -> Path:
    from diffusers import (
        AutoencoderKLFlux2,
        FlowMatchEulerDiscreteScheduler,
        Flux2KleinPipeline,
        Flux2Transformer2DModel,
    )
    from transformers import Qwen3Config, Qwen3ForCausalLM

    tokenizer, size = _qwen_tokenizer()
    config = Qwen3Config(
        vocab_size=size, hidden_size=16, intermediate_size=16, num_hidden_layers=28, num_attention_heads=2,
        num_key_value_heads=2, head_dim=8, max_position_embeddings=1024,
    )  # fmt: skip
    transformer = Flux2Transformer2DModel(
        in_channels=16, num_layers=1, num_single_layers=1, attention_head_dim=16, num_attention_heads=2,
        joint_attention_dim=48, timestep_guidance_channels=32, axes_dims_rope=(4, 4, 4, 4), guidance_embeds=False,
    )  # fmt: skip
    vae = AutoencoderKLFlux2(
        block_out_channels=(8, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        norm_num_groups=4,
        up_block_types=("UpDecoderBlock2D",) * 2,
        layers_per_block=1,
        latent_channels=4,
        sample_size=32,
        mid_block_add_attention=False,
    )
    tiny.filled(vae, 91)
    vae.bn.running_var.fill_(1.0)
    Flux2KleinPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
        vae=vae,
        text_encoder=tiny.filled(Qwen3ForCausalLM(config), 92),
        tokenizer=tokenizer,
        transformer=tiny.filled(transformer, 93),
        is_distilled=True,
    ).save_pretrained(path)
    return path


def qwen_image(path: Path) -> Path:
    from diffusers import (
        AutoencoderKLQwenImage,
        FlowMatchEulerDiscreteScheduler,
        QwenImagePipeline,
        QwenImageTransformer2DModel,
    )
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    tokenizer, size = _qwen_tokenizer()
    config = Qwen2_5_VLConfig(
        text_config={
            "vocab_size": size, "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2,
            "num_attention_heads": 2, "num_key_value_heads": 2, "max_position_embeddings": 1024,
            "rope_parameters": {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 1e6},
        },
        vision_config={"depth": 1, "hidden_size": 16, "intermediate_size": 16, "num_heads": 2, "out_hidden_size": 16},
        image_token_id=size - 1, video_token_id=size - 1, vision_start_token_id=size - 2,
        vision_end_token_id=size - 2, vision_token_id=size - 1,
    )  # fmt: skip
    transformer = QwenImageTransformer2DModel(
        in_channels=16,
        out_channels=4,
        num_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=16,
        axes_dims_rope=(8, 4, 4),
    )
    vae = AutoencoderKLQwenImage(
        base_dim=8,
        z_dim=4,
        dim_mult=[1, 1],
        num_res_blocks=1,
        temperal_downsample=[False],
        latents_mean=[0.0] * 4,
        latents_std=[1.0] * 4,
    )
    QwenImagePipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
        vae=tiny.filled(vae, 94),
        text_encoder=tiny.filled(Qwen2_5_VLForConditionalGeneration(config), 95),
        tokenizer=tokenizer,
        transformer=tiny.filled(transformer, 96),
    ).save_pretrained(path)
    return path


def pixart(path: Path) -> Path:
    from diffusers import DPMSolverMultistepScheduler, PixArtAlphaPipeline, PixArtTransformer2DModel

    tokenizer, encoder = t5()
    transformer = PixArtTransformer2DModel(
        num_attention_heads=2, attention_head_dim=8, in_channels=4, out_channels=8, num_layers=1,
        cross_attention_dim=16, sample_size=8, caption_channels=32, use_additional_conditions=False,
    )  # fmt: skip
    PixArtAlphaPipeline(
        tokenizer=tokenizer,
        text_encoder=encoder,
        vae=tiny.vae(97, scaling_factor=0.18215, force_upcast=False),
        transformer=tiny.filled(transformer, 98),
        scheduler=DPMSolverMultistepScheduler(),
    ).save_pretrained(path)
    return path


def sana(path: Path) -> Path:
    """SANA 1.5: the same parts as Sana-Sprint's, with a schedule of many steps and guidance proper."""

    sana_sprint(path)
    from diffusers import FlowMatchEulerDiscreteScheduler

    FlowMatchEulerDiscreteScheduler(shift=3.0).save_pretrained(path / "scheduler")
    index = json.loads((path / "model_index.json").read_text())
    index |= {"_class_name": "SanaPipeline", "scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"]}
    (path / "model_index.json").write_text(json.dumps(index))
    config = path / "transformer" / "config.json"
    data = json.loads(config.read_text()) | {"guidance_embeds": False}
    config.write_text(json.dumps(data))
    from diffusers import SanaTransformer2DModel

    transformer = SanaTransformer2DModel.from_config(data)
    tiny.filled(transformer, 99).save_pretrained(path / "transformer")
    return path
