"""Every pipeline class through the one loader: encode, denoise and decode make the library's own picture."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from bench.errors import InputError
from bench.models.load import load
from bench.models.pipeline import Pipeline
from bench.models.registry import MODELS, Recipe, Weights, contender
from bench.models.weights import own_folder
from tests.support.tiny_models import MAKERS, TEXTS, of, pictures


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory, shared_cache: Path) -> Callable[[str], Pipeline]:
    """Each pipeline once a module."""
    torch.set_num_threads(1)
    kept: dict[str, Pipeline] = {}

    def get(name: str) -> Pipeline:
        if name not in kept:
            kept[name] = load(MAKERS[name](tmp_path_factory.mktemp(name)))
        return kept[name]

    return get


@pytest.mark.parametrize("name", MAKERS)
def test_an_image_depends_on_its_own_prompt_and_seed_alone(name, loaded):
    pipeline = loaded(name)
    who = of(pipeline, name)
    marks: list[int] = []
    embeddings = pipeline.encode(TEXTS, who)
    both = pipeline.decode(pipeline.denoise(embeddings, [1, 2], who, on_step=marks.append))
    other = pipeline.decode(pipeline.denoise([embeddings[0]] * 2, [1, 77], who))
    side = {"if-xl": 64}.get(name, who.size)  # the tiny upscaler's decoder enlarges by 2, not 4
    assert both.shape == (2, side, side, 3)
    assert both.dtype == np.uint8
    assert both.std() > 5
    assert np.array_equal(both[0], other[0])
    assert not np.array_equal(both[1], other[1])
    turned = pipeline.decode(pipeline.denoise(embeddings[::-1], [2, 1], who)).astype(int)
    assert np.abs(turned[::-1] - both).max() <= 2  # another row of a matrix product may round otherwise
    later = sum(stage.steps for stage in pipeline.model.stages)
    assert marks == list(range(who.steps + later))


@pytest.mark.parametrize(
    "name", [n for n in MAKERS if n not in ("instaflow", "if-xl", "openmuse", "flux.1-schnell")]
)
def test_the_staged_picture_is_the_librarys(name, loaded):
    """Oracle: one plain call of the diffusers pipeline, with the prompt and the same first noise."""
    pipeline = loaded(name)
    who = of(pipeline, name)
    generator = torch.Generator().manual_seed(5)
    channels = pipeline.denoiser.config.in_channels
    edge = who.size // pipeline.pipe.vae_scale_factor
    noise = torch.randn((1, channels, edge, edge), generator=generator)
    more = pipeline.family.extra(who.steps)
    plain = pipeline.pipe(
        TEXTS[0] if name != "z-image-turbo" else [TEXTS[0]],
        latents=noise, generator=[generator], num_inference_steps=who.steps, guidance_scale=who.guidance,
        height=who.size, width=who.size, output_type="np", **pipeline.model.options, **more,
    ).images  # fmt: skip
    ours = pictures(pipeline, who, TEXTS[:1], [5])
    assert np.abs(ours.astype(int) - np.round(plain * 255).astype(int)).max() <= 1


def test_the_muse_picture_is_the_librarys(loaded):
    from diffusers import AmusedPipeline

    pipeline = loaded("openmuse")
    who = of(pipeline, "openmuse", 4)
    plain = AmusedPipeline.from_pretrained(pipeline.model.repository)
    plain.set_progress_bar_config(disable=True)
    theirs = plain(
        TEXTS[0],
        num_inference_steps=4,
        guidance_scale=10.0,
        generator=torch.Generator().manual_seed(5),
        height=16,
        width=16,
        output_type="np",
    ).images
    assert np.abs(pictures(pipeline, who, TEXTS[:1], [5]) - np.round(theirs * 255)).max() <= 1


def test_the_first_two_if_stages_are_the_librarys(loaded):
    """Oracle: the chain of calls of the model card, in float32, up to the upscaler."""
    pipeline = loaded("if-xl")
    who = of(pipeline, "if-xl")
    seen = {}
    upscaler = pipeline.stages[1]
    generator = [torch.Generator().manual_seed(5)]
    embeds, empty = pipeline.pipe.encode_prompt(TEXTS[0], clean_caption=False)
    first = pipeline.pipe(
        prompt_embeds=embeds,
        negative_prompt_embeds=empty,
        num_inference_steps=2,
        guidance_scale=7.0,
        generator=generator,
        output_type="pt",
    ).images
    second = pipeline.stages[0](
        image=first, prompt_embeds=embeds, negative_prompt_embeds=empty, num_inference_steps=2,
        guidance_scale=4.0, noise_level=250, generator=generator, output_type="pt", height=32, width=32,
    ).images  # fmt: skip

    def spy(**call):
        seen.update(call)
        return upscaler(**call)

    spy.unet, spy.vae, spy.text_encoder, spy.encode_prompt, spy._execution_device = (
        upscaler.unet,
        upscaler.vae,
        upscaler.text_encoder,
        upscaler.encode_prompt,
        "cpu",
    )
    pipeline.stages = (pipeline.stages[0], spy)
    pipeline.denoise(pipeline.encode(TEXTS[:1], who), [5], who)
    pipeline.stages = (pipeline.stages[0], upscaler)
    assert torch.allclose(seen["image"], (second / 2 + 0.5).clamp(0, 1), atol=1e-5)


def test_instaflow_walks_a_straight_line(loaded):
    """Oracle by hand: with a constant velocity, one step and four steps end at the same point, x + v."""
    from bench.models.families import rectified_flow

    class Constant:
        def unet(self, latents, time, encoder_hidden_states):
            asked.append(float(time[0]))
            return type("Out", (), {"sample": torch.full_like(latents, 0.25)})

    start = torch.randn(2, 4, 8, 8)
    for steps, times in ((1, [1000.0]), (4, [1000.0, 750.0, 500.0, 250.0])):
        asked: list[float] = []
        end = rectified_flow(
            Constant(), {"latents": start, "num_inference_steps": steps, "prompt_embeds": None}
        )
        assert torch.allclose(end, start + 0.25)
        assert asked == times


EDITORS = [n for n in MAKERS if "image-to-image" in MODELS[n].tasks]


@pytest.mark.parametrize("name", EDITORS)
def test_pictures_from_pictures_keep_more_at_less_strength(name, loaded):
    pipeline = loaded(name)
    who = of(pipeline, name, 4)
    reference = np.zeros((2, who.size, who.size, 3), np.uint8)
    reference[:, : who.size // 2] = 255
    marks: list[int] = []
    half = pictures(pipeline, who, TEXTS, [1, 2], references=reference, strength=0.5, on_step=marks.append)
    full = pictures(pipeline, who, TEXTS, [1, 2], references=reference, strength=1.0)
    assert half.shape == full.shape
    assert len(marks) == 2
    assert not np.array_equal(half, full)
    assert np.array_equal(half, pictures(pipeline, who, TEXTS, [1, 2], references=reference, strength=0.5))


@pytest.mark.parametrize("name", ["sdxl-turbo", "sdxl", "lcm-xl", "flux.1-schnell", "sana-sprint"])
@pytest.mark.parametrize("strength", [0.5, 1.0])
def test_the_edited_picture_is_the_librarys(name, strength, loaded):
    """Oracle: one plain call of diffusers' own image-to-image pipeline, prompt and all."""
    import diffusers

    pipeline = loaded(name)
    who = of(pipeline, name, 4)
    plain = getattr(diffusers, pipeline.family.edit)(**pipeline.pipe.components)
    plain.set_progress_bar_config(disable=True)
    reference = np.random.default_rng(4).integers(0, 256, (who.size, who.size, 3), np.uint8)
    more = {} if "XL" in pipeline.family.edit else {"height": who.size, "width": who.size}
    theirs = plain(
        prompt=TEXTS[0], image=Image.fromarray(reference), strength=strength, num_inference_steps=4,
        guidance_scale=who.guidance, generator=[torch.Generator().manual_seed(5)], output_type="np",
        **more, **pipeline.model.options, **pipeline.family.extra(4),
    ).images  # fmt: skip
    ours = pictures(pipeline, who, TEXTS[:1], [5], references=reference[None], strength=strength)
    assert np.abs(ours.astype(int) - np.round(theirs * 255).astype(int)).max() <= 1


