"""Models that a user writes into the study file: what each key does, and what is said of a wrong one."""

from __future__ import annotations

import importlib.util
import json
import shutil
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from bench.errors import InputError
from bench.models.availability import check
from bench.models.general import GeneralPipeline
from bench.models.load import load
from bench.models.registry import MODELS, contender
from bench.models.selfcheck import selfcheck
from bench.models.user_models import line_of, read_models
from bench.models.weights import own_folder
from bench.records import Contender
from tests.support import folders
from tests.support.single_file import sd15_checkpoint

FIND_SPEC = importlib.util.find_spec

LAYER = "mid_block.attentions.0.transformer_blocks.0.attn1.to_q"

CUSTOM = '''
import torch
from diffusers import DiffusionPipeline
from diffusers.utils.torch_utils import randn_tensor


class TwoColours(DiffusionPipeline):
    """A user's own: no network is called once a step, nothing decodes."""

    def __init__(self, unet, scheduler):
        super().__init__()
        self.register_modules(unet=unet, scheduler=scheduler)

    @torch.no_grad()
    def __call__(self, prompt, num_inference_steps=1, height=64, width=64, generator=None, tint=0.5, output_type="pil"):
        shape = (len(prompt), 3, height, width)
        noise = randn_tensor(shape, generator=generator, device=self._execution_device)
        images = (noise * 0.1 + tint).clamp(0, 1).permute(0, 2, 3, 1).numpy()
        return (self.numpy_to_pil(images),) if output_type == "pil" else (images,)
'''


@pytest.fixture
def base(tmp_path: Path, shared_cache: Path) -> Path:
    """A folder with a local SDXL, LoRAs, a checkpoint file, a pipeline file of the user's own."""
    shutil.copytree(own_folder("tiny:sdxl"), tmp_path / "sdxl")
    (tmp_path / "style").mkdir()
    shutil.copy(
        own_folder("tiny:lora") / "pytorch_lora_weights.safetensors", tmp_path / "style" / "ink.safetensors"
    )
    (tmp_path / "two_colours.py").write_text(CUSTOM, encoding="utf-8")
    return tmp_path


def model_of(text: str, base: Path):
    import tomllib

    (model,) = read_models(tomllib.loads(text)["models"], base).values()
    return model


def images(model, steps: int, seeds=(1, 2), **load_as) -> np.ndarray:
    pipeline = load(model, **load_as)
    who = contender(f"{model.name}@{steps}", {model.name: model})
    texts = ["a red dog", "a blue cat on a table"][: len(seeds)]
    return pipeline.decode(pipeline.denoise(pipeline.encode(texts, who), list(seeds), who))


def test_loras_are_added_at_their_scales(base):
    """Oracle: the update of one layer, multiplied by hand."""
    from safetensors.torch import load_file

    model = model_of(
        """
        [models.mine]
        repository = "./sdxl"
        size = 64
        lora = [{ repository = "./style", scale = 0.7 }, { repository = "./style/ink.safetensors", scale = -0.2 }]
    """,
        base,
    )
    assert check(model).message.endswith("LoRA shapes fit (24 layers)")
    weights = load_file(base / "sdxl" / "unet" / "diffusion_pytorch_model.safetensors")[f"{LAYER}.weight"]
    lora = load_file(base / "style" / "ink.safetensors")
    update = lora[f"unet.{LAYER}.lora_B.weight"] @ lora[f"unet.{LAYER}.lora_A.weight"]
    fused = load(model).denoiser.state_dict()[f"{LAYER}.weight"]
    assert torch.allclose(fused, weights + 0.5 * update, atol=1e-6)


@pytest.mark.parametrize(
    "written", ['"./style"', '"./style/ink.safetensors"', '[{ repository = "./style" }]']
)
def test_a_lora_is_named_as_briefly_as_can_be(written, base):
    model = model_of(f'[models.mine]\nrepository = "./sdxl"\nlora = {written}', base)
    assert [lora.scale for lora in model.lora] == [1.0]
    assert check(model).here


def test_a_single_file_is_loaded_with_a_configuration_beside_it(base):
    """Oracle: the folder that the checkpoint was written from."""
    folder = folders.sd15(base / "sd15")
    sd15_checkpoint(folder, base / "painted.safetensors")
    text = '[models.mine]\nrepository = "./painted.safetensors"\nconfig = "./sd15"\n'
    own = 'pipeline = "StableDiffusionPipeline"\nsize = 64\nsteps = [2]\nguidance = 3.0\n'
    single = model_of(text + own, base)
    assert check(single).here
    whole = model_of('[models.mine]\nrepository = "./sd15"\n' + own, base)
    assert np.array_equal(images(single, 2), images(whole, 2))
    assert selfcheck(single, contender("mine@2", {"mine": single}), device="cpu").largest == 0


