"""What a reader must not miss: simulated votes, random weights, missing images, unequal resolutions, failures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bench.ratings.document import MEAN
from bench.report.results import Results
from bench.report.text.phrases import counted, listed


@dataclass(frozen=True, slots=True, kw_only=True)
class Banner:
    """Something a reader must not miss."""

    title: str
    text: str
    grave: bool = False
    """The images or the votes are not what they seem."""


def banners(results: Results) -> list[Banner]:
    shown = [
        _random_weights(results),
        _simulated(results),
        _missing(results),
        _black(results),
        _sizes(results),
    ]
    shown += [_other_anchor(results), _random_timings(results), _failed(results)]
    shown += [_newer_votes(results), _mixed(results), _unfinished(results), _disturbed(results)]
    shown += [Banner(title="About the metrics", text=text) for text in results.warnings]
    return [banner for banner in shown if banner is not None]


def _random_weights(results: Results) -> Banner | None:
    names = sorted(name for name, entry in results.models.items() if entry.get("weights") == "random")
    if not names:
        return None
    return Banner(
        title="Random weights",
        text=f"{listed(names)}: these weights were never trained. The images show nothing and no figure of "
        "quality here means anything; the timings and the path are real.",
        grave=True,
    )


def _random_timings(results: Results) -> Banner | None:
    """Timed with weights that were never trained, though the images were generated with trained ones."""
    weights = results.timing_protocol.get("weights")
    random = (
        [] if not isinstance(weights, Mapping) else [name for name, of in weights.items() if of == "random"]
    )
    names = sorted(name for name in random if results.models.get(name, {}).get("weights") != "random")
    if not names:
        return None
    return Banner(
        title="Timed with random weights",
        text=f"{listed(names)}: latency was measured on the real architecture with random weights. Speed does not "
        "depend on the values; the images and the quality figures are not from this pass.",
    )


def _simulated(results: Results) -> Banner | None:
    if not results.simulated_votes:
        return None
    return Banner(
        title="Simulated votes",
        text="The votes were drawn by a program, not given by people. They exercise the path; "
        "they rank nothing.",
        grave=True,
    )


def _newer_votes(results: Results) -> Banner | None:
    if not results.newer_votes:
        return None
    return Banner(
        title="Newer votes",
        text=f"{counted(results.newer_votes, 'vote')}, votes taken back among them, came after the ratings: run "
        "`arena rate`, then the report again.",
    )


def _other_anchor(results: Results) -> Banner | None:
    asked = results.anchor_asked
    if not results.preferences or asked is None or asked == results.anchor:
        return None
    held = (
        f"{results.anchor} at 1000"
        if results.anchor and results.anchor != MEAN
        else ("the mean of all at 1000" if results.anchor else "an anchor that is not recorded")
    )
    return Banner(
        title="Another anchor",
        text=f"The study file puts {asked} at 1000, the ratings have {held}: only differences of ratings "
        "are the same. `arena rate` without --anchor follows the study file.",
    )


def _missing(results: Results) -> Banner | None:
    gone = results.expected - len(results.generations)
    if gone <= 0:
        return None
    asked = len(results.prompts) * results.images_per_prompt
    by_name = {name: asked - len(results.present(name)) for name in results.contenders}
    worst = sorted(((count, name) for name, count in by_name.items() if count), reverse=True)
    shown = listed([f"{name} lacks {count}" for count, name in worst[:6]])
    more = f" and {len(worst) - 6} more contenders" if len(worst) > 6 else ""
    return Banner(
        title="Missing images", text=f"{gone} of {results.expected} images are not there: {shown}{more}."
    )


def _black(results: Results) -> Banner | None:
    count = sum(row.black for row in results.generations.values())
    if not count:
        return None
    return Banner(title="Black images", text=f"{count} images are black: a safety filter, or an overflow.")


def _sizes(results: Results) -> Banner | None:
    sizes = {
        name: Counter((row.width, row.height) for row in results.present(name)) for name in results.contenders
    }
    usual = {name: counts.most_common(1)[0][0] for name, counts in sizes.items() if counts}
    groups: dict[tuple[int, int], list[str]] = {}
    for name, size in usual.items():
        groups.setdefault(size, []).append(name)
    if len(groups) < 2:
        return None
    parts = [
        f"{w}×{h} px: {listed(names[:5])}{f' and {len(names) - 5} more' if len(names) > 5 else ''}"
        for (w, h), names in sorted(groups.items())
    ]
    return Banner(
        title="Unequal resolutions",
        text=f"Contenders generate at different sizes ({'; '.join(parts)}). Every image was judged and scored at "
        f"{results.display_size} px; latency is that of the native size.",
    )


def _failed(results: Results) -> Banner | None:
    if not results.failures:
        return None
    kinds = Counter(failure.kind for failure in results.failures)
    parts = listed([f"{count} × {kind}" for kind, count in kinds.most_common(6)])
    return Banner(title="Failures", text=f"{counted(len(results.failures), 'failure')} recorded: {parts}.")


def _mixed(results: Results) -> Banner | None:
    """Images of one study from several versions of the software or several devices."""
    environments: list[dict[str, Any]] = results.run.get("environments", [])
    if len(environments) < 2:
        return None
    parts = []
    for entry in environments:
        here = entry["environment"]
        images = listed([f"{count} of {name}" for name, count in entry["contenders"].items()])
        driver = f", driver {here['driver']}" if here.get("driver") else ""
        names = [name for name in ("torch", "diffusers", "transformers") if here.get(name)]
        software = ", ".join(f"{name} {here[name]}" for name in names)
        parts.append(f"{images} on {here['device']}{driver} with {software}")
    return Banner(
        title="Mixed software or devices",
        text=f"The images were not generated alike: {'; '.join(parts)}. The same seed may give other bytes "
        "there, up to rounding.",
    )


def _unfinished(results: Results) -> Banner | None:
    if results.run:
        return None
    return Banner(
        title="Not finished",
        text="run.json, which is written last, is not there: the study has not run to its end, and versions, "
        "models and licences are not recorded.",
    )


def _disturbed(results: Results) -> Banner | None:
    """Where most passes were timed beside other work: the times are not those of the machine alone."""
    disturbed = [part for part in results.passes if part.disturbed]
    if 2 * len(disturbed) <= len(results.passes):
        return None
    shares = [part.others for part in disturbed if part.others is not None]
    beside = f"; other processes used up to {max(shares):.0%} of the processors" if shares else ""
    return Banner(
        title="Disturbed timings",
        text=f"{len(disturbed)} of {len(results.passes)} passes were timed on a busy machine{beside}: times are longer "
        "than on a quiet one, and ratios of contenders less sure. `bench latency` times again.",
    )