def test_a_model_that_cannot_edit_says_so(loaded):
    pipeline = loaded("instaflow")
    with pytest.raises(InputError, match="cannot generate images from images"):
        pictures(
            pipeline,
            of(pipeline, "instaflow"),
            TEXTS[:1],
            [1],
            references=np.zeros((1, 64, 64, 3), np.uint8),
            strength=0.5,
        )


def test_a_reference_of_another_size_is_fitted(loaded):
    pipeline = loaded("sdxl-turbo")
    who = of(pipeline, "sdxl-turbo", 2)
    found = pictures(
        pipeline, who, TEXTS[:1], [1], references=np.zeros((1, 96, 48, 3), np.uint8), strength=0.5
    )
    assert found.shape == (1, 64, 64, 3)


def test_first_noise_is_the_same_in_every_precision(loaded):
    """Half a float drawn in half precision is another float: the noise is drawn in one precision and cast."""
    pipeline = loaded("sdxl-turbo")
    who = of(pipeline, "sdxl-turbo")
    start = pipeline._start([torch.Generator().manual_seed(3)], who)["latents"]
    pipeline.denoiser.to(torch.bfloat16)
    low = pipeline._start([torch.Generator().manual_seed(3)], who)["latents"]
    pipeline.denoiser.to(torch.float32)
    assert torch.equal(start.to(torch.bfloat16), low)


