"""Writes the trained networks as fp16 folders in the layout of the Hugging Face hub."""

from __future__ import annotations

import json
from pathlib import Path

from bench.miniature.diffusion import SCHEDULE, Teacher
from bench.miniature.tokens import make_tokenizer


def export_sdxl(teacher: Teacher, vae, folder: Path) -> None:
    """A whole StableDiffusionXLPipeline: the teacher, with the Euler scheduler SDXL ships with."""
    import torch
    from diffusers.pipelines.stable_diffusion_xl.pipeline_stable_diffusion_xl import StableDiffusionXLPipeline
    from diffusers.schedulers.scheduling_euler_discrete import EulerDiscreteScheduler

    tokenizer = make_tokenizer()
    pipeline = StableDiffusionXLPipeline(
        vae=vae,
        text_encoder=teacher.reader.text_encoder,  # type: ignore[arg-type]
        text_encoder_2=teacher.reader.text_encoder_2,  # type: ignore[arg-type]
        tokenizer=tokenizer,
        tokenizer_2=tokenizer,
        unet=teacher.unet,
        scheduler=EulerDiscreteScheduler(**SCHEDULE),  # type: ignore[arg-type]
        force_zeros_for_empty_prompt=True,
        add_watermarker=False,
    )
    pipeline.to(torch.float16).save_pretrained(folder, safe_serialization=True)
    pipeline.to(torch.float32)


def export_unet(unet, scheduler, folder: Path) -> None:
    """A student: its denoiser and scheduler; every other part is the teacher's."""
    import torch

    unet.to(torch.float16).save_pretrained(folder / "unet", safe_serialization=True)
    unet.to(torch.float32)
    scheduler.save_pretrained(folder / "scheduler")


def turbo_scheduler():
    """SDXL Turbo's: Euler ancestral, trailing steps."""
    from diffusers.schedulers.scheduling_euler_ancestral_discrete import EulerAncestralDiscreteScheduler

    return EulerAncestralDiscreteScheduler(**SCHEDULE)  # type: ignore[arg-type]


def lcm_scheduler():
    """The consistency student's, on the grid of 50 it was distilled along."""
    from diffusers.schedulers.scheduling_lcm import LCMScheduler

    return LCMScheduler(
        num_train_timesteps=1000,
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        original_inference_steps=50,
        clip_sample=False,
    )


def export_classifier(net, folder: Path) -> None:
    """The scene classifier: safetensors and the answers' names."""
    from safetensors.torch import save_file

    from bench.miniature.dataset import LABELS, label_sizes

    folder.mkdir(parents=True, exist_ok=True)
    save_file({k: v.half().contiguous() for k, v in net.state_dict().items()}, folder / "model.safetensors")
    config = {
        "architecture": "bench.miniature.classifier.SceneNet",
        "labels": LABELS,
        "classes": label_sizes(),
    }
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
