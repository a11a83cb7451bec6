"""The table of models and the names of contenders."""

from __future__ import annotations

import inspect
import re

import diffusers
import pytest

from bench.errors import InputError
from bench.models.families import FAMILIES
from bench.models.registry import MODELS, citation_of, contender, contender_names, strength_problem
from bench.models.user_models import ModelEntry, model_from_entry
from bench.records import settings_hash

DIFFUSION = [m for m in MODELS.values() if m.kind == "diffusion"]
OWN = ("tiny:", "miniature:")


def test_the_reference_study_and_the_few_step_field_are_there():
    named = "sdxl-turbo sdxl lcm-xl lcm-lora-xl if-xl openmuse instaflow sd-turbo stylegan-t++ midjourney "
    named += (
        "dall-e-3 sdxl-lightning hyper-sd dmd2 flux.1-schnell sd-3.5-large-turbo sana-sprint z-image-turbo"
    )
    assert set(named.split()) <= set(MODELS)


@pytest.mark.parametrize("model", MODELS.values(), ids=lambda m: m.name)
def test_every_entry_is_complete(model):
    assert model.licence
    assert model.source
    if model.kind == "imported":
        assert not model.repository
        assert model.guidance is None
        return
    assert model.steps
    if model.pipeline not in FAMILIES:
        assert inspect.isclass(getattr(diffusers, model.pipeline))
        assert model.tasks == ("text-to-image",)
    else:
        assert model.guidance is not None
    assert not model.recipes or set(model.recipes) == set(model.steps)
    assert "image-to-image" not in model.tasks or FAMILIES[model.pipeline].edit
    assert "\n" not in model.unverified
    if model.repository.startswith(OWN):
        assert (model.weights == "random") == model.repository.startswith("tiny:")
        return
    assert re.fullmatch(r"[\w.-]+/[\w.-]+", model.repository)
    assert re.fullmatch(r"main|[0-9a-f]{40}", model.revision)
    assert citation_of(model) is not None or model.unverified


def test_settings_of_two_entries_never_share_a_hash():
    assert len({settings_hash(m) for m in MODELS.values()}) == len(MODELS)


def test_every_recommended_contender_parses_to_itself():
    for name in contender_names(MODELS):
        found = contender(name, MODELS)
        assert found.name == name
        assert found.size == MODELS[found.model].size


def test_turbo_at_one_step_is_the_reference_setting():
    turbo = contender("sdxl-turbo@1", MODELS)
    assert (turbo.steps, turbo.guidance, turbo.size) == (1, 0.0, 512)
    scheduler = MODELS["sdxl-turbo"].scheduler
    assert scheduler is not None
    assert scheduler.settings["timestep_spacing"] == "trailing"


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("sdxl-turbo@l", "did you mean 'sdxl-turbo@1'"),
        ("sdxl-turb@1", "did you mean 'sdxl-turbo@1'"),
        ("sdxl-turbo", "'sdxl-turbo@1'"),
        ("sdxl-turbo@", "'sdxl-turbo@1'"),
        ("sdxl@0", "did you mean 'sdxl@50'"),
        ("sdxl@-4", "did you mean 'sdxl@50'"),
        ("sdxl@04", "sdxl@50"),
        ("sdxl@4.0", "sdxl@50"),
        ("sdxl@\u0664", "sdxl@50"),
        ("sdxl@100000", "sdxl@50"),
        ("sdxl-lightning@3", "'sdxl-lightning@2', 'sdxl-lightning@4'"),
        ("dall-e-3@4", "without '@4'"),
        ("", "known"),
    ],
)
def test_a_wrong_contender_is_told_with_what_is_allowed(name, told):
    with pytest.raises(InputError) as error:
        contender(name, MODELS)
    assert told in str(error.value)
    assert "\n" not in str(error.value)


def test_an_imported_model_is_its_bare_name():
    assert contender("midjourney", MODELS).steps is None


@pytest.mark.parametrize(
    ("model", "steps", "strength", "works"),
    [("sdxl-turbo", 2, 0.5, True), ("sdxl-turbo", 1, 0.5, False), ("sdxl-turbo", 4, 0.24, False),
     ("sdxl-turbo", 1, 1.0, True), ("instaflow", 1, 1.0, False), ("sdxl", 50, 0.0, False),
     ("sdxl", 50, 1.2, False), ("lcm-xl", 4, 0.3, True)],
)  # fmt: skip
def test_image_to_image_needs_a_whole_step_and_a_model_that_can(model, steps, strength, works):
    problem = strength_problem(MODELS[model], contender(f"{model}@{steps}", MODELS), strength)
    assert (problem == "") is works


def test_the_steps_advised_do_work():
    """The cure that the message names is itself accepted."""
    problem = strength_problem(MODELS["sdxl-turbo"], contender("sdxl-turbo@1", MODELS), 0.3)
    steps = int(re.search(r"at least (\d+) steps", problem)[1])
    assert strength_problem(MODELS["sdxl-turbo"], contender(f"sdxl-turbo@{steps}", MODELS), 0.3) == ""


def test_a_users_model_is_an_entry_without_code():
    entry = {
        "repository": "./mine",
        "steps": [4],
        "guidance": 0.0,
        "size": 512,
        "scheduler": {"name": "LCMScheduler"},
        "unet": {"repository": "me/unet"},
        "licence": "MIT",
    }
    model = model_from_entry("mine", entry)
    assert model.scheduler is not None
    assert model.denoiser is not None
    assert (model.repository, model.steps, model.scheduler.name) == ("./mine", (4,), "LCMScheduler")
    assert contender("mine@4", {"mine": model}).size == 512


@pytest.mark.parametrize(
    ("name", "entry", "told"),
    [
        ("mine", {"repositry": "x"}, "did you mean 'repository'"),
        ("mine", {"repository": "./x", "pipeline": "StableDiffusionXLPipline"}, "Pipeline'"),
        ("mine", {"repository": "./x", "steps": []}, "'steps'"),
        ("mine", {"repository": "./x", "steps": [0]}, "'steps'"),
        ("mine", {"repository": "./x", "size": 100}, "'size'"),
        ("mine", {"repository": "./x", "guidance": "much"}, "'guidance'"),
        ("mine", {"repository": "./x", "dtype": "int8"}, "'dtype'"),
        ("mine", {"repository": "x", "lora": {"repo": "y"}}, "repo"),
        ("mine", {"repository": "./x", "pipeline": "InstaFlow", "tasks": ["image-to-image"]}, "cannot do"),
        ("mine", {}, "'repository' is missing"),
        ("sdxl", {"repository": "x"}, "choose another"),
        ("../up", {"repository": "x"}, "letters"),
    ],
)
def test_a_wrong_entry_is_told_in_one_line(name, entry, told):
    with pytest.raises(InputError) as error:
        model_from_entry(name, entry)
    assert told in str(error.value)
    assert "\n" not in str(error.value)


def test_a_users_entry_has_no_field_that_a_model_has_not():
    from dataclasses import fields

    from bench.models.model import Model

    other_names = {"unet", "transformer", "negative_prompt", "extra"}
    assert set(ModelEntry.model_fields) - other_names <= {f.name for f in fields(Model)}
