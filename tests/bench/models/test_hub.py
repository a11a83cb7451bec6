"""Every entry of the registry through a hub on the loopback: fetched, checked, generated, equal to diffusers' call."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench.errors import InputError
from bench.models import hub as hub_module
from bench.models.availability import check, fetch
from bench.models.load import load
from bench.models.model import Model, Weights
from bench.models.registry import MODELS
from bench.models.selfcheck import no_stock_call, selfcheck
from bench.records import Contender
from tests.support import hub as hubs
from tests.support import hub_layouts


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory, shared_cache: Path) -> Iterator[hubs.Hub]:
    """A hub that holds every repository of the registry."""
    import os

    os.environ["TURBO_BENCH_CACHE"] = str(shared_cache)
    root = tmp_path_factory.mktemp("hub")
    hub_layouts.build(root, hub_layouts.hub_models())
    with hubs.serving(root) as running:
        running.gated = set(hub_layouts.GATED)
        yield running


@pytest.fixture(scope="module")
def downloads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The hub client's cache, kept for the module: what one model fetched another need not."""
    return tmp_path_factory.mktemp("downloads")


@pytest.fixture
def online(hub: hubs.Hub, downloads: Path, monkeypatch: pytest.MonkeyPatch) -> hubs.Hub:
    """Everybody's licences are accepted."""
    hubs.use(monkeypatch, hub, downloads, hubs.ACCEPTED)
    return hub


