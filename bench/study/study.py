"""The study file: its schema, its defaults, its messages; and the study it stands for.

`read` parses a file, `freeze`d folders are read back by `open_study` without any prompt set or model at hand.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import bench.metrics.user_metrics as user_metrics
import bench.models.registry as models
import bench.prompts.sets as prompts
from bench.errors import InputError, unknown
from bench.metrics.registry import METRICS
from bench.models.user_models import read_models
from bench.records import Contender, Prompt
from bench.store.object_store import ObjectFolder
from bench.store.study_folder import StudyFolder
from bench.study.file import PromptChoice, StudyFile, _located, _parse

SHIPPED = Path(__file__).resolve().parent.parent / "studies"
EDITS = 'task = "image-to-image"'


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """A study that has been read and checked."""

    file: StudyFile
    text: str
    """The study file, verbatim; what a folder is frozen to."""
    base: Path
    """Folder that relative paths of the file start from."""
    models: Mapping[str, models.Model]
    """Those the contenders need, by name."""
    contenders: tuple[Contender, ...]
    prompts: tuple[Prompt, ...]
    """Of an image-to-image study each with its reference and strength."""
    references: Path | None
    """Folder that the prompts' references start from; None: opened from its folder, which holds them."""

    @property
    def edits(self) -> bool:
        """Images from images."""
        return self.file.task == "image-to-image"

    @property
    def name(self) -> str:
        return self.file.name

    @property
    def chosen(self) -> str:
        """The contender that the others are measured against: [report] chosen, else the first."""
        return self.file.report.chosen or self.file.contenders[0]

    @property
    def comparisons(self) -> tuple[tuple[str, str], ...]:
        """Pairs of contenders that the study is about, each in the order of the study's contenders."""
        order = {name: i for i, name in enumerate(self.file.contenders)}
        compare = self.file.arena.compare
        if compare == "all":
            return tuple(itertools.combinations(self.file.contenders, 2))
        if compare == "chosen":
            pairs = [(self.chosen, name) for name in self.file.contenders if name != self.chosen]
        else:
            pairs = list(compare)
        return tuple(tuple(sorted(pair, key=order.__getitem__)) for pair in pairs)  # pyright: ignore[reportReturnType]

    def contender(self, name: str) -> Contender:
        for contender in self.contenders:
            if contender.name == name:
                return contender
        raise unknown(f"contender of study '{self.name}'", name, [c.name for c in self.contenders])

    def imported(self, contender: Contender) -> bool:
        return self.models[contender.model].kind == "imported"


def shipped() -> dict[str, Path]:
    """Studies that travel with the suite, by name."""
    return {path.stem: path for path in sorted(SHIPPED.glob("*.toml"))}


def find(study: str) -> Path:
    """A path, or the name of a shipped study. Raises InputError with the nearest name."""
    path = Path(study)
    if path.is_dir() and (path / "study.toml").exists():
        return path / "study.toml"
    if path.is_file():
        return path
    if study in shipped():
        return shipped()[study]
    if path.suffix == ".toml" or "/" in study:
        raise InputError(
            f"no study file {study}: give the path of one, or a shipped study: {', '.join(shipped())}"
        )
    raise unknown("study", study, shipped())


def read(study: str | Path) -> Study:
    """Read and check a study: path or shipped name. Raises InputError with file, line and cure."""
    path = find(str(study))
    text, parsed = _parse(path)
    _check_metrics(parsed, text, path)
    chosen = choose_prompts(parsed.prompts, path.parent)
    found = _resolve(parsed, text, path.parent, where=path, chosen=chosen)
    start = prompts.OWN if parsed.prompts.set else (path.parent / str(parsed.prompts.file)).parent
    return replace(found, references=start)


def open_study(folder: StudyFolder | ObjectFolder) -> Study:
    """The study a folder holds; its prompts come from the folder itself."""
    data, where = folder.read("study.toml"), Path(folder.where)
    if data is None:
        raise InputError(f"{folder.where} holds no study: run `bench run` first")
    text, parsed = _parse(where / "study.toml", data)
    return _resolve(parsed, text, where, where=where / "study.toml", chosen=tuple(folder.prompts()))


def choose_prompts(choice: PromptChoice, base: Path) -> tuple[Prompt, ...]:
    """The prompts a `[prompts]` section asks for, in order."""
    if (choice.set is None) == (choice.file is None):
        raise InputError(
            "[prompts] needs either 'set' (see `bench prompts`) or 'file' (your own), and not both"
        )
    found = prompts.load(choice.set) if choice.set else prompts.read_file(base / str(choice.file))
    if choice.first is not None:
        found = prompts.limit(found, choice.first)
    return found if choice.count is None else prompts.choose(found, choice.count, choice.seed)