def test_guidance_doubles_the_forward_and_embedded_guidance_does_not(loaded):
    assert loaded("sdxl").forward_batch(of(loaded("sdxl"), "sdxl")) == 2
    assert loaded("sdxl-turbo").forward_batch(of(loaded("sdxl-turbo"), "sdxl-turbo")) == 1
    assert loaded("lcm-xl").forward_batch(of(loaded("lcm-xl"), "lcm-xl")) == 1


def test_the_guidance_embedding_reaches_the_lcm_unet(loaded):
    pipeline = loaded("lcm-xl")
    who = of(pipeline, "lcm-xl")
    one, eight = (pictures(pipeline, replace(who, guidance=g), TEXTS[:1], [1]) for g in (1.0, 8.0))
    assert not np.array_equal(one, eight)


@pytest.mark.parametrize("name", MAKERS)
def test_a_long_caption_is_seen_to_be_cut(name, loaded):
    """Oracle: the tokenizers' own padding to the longest; 'a' is at least one token in each."""
    pipeline = loaded(name)
    short, long = pipeline.encode(["a cat", "a cat on a chair " * 40], of(pipeline, name))
    assert not short.truncated
    assert long.truncated


def test_a_caption_of_exactly_77_tokens_is_not_cut(loaded):
    pipeline = loaded("sdxl")
    words = ["a"] * 75  # and the start and end of text
    assert len(pipeline.pipe.tokenizer(" ".join(words)).input_ids) == 77
    assert pipeline.truncated([" ".join(words), " ".join([*words, "a"])]) == [False, True]


def test_the_lora_is_fused_and_moves_the_picture(loaded, shared_cache):
    from safetensors.torch import load_file

    pipeline = loaded("lcm-lora-xl")
    name = "mid_block.attentions.0.transformer_blocks.0.attn1.to_q"
    base = load_file(own_folder("tiny:sdxl") / "unet" / "diffusion_pytorch_model.safetensors")
    lora = load_file(own_folder("tiny:lora") / "pytorch_lora_weights.safetensors")
    update = lora[f"unet.{name}.lora_B.weight"] @ lora[f"unet.{name}.lora_A.weight"]  # alpha = rank
    fused = pipeline.denoiser.state_dict()[f"{name}.weight"]
    assert torch.allclose(fused, base[f"{name}.weight"] + update, atol=1e-6)
    assert not any("lora" in key for key in pipeline.denoiser.state_dict())


@pytest.mark.parametrize(("name", "wanted"), [("sdxl-turbo", torch.float32), ("sd-turbo", torch.float16)])
def test_only_the_decoder_that_diffusers_upcasts_is_upcast(name, wanted, tmp_path, shared_cache):
    """Stable Diffusion's configuration says `force_upcast` too, by default; its pipeline decodes in float16."""
    pipeline = load(MAKERS[name](tmp_path), dtype="float16")
    who = of(pipeline, name, 1)
    kept = []
    own = type(pipeline.pipe.vae)._decode
    pipeline.pipe.vae._decode = lambda z, **more: kept.append(z.dtype) or own(pipeline.pipe.vae, z, **more)
    pipeline.pipe(TEXTS[:1], num_inference_steps=1, guidance_scale=0.0, height=who.size, width=who.size)
    assert pictures(pipeline, who, TEXTS[:1], [1]).std() > 5
    assert kept == [wanted] * 2


