"""A loaded model in stages: texts to embeddings, noise to latents, latents to pixels.

The loops are those of diffusers' own pipelines, called with ready embeddings and `output_type="latent"`, so
that a number measured here is a number of the library people use. What is ours: each image's noise comes from
its own CPU generator, so that it is the same on every device and beside any neighbours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.device import memory_peak, synchronize
from bench.errors import InputError
from bench.models.decoding import Decoder, Latents
from bench.models.families import FAMILIES, Family, guided
from bench.models.model import Model, Recipe
from bench.records import Contender

MARKS = 8
"""Tokens beside the text's own: its ends, a leading space."""
KNOWN = 10_000
"""Texts whose length is remembered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedding:
    """What a text encoder made of one prompt. Cacheable: a prompt's is the same for every image of it."""

    tensors: Mapping[str, Any]
    """Call argument → tensor without the batch dimension, on the pipeline's device."""
    truncated: bool
    """The caption was longer than an encoder takes."""
    text: str = ""
    """The prompt itself, for a pipeline that is called whole."""


class Pipeline:
    """A loaded model, as `bench.models.load.load` returns it. Not safe to share between threads: schedulers
    hold state."""

    def __init__(
        self, model: Model, pipe: Any, device: str, dtype: str, stages: Sequence[Any] = (),
        load_recipe: Any = None, family: Family | None = None,
    ) -> None:  # fmt: skip
        self.model = model
        self.family = family or FAMILIES[model.pipeline]
        self.pipe: Any = pipe
        self.device = device
        self.dtype = dtype
        self.stages = tuple(stages)
        self.decoder = Decoder(pipe, self.family, device, self.stages)
        self.level = "none"
        """Of `--optimize`; set by `bench.models.optimize`."""
        self._edit: Any = None
        self._negative: Embedding | None = None
        self._load_recipe: Callable[[Pipeline, Recipe], None] | None = load_recipe
        self._recipe: int | None = None
        self._cut: dict[str, bool] = {}
        """Text → whether it is longer than a tokenizer takes, of those that were looked at."""

    # Texts

    def encode(self, texts: Sequence[str], contender: Contender | None = None) -> list[Embedding]:
        """One embedding a text, in one encoder call: the caller keeps its shape where bytes must not move.

        They serve every contender of this model.
        """
        import torch

        with torch.inference_mode():
            rows: list[dict[str, Any]] = self._rows(list(texts))
        return [
            Embedding(tensors=row, truncated=cut, text=text)
            for row, cut, text in zip(rows, self.truncated(texts), texts, strict=True)
        ]

    def _rows(self, texts: list[str]) -> list[dict[str, Any]]:
        batch = self.family.encode(self.pipe, texts, self.model.options)
        for number, stage in enumerate(self.stages):
            if getattr(stage, "text_encoder", None) is not None:
                embeds, _ = stage.encode_prompt(texts, stage._execution_device, 1, False)  # pyright: ignore[reportGeneralTypeIssues]
                batch[f"stage{number}"] = embeds
        return [{name: rows[i] for name, rows in batch.items()} for i in range(len(texts))]

    def truncated(self, texts: Sequence[str]) -> list[bool]:
        """True for a text that any of the model's tokenizers would cut.

        A tokenizer gives at most a token a byte, and a few that mark the ends: most captions need no second look.
        """
        bounds = self._bounds()
        shortest = min((bound for _, bound in bounds), default=0)
        unknown = {t for t in texts if len(t.encode()) + MARKS > shortest and t not in self._cut}
        for name, bound in bounds if unknown else ():
            ordered = sorted(unknown)
            tokens = getattr(self.pipe, name)(ordered, truncation=False, verbose=False).input_ids
            for text, row in zip(ordered, tokens, strict=True):
                self._cut[text] = self._cut.get(text, False) or len(row) > bound
        cut = [self._cut.get(text, False) for text in texts]
        if len(self._cut) > KNOWN:
            self._cut.clear()
        return cut

    def _bounds(self) -> list[tuple[str, int]]:
        """(tokenizer, tokens it keeps); the T5 and language-model encoders take the call's bound."""
        bounds = []
        for name in ("tokenizer", "tokenizer_2", "tokenizer_3"):
            tokenizer = getattr(self.pipe, name, None)
            if tokenizer is None:
                continue
            asked = self.model.options.get("max_sequence_length")
            is_clip = type(tokenizer).__name__.startswith("CLIP")
            bound = tokenizer.model_max_length if is_clip or asked is None else asked
            bounds.append((name, 77 if self.model.pipeline == "IFPipeline" else bound))
        return bounds

    def _empty(self, like: Embedding) -> Embedding:
        """The embedding guidance leads away from: the model's negative prompt, or the empty one's; SDXL base
        wants zeros for that."""
        import torch

        if self._negative is None:
            negative = self.model.options.get("negative_prompt", "")
            if not negative and self.pipe.config.get("force_zeros_for_empty_prompt"):
                zeros = {name: torch.zeros_like(row) for name, row in like.tensors.items()}
                self._negative = Embedding(tensors=zeros, truncated=False)
            else:
                self._negative = self.encode([negative])[0]
        return self._negative

    # Noise to latents

    def denoise(
        self,
        embeddings: Sequence[Embedding],
        seeds: Sequence[int],
        contender: Contender,
        *,
        on_step: Callable[[int], None] | None = None,
        references: np.ndarray | None = None,
        strength: float | None = None,
    ) -> Latents:
        """One latent an embedding and seed, in one batch. on_step(i) is called after each forward.

        references: uint8 (n, h, w, 3), with strength in (0, 1]: images from images.
        """
        import torch

        if len(embeddings) != len(seeds):
            raise ValueError(f"{len(embeddings)} embeddings for {len(seeds)} seeds")
        self.prepare(contender)
        recipe = self.model.recipes.get(contender.steps or 0)
        generators = [torch.Generator(device="cpu").manual_seed(seed) for seed in seeds]
        steps = StepCounter(on_step)
        options = {**self.model.options, **(recipe.options if recipe else {})}
        call: dict[str, Any] = {
            "num_inference_steps": contender.steps,
            "guidance_scale": contender.guidance,
            "generator": generators,
            "output_type": self.family.latent,
            **{key: value for key, value in options.items() if key != "negative_prompt"},
            **self.family.extra(contender.steps or 0),
            **self._conditioning(embeddings, contender.guidance or 0.0),
            **steps.hook(self.family.callback),
        }
        if recipe is not None and recipe.timesteps:
            call["timesteps"] = list(recipe.timesteps)
        with torch.inference_mode():
            if references is None:
                call |= self._start(generators, contender)
                out = self.family.run(self.pipe, call)
            else:
                self.decoder.join()  # encoding changes the dtype of what decodes
                call |= self._reference(references, strength, contender)
                out = self._editor()(**call).images
            for number, stage in enumerate(self.stages):
                out = self._next_stage(number, stage, out, embeddings, generators, steps)
        return Latents(tensor=out, size=contender.size)

    def _conditioning(self, embeddings: Sequence[Embedding], guidance: float) -> dict[str, Any]:
        import torch

        def stacked(rows: Sequence[Embedding], name: str) -> Any:
            tensors = [row.tensors[name].to(self.device) for row in rows]
            return tensors if self.model.pipeline == "ZImagePipeline" else torch.stack(tensors)

        names = [name for name in embeddings[0].tensors if not name.startswith("stage")]
        call = {name: stacked(embeddings, name) for name in names}
        if guided(self.model.pipeline, self.denoiser, guidance):
            empty = [self._empty(embeddings[0])] * len(embeddings)
            call |= {argument: stacked(empty, name) for name, argument in self.family.negative.items()}
        return call

    def _start(self, generators: list[Any], contender: Contender) -> dict[str, Any]:
        """Size and first noise. Drawn in float32 whatever the dtype: the same noise for every precision."""
        import torch

        side = contender.size
        call: dict[str, Any] = {"height": side, "width": side}
        if not self.family.square:
            return {}
        if self.family.noise == "pipeline":
            return call
        channels = self.denoiser.config.in_channels
        if self.family.noise == "packed":
            channels //= 4
        edge = side // self.pipe.vae_scale_factor
        noise = torch.cat([torch.randn((1, channels, edge, edge), generator=g) for g in generators])
        if self.family.noise == "packed":
            noise = self.pipe._pack_latents(noise, len(generators), channels, edge, edge)
        kept = torch.float32 if self.family.float32_latents else self.denoiser.dtype
        if self.device.startswith("cuda"):
            noise = noise.pin_memory()  # or the copy would wait for all that was launched before it
        return call | {"latents": noise.to(self.device, non_blocking=True).to(kept)}

    def _editor(self) -> Any:
        """The image-to-image pipeline over the same parts."""
        if self._edit is None:
            if not self.family.edit:
                raise InputError(f"model '{self.model.name}' cannot generate images from images")
            import diffusers

            self._edit = placed(getattr(diffusers, self.family.edit)(**self.pipe.components), self.device)
        own = {"scheduler": self.pipe.scheduler, self.family.denoiser: self.denoiser}
        self._edit.register_modules(**own)  # a step count may have changed both
        return self._edit

    def _reference(
        self, references: np.ndarray, strength: float | None, contender: Contender
    ) -> dict[str, Any]:
        from PIL import Image

        from bench.store.images import resize

        if strength is None:
            raise ValueError("references need a strength")
        side = contender.size
        images = [resize(Image.fromarray(image), side) for image in references]
        call: dict[str, Any] = {"image": images, "strength": strength}
        if self.family.denoiser == "transformer" and self.model.pipeline != "AmusedPipeline":
            call |= {"height": side, "width": side}
        return call

    def _next_stage(
        self,
        number: int,
        stage: Any,
        images: Any,
        embeddings: Sequence[Embedding],
        generators: list[Any],
        steps: StepCounter,
    ) -> Any:
        """One later stage of the IF cascade. Source: the two-then-upscale recipe of its model card."""
        import torch

        entry = self.model.stages[number]
        is_upscaler = getattr(stage, "vae", None) is not None
        name = f"stage{number}" if is_upscaler else "prompt_embeds"
        like = next(stage.unet.parameters())
        embeds = torch.stack([row.tensors[name] for row in embeddings]).to(like)
        call: dict[str, Any] = {
            "prompt_embeds": embeds,
            # the upscaler guesses the range of a tensor from its values: [0, 1] is never guessed wrong
            "image": ((images / 2 + 0.5).clamp(0, 1) if is_upscaler else images).to(like),
            "num_inference_steps": entry.steps,
            "guidance_scale": entry.guidance,
            "noise_level": entry.noise_level,
            "generator": generators,
            "output_type": "latent" if is_upscaler else "pt",
            **steps.hook("callback"),
        }
        if entry.guidance > 1:
            empty = self._empty(embeddings[0]).tensors[name].to(like)
            call["negative_prompt_embeds"] = empty.expand_as(embeds)
        if not is_upscaler:
            call |= {"height": entry.size, "width": entry.size}
        return stage(**call).images

    # Latents to pixels

    def decode(self, latents: Latents) -> np.ndarray:
        """uint8 (n, h, w, 3)."""
        return self.decode_later(latents)()

    def decode_later(self, latents: Latents) -> Callable[[], np.ndarray]:
        """Starts decoding: see `bench.models.decoding.Decoder.start`."""
        return self.decoder.start(latents)

    # The rest

    @property
    def denoiser(self) -> Any:
        return getattr(self.pipe, self.family.denoiser)

    def prepare(self, contender: Contender) -> None:
        """Loads what this step count alone needs (a checkpoint, a LoRA, a scheduler). Idempotent."""
        if self.model.recipes and self._recipe != contender.steps:
            assert self._load_recipe is not None
            assert contender.steps is not None
            self._load_recipe(self, self.model.recipes[contender.steps])
            self._recipe = contender.steps

    def forward_batch(self, contender: Contender) -> int:
        """Network rows an image and forward: 2 with classifier-free guidance, else 1."""
        return 2 if guided(self.model.pipeline, self.denoiser, contender.guidance or 0.0) else 1

    def synchronize(self) -> None:
        """Waits for the device; see `bench.device.synchronize`."""
        synchronize(self.device)

    def memory_peak(self) -> int | None:
        """Bytes allocated at most since the last call; None on a CPU."""
        return memory_peak(self.device)

    def close(self) -> None:
        """Drops the weights, on the device too."""
        self.decoder.close()
        self.pipe = self._edit = self._negative = None
        self.stages = ()
        if self.device.startswith("cuda"):
            import gc

            import torch

            torch.compiler.reset()
            gc.collect()
            torch.cuda.empty_cache()


