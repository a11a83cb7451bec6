"""The row types every stage reads and writes, their JSON form, and the error that is the user's.

One row is one line of JSON. Reading is strict: an unknown or missing key stops with file and line.
"""

from __future__ import annotations

import hashlib
import json
import os
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from bench.errors import InputError

Row = TypeVar("Row")
OUTCOMES = ("left", "right", "tie", "both_bad")
STAGES = ("encode", "denoise", "decode", "total")
CALIBRATION = "calibration"
"""The stage of latency rows that are no model's: the kernel that ran beside each contender in each pass."""
FELT_STAGES = ("network", "wait", "encode", "denoise", "decode", "paint")
"""What lies between a keystroke and its image, in order of time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    id: str
    """Unique in its set; letters, digits, '.', '_' and '-'; also the stem of the image file."""
    text: str
    category: str = ""
    challenge: str = ""
    reference: str | None = None
    """Image-to-image only: path of the reference image, relative to the prompt file."""
    strength: float | None = None
    """Image-to-image only: 0 (keep the reference) to 1 (ignore it)."""
    reference_text: str = ""
    """Image-to-image only: what the reference shows, as `text` says what the image should show."""
    instruction: str = ""
    """Image-to-image only: the change in words for people, `make the red circle blue`; raters read it."""
    translations: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Language code → what raters who use the page in that language read in place of `instruction` or `text`. No image
    depends on it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    name: str
    """`model@steps`; an imported model is its bare name."""
    model: str
    steps: int | None
    """Denoising steps; None for imported images."""
    guidance: float | None
    """Classifier-free guidance scale; 0 is off; None for imported images."""
    size: int
    """Native side of the square image, pixels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    contender: str
    prompt_id: str
    replicate: int
    """0-based."""
    seed: int | None
    """63-bit; the same for every contender; None for imported images."""
    sha256: str
    """Of the image file's bytes."""
    width: int
    """Pixels, as generated."""
    height: int
    bytes: int
    """Size of the file: a truncated one is seen without reading it."""
    seconds: float | None
    """Wall time of its batch over the images in it, harness included; not the latency. None if imported."""
    settings: str
    """Hash of everything that decides the pixels: model entry, steps, guidance, dtype, batch shape."""
    truncated: bool = False
    """The prompt was longer than the model's text encoder and was cut."""
    black: bool = False
    """Every pixel is (nearly) zero: a safety filter or an overflow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """A reference image as the study keeps it: upright, RGB, square."""

    prompt_id: str
    source: str
    """As the prompt names it."""
    source_sha256: str
    """Of the file it was taken from."""
    sha256: str
    """Of the kept file."""
    side: int
    """Pixels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    stage: str
    """`generate`, `import`, `score`, …"""
    contender: str
    prompt_id: str
    replicate: int
    kind: str
    """Exception class, or `safety-filter`, `missing`, `unreadable`."""
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    contender: str
    stage: str
    """`encode`, `denoise`, `decode` or `total`; `forward` is one denoising forward; `calibration` is the
    kernel that ran beside the contender in each pass."""
    batch: int
    """Images a call."""
    seconds: tuple[float, ...]
    """Every sample kept, seconds a call (not an image)."""
    passes: tuple[int, ...] = ()
    """Number of the pass that each sample was taken in; empty in folders of versions without passes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyPass:
    """One round over all contenders, and what the machine did meanwhile; a row of `passes` in latency.json."""

    number: int
    """0-based."""
    order: tuple[str, ...]
    """`<contender> batch <n>` as they were timed."""
    seconds: float
    """Of the whole pass."""
    kernel: float
    """Median seconds of the calibration kernel."""
    others: float | None
    """Share of all processors that other processes used, 0 to 1; None: not known."""
    clock_mhz: float | None
    """Of the GPU's multiprocessors or the processors at the end of the pass."""
    temperature: float | None
    """Of the GPU, degrees Celsius."""
    disturbed: str
    """Why the pass counts as disturbed; empty: it does not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadRun:
    """One contender under one load, or its cold start; a row of `load` in latency.json."""

    contender: str
    scenario: str
    """`cold`: a pipeline opened, and its first image; `offline`: a whole batch of queries always waits (MLPerf's
    Offline); `server`: queries arrive as a Poisson process (MLPerf's Server); `clients`: each of a number of clients
    sends its next query when the last one is answered."""
    batch: int
    """Queries answered in one call at most; each asks for one image."""
    rate: float | None = None
    """Queries offered a second; of `server`."""
    clients: int | None = None
    """Of `clients`."""
    seconds: float
    """From the first query to the last answer; of `cold` all of it."""
    latencies: tuple[float, ...]
    """Seconds from each query's arrival to its image; of `cold`: opening, then the first image."""
    memory: int | None = None
    """Peak bytes on the GPU."""

    @property
    def images_a_second(self) -> float:
        """Sustained; of `cold` of no meaning."""
        return len(self.latencies) / self.seconds

    def goodput(self, limit: float) -> float:
        """Queries a second that are answered within `limit` seconds."""
        return sum(latency <= limit for latency in self.latencies) / self.seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class FeltPicture:
    """One image that was generated during typing; seconds of each stage, which together are its total.

    `interactive.json` is `{"protocol": {"device", "browser", "dtype", "optimize", "weights", …},
    "fingerprint": settings_hash(protocol), "rows": [FeltPicture…], "keys": [KeyWait…]}`, in order of time.
    """

    contender: str
    network: float
    """Keystroke to server and server to browser, together."""
    wait: float
    """At the server, until the device was free for it."""
    encode: float
    denoise: float
    decode: float
    """Latents to the bytes that are sent."""
    paint: float
    """Bytes in the browser to pixels on the screen."""
    behind: int = 0
    """Keystrokes that had come after the one it draws when it was painted."""

    @property
    def total(self) -> float:
        """Keystroke to painted pixels, seconds."""
        return sum(getattr(self, stage) for stage in FELT_STAGES)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyWait:
    """One keystroke, and how long it was until a frame reflected it: what a person waits.

    Images alone leave out every key whose image was replaced by newer text, and so look faster.
    """

    contender: str
    seconds: float
    """Keystroke to the first painted image of it or of a later key."""
    replaced: bool = False
    """Newer text took its place: the image is a later key's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    metric: str
    contender: str
    value: float | None
    """None where the metric could not be computed; `note` says why."""
    low: float | None
    """95% interval, lower end."""
    high: float | None
    n: int
    """Images the number stands on."""
    interval: str
    """How the interval was made: `bootstrap over prompts (1000)`, `wilson`, …"""
    higher_is_better: bool
    protocol: dict[str, Any]
    """Resize, weights' sha256, captions, resolution, dtype, reference and its N."""
    fingerprint: str
    """Hash of `protocol`; numbers of different fingerprints are never put in one column."""
    missing: int = 0
    """Images that should have been there and were not, or could not be read."""
    truncated: int = 0
    """Captions longer than the metric's text tower."""
    bias: float | None = None
    """Of a Fréchet distance: what a generator that equals the reference would score at this N; >= 0."""
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One contender's score minus another's, on the same prompts; a row of `differences` in scores.json."""

    metric: str
    fingerprint: str
    """That of the metric's Score rows."""
    a: str
    """Contender."""
    b: str
    """Contender whose score is subtracted."""
    estimate: float
    """a minus b, in the metric's own unit and direction."""
    low: float
    """95% interval that holds for all pairs of the metric together, lower end."""
    high: float
    p: float
    """Two-sided p-value that holds for all pairs together, 0 to 1."""
    n: int
    """Images of each contender."""
    prompts: int
    """Prompts that the difference was paired by: the unit of the interval."""
    correction: str
    """How the interval holds for all pairs: `largest |t| of 6 pairs`."""

    @property
    def real(self) -> bool:
        """The joint interval leaves out 0."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptEffect:
    """What one prompt adds to one contender's score: the score's variance is that of its effects over their
    number, and two scores on the same prompts differ by the difference of effects. A line of
    `prompt-effects.jsonl`.
    """

    metric: str
    fingerprint: str
    """That of the metric's Score rows."""
    contender: str
    prompt_id: str
    effect: float
    """In the metric's unit; over all prompts they sum to 0, or nearly so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageScore:
    """What a metric gave one image; a line of `image-scores.jsonl`. Metrics of a whole set have none."""

    metric: str
    fingerprint: str
    """That of the metric's Score rows."""
    contender: str
    prompt_id: str
    replicate: int
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PeopleAgreement:
    """How far a metric agrees with the votes on one question; a row of `agreement` in scores.json.

    Intervals are 95%, clustered by prompt and rater. None: not to be had, and `note` says why.
    """

    metric: str
    fingerprint: str
    question: str
    """A question of the study, or `overall`."""
    accuracy: float | None
    """Share of decided votes whose winner the metric scores higher, 0 to 1; a tied metric counts half."""
    accuracy_low: float | None
    accuracy_high: float | None
    kendall: float | None
    """Rank correlation of the contenders' scores and ratings, -1 to 1, signed so that 1 is agreement."""
    kendall_low: float | None
    kendall_high: float | None
    spearman: float | None
    spearman_low: float | None
    spearman_high: float | None
    n: int
    """Decided votes it stands on."""
    note: str = ""
    ceiling: float | None = None
    """How well one rater predicts another, 0 to 1: share of pairs of decided votes on the same pair of images that name
    the same winner. None: no pair of images was judged by two raters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoweredRow:
    """A contender's win rate and rating from votes on part of the prompts and a metric on more (prediction-powered).

    A row of `powered` in scores.json. Intervals are 95%, clustered by prompt and rater.
    """

    metric: str
    fingerprint: str
    question: str
    """A question of the study, or `overall`."""
    contender: str
    rate: float
    """Win rate averaged over the opponents met, 0 to 1, moved by the metric."""
    low: float
    high: float
    votes_rate: float
    """Of the votes alone."""
    votes_low: float
    votes_high: float
    rating: float | None
    """Points, 1000 the mean of all; None: no finite ratings."""
    rating_low: float | None
    rating_high: float | None
    slope: float
    """Win rate a unit of the metric; 0: the metric does not make the win rates more precise and is not used."""
    saved: float
    """Votes that would have to be added, on further prompts and by further raters, to do without the metric. The same
    for every contender."""
    saved_low: float
    saved_high: float
    n: int
    """Votes it stands on."""
    prompts: int
    """With votes."""
    scored: int
    """Prompts that the metric was computed on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Battle:
    """A vote with the sides resolved to contenders."""

    left: str
    right: str
    outcome: str
    """One of OUTCOMES."""
    question: str = ""
    rater: str = ""
    """Salted hash, never a name."""
    prompt_id: str = ""
    replicate: int = 0
    category: str = ""
    challenge: str = ""
    probability: float | None = None
    """Probability with which the arena chose this pair; for inverse-propensity weights."""
    seconds: float | None = None
    """Response time."""
    kind: str = "vote"
    """`vote`, `check` (attention check), `repeat` (planted to measure consistency) or `practice`."""
    excluded: str = ""
    """Reason it is left out of ratings; empty if it counts. Excluded battles are kept and counted."""
    rules: str = ""
    """Quality rules, separated by commas, without which it would count; empty where something else excludes it."""
    group: str = ""
    """Rater group (invite label or panel)."""
    simulated: bool = False
    scale: int | None = None
    """Of a seven-point question: 3 (left much better) to -3 (right much better)."""
    comment: str = ""
    arrangement: str = ""
    """`beside` or `stacked` (left above right); empty where the page did not say, as for the following fields."""
    picture_side: int | None = None
    """Of each image as shown, CSS pixels."""
    viewport_width: int | None = None
    """Of the browser's window, CSS pixels."""
    viewport_height: int | None = None
    pixel_ratio: float | None = None
    """Pixels of the screen per CSS pixel."""
    orientation: str = ""
    """`landscape` or `portrait`."""
    language: str = ""
    """Of the page."""
    prompt_language: str = ""
    """Of the prompt as shown; empty: the prompt set's own."""
    page_build: str = ""
    """Hash of the page's scripts and styles."""
    away: float | None = None
    """Seconds of the response time during which the page was hidden behind another."""


def settings_hash(value: Any) -> str:
    """First 16 hex digits of the sha256 of canonical JSON; dataclasses and tuples are allowed inside."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()[:16]


def canonical(value: Any) -> str:
    """JSON with sorted keys and no spaces: equal values give equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=_plain)


