"""What plan.json freezes for a model: batch shape, device, dtype, level, threads."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from importlib import metadata
from typing import Any, Protocol

from bench.device import choose_device, cpu_name, default_dtype, device_name, driver_version
from bench.errors import InputError
from bench.models.registry import Model
from bench.records import Contender, settings_hash
from bench.store.study_folder import Key
from bench.study.identity import contender_meaning
from bench.study.study import Study


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line decides; everything that changes pixels ends in the settings hash."""

    device: str = "auto"
    dtype: str | None = None
    batch_size: int | str | None = None
    """None: the study's."""
    optimize: str = "none"
    limit: int | None = None
    """Only the first prompts of the study."""
    mixed: bool = False
    """Go on although images of the folder come from other software or another device."""
    patience: float = 1.0
    """Times the usual seconds after which a silent worker is taken for hung."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Frozen:
    """What one model's images of this folder are made with; written before the first image, then held to."""

    shape: int
    """Images a forward; a short batch is padded to it."""
    device: str
    """`cpu` or `cuda`."""
    dtype: str
    optimize: str
    threads: int | None = None
    """Of torch on a CPU, where they change the last bits of an image; None on a GPU."""
    independent: bool | None = None
    """Whether an image's bytes were seen not to depend on its slot and its neighbours, at this shape on the first
    device; None: not measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """What a worker found out about a model."""

    shape: int
    """Images a forward that fit."""
    threads: int | None
    """Of torch, on a CPU."""
    independent: bool | None = None
    """As in `Frozen`."""


class Folder(Protocol):
    """What planning needs of a study folder, on a disk or in an object store."""

    @property
    def where(self) -> str: ...
    def plan(self) -> dict[str, Any]: ...
    def settings(self) -> dict[str, Any]: ...
    def freeze_model(self, model: str, entry: Mapping[str, Any]) -> dict[str, Any]: ...
    def intact(self) -> Iterator[tuple[Key, bool]]: ...


COMPARED = ("torch", "diffusers", "transformers", "device", "driver")
"""Parts of an environment that may change an image's last bits."""


def environment(device: str) -> dict[str, Any]:
    """Software and device of this process: what an image's bytes depend on beside its settings."""
    found: dict[str, Any] = {"python": platform.python_version()}
    for package in ("turbo-preference-bench", "torch", "diffusers", "transformers", "accelerate", "peft"):
        with suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    on_gpu = device.startswith("cuda")
    return found | {
        "device": device_name(device) if on_gpu else f"CPU {cpu_name()}",
        "driver": driver_version(device),
    }


def differences(known: Iterable[Mapping[str, Any]], here: Mapping[str, Any]) -> list[str]:
    """`torch 2.14.0, here 2.15.0` for each part in which an environment differs from the known ones."""
    found = {
        f"{part} {entry.get(part)}, here {here.get(part)}": None
        for entry in known
        for part in COMPARED
        if entry.get(part) != here.get(part)
    }
    return list(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What a row's settings hash stands for; in the folder's table of settings."""

    key: str
    """The hash, 16 hex digits."""
    contender: str
    values: Mapping[str, Any]
    """`meaning`, `frozen` and `environment`; JSON."""


def entry_of(model: Model, contender: Contender, frozen: Frozen, here: Mapping[str, Any]) -> Entry:
    """Everything that decides the pixels beside prompt and seed.

    Parameters
    ----------
    model, contender
        What generates.
    frozen
        The model's settings in this folder.
    here
        As `environment` found it in the process that generates.
    """
    held = {key: value for key, value in asdict(frozen).items() if key != "independent"}
    values = {
        "contender": contender.name,
        "meaning": contender_meaning(model, contender),
        "frozen": held,
        "environment": dict(here),
    }
    return Entry(key=settings_hash(values), contender=contender.name, values=values)


def refuse_mixture(
    study: Study, folder: Folder, here: Mapping[str, Any], options: Options, where: str = "here"
) -> None:
    """Raises InputError where images of the study come from other software or another device than `here`, unless
    that was allowed."""
    if options.mixed:
        return
    names = {contender.name for contender in study.contenders}
    known = [e["environment"] for e in folder.settings().values() if e["contender"] in names]
    if found := differences(known, here):
        raise InputError(
            f"{folder.where}: its images were generated with {'; '.join(found).replace('here', where)}. Their bytes "
            f"may differ in rounding: go on where they were generated, or add --mixed, and the report says which "
            f"contenders are concerned"
        )


def resolve_device(study: Study, asked: str) -> str:
    """`auto` → `cuda` where there is one, else `cpu`. Raises InputError where the study or user demands a GPU."""
    return choose_device(asked, study.file.generate.device, study.name)


def demanded_device(study: Study, asked: str) -> str:
    """What the user, else the study, wants of a cluster: `cuda`, `cpu`, or `auto`. This machine has no say."""
    own = study.file.generate.device
    return asked.partition(":")[0] if asked != "auto" or own == "any" else own


def begun(study: Study, folder: Folder, model: Model, device: str, options: Options) -> Frozen | None:
    """What the folder's images of a model were begun with; None: there are none yet.

    Raises InputError, before anything is loaded, where other settings are asked for now.
    """
    entry: dict[str, Any] | None = folder.plan().get(model.name)
    if entry is None:
        return None
    frozen = Frozen(**entry)
    size = size_of(study, options)
    shape = frozen.shape if size == "auto" else int(size)
    asked = _asked(study, model, device, options, shape)
    asked = replace(asked, threads=frozen.threads, independent=frozen.independent)
    if asked != frozen:
        names = [c.name for c in study.contenders if c.model == model.name]
        replace_all = " ".join(f"--replace {name}" for name in names)
        raise InputError(
            f"{folder.where}: images of '{model.name}' were begun with {_options(frozen)}, now {_options(asked)}: ask "
            f"for the former, give the study a new name, or replace those images: bench generate {replace_all}"
        )
    return frozen


def freeze(
    study: Study, folder: Folder, model: Model, device: str, options: Options, settled: Settled
) -> Frozen:
    """Write a model's settings into the folder, before its first image; later runs are held to them.

    Parameters
    ----------
    study, folder, model
        Whose settings they are.
    device, options
        What was asked for.
    settled
        What a worker found when it loaded the model.
    """
    frozen = _asked(study, model, device, options, settled.shape)
    frozen = replace(frozen, independent=settled.independent)
    if frozen.device == "cpu":
        frozen = replace(frozen, threads=settled.threads)
    return Frozen(**folder.freeze_model(model.name, asdict(frozen)))


def _asked(study: Study, model: Model, device: str, options: Options, shape: int) -> Frozen:
    kind = device.partition(":")[0]
    dtype = dtype_of(study, options) or default_dtype(model.dtype, kind)
    return Frozen(shape=shape, device=kind, dtype=dtype, optimize=options.optimize)


def size_of(study: Study, options: Options) -> int | str:
    """The batch shape that is asked for: a number, or `auto`."""
    return options.batch_size or study.file.generate.batch_size


def dtype_of(study: Study, options: Options) -> str | None:
    return options.dtype or study.file.generate.dtype


def _options(frozen: Frozen) -> str:
    return f"--batch-size {frozen.shape} --device {frozen.device} --dtype {frozen.dtype} --optimize {frozen.optimize}"