def test_one_checkpoint_a_step_count_is_loaded_when_asked_for(tmp_path, shared_cache):
    """As SDXL-Lightning and Hyper-SD are: bare UNet weights, or a LoRA, chosen by the step count."""
    unet = own_folder("tiny:turbo") / "unet" / "diffusion_pytorch_model.safetensors"
    shutil.copy(unet, tmp_path / "four.safetensors")
    lora = Weights(repository="tiny:lora", file="pytorch_lora_weights.safetensors")
    lightning = MODELS["sdxl-lightning"]
    model = replace(
        lightning,
        repository="tiny:sdxl",
        revision="main",
        variant=None,
        size=64,
        recipes={
            4: Recipe(denoiser=Weights(repository=str(tmp_path), file="four.safetensors")),
            2: Recipe(lora=(lora,)),
            1: Recipe(lora=(lora,), scheduler=MODELS["lcm-xl"].scheduler, timesteps=(800,)),
        },
    )
    pipeline = load(model)
    name = "mid_block.attentions.0.transformer_blocks.0.attn1.to_q.weight"
    found = {}
    for steps in (4, 2, 1, 4):
        who = contender(f"sdxl-lightning@{steps}", {"sdxl-lightning": model})
        assert pictures(pipeline, who, TEXTS[:1], [1]).std() > 5
        found.setdefault(steps, []).append(pipeline.denoiser.state_dict()[name].clone())
        if steps == 1:
            assert type(pipeline.pipe.scheduler).__name__ == "LCMScheduler"
            assert pipeline.pipe.scheduler.timesteps.tolist() == [800]
    optimized = load(model, optimize="exact")
    pictures(optimized, contender("sdxl-lightning@4", {"sdxl-lightning": model}), TEXTS[:1], [1])
    assert optimized.denoiser.conv_in.weight.is_contiguous(memory_format=torch.channels_last)
    assert type(pipeline.pipe.scheduler).__name__ == "EulerDiscreteScheduler"
    assert torch.equal(found[4][0], found[4][1])
    assert torch.equal(found[2][0], found[1][0])
    assert not torch.equal(found[2][0], found[4][0])


@pytest.fixture
def copy(tmp_path: Path, shared_cache: Path) -> Path:
    return Path(shutil.copytree(own_folder("tiny:sdxl"), tmp_path / "mine"))


def broken(folder: Path) -> str:
    model = replace(MODELS["tiny-sdxl"], name="mine", repository=str(folder))
    with pytest.raises(InputError) as error:
        load(model)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder", "text_encoder_2", "tokenizer", "scheduler"])
def test_a_missing_part_is_named(part, copy):
    shutil.rmtree(copy / part)
    assert f"part '{part}' is missing" in broken(copy)


def test_a_part_without_weights_or_configuration_is_named(copy):
    (copy / "vae" / "diffusion_pytorch_model.safetensors").unlink()
    assert "part 'vae' has no weights" in broken(copy)
    (copy / "unet" / "config.json").unlink()
    assert "part 'unet' has no configuration" in broken(copy)


def test_a_truncated_weights_file_is_named(copy):
    file = copy / "unet" / "diffusion_pytorch_model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    assert "part 'unet' is damaged" in broken(copy)


def test_weights_that_do_not_fit_their_configuration_are_refused(copy):
    config = copy / "unet" / "config.json"
    data = json.loads(config.read_text())
    config.write_text(json.dumps(data | {"cross_attention_dim": 48}))
    assert "does not load" in broken(copy)


def test_a_folder_that_is_no_pipeline_is_told(tmp_path):
    assert "model_index.json" in broken(tmp_path)
    assert "no folder" in broken(tmp_path / "absent")


def test_a_swap_that_is_absent_or_foreign_is_told(tmp_path, shared_cache):
    lcm = MODELS["tiny-lcm"]
    with pytest.raises(InputError, match="is missing in"):
        load(replace(lcm, denoiser=Weights(repository=str(tmp_path))))
    with pytest.raises(InputError, match="does not fit"):
        load(
            replace(
                lcm,
                denoiser=Weights(
                    repository=str(own_folder("tiny:lora")), file="pytorch_lora_weights.safetensors"
                ),
            )
        )