def _plain(value: Any) -> Any:
    if hasattr(value, "__dataclass_fields__"):
        return asdict(value)
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"cannot hash a {type(value).__name__}")


def to_json(row: Any) -> str:
    """One line of JSON in field order."""
    return json.dumps(asdict(row), ensure_ascii=False, allow_nan=False)


def from_dict(kind: type[Row], data: Any, where: str) -> Row:
    """A row from parsed JSON. Raises InputError naming `where` on a wrong, missing or unknown key."""
    if not isinstance(data, dict):
        raise InputError(f"{where}: expected an object with the keys of {kind.__name__}")
    types_ = _field_types(kind)
    extra = sorted(set(data) - set(types_))
    if extra:
        raise InputError(f"{where}: unknown key '{extra[0]}' in a {kind.__name__} row")
    values = {key: tuple(v) if types_[key] is tuple and isinstance(v, list) else v for key, v in data.items()}
    for key, value in values.items():
        allowed = types_[key] if isinstance(types_[key], tuple) else (types_[key],)
        if Any not in allowed and not isinstance(value, allowed):
            raise InputError(f"{where}: '{key}' of a {kind.__name__} row is {value!r}")
    try:
        return kind(**values)
    except TypeError as error:
        raise InputError(f"{where}: {error}") from None