def test_recipes_bind_a_step_count_to_its_weights(base):
    model = model_of(
        """
        [models.mine]
        repository = "./sdxl"
        size = 64
        guidance = 0.0
        scheduler = { name = "EulerDiscreteScheduler", settings = { timestep_spacing = "trailing" } }
        [models.mine.recipes.4]
        lora = "./style"
        [models.mine.recipes.1]
        scheduler = "LCMScheduler"
        lora = { repository = "./style", scale = 0.5 }
        timesteps = [800]
    """,
        base,
    )
    assert model.steps == (4, 1)
    pipeline = load(model)
    pipeline.prepare(contender("mine@1", {"mine": model}))
    assert type(pipeline.pipe.scheduler).__name__ == "LCMScheduler"
    pipeline.prepare(contender("mine@4", {"mine": model}))
    assert type(pipeline.pipe.scheduler).__name__ == "EulerDiscreteScheduler"
    with pytest.raises(InputError, match="'mine@1', 'mine@4'"):
        contender("mine@2", {"mine": model})


def test_extra_arguments_reach_the_class_itself(base):
    """`clip_skip` changes how a prompt is encoded: the model is called whole, or it would be ignored."""
    text = '[models.mine]\nrepository = "./sdxl"\nsize = 64\nsteps = [2]\nguidance = 0.0\n'
    skipping = model_of(text + "extra = { clip_skip = 1 }", base)
    assert isinstance(load(skipping), GeneralPipeline)
    assert not np.array_equal(images(skipping, 2), images(model_of(text, base), 2))
    who = contender("mine@2", {"mine": skipping})
    assert selfcheck(skipping, who, device="cpu").passed


def test_a_class_without_an_entry_of_ours_is_a_contender(base):
    folders.qwen_image(base / "qwen")
    model = model_of(
        """
        [models.mine]
        repository = "./qwen"
        pipeline = "QwenImagePipeline"
        size = 32
        steps = [2]
        negative_prompt = " "
        extra = { true_cfg_scale = 2.0 }
    """,
        base,
    )
    pipeline, who = load(model), contender("mine@2", {"mine": model})
    embeddings = pipeline.encode(["a dog", "a cat"], who)
    calls = []
    own = pipeline.pipe.text_encoder.forward
    pipeline.pipe.text_encoder.forward = lambda *a, **k: calls.append(1) or own(*a, **k)
    for seeds in ([1, 2], [3, 4]):
        steps: list[int] = []
        latents = pipeline.denoise(embeddings, seeds, who, on_step=steps.append)
        assert steps == [0, 1]
        assert pipeline.decode(latents).shape == (2, 32, 32, 3)
    assert pipeline.split == {"encode", "decode"}
    assert len(calls) == 1  # the empty prompt's; the prompts' own is kept from `encode`
    assert selfcheck(model, who, device="cpu").passed


def test_two_calls_held_at_once_do_not_disturb_each_other(base):
    """As in a sweep: the next batch is launched before the last is decoded."""
    folders.flux(base / "flux")
    text = '[models.mine]\nrepository = "./flux"\npipeline = "FluxPipeline"\nsize = 32\nsteps = [2]\n'
    model = model_of(text + 'custom_pipeline = ""\nextra = { joint_attention_kwargs = {} }', base)
    pipeline, who = load(model), contender("mine@2", {"mine": model})
    assert isinstance(pipeline, GeneralPipeline)
    embeddings = pipeline.encode(["a dog"], who)
    alone = [pipeline.decode(pipeline.denoise(embeddings, [seed], who)) for seed in (1, 2)]
    held = [pipeline.decode_later(pipeline.denoise(embeddings, [seed], who)) for seed in (1, 2)]
    assert all(np.array_equal(a, wait()) for a, wait in zip(alone, held, strict=True))
    assert torch.is_grad_enabled()
    assert not torch.is_inference_mode_enabled()


