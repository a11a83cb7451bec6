"""A user's own model, written in the study file: the same fields as an entry of `MODELS`, checked.

    [models.mine]
    repository = "./my-sdxl"            # a folder in hub layout, a checkpoint file, or a hub id
    lora = [{ repository = "./style.safetensors", scale = 0.7 }]
    steps = [4]

The names of the keys are those of `bench.models.model.Model`, and a few that a person expects besides:
`unet` and `transformer` for `denoiser`, `negative_prompt` and `extra` for `options`.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.errors import InputError, unknown
from bench.models.families import FAMILIES, Family
from bench.models.model import BOTH, QUANTIZATIONS, TEXT, Model, Recipe, Scheduler, Weights
from bench.models.model_entries import EntryError, LoraEntry, ModelEntry, SchedulerEntry, WeightsEntry, parsed
from bench.models.registry import MODELS
from bench.models.weights import CHECKPOINTS, repository_problem


def read_models(
    entries: Mapping[str, Mapping[str, Any]], base: Path, text: str = "", where: Path | None = None
) -> dict[str, Model]:
    """The `[models.*]` tables of a study file.

    Parameters
    ----------
    entries
        Name → table, as TOML has it.
    base
        Folder that relative paths start from.
    text, where
        The study file, for messages.

    Raises
    ------
    InputError
        Names file and line, the key, and what is allowed.
    """
    models = {}
    for name, entry in entries.items():
        try:
            models[name] = model_from_entry(name, entry, base)
        except EntryError as error:
            if where is None:
                raise
            line = line_of(text, name, error.key)
            raise InputError(f"{where}{f':{line}' if line else ''}: {error}") from None
    return models


_HEADER = re.compile(r"\s*\[+\s*([^\]]+?)\s*\]+\s*(#.*)?$")
_KEY = r"""(?:[\w-]+|"[^"]*"|'[^']*')"""
_ASSIGNED = re.compile(rf"\s*({_KEY}(?:\s*\.\s*{_KEY})*)\s*=")


def line_of(text: str, name: str, key: str) -> int:
    """The line of a study file at which a key of `[models.NAME]` stands; of the table itself for an empty or absent
    key; 0 where neither is there. `a.b` is the key `b` of the table `a`.
    """
    parts = tuple(part for part in key.split(".") if part)
    wanted = {("models", name, *parts), ("models", name, *(part for part in parts if not part.isdigit()))}
    table: tuple[str, ...] = ()
    best, depth = 0, 1
    for number, line in enumerate(text.splitlines(), 1):
        if match := _HEADER.fullmatch(line):
            path = table = _keys(match[1])
        elif match := _ASSIGNED.match(line):
            path = (*table, *_keys(match[1]))
        else:
            continue
        if len(path) > depth and any(path == whole[: len(path)] for whole in wanted):
            best, depth = number, len(path)
    return best


def _keys(dotted: str) -> tuple[str, ...]:
    return tuple(part.strip("\"'") for part in re.findall(_KEY, dotted))


def model_from_entry(name: str, entry: ModelEntry | Mapping[str, Any], base: Path | None = None) -> Model:
    """A model written in a study file → Model.

    Parameters
    ----------
    entry
        The table, or what it was parsed to.
    base
        Folder that relative paths start from; None: they stay as they are.

    Raises
    ------
    EntryError
        Names the key and what is allowed.
    """
    where = f"model '{name}'"
    _check_name(where, name)
    if not isinstance(entry, ModelEntry):
        entry = parsed(where, entry)
    if entry.kind == "imported":
        return _imported(name, entry)
    _check_repository(where, entry)
    _check_pipeline(where, entry)
    pipeline = entry.pipeline or ("" if entry.custom_pipeline else _own_class(_from(base, entry.repository)))
    family = FAMILIES.get(pipeline) if not entry.custom_pipeline else None
    tasks = _tasks(where, entry, pipeline, family)
    recipes = _recipes(where, entry, base)
    steps = _steps(where, entry, recipes)
    return Model(
        name=name,
        repository=_from(base, entry.repository),
        revision=entry.revision,
        file=entry.file,
        config=_from(base, entry.config),
        pipeline=pipeline,
        custom_pipeline=_from(base, entry.custom_pipeline, always=True),
        scheduler=_scheduler(entry.scheduler),
        denoiser=_weights(base, entry.unet or entry.transformer),
        lora=tuple(_lora(base, lora) for lora in entry.lora),
        quantization=_quantization(where, entry, pipeline),
        recipes=recipes,
        options=_options(where, entry, pipeline),
        dtype=entry.dtype,
        variant=entry.variant,
        size=entry.size,
        steps=steps,
        guidance=5.0 if entry.guidance is None and family is not None else entry.guidance,
        tasks=tasks,
        licence=entry.licence,
        commercial=entry.commercial,
        source=entry.source,
        weights=entry.weights,
        gated=entry.gated,
        note=entry.note,
    )