@pytest.fixture
def fresh(hub: hubs.Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> hubs.Hub:
    """An empty cache, and nobody is logged in."""
    hubs.use(monkeypatch, hub, tmp_path / "cache")
    return hub


def contenders(model: Model) -> list[Contender]:
    """Each step count, at most eight steps of it: equality does not need a hundred."""
    counts = model.steps if model.recipes else dict.fromkeys(min(count, 3) for count in model.steps)
    return [
        Contender(
            name=f"{model.name}@{n}", model=model.name, steps=n, guidance=model.guidance, size=model.size
        )
        for n in counts
    ]


@pytest.mark.parametrize("name", hub_layouts.hub_models())
def test_every_entry_is_fetched_checked_and_equal_to_the_stock_call(name, online):
    """In the dtype the authors use and in float32. Oracle: diffusers, called as a model card calls it."""
    model = hub_layouts.small(MODELS[name])
    assert set(fetch(model)) == set(hub_layouts.repositories(MODELS[name]))
    assert check(model).message.startswith("files complete")
    if no_stock_call(model):
        pipeline, who = load(model), contenders(model)[0]
        assert pipeline.decode(pipeline.denoise(pipeline.encode(["a dog"], who), [1], who)).std() > 5
        return
    for who in contenders(model):
        for dtype in dict.fromkeys(
            (model.dtype, "float32") if who is contenders(model)[0] else (model.dtype,)
        ):
            found = selfcheck(model, who, device="cpu", dtype=dtype)
            assert found.passed, f"{who.name} {dtype}: {found.largest}"
            assert set(found.commits) == set(hub_layouts.repositories(model))


def test_every_repository_of_the_registry_has_a_layout():
    named = {repo for name in hub_layouts.hub_models() for repo in hub_layouts.repositories(MODELS[name])}
    assert named <= set(hub_layouts.REPOSITORIES)


def test_only_what_is_loaded_is_fetched_and_its_sum_is_said_first(fresh, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", hubs.ACCEPTED)
    fresh.sent.clear()
    said: list[tuple[str, int]] = []
    fetch(hub_layouts.small(MODELS["if-xl"]), lambda line: said.append((line, fresh.served("unet"))))
    assert fresh.served("IF-II-L-v1.0/text_encoder") == fresh.served("IF-II-L-v1.0/tokenizer") == 0
    assert fresh.served("safety_checker") == fresh.served("watermarker") == 0
    assert fresh.served("IF-I-XL-v1.0/text_encoder/model.fp16-00001-of-00002") > 0
    assert fresh.served("IF-I-XL-v1.0/text_encoder/model-0") == 0
    assert not [path for path in fresh.sent if path.endswith((".bin", ".onnx", ".msgpack"))]
    assert [line.split(":")[0] for line, _ in said] == hub_layouts.repositories(MODELS["if-xl"])
    assert said[0][1] == 0
    assert "kB" in said[0][0]


def test_an_unet_that_is_replaced_is_not_fetched(fresh):
    fresh.sent.clear()
    fetch(hub_layouts.small(MODELS["lcm-xl"]))
    assert fresh.served("stable-diffusion-xl-base-1.0/unet/diffusion") == 0
    assert fresh.served("stable-diffusion-xl-base-1.0/unet/config.json") > 0
    fetch(hub_layouts.small(MODELS["sdxl-lightning"]))
    assert fresh.served("stable-diffusion-xl-base-1.0/unet/diffusion") == 0


def test_what_is_whole_in_the_cache_asks_nothing_of_the_network(online):
    model = hub_layouts.small(MODELS["sd-turbo"])
    fetch(model)
    online.requests.clear()
    load(model)
    fetch(model)
    assert check(model).here
    assert online.requests == []


@pytest.mark.parametrize("token", [None, "hf_somebody_else"])
def test_a_gated_model_says_where_its_licence_is_accepted(token, fresh, monkeypatch):
    if token:
        monkeypatch.setenv("HF_TOKEN", token)
    with pytest.raises(InputError) as error:
        fetch(hub_layouts.small(MODELS["flux.1-schnell"]))
    message = str(error.value)
    assert f"accept the licence at {fresh.address}/black-forest-labs/FLUX.1-schnell" in message
    assert "hf auth login" in message
    assert "HF_TOKEN" in message
    assert "\n" not in message


def test_before_fetching_a_gated_model_is_named_as_such(fresh):
    found = check(hub_layouts.small(MODELS["flux.1-schnell"]))
    assert not found.here
    assert f"{fresh.address}/black-forest-labs/FLUX.1-schnell" in found.gated
    assert not check(hub_layouts.small(MODELS["sd-turbo"])).gated


def refused(model: Model) -> str:
    """The one line that fetching it ends with."""
    with pytest.raises(InputError) as error:
        fetch(model)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_what_the_hub_does_not_have_is_named(fresh):
    base = hub_layouts.small(MODELS["sd-turbo"])
    assert "check the spelling" in refused(replace(base, repository="stabilityai/sd-turboo"))
    assert "no revision 'v2'" in refused(replace(base, revision="v2"))
    lora = Weights(repository="latent-consistency/lcm-lora-sdxl", file="absent.safetensors")
    assert "no file 'absent.safetensors'" in refused(replace(hub_layouts.small(MODELS["sdxl"]), lora=(lora,)))
    folderless = replace(base, repository="latent-consistency/lcm-lora-sdxl")
    assert "no file 'model_index.json'" in refused(folderless)


def test_no_network_and_offline_are_told_apart(fresh, monkeypatch):
    import huggingface_hub.constants as constants

    base = hub_layouts.small(MODELS["sd-turbo"])
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(
        constants, "HUGGINGFACE_CO_URL_TEMPLATE", "http://127.0.0.1:9/{repo_id}/resolve/{revision}/{filename}"
    )
    assert "could not be reached" in refused(base)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert "HF_HUB_OFFLINE is set" in refused(base)


# A check says what it checked


def test_a_cache_that_holds_a_card_alone_is_not_here(fresh):
    hub_module.fetch_file("x", "stabilityai/sd-turbo", "README.md", MODELS["sd-turbo"].revision)
    assert not check(hub_layouts.small(MODELS["sd-turbo"])).here


def test_a_missing_shard_is_found_and_fetched_again(fresh, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", hubs.ACCEPTED)
    model = hub_layouts.small(MODELS["flux.1-schnell"])
    fetch(model)
    shard = hub_module.cached_file(
        model.repository, "transformer/diffusion_pytorch_model-00002-of-00003.safetensors", model.revision
    )
    assert shard is not None
    shard.unlink()
    found = check(model)
    assert not found.here
    assert "00002-of-00003" in found.message
    fetch(model)
    assert check(model).here


@pytest.mark.parametrize("place", ["/nonexistent/foo", "./nothing-here", "./x.safetensors"])
def test_a_place_that_does_not_exist_is_not_here(place):
    found = check(replace(MODELS["sdxl"], repository=place, revision="main"))
    assert not found.here
    assert Path(place).name in found.message


def test_a_folder_of_another_class_is_named_as_such(online):
    fetch(hub_layouts.small(MODELS["sdxl"]))
    model = replace(
        hub_layouts.small(MODELS["flux.1-schnell"]),
        repository=MODELS["sdxl"].repository,
        revision=MODELS["sdxl"].revision,
    )
    found = check(model)
    assert not found.here
    assert "StableDiffusionXLPipeline" in found.message
    assert "FluxPipeline, which needs the part 'transformer'" in found.message


def test_a_lora_of_another_model_is_named_before_it_is_loaded(online, tmp_path):
    import torch
    from safetensors.torch import save_file

    fetch(hub_layouts.small(MODELS["sdxl"]))
    layer = "unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_q"
    save_file(
        {f"{layer}.lora_A.weight": torch.zeros(2, 640), f"{layer}.lora_B.weight": torch.zeros(640, 2)},
        tmp_path / "other.safetensors",
    )
    model = replace(hub_layouts.small(MODELS["sdxl"]), lora=(Weights(repository=str(tmp_path)),))
    found = check(model)
    assert not found.here
    assert "640 × 640, the weight is 16 × 16" in found.message


def test_the_commit_of_an_unpinned_model_is_what_the_hub_said(online):
    model = hub_layouts.small(MODELS["lcm-xl"])
    assert fetch(model)["latent-consistency/lcm-sdxl"] == online.commit("latent-consistency/lcm-sdxl", "main")


# An overflow is a failure, never pixels


@pytest.mark.parametrize("name", ["openmuse", "sd-turbo"])
def test_a_decode_that_is_not_finite_has_no_pixels(name, online):
    import torch

    from bench.models.decoding import NotFiniteError

    model = hub_layouts.small(MODELS[name])
    fetch(model)
    pipeline, who = load(model), contenders(model)[0]
    vae = getattr(pipeline.pipe, pipeline.family.vae)
    decoder = vae.decoder.forward
    vae.decoder.forward = lambda *a, **k: (
        decoder(*a, **k) * torch.tensor([1.0, float("inf")]).view(2, 1, 1, 1)
    )
    latents = pipeline.denoise(pipeline.encode(["a dog", "a cat"], who), [1, 2], who)
    with pytest.raises(NotFiniteError) as error:
        pipeline.decode(latents)
    assert error.value.rows == (1,)
    assert error.value.pixels[0].std() > 5


def test_float16_decodes_openmuse_in_float32_as_its_configuration_asks(online):
    import torch

    model = hub_layouts.small(MODELS["openmuse"])
    fetch(model)
    pipeline, who = load(model, dtype="float16"), contenders(model)[0]
    assert np.asarray(pipeline.decode(pipeline.denoise(pipeline.encode(["a"], who), [1], who))).std() > 5
    assert pipeline.pipe.vqvae.dtype == torch.float32


def test_a_precision_never_changes_the_noise(online):
    """Sana-Sprint keeps float32 latents in diffusers whatever the dtype of its denoiser."""
    import torch

    model = hub_layouts.small(MODELS["sana-sprint"])
    fetch(model)
    who = contenders(model)[0]
    noise = {
        dtype: load(model, dtype=dtype)._start([torch.Generator().manual_seed(3)], who)["latents"]
        for dtype in ("float32", "bfloat16")
    }
    assert noise["bfloat16"].dtype == torch.float32
    assert torch.equal(noise["float32"], noise["bfloat16"])


def test_a_copy_on_this_disk_needs_no_hub(online, tmp_path):
    model = hub_layouts.small(MODELS["sd-turbo"])
    fetch(model)
    folder = shutil.copytree(
        hub_module.cached_file(model.repository, "model_index.json", model.revision).parent, tmp_path / "mine"
    )
    online.requests.clear()
    own = replace(model, repository=str(folder))
    assert check(own).here
    load(own)
    assert online.requests == []


# The shipped studies of 2026


@pytest.mark.parametrize("name", ["quantized", "few-step-field"])
def test_a_shipped_study_passes_doctor_once_its_models_are_fetched(name, online, tmp_path, monkeypatch):
    """Its device, prompts and metrics apart: these need a GPU and public files that are not here."""
    from bench.doctor import _weights
    from bench.prompts import sets
    from bench.study import study as studies

    monkeypatch.setattr(studies, "choose_prompts", lambda choice, base: tuple(sets.load("miniature")))
    study = studies.read(name)
    for model in study.models.values():
        fetch(model)
    findings = [_weights(model, check) for model in study.models.values()]
    assert [finding.state for finding in findings] == ["ok"] * len(findings)
    assert all("files complete" in finding.message for finding in findings)
