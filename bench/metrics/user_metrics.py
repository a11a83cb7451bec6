"""Metrics of the user's own: a Python function, a command, or a function that an installed package offers.

All are called with images at the study's display size and their prompts, and give a number an image. Values
are kept by the content of image and prompt; the hash of the function's file is part of the protocol.
"""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
import inspect
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from bench.errors import InputError
from bench.metrics.extractors import Extractor
from bench.metrics.feature_rows import Array
from bench.metrics.registry import METRICS, Metric
from bench.metrics.weights import Located, tree_sha256

GROUP = "turbo_preference_bench.metrics"
"""Entry point group: the name is the metric's, the object a function or a `UserMetric`."""
PREFIX = "user:"
"""Of the extractor's name of a user's metric."""
RESIZE = "none: at the display size, RGB, 8 bit"
Function = Callable[..., Sequence[float]]
"""(images: list of PIL images, prompts: list of str[, device: str]) to a number an image."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UserMetric:
    """What a package's entry point may give in place of a bare function."""

    function: Function
    higher_is_better: bool = True
    share: bool = False
    """Every value lies between 0 and 1: the mean gets Wilson's interval."""
    batch: int = 16
    """Images a call."""
    version: str = ""
    """Part of the fingerprint, beside the hash of the module's file."""
    source: str = ""
    """Paper or address, for the report."""
    tells: str = ""
    cannot: str = ""
    """What it cannot tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """A user's metric, ready to be planned and located."""

    metric: Metric
    located: Located
    origin: str
    """Where it comes from: `./mine.py:sharpness`, `package nice-metrics 1.2`."""


def installed() -> dict[str, importlib.metadata.EntryPoint]:
    """Metrics that installed packages offer, by name; nothing of them is loaded."""
    return {point.name: point for point in importlib.metadata.entry_points(group=GROUP)}


def from_package(name: str) -> Resolved:
    """Raises InputError: the package cannot be loaded, or offers something else than a metric."""
    point = installed()[name]
    package = f"{point.dist.name} {point.dist.version}" if point.dist else point.value
    if name in METRICS:
        raise InputError(f"package {package} offers a metric '{name}', which this suite has: rename theirs")
    try:
        found = point.load()
    except Exception as error:
        raise InputError(f"metric '{name}' of package {package} cannot be loaded: {error}") from error
    user = found if isinstance(found, UserMetric) else UserMetric(function=found)
    return _resolved(name, user, f"package {package}", _file_of(user.function, package))


def from_function(name: str, spec: str, base: Path, about: Mapping[str, Any]) -> Resolved:
    """A function of a file, `./mine.py:sharpness`, relative to `base`.

    about: the fields of `UserMetric` but its function. Raises InputError: no such file or function, or it
    cannot be imported.
    """
    file, _, attribute = spec.rpartition(":")
    path = base / Path(file).expanduser()
    if not file or not path.is_file():
        raise InputError(f"[metrics.{name}] function: no file in '{spec}': write ./FILE.py:FUNCTION")
    module = _imported(path.resolve(), path.stat().st_mtime_ns, name)
    function = getattr(module, attribute, None)
    if not callable(function):
        raise InputError(f"[metrics.{name}] function: {path} has no function '{attribute}'")
    user = UserMetric(function=cast("Function", function), **about)
    return _resolved(name, user, f"{file}:{attribute}", path)


def from_command(name: str, command: Sequence[str], base: Path, about: Mapping[str, Any]) -> Resolved:
    """A command, run in `base`; files among its words are part of the fingerprint.

    about: the fields of `UserMetric` but its function. Raises InputError: it cannot be found.
    """
    program = shutil.which(command[0]) or shutil.which(str(base / command[0]))
    if program is None:
        raise InputError(f"[metrics.{name}] command: '{command[0]}' is not on this machine")
    files = [path for word in command[1:] if (path := base / word).is_file()] or [Path(program)]
    user = UserMetric(function=_Command(name, [program, *command[1:]], base), **about)
    others = "".join(f", {path.name} {tree_sha256(path)[:16]}" for path in files[1:])
    return _resolved(name, user, " ".join(command) + others, files[0])