_TYPES: dict[type, dict[str, Any]] = {}


def _field_types(kind: type) -> dict[str, Any]:
    """Field name → class or tuple of classes for isinstance."""
    if kind not in _TYPES:
        hints = typing.get_type_hints(kind)
        _TYPES[kind] = {f.name: _accepted(hints[f.name]) for f in fields(kind)}  # pyright: ignore[reportArgumentType]
    return _TYPES[kind]


def _accepted(hint: Any) -> Any:
    origin = typing.get_origin(hint)
    if origin in (types.UnionType, typing.Union):
        parts = tuple(_accepted(part) for part in typing.get_args(hint))
        return (*parts, int) if float in parts else parts
    if hint is float:
        return (float, int)
    return origin or hint


def read_rows(path: Path, kind: type[Row]) -> list[Row]:
    """All rows of a JSONL file; an absent file has none. A torn last line (no newline) is ignored.

    Raises InputError with file and line for anything else that is not a row.
    """
    return list(iterate_rows(path, kind))


def iterate_rows(path: Path, kind: type[Row]) -> Iterator[Row]:
    """As `read_rows`, one at a time: memory does not grow with the file."""
    if not path.exists():
        return
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.endswith(b"\n"):
                return
            try:
                data = json.loads(line)
            except ValueError:
                raise InputError(
                    f"{path}:{number}: not JSON; restore the file from a copy, or delete that line"
                ) from None
            yield from_dict(kind, data, f"{path}:{number}")


def cache_folder() -> Path:
    """Where fetched prompt sets, tiny pipelines and reference statistics are kept between studies."""
    return Path(os.environ.get("TURBO_BENCH_CACHE") or Path.home() / ".cache" / "turbo-preference-bench")
