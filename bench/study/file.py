"""The schema of study.toml and its defaults; with what raters read and are asked in `bench.study.participation`."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel, Field, ValidationError, model_validator

from bench.errors import InputError, unknown
from bench.study.participation import (
    STRICT,
    Asked,
    Codes,
    ConsentText,
    Gold,
    Name,
    Panel,
    Practice,
    Quotas,
    Words,
    check_screening,
)


class _Section(BaseModel):
    model_config = STRICT


class PromptChoice(_Section):
    """`[prompts]`: a set of the suite by name, or a file of the user's own."""

    set: str | None = None
    """A set of the suite by name (`bench prompts`); or `file`."""
    file: str | None = None
    """A file of your own, relative to the study file: .tsv, .csv, .jsonl, .json or .txt."""
    count: Annotated[int, Field(ge=1)] | None = None
    """A seeded choice of that many, stratified by category; all of them if absent."""
    seed: int = 0
    """Of the choice of `count`."""
    first: Annotated[int, Field(ge=1)] | None = None
    """Only the first rows of the set, in its own order."""


class Generate(_Section):
    """`[generate]`: what changes pixels beyond rounding must be said here."""

    dtype: Literal["float16", "bfloat16", "float32"] | None = None
    """Absent: the model's own on a GPU, float32 on a CPU."""
    batch_size: Annotated[int, Field(ge=1, le=4096)] | Literal["auto"] = "auto"
    """Images a forward; `auto`: what fits. Frozen with the first image."""
    device: Literal["any", "cuda", "cpu"] = "any"
    """`any`; `cuda`: refuse to run without a GPU; `cpu`."""


class OwnMetric(_Section):
    """`[metrics.NAME]`: a metric of the user's own; exactly one of `function`, `command` and `file`."""

    function: str | None = None
    """`./mine.py:sharpness`: takes a list of PIL images and a list of prompts, returns as many numbers."""
    command: tuple[str, ...] | None = None
    """Reads `path<TAB>prompt` lines from its standard input, prints a number a line."""
    file: str | None = None
    """A table with columns prompt_id, contender, value, and perhaps replicate; relative to the study file."""
    higher_is_better: bool = True
    """Whether more is better."""
    share: bool = False
    """Every value lies between 0 and 1: the mean gets Wilson's interval."""
    batch: Annotated[int, Field(ge=1, le=4096)] = 16
    """Images a call."""
    version: str = ""
    """Part of the fingerprint, beside the hash of the file: raise it when something else changes the values."""
    source: str = ""
    """Paper or address, for the report."""
    tells: str = ""
    """What it tells."""
    cannot: str = ""
    """What it cannot tell."""

    @model_validator(mode="after")
    def _one_way(self) -> OwnMetric:
        if sum(way is not None for way in (self.function, self.command, self.file)) != 1:
            raise ValueError("give exactly one of function, command and file")
        return self


class Metrics(_Section):
    """`[metrics]`"""

    names: tuple[str, ...] = ()
    """Metrics by name (`bench metrics`)."""
    reference: str | None = None
    """A built-in or built reference, or a folder of images (relative to the study file)."""
    clip: str = ""
    """The CLIP of `clip_score`; empty: the metric's default."""
    questions: str = ""
    """A file of questions about the prompts (`soft_tifa`, `tifa`, `dpg`), in its benchmark's form, relative to the
    study file; empty: the one that comes with the benchmark's prompt set."""
    protocol: Literal["mlperf-sdxl"] | None = None
    """Adds the metrics of a published protocol, with pass or fail."""
    own: dict[str, OwnMetric] = {}
    """Written as tables `[metrics.NAME]`; they are computed without being listed in `names`."""

    @model_validator(mode="before")
    @classmethod
    def _tables(cls, data: Any) -> Any:
        """Moves the tables `[metrics.NAME]` into `own`."""
        if not isinstance(data, dict):
            return data
        own = {
            key: value
            for key, value in data.items()
            if isinstance(value, dict) and (key == "own" or key not in cls.model_fields)
        }
        return {key: value for key, value in data.items() if key not in own} | ({"own": own} if own else {})


BUILT_IN_QUESTIONS = ("alignment", "quality", "faithfulness")


class OwnQuestion(_Section):
    """`[arena.own_questions.NAME]`: the operator's own question, or another form of answer for a built-in one."""

    text: dict[str, Annotated[str, Field(min_length=1, max_length=300)]] = {}
    """Language code → the question; `en` stands in for a language that is absent."""
    answers: Literal["forced", "ties", "ties_and_both_bad", "seven_points"] | None = None
    """Absent: as `ties` and `both_bad` of `[arena]` say."""
    comment: bool = False
    """Whether raters may add a comment."""
    shows_prompt: bool = True
    """Whether the prompt is shown; a built-in question does what it always does."""


