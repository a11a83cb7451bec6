"""Faster, and the same picture; the real architectures, and their counted work."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
import torch

from bench.errors import InputError
from bench.models import optimize, tiny
from bench.models.architectures import fill, flops, meta_parts, random_pipeline
from bench.models.load import load
from bench.models.optimize import make_half_safe
from bench.models.pipeline import Pipeline
from bench.models.registry import MODELS, contender
from tests.support.tiny_models import MAKERS, TEXTS, of, pictures


@pytest.mark.parametrize("level", ["exact", "max"])
@pytest.mark.parametrize("name", ["tiny-turbo@1", "tiny-sdxl@4", "tiny-lcm@4"])
def test_a_level_leaves_the_picture_within_rounding(name, level, shared_cache):
    who = contender(name, MODELS)
    found = []
    for chosen in ("none", level):
        pipeline = load(MODELS[who.model], optimize=chosen)
        found.append(pipeline.decode(pipeline.denoise(pipeline.encode(["a cat", "a dog"]), [1, 2], who)))
    assert np.abs(found[0].astype(int) - found[1]).max() <= 1


@pytest.fixture
def eager(monkeypatch):
    """What is compiled is traced as for a GPU, and run as it is: no kernels are made of it."""
    own = torch.nn.Module.compile
    traced = lambda module, mode="", **more: own(module, backend="eager", **more)  # noqa: E731
    monkeypatch.setattr(torch.nn.Module, "compile", traced)
    yield
    torch.compiler.reset()


@pytest.mark.parametrize("whole", [False, True], ids=["exact", "max"])
@pytest.mark.parametrize("name", [n for n in MAKERS if n not in ("sdxl", "lcm-lora-xl", "sd-turbo")])
def test_every_family_compiles_to_the_same_picture(name, whole, eager, tmp_path, shared_cache):
    plain = load(MAKERS[name](tmp_path))
    compiled = load(plain.model, optimize="exact")
    optimize.compile_denoiser(compiled.denoiser, whole)
    if compiled.family.vae:
        optimize.compile_decoder(getattr(compiled.pipe, compiled.family.vae), whole)
    who = of(plain, name)
    one, other = (pictures(pipeline, who, TEXTS, [1, 2]).astype(int) for pipeline in (plain, compiled))
    assert np.abs(one - other).max() <= 1


@pytest.mark.parametrize("room", [8, optimize.SHAPES])
def test_one_process_compiles_the_shapes_of_a_whole_sweep(room, eager, shared_cache, monkeypatch):
    """torch by itself gives up after eight shapes of one block; the residual blocks of one sweep have more."""
    monkeypatch.setattr(optimize, "SHAPES", room)
    pipeline = load(MODELS["tiny-turbo"])
    optimize.compile_denoiser(pipeline.denoiser, whole=False)
    who = contender("tiny-turbo@1", MODELS)
    made = []
    with contextlib.suppress(torch._dynamo.exc.FailOnRecompileLimitHit):
        for batch in range(1, 11):
            embeddings = pipeline.encode(["a cat"] * batch)
            made += [pipeline.decode(pipeline.denoise(embeddings, range(batch), who)).std() > 5]
    assert (len(made) == 10) is (room > 8)


def overflowing(seed: int):
    """A decoder as SDXL's is: fine in float32, beyond 65,504 inside."""
    vae = tiny.vae(seed)
    with torch.no_grad():
        for block in vae.decoder.up_blocks:
            block.resnets[0].conv2.weight.mul_(1e6)
    return vae


def test_the_rescaled_decoder_is_the_same_to_the_last_bit_in_float32():
    latents = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    for vae in (tiny.vae(1), tiny.vae(1, block_out_channels=(4, 8, 8, 16)), overflowing(1)):
        with torch.inference_mode():
            before = vae.decode(latents).sample
        make_half_safe(vae)
        with torch.inference_mode():
            assert torch.equal(vae.decode(latents).sample, before)


def test_the_rescaled_decoder_does_not_overflow_in_float16():
    latents = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    plain, safe = overflowing(1), overflowing(1)
    make_half_safe(safe, 2.0**-12)
    with torch.inference_mode():
        wanted = plain.decode(latents).sample
        assert not torch.isfinite(plain.half().decode(latents.half()).sample).all()
        found = safe.half().decode(latents.half()).sample.float()
    assert (found - wanted).abs().max() < 4 * 2 / 255  # four levels of pixels in [-1, 1]


@pytest.mark.parametrize("blown", [False, True])
def test_float16_decodes_in_half_where_that_is_safe_and_again_in_float32_where_not(blown, shared_cache):
    who = contender("tiny-turbo@1", MODELS)
    reference = load(MODELS["tiny-turbo"])
    pipeline = load(MODELS["tiny-turbo"], dtype="float16", optimize="exact")
    if blown:  # beyond what any scaling kept in reserve
        with torch.no_grad():
            for block in pipeline.pipe.vae.decoder.up_blocks:
                block.resnets[0].conv2.weight.mul_(1e5)
                block.resnets[0].norm2.weight.mul_(1e3)
    latents = pipeline.denoise(pipeline.encode(["a cat"]), [1], who)
    picture = pipeline.decode(latents)
    assert (pipeline.decoder.upcasts == 1) is blown
    assert pipeline.pipe.vae.dtype == torch.float16  # the next batch does not depend on this one
    assert picture.std() > 5
    if not blown:
        assert np.abs(reference.decode(latents).astype(int) - picture).max() <= 4


