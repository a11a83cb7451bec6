"""Pictures for the page: which prompts are shown, thumbnails, the prompts grid and the steps grid."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.records import Prompt
from bench.report.images.duels import Verdict
from bench.report.results import Results, model_of
from bench.report.tables.form import Estimate, decimals, number
from bench.report.tables.metrics import label
from bench.store.study_folder import write_bytes

EMBEDDED = 11_000_000
"""Bytes of pictures inside the page, before base64; what is beyond goes into a folder beside it."""
STEP_PROMPTS = 4
REFERENCE = "reference"
"""Caption of the picture that the others were made from."""
TINY = 128
"""Longest side, pixels, up to which a thumbnail is lossless."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    contender: str
    source: str
    """Data URI or relative address; empty: there is none, and `fault` says why."""
    width: int = 0
    height: int = 0
    seed: int | None = None
    fault: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureRow:
    prompt: Prompt
    pictures: tuple[Picture, ...]
    reference: Picture | None = None
    """What the pictures were made from; None: from the words alone."""
    told: str = ""
    """What there is to say about this row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepsGrid:
    """One model at several step counts, each row from one noise."""

    model: str
    contenders: tuple[str, ...]
    rows: tuple[PictureRow, ...]
    same_seed: bool


@dataclass(slots=True)
class Thumbnails:
    """Makes thumbnails, embeds them while the budget lasts, then writes them beside the page."""

    results: Results
    side: int
    folder: Path
    spent: int = 0
    paths: list[Path] = field(default_factory=list)
    """Thumbnails that did not fit into the page."""
    made: dict[tuple[str, str, int], Picture] = field(default_factory=dict)

    @property
    def linked(self) -> int:
        return len(self.paths)

    def picture(self, contender: str, prompt_id: str, replicate: int = 0) -> Picture:
        key = (contender, prompt_id, replicate)
        if key not in self.made:
            self.made[key] = self._make(*key)
        return self.made[key]

    def _make(self, contender: str, prompt_id: str, replicate: int) -> Picture:
        row = self.results.generations.get((contender, prompt_id, replicate))
        if row is None:
            return Picture(contender=contender, source="", fault=self._why(contender, prompt_id, replicate))
        made = thumbnail(self.results.folder.image(contender, prompt_id, replicate), self.side)
        return self._placed(contender, made, seed=row.seed, fault="black" if row.black else "")

    def _placed(
        self, contender: str, made: tuple[bytes, int, int] | str, *, seed: int | None, fault: str
    ) -> Picture:
        """Into the page while the budget lasts, then into the folder beside it."""
        if isinstance(made, str):
            return Picture(contender=contender, source="", seed=seed, fault=made)
        data, width, height = made
        if self.spent + len(data) <= EMBEDDED:
            self.spent += len(data)
            source = "data:image/webp;base64," + base64.b64encode(data).decode()
        else:
            path = self.folder / f"{len(self.paths):05d}.webp"
            write_bytes(path, data)
            self.paths.append(path)
            source = f"{self.folder.name}/{path.name}"
        return Picture(contender=contender, source=source, width=width, height=height, seed=seed, fault=fault)

    def reference(self, prompt: Prompt) -> Picture | None:
        """The picture a prompt of an image-to-image study starts from, as the folder keeps it."""
        if self.results.task != "image-to-image":
            return None
        key = (REFERENCE, prompt.id, 0)
        if key not in self.made:
            path = self.results.folder.path / "references" / f"{prompt.id}.webp"
            self.made[key] = self._placed(REFERENCE, thumbnail(path, self.side), seed=None, fault="")
        return self.made[key]

    def _why(self, contender: str, prompt_id: str, replicate: int) -> str:
        for failure in self.results.failures:
            if (failure.contender, failure.prompt_id, failure.replicate) == (contender, prompt_id, replicate):
                return f"failed: {failure.kind}"
        return "not made"


def thumbnail(path: Path, side: int) -> tuple[bytes, int, int] | str:
    """WebP bytes no larger than `side`, with width and height; or what is wrong with the file."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as opened:
            image = opened.convert("RGB")
    except FileNotFoundError:
        return "file missing"
    except (UnidentifiedImageError, OSError, SyntaxError):
        return "file damaged"
    small = max(image.size) <= side
    if not small:
        image.thumbnail((side, side), Image.Resampling.LANCZOS, reducing_gap=3.0)
    out = io.BytesIO()
    # Tiny pictures stay lossless: compression noise would be a tenth of what there is to see.
    image.save(out, "WEBP", quality=82, method=4, lossless=small and max(image.size) <= TINY)
    return out.getvalue(), image.width, image.height