def _resolve(file: StudyFile, text: str, base: Path, *, where: Path, chosen: tuple[Prompt, ...]) -> Study:
    known = {**models.MODELS, **read_models(file.models, base, text, where)}
    contenders = tuple(_at(where, text, name, known) for name in file.contenders)
    _no_twice(where, text, file.contenders)
    for label, name in (("anchor", file.report.anchor), ("chosen", file.report.chosen)):
        if name is not None and name not in file.contenders:
            raise _located(
                where, text, str(unknown(f"contender in [report] {label}", name, file.contenders)), name
            )
    _check_comparisons(where, text, file)
    used = {c.model: known[c.model] for c in contenders}
    if file.task == "image-to-image":
        chosen = tuple(p if p.strength is not None else replace(p, strength=file.strength) for p in chosen)
    _check_task(file, text, used, contenders, chosen, where)
    return Study(
        file=file, text=text, base=base, models=used, contenders=contenders, prompts=chosen, references=None
    )


def _at(where: Path, text: str, name: str, known: Mapping[str, models.Model]) -> Contender:
    try:
        return models.contender(name, known)
    except InputError as error:
        raise _located(where, text, str(error), name) from None


def _no_twice(where: Path, text: str, names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise _located(where, text, f"contender '{name}' stands twice: name it once", name)
        seen.add(name)


def _check_comparisons(where: Path, text: str, file: StudyFile) -> None:
    """Every named comparison is of two of the study's contenders, and stands once."""
    if isinstance(file.arena.compare, str):
        return
    seen: set[frozenset[str]] = set()
    for first, second in file.arena.compare:
        for name in (first, second):
            if name not in file.contenders:
                problem = unknown("contender in [arena] compare", name, file.contenders)
                raise _located(where, text, str(problem), name)
        if first == second or frozenset((first, second)) in seen:
            why = "is of one contender" if first == second else "stands twice"
            raise _located(
                where, text, f"[arena] compare: {first} with {second} {why}: name each pair once", "compare"
            )
        seen.add(frozenset((first, second)))
    if not seen:
        raise _located(where, text, '[arena] compare is empty: name a pair, or write "all"', "compare")


def _check_task(
    file: StudyFile,
    text: str,
    used: Mapping[str, models.Model],
    contenders: Iterable[Contender],
    chosen: Iterable[Prompt],
    where: Path,
) -> None:
    """Every prompt of an image-to-image study has a reference, every contender can start from it; else none."""
    if file.task == "text-to-image":
        if "faithfulness" in file.arena.questions:
            message = f"faithfulness is asked of images made from images: add {EDITS}"
            raise _located(where, text, message, "faithfulness")
        for prompt in chosen:
            if prompt.reference is not None:
                raise InputError(
                    f"{where}: prompt '{prompt.id}' starts from the image {prompt.reference}: add "
                    f"{EDITS}, or use prompts without references"
                )
        return
    strengths: dict[float, str] = {}
    for prompt in chosen:
        if prompt.reference is None:
            raise InputError(
                f"{where}: task is image-to-image, but prompt '{prompt.id}' names no reference image"
            )
        assert prompt.strength is not None
        strengths.setdefault(prompt.strength, prompt.id)
    for contender in contenders:
        for strength, prompt_id in strengths.items():
            problem = models.strength_problem(used[contender.model], contender, strength)
            if problem and used[contender.model].kind != "imported":
                raise _located(where, text, f"prompt '{prompt_id}': {problem}", contender.name)


def _check_metrics(file: StudyFile, text: str, where: Path) -> None:
    """Every metric is known, fits the task, and has what it compares with."""
    for name in file.metrics.own:
        if name in METRICS or not re.fullmatch(r"[a-z][a-z0-9_]{0,31}", name):
            problem = (
                "is a metric of this suite" if name in METRICS else "is not lower-case letters, digits, '_'"
            )
            raise _located(where, text, f"[metrics.{name}]: the name {problem}: choose another", name)
    offered = user_metrics.installed()
    for name in file.metrics.names:
        metric, problem = METRICS.get(name), ""
        if metric is None:
            known = {**METRICS, **dict.fromkeys(offered), **dict.fromkeys(file.metrics.own)}
            problem = "" if name in known else str(unknown("metric", name, known))
        elif metric.passes:
            problem = f"metric '{name}' is of a protocol: name that in [metrics] protocol instead"
        elif metric.kind == "source" and file.task == "text-to-image":
            problem = f"metric '{name}' compares with the image an image began from: it needs {EDITS}"
        elif metric.kind == "reference" and file.metrics.reference is None:
            problem = f"metric '{name}' compares with other images: name them in [metrics] reference"
        if problem:
            raise _located(where, text, problem, name)


def prompt_set_of(study: str) -> str | None:
    """The name of the prompt set a study needs, read before the set itself is there; None for a user's file."""
    return _parse(find(study))[1].prompts.set