class Arena(_Section):
    """`[arena]`"""

    questions: Annotated[tuple[Name, ...], Field(min_length=1)] = ("alignment", "quality")
    """`alignment`, `quality`, `faithfulness`, or names that `[arena.own_questions.NAME]` defines."""
    own_questions: dict[Name, OwnQuestion] = {}
    """Written as tables `[arena.own_questions.NAME]`."""
    ties: bool = True
    """Whether "equally good" can be answered."""
    both_bad: bool = False
    """Whether "both are bad" can be answered."""
    compare: Literal["all", "chosen"] | tuple[tuple[str, str], ...] = "all"
    """The comparisons that the study is about: `all` pairs, each contender with the `chosen` one of [report] (the
    first if absent), or a list of pairs. Votes are spent on these, and joint intervals are over these."""
    votes_per_pair: Annotated[int, Field(ge=1)] = 1500
    """Votes wanted for each compared pair and each question. The default shows a win rate of 55% in 80% of studies of
    two to four contenders on 800 prompts; `arena plan` has the number for a study of another size."""
    stopping: Literal["votes", "decided"] = "votes"
    """`decided`: a pair ends before that, once its better contender is known at any look."""
    pairing: Literal["balanced", "active", "exhaustive"] = "balanced"
    """`balanced`: each pair alike; `active`: more on pairs that serve the `target`; `exhaustive`: every prompt of each
    pair."""
    target: Literal["first", "chosen"] = "first"
    """`active`: what votes are spent on: which contender is `first`, or which are better than the `chosen` one of
    [report]. Other questions get fewer votes, and wider intervals, than under `balanced`. In simulations this took 42%
    and 30% fewer votes than `balanced` (results/pairing); for the order of all contenders there was no rule that saved
    20%, so there is none."""
    epsilon: Annotated[float, Field(gt=0, le=1)] = 0.2
    """`active`: share of votes that is spread evenly over the pairs."""
    seed: int = 0
    """Of pairs, sides and order."""
    votes_per_rater: Annotated[int, Field(ge=0)] = 40
    """A rater is done after so many answers, all questions, checks and repeats counted; 0: no limit. Votes of one rater
    are correlated, so a few who give most of the votes widen every interval: with one of 40 raters giving half,
    intervals were 2.3 times as wide as with equal raters (results/coverage). 40 answers take about five minutes."""
    attention_rate: Annotated[float, Field(ge=0, le=0.5)] = 0.1
    """Attention checks: one in every 1 / attention_rate pairs, more for a rater who fails one."""
    repeat_rate: Annotated[float, Field(ge=0, le=0.5)] = 0.05
    """Share of pairs that a rater is shown again, to measure consistency."""
    break_after: Annotated[int, Field(ge=1)] = 50
    """A break is suggested after that many votes."""
    expire_minutes: Annotated[float, Field(gt=0)] = 15
    """An assignment not answered by then returns to the pool."""
    first_vote_minutes: Annotated[float, Field(gt=0)] = 4
    """The same, for raters who have not answered anything yet."""
    exclude: tuple[Literal["checks", "speed", "side"], ...] = ("checks", "speed", "side")
    """Rules that exclude raters: failed attention checks, answers too fast, always the same side."""
    false_exclusion: Annotated[float, Field(gt=0, lt=0.5)] = 0.01
    """Share of careful raters that these rules together may exclude."""
    reveal: Literal["never", "after-study"] = "never"
    """Whether raters are told the contenders' names when the study is closed."""
    language: str = "en"
    """Of the page, where the browser asks for none that the arena has."""
    completion_code: str | None = None
    """Shown to raters who took part; a panel pays by it."""
    return_link: str | None = None
    """Back to the panel; `{code}` in it stands for the completion code."""
    codes: Codes = Codes()
    """Written as a table `[arena.codes]`."""
    panel: Panel = Panel()
    """Written as a table `[arena.panel]`."""
    consent: ConsentText = ConsentText()
    """Written as a table `[arena.consent]`."""
    instructions: Words = ""
    """The operator's own, below the page's: a text, or one a language; empty lines separate paragraphs."""
    screening: dict[Name, Asked] = {}
    """Written as tables `[arena.screening.NAME]`."""
    demographics: dict[Name, Asked] = {}
    """Written as tables `[arena.demographics.NAME]`."""
    gold: tuple[Gold, ...] = ()
    """Written as tables `[[arena.gold]]`: `prompt`, `better`, `worse`, and perhaps `replicate`, `question`, `why`."""
    practice: Practice = Practice()
    """Written as a table `[arena.practice]`."""
    quotas: Quotas = Quotas()
    """Written as a table `[arena.quotas]`."""
    batch: Annotated[int, Field(ge=1)] | None = None
    """Votes after which the study pauses by itself, until the operator opens it for the next batch."""
    min_seconds: Annotated[float, Field(ge=0, le=60)] = 0.0
    """An answer is taken only after a pair was with its rater for that long."""
    min_image_px: Annotated[int, Field(ge=64, le=4096)] = 256
    """Smallest side at which a pair may be judged, CSS pixels; a window that leaves less scrolls, or takes no vote."""
    personal_board: bool = False
    """Whether a rater who has been told the contenders' names sees how often they chose each."""

    @property
    def limit(self) -> int | None:
        """Answers of one rater; None: no limit."""
        return self.votes_per_rater or None

    @property
    def checks(self) -> float:
        """Share of a rater's answers that are attention checks or repeats."""
        return 1 - (1 - self.attention_rate) * (1 - self.repeat_rate)

    @model_validator(mode="after")
    def _every_question_has_words(self) -> Arena:
        for name in self.questions:
            own = self.own_questions.get(name)
            if name not in BUILT_IN_QUESTIONS and own is None:
                raise ValueError(
                    f"{unknown('question', name, [*BUILT_IN_QUESTIONS, *self.own_questions])}; "
                    f"or define it in [arena.own_questions.{name}]"
                )
            if name not in BUILT_IN_QUESTIONS and own and not own.text:
                raise ValueError(f"question '{name}' has no words: add text = {{en = \"…\"}}")
        if len(set(self.questions)) < len(self.questions):
            raise ValueError("a question stands twice in `questions`: name it once")
        check_screening(self.screening, self.demographics)
        return self