def test_a_local_folder_says_its_own_class(base):
    folders.flux(base / "flux")
    assert model_of('[models.mine]\nrepository = "./flux"', base).pipeline == "FluxPipeline"
    assert model_of('[models.mine]\nrepository = "a/b"', base).pipeline == "StableDiffusionXLPipeline"


def test_a_pipeline_of_the_users_own_file(base):
    parts = {
        "_class_name": "TwoColours",
        "_diffusers_version": "0",
        "unet": ["diffusers", "UNet2DConditionModel"],
        "scheduler": ["diffusers", "EulerDiscreteScheduler"],
    }
    (base / "sdxl" / "model_index.json").write_text(json.dumps(parts))
    model = model_of(
        """
        [models.mine]
        repository = "./sdxl"
        custom_pipeline = "./two_colours.py"
        size = 64
        steps = [1]
        extra = { tint = 0.8 }
    """,
        base,
    )
    found = images(model, 1)
    assert found.shape == (2, 64, 64, 3)
    assert 195 < found.mean() < 210
    assert np.array_equal(images(model, 1, seeds=(2,))[0], images(model, 1, seeds=(7, 2))[1])
    assert load(model).split == set()
    assert selfcheck(model, contender("mine@1", {"mine": model}), device="cpu").largest == 0


@pytest.mark.skipif(
    __import__("importlib").util.find_spec("torchao") is None, reason="torchao is missing here"
)
@pytest.mark.parametrize(("level", "dtype"), [("int8", "float32"), ("fp8", "bfloat16")])
def test_a_quantised_denoiser_is_near_the_plain_one(level, dtype, base):
    text = '[models.mine]\nrepository = "./sdxl"\nsize = 64\nsteps = [2]\nguidance = 0.0\n'
    plain = images(model_of(text, base), 2, dtype=dtype)
    quantised = images(model_of(text + f'quantization = "{level}"', base), 2, dtype=dtype)
    difference = np.abs(plain.astype(int) - quantised.astype(int))
    assert 0 < difference.mean() < 10


def test_a_gguf_transformer_in_the_layout_people_publish_is_near_the_plain_one(base):
    """Qwen-Image's GGUF files keep diffusers' own names: matrices as Q8_0 in blocks of 32, the rest as float32."""
    gguf = pytest.importorskip("gguf")
    folders.qwen_image(base / "qwen")
    text = '[models.mine]\nrepository = "./qwen"\nsize = 32\nsteps = [2]\nextra = { true_cfg_scale = 1.0 }\n'
    plain = images(model_of(text, base), 2, dtype="float32")
    writer = gguf.GGUFWriter(str(base / "qwen-q8_0.gguf"), "qwen_image")
    quantised = 0
    for name, tensor in load_file(
        base / "qwen" / "transformer" / "diffusion_pytorch_model.safetensors"
    ).items():
        values = tensor.float().numpy()
        if values.ndim == 2 and values.shape[1] % 32 == 0:
            blocks = gguf.quants.quantize(values, gguf.GGMLQuantizationType.Q8_0)
            writer.add_tensor(name, blocks, raw_dtype=gguf.GGMLQuantizationType.Q8_0)
            quantised += 1
        else:
            writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    assert quantised > 5
    model = model_of(text + 'transformer = "./qwen-q8_0.gguf"', base)
    difference = np.abs(plain.astype(int) - images(model, 2, dtype="float32").astype(int))
    assert 0 < difference.mean() < 3
    assert selfcheck(model, contender("mine@2", {"mine": model}), device="cpu").largest == 0


# What is wrong is said with file and line

STUDY = textwrap.dedent("""
    name = "x"                              # line 2
    contenders = ["mine@4"]
    steps = 3
    [prompts]
    set = "miniature"
    [models.other]
    repository = "./sdxl"
    steps = [4]
    [models.mine]                           # line 10
    repository = "./sdxl"
    steps = [4]
    lora = [{ repository = "./style" }]
    scheduler.name = "LCMScheduler"
    [models.mine.recipes.4]
    timesteps = [999]
    [models."1.5"]
    repository = "./sdxl"
""")


@pytest.mark.parametrize(
    ("name", "key", "line"),
    [("mine", "", 10), ("mine", "steps", 12), ("other", "steps", 9), ("mine", "lora.0.repository", 13),
     ("mine", "scheduler.name", 14), ("mine", "recipes.4.timesteps", 16), ("mine", "size", 10),
     ("1.5", "repository", 18), ("absent", "", 0)],
)  # fmt: skip
def test_the_line_of_a_key(name, key, line):
    assert line_of(STUDY, name, key) == line