def _imported(name: str, entry: ModelEntry) -> Model:
    return Model(
        name=name,
        kind="imported",
        size=entry.size,
        licence=entry.licence,
        source=entry.source,
        commercial=entry.commercial,
        note=entry.note,
    )


def _check_name(where: str, name: str) -> None:
    if name in MODELS:
        raise EntryError(f"{where}: the suite has a model of that name; choose another")
    if not name or set(name) - set("abcdefghijklmnopqrstuvwxyz0123456789.+-_"):
        raise EntryError(f"{where}: a name is made of lower-case letters, digits, '.', '+', '-' and '_'")


def _tasks(where: str, entry: ModelEntry, pipeline: str, family: Family | None) -> tuple[str, ...]:
    """What the model is used for: all that its family can do where the entry does not say."""
    able = BOTH if family is not None and family.edit else TEXT
    wrong = [task for task in entry.tasks or () if task not in able]
    if wrong:
        raise EntryError(f"{where}: {pipeline} cannot do '{wrong[0]}'; it can: {', '.join(able)}", "tasks")
    return tuple(entry.tasks or able)


def _check_repository(where: str, entry: ModelEntry) -> None:
    if not entry.repository:
        raise EntryError(
            f"{where}: 'repository' is missing: a hub id 'owner/name', a local folder, or a checkpoint file"
        )
    named = [("repository", entry.repository), ("config", entry.config)]
    named += [("unet", w.repository) for w in (entry.unet,) if w]
    named += [("transformer", w.repository) for w in (entry.transformer,) if w]
    named += [("lora", w.repository) for w in entry.lora]
    for key, repository in named:
        if repository and (problem := repository_problem(repository)):
            raise EntryError(f"{where}: {key}: {problem}", key)
    if Path(entry.repository).suffix == ".gguf":
        raise EntryError(
            f'{where}: a gguf file holds a denoiser alone: name it as transformer = "{entry.repository}" over the '
            "base model's repository",
            "repository",
        )
    if entry.file and not entry.file.endswith(CHECKPOINTS):
        raise EntryError(
            f"{where}: 'file' is a checkpoint of the repository: {', '.join(CHECKPOINTS)}", "file"
        )
    if entry.unet and entry.transformer:
        raise EntryError(
            f"{where}: 'unet' and 'transformer' are two names for the denoiser: give one", "unet"
        )


def _check_pipeline(where: str, entry: ModelEntry) -> None:
    """The class itself is looked up when it is loaded, or by `bench doctor`: the library takes seconds to import."""
    name = entry.pipeline
    if not name or entry.custom_pipeline or name in FAMILIES:
        return
    known = _pipeline_names()
    if name not in known:
        near = difflib.get_close_matches(name, sorted({*known, *FAMILIES}), 1, 0.5)
        hint = f": did you mean '{near[0]}'?" if near else "."
        raise EntryError(
            f"unknown pipeline of {where} '{name}'{hint} It is a pipeline class of the installed diffusers, or of "
            "a file of your own (custom_pipeline)",
            "pipeline",
        )


def _own_class(repository: str) -> str:
    """The class that a local folder's index names, where diffusers has it; else StableDiffusionXLPipeline."""
    index = Path(repository).expanduser() / "model_index.json"
    if index.is_file():
        try:
            own = json.loads(index.read_text(encoding="utf-8")).get("_class_name")
        except (ValueError, AttributeError):
            own = None  # `bench doctor` and loading say what is wrong with it
        if isinstance(own, str) and own in {*_pipeline_names(), *FAMILIES}:
            return own
    return "StableDiffusionXLPipeline"