class Report(_Section):
    """`[report]`"""

    anchor: str | None = None
    """Contender whose rating is 1000; the mean of all if absent."""
    chosen: str | None = None
    """Contender the win-rate bars are drawn against; the first if absent."""
    pictures: Annotated[int, Field(ge=1)] = 12
    """Prompts in the picture grid."""
    authors: tuple[str, ...] = ()
    """Names, as they stand on the report, in the citation of the study, and as creators of its data package."""
    cite: str = ""
    """How the study is to be cited, in words or BibTeX; absent: made of title, authors and date."""


Pair = tuple[str, str]


class Analysis(_Section):
    """`[analysis]`: the plan of the analysis. It is frozen and hashed before the first vote (analysis.json); the report
    separates what it names from what it does not."""

    primary: Pair | None = None
    """The comparison that the study is for: a contender and its rival. Tested alone, at 5%."""
    secondary: tuple[Pair, ...] = ()
    """Further comparisons, tested together."""
    question: str | None = None
    """Of the planned comparisons; all questions together if absent."""
    correction: Literal["holm", "none"] = "holm"
    """Of the secondary comparisons, for their number."""
    margin: Annotated[float, Field(gt=0, le=50)] = 3.0
    """Of equivalence and of not being worse, win-rate points."""
    weights: Literal["votes", "raters", "propensity"] = "votes"
    """As `arena rate --weights`."""
    prompt_mix: dict[str, Annotated[float, Field(gt=0)]] = {}
    """Category to share: a row of the report says what such a mix of prompts would give."""
    rater_mix: dict[str, Annotated[float, Field(gt=0)]] = {}
    """The same by rater group."""

    @property
    def given(self) -> bool:
        """Whether the study file has the section: without it nothing is planned."""
        return bool(self.model_fields_set)