def side_for(results: Results, count: int) -> int:
    """Longest side of a thumbnail, pixels: smaller when there are many, never above what people judged."""
    wanted = 384 if count <= 72 else 256 if count <= 240 else 192
    return min(wanted, results.display_size)


def shown_prompts(results: Results, count: int) -> list[Prompt]:
    """Prompts spread evenly over the set, so over its categories; those with every image come first."""
    complete = [
        prompt
        for prompt in results.prompts
        if all((name, prompt.id, 0) in results.generations for name in results.contenders)
    ]
    partial = [prompt for prompt in results.prompts if prompt not in set(complete)]
    picked = _spread(complete, count)
    picked += _spread(partial, count - len(picked))
    chosen = {prompt.id for prompt in picked}
    return [prompt for prompt in results.prompts if prompt.id in chosen]


def _spread(prompts: Sequence[Prompt], count: int) -> list[Prompt]:
    if count <= 0:
        return []
    if len(prompts) <= count:
        return list(prompts)
    return [prompts[i * len(prompts) // count] for i in range(count)]


def grid(results: Results, thumbnails: Thumbnails) -> list[PictureRow]:
    """Prompts × contenders, the reference first where there is one."""
    return [
        PictureRow(
            prompt=prompt,
            pictures=tuple(thumbnails.picture(name, prompt.id) for name in results.contenders),
            reference=thumbnails.reference(prompt),
        )
        for prompt in shown_prompts(results, results.pictures)
    ]


def duels(results: Results, thumbnails: Thumbnails, verdicts: Sequence[Verdict]) -> list[PictureRow]:
    """Two pictures a row: what people preferred, then the other, with the votes in words."""
    prompts = {prompt.id: prompt for prompt in results.prompts}
    return [
        PictureRow(
            prompt=prompts[verdict.prompt_id],
            pictures=(
                thumbnails.picture(verdict.liked, verdict.prompt_id, verdict.replicate),
                thumbnails.picture(verdict.other, verdict.prompt_id, verdict.replicate),
            ),
            reference=thumbnails.reference(prompts[verdict.prompt_id]),
            told=_votes_told(verdict),
        )
        for verdict in verdicts
        if verdict.prompt_id in prompts
    ]


def _votes_told(verdict: Verdict) -> str:
    liked, other, ties = verdict.votes
    told = f"{liked} : {other}" + (f", {ties} tie{'' if ties == 1 else 's'}" if ties else "")
    bad = f", {verdict.both_bad} both bad" if verdict.both_bad else ""
    if not verdict.metric:
        return f"Votes {told}{bad}"
    digits = decimals([Estimate(value=value) for value in verdict.values])
    a, b = (number(value, digits) for value in verdict.values)
    return f"Votes {told}{bad}; {label(verdict.metric)} {a} : {b}"


def steps_grids(results: Results, thumbnails: Thumbnails) -> list[StepsGrid]:
    """Every model that stands at two or more step counts, on a few of the prompts shown above."""
    models: dict[str, list[tuple[int, str]]] = {}
    for name in results.contenders:
        model, steps = model_of(name)
        if steps is not None:
            models.setdefault(model, []).append((steps, name))
    grids = []
    for model, entries in models.items():
        if len(entries) < 2:
            continue
        names = tuple(name for _, name in sorted(entries))
        rows = tuple(
            PictureRow(
                prompt=prompt,
                pictures=tuple(thumbnails.picture(name, prompt.id) for name in names),
                reference=thumbnails.reference(prompt),
            )
            for prompt in _spread(shown_prompts(results, results.pictures), STEP_PROMPTS)
        )
        same = all(len({p.seed for p in row.pictures if p.source}) <= 1 for row in rows)
        if any(p.source for row in rows for p in row.pictures):
            grids.append(StepsGrid(model=model, contenders=names, rows=rows, same_seed=same))
    return grids