def _resolved(name: str, user: UserMetric, origin: str, path: Path) -> Resolved:
    metric = Metric(
        kind="prompt",
        higher_is_better=user.higher_is_better,
        extractor=f"{PREFIX}{name}",
        statistic="value",
        source=user.source or origin,
        tells=user.tells or "what its author says",
        cannot=user.cannot or "not stated by its author",
        share=user.share,
    )
    extractor = Extractor(
        kind="user",
        resize=RESIZE,
        weights=f"{origin}, version {user.version}" if user.version else origin,
        joint="caption",
    )
    located = Located(
        name=f"{PREFIX}{name}",
        extractor=extractor,
        path=path,
        open=functools.partial(FunctionNetwork, name, user),
    )
    return Resolved(metric=metric, located=located, origin=origin)


def _file_of(function: Any, package: str) -> Path:
    try:
        return Path(inspect.getfile(function))
    except TypeError:  # an object with __call__
        try:
            return Path(inspect.getfile(type(function)))
        except TypeError:
            raise InputError(
                f"{package}: the file of {function!r} is not known, so it cannot be bound"
            ) from None


@functools.cache
def _imported(path: Path, _stamp: int, name: str) -> Any:
    """The module of a file; imported once a version of the file."""
    spec = importlib.util.spec_from_file_location(f"user_metric_{name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(path.parent))
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise InputError(f"{path} cannot be imported ({type(error).__name__}: {error})") from error
    finally:
        sys.path.remove(str(path.parent))
    return module


class FunctionNetwork:
    """A user's function as a joint extractor: `prepare` and `pairs` as every network that reads captions."""

    alone = True
    """It sees each image once, never a copy that fills a batch."""

    def __init__(self, name: str, user: UserMetric, device: str = "cpu") -> None:
        self.name, self.user = name, user
        parameters = inspect.signature(user.function).parameters
        self.options = {"device": device} if "device" in parameters else {}

    def prepare(self, image: Any) -> Any:
        return image

    def pairs(self, batch: Sequence[Any], partners: Sequence[str]) -> tuple[Array, Array]:
        """batch: n PIL images. Raises InputError: the function fails, or gives other than n finite numbers."""
        values: list[float] = []
        for start in range(0, len(batch), self.user.batch):
            part = slice(start, start + self.user.batch)
            images, prompts = list(batch[part]), list(partners[part])
            try:
                found = np.asarray(self.user.function(images, prompts, **self.options), dtype=np.float64)
            except InputError:
                raise
            except Exception as error:
                raise InputError(f"metric '{self.name}' failed: {type(error).__name__}: {error}") from error
            if found.shape != (len(images),):
                raise InputError(
                    f"metric '{self.name}' gave values of shape {found.shape} for {len(images)} images: "
                    "return one number an image"
                )
            if not np.isfinite(found).all():
                bad = int(np.flatnonzero(~np.isfinite(found))[0])
                raise InputError(
                    f"metric '{self.name}' gave {found[bad]} for prompt {prompts[bad]!r}: return finite numbers"
                )
            values += found.tolist()
        return np.array(values), np.zeros(len(values), dtype=bool)


class _Command:
    """A command as a function: images are written to PNG files, which it is given by path."""

    def __init__(self, name: str, command: Sequence[str], base: Path) -> None:
        self.name, self.command, self.base = name, list(command), base

    def __call__(self, images: Sequence[Any], prompts: Sequence[str]) -> list[float]:
        with tempfile.TemporaryDirectory(prefix="bench-metric-") as folder:
            lines = []
            for number, (image, prompt) in enumerate(zip(images, prompts, strict=True)):
                path = Path(folder) / f"{number}.png"
                image.save(path, compress_level=1)
                lines.append(f"{path}\t{' '.join(prompt.split())}\n")
            done = subprocess.run(
                self.command, input="".join(lines), capture_output=True, text=True, cwd=self.base, check=False
            )
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise InputError(f"metric '{self.name}': the command ended with {done.returncode}: {last}")
        try:
            return [float(line) for line in done.stdout.split()]
        except ValueError as error:
            raise InputError(
                f"metric '{self.name}': the command printed something else than numbers: {error}"
            ) from None