def test_an_unknown_scheduler_or_setting_is_told(shared_cache):
    from bench.models.registry import Scheduler

    for scheduler, told in (
        ("EulerScheduler", "no scheduler 'EulerScheduler'"),
        ("DDIMScheduler", "'spacing'"),
    ):
        model = replace(MODELS["tiny-sdxl"], scheduler=Scheduler(name=scheduler, settings={"spacing": 1}))
        with pytest.raises(InputError, match=told):
            load(model)


def test_weights_that_are_not_here_name_the_cure():
    """The hub is switched off in tests, as on a GPU node without a network."""
    with pytest.raises(InputError, match="bench fetch"):
        load(MODELS["sdxl"])


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_no_gpu_is_told():
    with pytest.raises(InputError, match="no GPU"):
        load(MODELS["tiny-sdxl"], device="cuda")


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"device": "tpu"}, "unknown device"),
        ({"dtype": "int8"}, "unknown dtype"),
        ({"optimize": "fast"}, "unknown optimize level"),
        ({"weights": "none"}, "unknown weights"),
    ],
)
def test_an_unknown_argument_is_told(asked, told):
    with pytest.raises(InputError, match=told):
        load(MODELS["tiny-sdxl"], **asked)


def test_imported_models_are_not_loaded():
    with pytest.raises(InputError, match="bench import"):
        load(MODELS["midjourney"])


@pytest.mark.skipif(not own_folder("miniature:sdxl").is_dir(), reason="the miniature weights are not here")
@pytest.mark.parametrize(
    ("name", "member"), [("mini-turbo@2", "turbo"), ("mini-lcm@4", "lcm"), ("mini-sdxl@4", "")]
)
def test_the_miniature_family_loads_with_the_schedulers_it_was_trained_for(name, member):
    """Oracle: the exported folders put together by hand, with the scheduler saved beside them."""
    import diffusers

    who = contender(name, MODELS)
    root = own_folder("miniature:sdxl").parent
    plain = diffusers.StableDiffusionXLPipeline.from_pretrained(root / "sdxl", dtype=torch.float32)
    if member:
        plain.unet = diffusers.UNet2DConditionModel.from_pretrained(
            root / member / "unet", dtype=torch.float32
        )
        config = json.loads((root / member / "scheduler" / "scheduler_config.json").read_text())
        plain.scheduler = getattr(diffusers, config["_class_name"]).from_config(config)
    plain.set_progress_bar_config(disable=True)
    caption = "a red circle above a blue square"
    generator = torch.Generator().manual_seed(7)
    channels = plain.unet.config.in_channels
    edge = 64 // plain.vae_scale_factor
    theirs = plain(
        caption,
        latents=torch.randn((1, channels, edge, edge), generator=generator),
        generator=[generator],
        num_inference_steps=who.steps,
        guidance_scale=who.guidance,
        height=64,
        width=64,
        output_type="np",
    ).images
    pipeline = load(MODELS[who.model])
    ours = pictures(pipeline, who, [caption], [7])
    assert np.abs(ours - np.round(theirs * 255)).max() <= 1


@pytest.mark.skipif(not own_folder("miniature:sdxl").is_dir(), reason="the miniature weights are not here")
@pytest.mark.parametrize("name", ["mini-turbo@2", "mini-lcm@4", "mini-sdxl@4"])
def test_the_miniature_family_edits_as_the_library_does(name):
    """Oracle: StableDiffusionXLImg2ImgPipeline over the same parts; the latents, then the pixels."""
    import diffusers

    who = contender(name, MODELS)
    pipeline = load(MODELS[who.model])
    plain = diffusers.StableDiffusionXLImg2ImgPipeline(**pipeline.pipe.components)
    plain.set_progress_bar_config(disable=True)
    reference = np.full((64, 64, 3), 240, np.uint8)
    reference[20:44, 20:44] = (215, 40, 40)
    call = {
        "prompt": "a blue circle",
        "image": Image.fromarray(reference),
        "strength": 0.5,
        "num_inference_steps": who.steps,
        "guidance_scale": who.guidance,
    }
    latents = pipeline.denoise(
        pipeline.encode(["a blue circle"], who), [7], who, references=reference[None], strength=0.5
    )
    theirs = plain(**call, generator=[torch.Generator().manual_seed(7)], output_type="latent").images
    assert torch.allclose(latents.tensor, theirs, atol=1e-5)
    drawn = plain(**call, generator=[torch.Generator().manual_seed(7)], output_type="np").images
    assert np.abs(pipeline.decode(latents).astype(int) - np.round(drawn * 255)).max() <= 1