class StudyFile(_Section):
    """The whole file, as written."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
    """Of the study and its folder: small letters, digits, `.`, `_`, `-`."""
    title: str = ""
    """Of the report."""
    task: Literal["text-to-image", "image-to-image"] = "text-to-image"
    """`image-to-image`: each prompt names a reference image that generation starts from."""
    contenders: Annotated[tuple[str, ...], Field(min_length=1)]
    """`model@steps`, or the bare name of an imported model (`bench models`)."""
    images_per_prompt: Annotated[int, Field(ge=1, le=1000)] = 1
    """Images of each prompt by each contender, with different seeds."""
    display_size: Annotated[int, Field(ge=16, le=4096)] = 512
    """Side at which images are judged and scored, pixels."""
    fit: Literal["pad", "crop"] | None = None
    """How images that are not square become square, for raters and metrics alike: white bars, or the middle."""
    strength: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Image-to-image: of prompts whose row gives none."""
    prompts: PromptChoice
    """Table `[prompts]`."""
    generate: Generate = Generate()
    """Table `[generate]`."""
    metrics: Metrics = Metrics()
    """Table `[metrics]`."""
    arena: Arena = Arena()
    """Table `[arena]`."""
    report: Report = Report()
    """Table `[report]`."""
    analysis: Analysis = Analysis()
    """Table `[analysis]`."""
    models: dict[str, dict[str, Any]] = {}
    """Models of your own, as tables `[models.NAME]`."""

    @model_validator(mode="after")
    def _planned_comparisons_name_what_is_there(self) -> StudyFile:
        plan = self.analysis
        for pair in (*([plan.primary] if plan.primary else []), *plan.secondary):
            for name in pair:
                if name not in self.contenders:
                    raise ValueError(str(unknown("contender in [analysis]", name, self.contenders)))
            if pair[0] == pair[1]:
                raise ValueError(f"[analysis] compares '{pair[0]}' with itself: name two contenders")
        if plan.question is not None and plan.question not in self.arena.questions:
            raise ValueError(str(unknown("question in [analysis]", plan.question, self.arena.questions)))
        return self


def _parse(path: Path, data: bytes | None = None) -> tuple[str, StudyFile]:
    """The text and what it says. data: the file's bytes where it lies in an object store."""
    try:
        text = (path.read_bytes() if data is None else data).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 (byte {error.start}): save it as UTF-8") from None
    try:
        parsed = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path} is not TOML: {error}") from None
    try:
        # TOML has no tuples; strict mode takes a list for one only from JSON-like input.
        return text, StudyFile.model_validate(_tuples(parsed))
    except ValidationError as error:
        raise _explained(path, text, error) from None


def _tuples(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_tuples(item) for item in value)
    if isinstance(value, dict):
        # A model entry is checked by its own schema, which takes lists.
        return {key: item if key == "models" else _tuples(item) for key, item in value.items()}
    return value


def _explained(path: Path, text: str, error: ValidationError) -> InputError:
    """The first fault in the user's words: line, key, what is allowed, nearest match."""
    fault = error.errors()[0]
    keys = [str(part) for part in fault["loc"] if not isinstance(part, int)]
    keys = [key for key in keys if key in text] or keys
    dotted = ".".join(keys)
    if fault["loc"][:2] == ("metrics", "own") and fault["type"] == "value_error":
        name = str(fault["loc"][2])
        return _located(path, text, f"[metrics.{name}]: {fault['msg'].partition(', ')[2]}", f"metrics.{name}")
    if fault["type"] == "extra_forbidden":
        own = fault["loc"][:2] == ("metrics", "own")
        section = OwnMetric if own else _schema(keys[:-1])
        return _located(
            path, text, str(unknown("key", dotted.split(".")[-1], section.model_fields)), keys[-1]
        )
    if fault["type"] == "missing":
        return InputError(
            f"{path}: '{dotted}' is missing: add it (`bench new NAME` writes a study file with every key)"
        )
    wrong = fault["input"]
    if fault["type"] == "literal_error":
        allowed = re.findall(r"'([^']*)'", str(fault.get("ctx", {}).get("expected", "")))
        return _located(path, text, str(unknown(f"value of '{dotted}'", str(wrong), allowed)), keys[-1])
    message = fault["msg"][0].lower() + fault["msg"][1:]
    if fault["type"] == "value_error":  # of a whole section
        message = message.removeprefix("value error, ")
        named = re.search(r"'([^']+)'", message)
        return _located(path, text, message, named[1] if named else keys[-1])
    return _located(path, text, f"'{dotted}' is {wrong!r}: {message}", keys[-1])


def _schema(keys: Iterable[str]) -> type[BaseModel]:
    schema: type[BaseModel] = StudyFile
    path = iter(keys)
    for key in path:
        annotation = schema.model_fields[key].annotation
        if get_origin(annotation) is dict:  # a table of sections: the next key is the user's own name
            next(path, None)
            annotation = get_args(annotation)[1]
        assert isinstance(annotation, type)
        schema = annotation
    return schema


def _located(path: Path, text: str, message: str, needle: str) -> InputError:
    """The message behind the file and the first line that holds the needle."""
    quoted = re.compile(rf"""["']{re.escape(needle)}["']|^\s*\[?{re.escape(needle)}\s*[=\].]""")
    for number, line in enumerate(text.splitlines(), 1):
        if quoted.search(line):
            return InputError(f"{path}:{number}: {message}")
    return InputError(f"{path}: {message}")