def _pipeline_names() -> set[str]:
    """Pipeline classes of the installed diffusers, read from its text: importing it takes seconds."""
    import importlib.util

    spec = importlib.util.find_spec("diffusers")
    if spec is None or spec.origin is None:
        return set()
    text = Path(spec.origin).read_text(encoding="utf-8")
    return set(re.findall(r'"([A-Z]\w*Pipeline)"', text))


def _recipes(where: str, entry: ModelEntry, base: Path | None) -> dict[int, Recipe]:
    recipes = {}
    for count, recipe in entry.recipes.items():
        if not (count.isascii() and count.isdigit() and 1 <= int(count) <= 1000):
            raise EntryError(
                f"{where}: recipes: '{count}' is not a step count from 1 to 1000", f"recipes.{count}"
            )
        recipes[int(count)] = Recipe(
            denoiser=_weights(base, recipe.unet or recipe.transformer),
            lora=tuple(_lora(base, lora) for lora in recipe.lora),
            scheduler=_scheduler(recipe.scheduler),
            timesteps=tuple(recipe.timesteps),
            options=recipe.extra,
        )
    return recipes


def _steps(where: str, entry: ModelEntry, recipes: Mapping[int, Recipe]) -> tuple[int, ...]:
    steps = entry.steps
    if steps is None:
        return tuple(recipes) or (50,)
    if not steps or min(steps) < 1:
        raise EntryError(f"{where}: 'steps' is a list of positive step counts, e.g. [4]", "steps")
    if recipes and set(steps) != set(recipes):
        named = ", ".join(map(str, sorted(recipes)))
        raise EntryError(f"{where}: 'steps' and 'recipes' differ: recipes are of {named} steps", "steps")
    return tuple(steps)


def _quantization(where: str, entry: ModelEntry, pipeline: str) -> dict[str, str]:
    """`"nf4"` stands for the denoiser's."""
    given = entry.quantization
    if isinstance(given, str):
        family = FAMILIES.get(pipeline)
        unet = (family is not None and family.denoiser == "unet") or "StableDiffusionXL" in pipeline
        given = {"unet" if unet else "transformer": given}
    for part, level in given.items():
        if level not in QUANTIZATIONS:
            raise EntryError(
                str(unknown(f"quantization of {part} of {where}", level, QUANTIZATIONS)), "quantization"
            )
    return dict(given)


def _options(where: str, entry: ModelEntry, pipeline: str) -> dict[str, Any]:
    options = {**entry.options, **entry.extra}
    if entry.negative_prompt:
        options["negative_prompt"] = entry.negative_prompt
    family = FAMILIES.get(pipeline)
    if (
        "negative_prompt" in options
        and family is not None
        and not family.negative
        and not entry.custom_pipeline
    ):
        raise EntryError(f"{where}: {pipeline} takes no negative prompt: leave it out", "negative_prompt")
    ours = {
        "prompt",
        "generator",
        "num_inference_steps",
        "guidance_scale",
        "height",
        "width",
        "output_type",
        "latents",
    }
    if taken := sorted(ours & set(options)):
        raise EntryError(
            f"{where}: extra: '{taken[0]}' is set by the suite (prompt, seed, steps, guidance, size)", "extra"
        )
    if family is not None and "max_sequence_length" not in options and _takes_length(pipeline):
        options["max_sequence_length"] = _takes_length(pipeline)
    return options


def _takes_length(pipeline: str) -> int:
    """The bound on a caption's tokens where the entry gives none: the class's own default; 0: it takes none."""
    return {
        "FluxPipeline": 512,
        "StableDiffusion3Pipeline": 256,
        "SanaSprintPipeline": 300,
        "ZImagePipeline": 512,
    }.get(pipeline, 0)


def _from(base: Path | None, place: str, always: bool = False) -> str:
    """A path of the study file, from its folder on."""
    if place and base is not None and (place.startswith((".", "~")) or always):
        return str((base / Path(place).expanduser()).resolve())
    return place


def _weights(base: Path | None, entry: WeightsEntry | None) -> Weights | None:
    if entry is None:
        return None
    return Weights(**{**entry.model_dump(), "repository": _from(base, entry.repository)})


def _lora(base: Path | None, entry: LoraEntry) -> Weights:
    return Weights(**{**entry.model_dump(), "repository": _from(base, entry.repository)})


def _scheduler(entry: SchedulerEntry | None) -> Scheduler | None:
    return entry and Scheduler(**entry.model_dump())
