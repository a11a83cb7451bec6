"""A study that grows: its file as a value, generated with real (tiny) pipelines that are loaded once."""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench.run import on_disk_or_not
from bench.store.study_folder import StudyFolder
from bench.study.study import read
from bench.sweep.generate import Summary, generate
from bench.sweep.settings import Options

TEXTS = tuple(
    f"{what} {where}"
    for where in ("at night", "in the rain")
    for what in ["fox", "boat", "cup", "door", "tower"]
)


@dataclass(frozen=True)
class Growing:
    """What a study file says; `with_` gives an edited one."""

    prompts: tuple[tuple[str, str], ...] = tuple((f"p{i:02d}", text) for i, text in enumerate(TEXTS))
    contenders: tuple[str, ...] = ("tiny-turbo@1",)
    images_per_prompt: int = 1
    title: str = ""
    head: str = ""
    """At the beginning of the file."""
    tail: str = ""
    """At the end of the file."""

    def with_(self, **changes: Any) -> Growing:
        return replace(self, **changes)

    def write(self, place: Path) -> Path:
        place.mkdir(parents=True, exist_ok=True)
        rows = "".join(f"{name}\t{text}\n" for name, text in self.prompts)
        (place / "prompts.tsv").write_text("id\ttext\n" + rows)
        contenders = ", ".join(f'"{name}"' for name in self.contenders)
        (place / "study.toml").write_text(
            f'{self.head}name = "growing"\ntitle = "{self.title}"\ncontenders = [{contenders}]\n'
            f"images_per_prompt = {self.images_per_prompt}\ndisplay_size = 64\n"
            f'[prompts]\nfile = "prompts.tsv"\n[generate]\nbatch_size = 4\n{self.tail}'
        )
        return place / "study.toml"

    def generate(self, place: Path, *replace: str) -> tuple[Summary, StudyFolder]:
        """Write the study file into `place` and generate what its folder `place/growing` lacks."""
        study = read(self.write(place))
        with on_disk_or_not(study, place, replace) as folder:
            assert isinstance(folder, StudyFolder)
            return generate(study, folder, Options(device="cpu"), load=loaded, threads=1), folder


def loaded(model: Any, **settings: Any) -> Any:
    """In the place of `bench.models.load.load`: a model stays loaded for the tests' process."""
    return _loaded(model.name, model.pipeline, str(model.repository))[0](model, settings)


@functools.cache
def _loaded(*key: str) -> list[Any]:
    kept: dict[str, Any] = {}

    def load(model: Any, settings: dict[str, Any]) -> Any:
        from bench.models.load import load as real

        if "pipeline" not in kept:
            kept["pipeline"] = real(model, **settings)
            kept["pipeline"].close = lambda: None
        return kept["pipeline"]

    return [load]