class StepCounter:
    """Numbers the forwards of one generation, over all stages of a cascade."""

    def __init__(self, on_step: Callable[[int], None] | None) -> None:
        self.on_step = on_step
        self.done = 0

    def hook(self, name: str) -> dict[str, Any]:
        if self.on_step is None:
            return {}
        if name == "callback":
            return {"callback": self._old, "callback_steps": 1}
        return {"callback_on_step_end": self._new, "callback_on_step_end_tensor_inputs": []}

    def _old(self, step: int, timestep: int, latents: Any) -> None:
        assert self.on_step is not None
        self.on_step(self.done)
        self.done += 1

    def _new(self, pipe: Any, step: int, timestep: int, tensors: dict[str, Any]) -> dict[str, Any]:
        self._old(step, timestep, None)
        return {}


def placed(pipe: Any, device: str) -> Any:
    """The pipeline on a device, without progress bars, its `_execution_device` known once and for all.

    diffusers looks for that device among all modules each time it is asked, several times a call: 18 ms each for
    SDXL's 2,717 modules on one core of a busy machine. Ours ask once more, for the prompt is encoded apart.
    """
    import torch

    pipe = pipe.to(device)
    pipe.set_progress_bar_config(disable=True)
    where = torch.device(device)
    if where.type == "cuda" and where.index is None:
        where = torch.device("cuda", torch.cuda.current_device())
    kind = type(pipe)
    pipe.__class__ = type(kind.__name__, (kind,), {"_execution_device": where, "__module__": kind.__module__})
    return pipe
