"""InstaFlow's one step over the parts of Stable Diffusion 1.5, which diffusers has no pipeline for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from diffusers import StableDiffusionPipeline
from diffusers.pipelines.stable_diffusion.pipeline_output import StableDiffusionPipelineOutput


class InstaFlowPipeline(StableDiffusionPipeline):
    """Rectified flow: the UNet gives a velocity, Euler's rule walks it from noise (t = 1) to latent (t = 0).

    Source: Liu et al. 2023, arXiv 2309.06380, eq. 1 and algorithm 1: dz = v(z, t | text) dt. The network is
    asked at t = 1000 (1 − i / N), and noise starts at unit deviation.
    """

    def __call__(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        *,
        prompt_embeds: Any,
        latents: Any,
        num_inference_steps: int,
        height: int,
        width: int,
        guidance_scale: float | None = None,
        generator: Any = None,
        output_type: str = "latent",
        callback_on_step_end: Callable[..., Any] | None = None,
        callback_on_step_end_tensor_inputs: Any = (),
    ) -> Any:
        """latents: noise (n, 4, height / 8, width / 8). Guidance is distilled in: 1 or None."""
        import torch

        side = (height // self.vae_scale_factor, width // self.vae_scale_factor)
        if tuple(latents.shape[-2:]) != side or output_type != "latent":
            raise ValueError(f"latents of {tuple(latents.shape)} for {height}×{width}, {output_type}")
        for step in range(num_inference_steps):
            time = torch.full(
                (len(latents),), 1000.0 * (1 - step / num_inference_steps), device=latents.device
            )
            velocity = self.unet(latents, time, encoder_hidden_states=prompt_embeds).sample
            latents = latents + velocity / num_inference_steps
            if callback_on_step_end is not None:
                callback_on_step_end(self, step, time, {})
        return StableDiffusionPipelineOutput(images=latents, nsfw_content_detected=None)