# The real architectures


def test_parameters_are_those_of_the_public_checkpoints():
    """SDXL's UNet 2,567,463,684, its VAE 83,653,863, CLIP-L 123,060,480, OpenCLIP bigG 694,659,840."""
    counts = {n: sum(p.numel() for p in part.parameters()) for n, part in meta_parts(MODELS["sdxl"]).items()}
    assert counts == {
        "unet": 2_567_463_684,
        "vae": 83_653_863,
        "text_encoder": 123_060_480,
        "text_encoder_2": 694_659_840,
    }


@pytest.mark.parametrize(
    ("name", "size", "forward", "denoise", "decode"),
    [
        ("sdxl-turbo@1", 512, 1.589, 1.589, 2.515),
        ("sdxl@50", 1024, 6.761, 676.1, 10.47),
    ],
)
def test_counted_work_is_the_known_work(name, size, forward, denoise, decode):
    who = contender(name, MODELS)
    work = flops(MODELS[who.model], who, size)
    found = [work[stage] for stage in ("encode", "forward", "denoise", "decode")]
    assert found == pytest.approx([0.111, forward, denoise, decode], rel=2e-3)
    assert work["total"] == pytest.approx(work["encode"] + work["denoise"] + work["decode"])


def test_work_of_a_folder_is_counted_from_its_configurations(shared_cache):
    """Oracle: torch's counter over a real forward of the loaded pipeline."""
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    who = contender("tiny-sdxl@3", MODELS)
    pipeline = load(MODELS["tiny-sdxl"])
    embeddings = pipeline.encode(["a cat"])
    pipeline.denoise(embeddings, [1], who)
    # the counter of torch 2.11 does not know the CPU's own attention
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        latents = pipeline.denoise(embeddings, [1], who)
    assert flops(MODELS["tiny-sdxl"], who)["denoise"] == pytest.approx(counter.get_total_flops() / 1e12)
    with FlopCounterMode(display=False) as counter:
        pipeline.decode(latents)
    assert flops(MODELS["tiny-sdxl"], who)["decode"] == pytest.approx(counter.get_total_flops() / 1e12)


def test_a_model_whose_figures_are_not_here_is_told():
    with pytest.raises(InputError, match="sdxl-turbo"):
        flops(MODELS["flux.1-schnell"], contender("flux.1-schnell@4", MODELS))
    with pytest.raises(InputError, match="random weights"):
        load(MODELS["flux.1-schnell"], weights="random")


def test_random_weights_make_finite_pictures_of_the_real_classes(monkeypatch):
    """The road of `--weights random`, at tiny figures: no folder is read and nothing is downloaded."""
    figures = {
        "unet": {**tiny.UNET, "time_cond_proj_dim": 32},
        "vae": tiny.VAE,
        "text_encoder": {**tiny.CLIP_TEXT, **tiny.special_tokens()},
        "text_encoder_2": {**tiny.CLIP_TEXT, **tiny.special_tokens()},
    }
    monkeypatch.setattr("bench.models.architectures.ARCHITECTURES", {"tiny": figures})
    model = MODELS["lcm-xl"].__class__(
        **{f: getattr(MODELS["lcm-xl"], f) for f in MODELS["lcm-xl"].__slots__} | {"name": "tiny", "size": 64}
    )
    pipeline = Pipeline(model, random_pipeline(model, "cpu", "float32"), "cpu", "float32")
    who = contender("tiny@4", {"tiny": model})
    picture = pipeline.decode(pipeline.denoise(pipeline.encode(["a cat"]), [1], who))
    assert picture.shape == (1, 64, 64, 3)
    assert picture.std() > 1


def test_filling_leaves_nothing_uninitialised():
    """Memory that was asked for holds anything: after filling, the same values come out each time."""
    with torch.device("meta"):
        made = [tiny.UNET, tiny.UNET]
        from diffusers import UNet2DConditionModel

        modules = [UNet2DConditionModel(**figures).to_empty(device="cpu") for figures in made]
    for module in modules:
        for parameter in module.parameters():
            parameter.data.fill_(float("nan"))
        fill(module)
    for one, two in zip(*(module.state_dict().values() for module in modules), strict=True):
        assert torch.isfinite(one).all()
        assert torch.equal(one, two)


def test_tiny_weights_do_not_depend_on_the_order_of_making(shared_cache):
    one, two = tiny.unet(3), tiny.unet(3)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
    other = tiny.unet(4)
    assert not torch.equal(next(iter(one.parameters())), next(iter(other.parameters())))


def test_tiny_folders_are_made_once_by_any_number_of_askers(tmp_path):
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(2) as pool:
        paths = list(pool.map(lambda _: tiny.folder("lcm", tmp_path), range(2)))
    assert paths[0] == paths[1]
    assert [p.name for p in tmp_path.iterdir()] == [paths[0].name]
    with pytest.raises(InputError, match="did you mean 'sdxl'"):
        tiny.folder("sdlx", tmp_path)


def test_the_miniature_family_is_counted_with_its_own_length_of_text():
    one, fifty = (
        flops(MODELS[n.partition("@")[0]], contender(n, MODELS)) for n in ("mini-turbo@1", "mini-sdxl@50")
    )
    assert fifty["denoise"] == pytest.approx(100 * one["denoise"])  # fifty steps, guidance doubles each
    assert 0 < one["encode"] < one["total"]