@pytest.mark.parametrize(
    ("written", "line", "told"),
    [
        ('repository = "https://civitai.com/models/4201"', 6, "download the file and name it"),
        ('repository = "just-a-name"', 6, "neither a hub id 'owner/name' nor a path"),
        ('repository = "./x.gguf"', 6, "a gguf file holds a denoiser alone"),
        ('repository = "a/b"\npipeline = "QwenImagePipline"', 7, "did you mean 'QwenImagePipeline'?"),
        ('repository = "a/b"\nquantization = "int4"', 7, "known: nf4, int8, fp8, gguf"),
        ('repository = "a/b"\nlora = { repository = "./x", strength = 2 }', 7, "key of model 'mine'"),
        ('repository = "a/b"\nlora = { repository = "./x", scale = "much" }', 7, "'lora.0.scale'"),
        ('repository = "a/b"\n[models.mine.recipes.four]\nlora = "./x"', 7, "'four' is not a step count"),
        (
            'repository = "a/b"\nsteps = [2]\n[models.mine.recipes.4]\nlora = "./x"',
            7,
            "recipes are of 4 steps",
        ),
        ('repository = "a/b"\nextra = { generator = 1 }', 7, "'generator' is set by the suite"),
        ('repository = "a/b"\ndtype = "int8"', 7, "known: float16, bfloat16, float32"),
        (
            'repository = "a/b"\npipeline = "FluxPipeline"\nnegative_prompt = "bad"',
            8,
            "takes no negative prompt",
        ),
    ],
)
def test_a_wrong_entry_names_file_line_and_cure(written, line, told, tmp_path):
    from bench.study.study import read

    path = tmp_path / "my.toml"
    head = 'name = "x"\ncontenders = ["mine@4"]\n[prompts]\nset = "miniature"\n[models.mine]\n'
    path.write_text(head + written + "\n", encoding="utf-8")
    with pytest.raises(InputError) as error:
        read(path)
    assert str(error.value).startswith(f"{path}:{line}: ")
    assert told in str(error.value)
    assert "\n" not in str(error.value)


def installed(name: str) -> Any:
    """As find_spec where torchao, bitsandbytes and gguf are there; diffusers' own answer is kept."""
    return FIND_SPEC(name) if name == "diffusers" else object()


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ('repository = "./sdxl"\nextra = { colour = 1 }', "argument of StableDiffusionXLPipeline 'colour'"),
        ('repository = "./sdxl"\ncustom_pipeline = "./absent.py"', "no file"),
        (
            'repository = "./sdxl"\ncustom_pipeline = "./two_colours.py"\npipeline = "Three"',
            "it defines: TwoColours",
        ),
        ('repository = "./sdxl"\nquantization = { unets = "int8" }', "no such part"),
        ('repository = "./sdxl"\nlora = "./nothing"', "is missing"),
        ('repository = "./painted.safetensors"', "no file"),
    ],
)
def test_what_shows_only_when_it_is_loaded_is_one_line_too(written, told, base, monkeypatch):
    monkeypatch.setattr("bench.models.quantize.importlib.util.find_spec", installed)
    model = model_of(f"[models.mine]\n{written}\nsize = 64\n", base)
    with pytest.raises(InputError) as error:
        load(model)
    assert told in str(error.value)
    assert "\n" not in str(error.value)


def test_a_package_that_quantization_needs_is_named(base, monkeypatch):
    monkeypatch.setattr("bench.models.quantize.importlib.util.find_spec", lambda name: None)
    model = model_of('[models.mine]\nrepository = "./sdxl"\nquantization = "int8"', base)
    with pytest.raises(
        InputError, match=r"needs the package torchao: pip install turbo-preference-bench\[quantized\]"
    ):
        load(model)


def test_nf4_needs_a_gpu_and_says_so(base, monkeypatch):
    monkeypatch.setattr("bench.models.quantize.importlib.util.find_spec", installed)
    model = model_of('[models.mine]\nrepository = "./sdxl"\nquantization = "nf4"', base)
    with pytest.raises(InputError, match="needs a GPU"):
        load(model)


def test_the_general_family_is_what_the_registry_s_contenders_know(base):
    assert {m.name for m in MODELS.values() if m.guidance is None} >= {"qwen-image-lightning"}
    assert Contender(name="x@1", model="x", steps=1, guidance=None, size=8).guidance is None
