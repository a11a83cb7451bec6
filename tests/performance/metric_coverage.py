"""Coverage of the metrics' intervals: simulated feature sets and scores, share of intervals that hold the truth.

    python tests/performance/metric_coverage.py [--repeats 400] [--only kid] [--out results/coverage]

Scores and features are drawn, not measured. The truth of a mean is known; that of a distance or share of a
set is its expectation at the same N against the same reference, taken as the mean over all repeats, since
that is what contenders of one study are compared by. FID∞ is held to the distance of the distributions.
"""

from __future__ import annotations

import argparse
import inspect
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

try:
    import bench.metrics.intervals as intervals
    from bench.metrics.feature_rows import Array
    from bench.metrics.frechet import Moments
    from bench.metrics.statistics import STATISTICS, Inputs
except ImportError:  # the version before: the column `before` of the table
    from bench.metrics.estimates import STATISTICS, Inputs  # pyright: ignore
    from bench.metrics.rows import Array  # pyright: ignore

    from bench.metrics.frechet import Moments

KNOWN = set(inspect.signature(Inputs).parameters)
TOGETHER = 0.5
"""Share of the variance that the images of one prompt have in common."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    metric: str
    """A row of the table."""
    shape: str
    """What is drawn."""
    prompts: int
    images: int
    """Of each prompt."""
    d: int = 1
    repeats: float = 1.0
    """Share of the wanted repeats, where one takes long."""


def cases() -> Iterator[Case]:
    for d in (16, 64, 256):
        for n, images in ((50, 1), (300, 1), (50, 4), (1000, 1), (250, 4)):
            for shape in ("near", "far"):
                if d * n * images <= 80_000:
                    yield Case(metric="fid", shape=shape, prompts=n, images=images, d=d)
    yield Case(metric="fid", shape="far", prompts=50, images=1, d=2048, repeats=0.25)
    yield Case(metric="fid", shape="far", prompts=13, images=4, d=2048, repeats=0.25)
    for d, n, images in (
        (16, 50, 1),
        (64, 50, 1),
        (64, 13, 4),
        (64, 300, 1),
        (64, 75, 4),
        (256, 300, 1),
        (2048, 100, 1),
    ):
        for shape in ("near", "far"):
            yield Case(metric="kid", shape=shape, prompts=n, images=images, d=d)
    for d, n in ((2048, 100), (64, 300), (64, 640), (16, 300), (16, 600), (16, 1600), (64, 2600)):
        for shape in ("near", "far"):
            yield Case(metric="fid_infinity", shape=shape, prompts=n, images=1, d=d, repeats=0.25)
    for d in (16, 64):
        for n, images in ((50, 1), (300, 1), (75, 4), (1000, 1)):
            for metric in ("precision", "density", "recall", "coverage"):
                share = 1.0 if n < 1000 else 0.5
                yield Case(metric=metric, shape="far", prompts=n, images=images, d=d, repeats=share)
    for d in (16, 64):
        for n in (13, 50, 300):
            yield Case(metric="diversity", shape="cosine", prompts=n, images=4, d=d)
    for n, images in (
        (5, 1),
        (13, 1),
        (13, 4),
        (30, 1),
        (30, 4),
        (100, 1),
        (100, 4),
        (300, 1),
        (1250, 4),
        (5000, 1),
    ):
        for shape in ("normal", "lognormal 0.5", "lognormal 1", "t 4", "share 0.9"):
            yield Case(metric="mean", shape=shape, prompts=n, images=images)
    for metric in ("mean", "fid", "kid", "recall"):
        for n, images in ((30, 1), (100, 4)):
            yield Case(metric=f"difference of {metric}", shape="3 contenders", prompts=n, images=images, d=16)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=400)
    parser.add_argument("--only", default="")
    parser.add_argument("--out", type=Path)
    parser.add_argument(
        "--table", type=Path, help="Draw metrics.md of this folder anew from its metrics.json."
    )
    arguments = parser.parse_args()
    if arguments.table:
        draw(arguments.table)
        return
    rows, done = kept(arguments.out)
    for number, case in enumerate(cases()):
        if (arguments.only and arguments.only not in case.metric) or asdict(case) in done:
            continue
        began, repeats = time.perf_counter(), max(20, int(arguments.repeats * case.repeats))
        found = (
            differences(case, repeats)
            if case.metric.startswith("difference")
            else study(case, repeats, number)
        )
        if not found:
            continue
        rows.append(
            {
                **asdict(case),
                "n": case.prompts * case.images,
                **found,
                "wanted": case.repeats,
                "repeats": repeats,
            }
        )
        print(f"{time.perf_counter() - began:6.1f} s", json.dumps(rows[-1]), flush=True)
        if arguments.out:
            arguments.out.mkdir(parents=True, exist_ok=True)
            (arguments.out / "metrics.json").write_text(
                json.dumps({"rows": rows}, indent=1, allow_nan=False) + "\n"
            )


HEAD = """# Coverage of the metrics' intervals (simulated scores and features)

Made by `python tests/performance/metric_coverage.py --out FOLDER` at the repeats of the last column and drawn with
`--table`; ± is one standard error of the simulation, 1.1 points at 400 repeats. Nominal: 95%. `before` is the version
whose means were percentile bootstraps and whose distances were resampled with replacement (60 repeats). The truth of a
distance or share of a set is its expectation at the same N against the same reference; of FID∞ the distance of the
distributions. `near`: 10% more variance and a small shift; `far`: 50% and a larger. Images of one prompt have half of
their variance in common. Width: mean interval over 3.92 true standard deviations. Differences: all three pairs of three
contenders held at once.

| metric | drawn | prompts | images a prompt | d | before | now | width | refused | repeats |
|---|---|---|---|---|---|---|---|---|---|
"""
PARTS = ("metric", "shape", "prompts", "images", "d")
MAP = "## Where FID∞ holds"


def draw(folder: Path) -> None:
    """metrics.md from metrics.json; what stands under MAP is kept."""
    document = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    before = {tuple(row[part] for part in PARTS): row for row in document["before"]}
    lines = []
    for row in sorted(
        document["rows"], key=lambda row: (row["metric"], row["d"], row["prompts"], row["images"])
    ):
        key = tuple(row[part] for part in PARTS)
        cells = [*map(str, key), _share(before.get(key)), _share(row), f"{row['width']:.2f}"]
        cells += [f"{row['refused']:.0%}", str(row["repeats"])]
        lines.append(f"| {' | '.join(cells)} |\n")
    page = folder / "metrics.md"
    rest = page.read_text(encoding="utf-8").partition(MAP) if page.is_file() else ("", "", "")
    page.write_text(HEAD + "".join(lines) + (f"\n{MAP}{rest[2]}" if rest[1] else ""), encoding="utf-8")


def _share(row: dict[str, Any] | None) -> str:
    if row is None:
        return ""
    if row["coverage"] is None:
        return "refused"
    return f"{row['coverage']:.1%} ± {100 * row['error']:.1f}"


def kept(out: Path | None) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows of an earlier call that was interrupted, and the cases that they are of."""
    path = out / "metrics.json" if out else None
    if path is None or not path.is_file():
        return [], []
    rows = json.loads(path.read_text(encoding="utf-8"))["rows"]
    names = [field.name for field in fields(Case)]
    return rows, [
        {**{name: row[name] for name in names}, "repeats": row["wanted"]} for row in rows if "wanted" in row
    ]


def study(case: Case, repeats: int, seed: int) -> dict[str, float | None]:
    """Coverage, its standard error, mean width over two true standard deviations."""
    random = np.random.default_rng(seed)
    compute, truth = setting(case, random)
    values, ends = [], []
    for _ in range(repeats):
        found = compute(random)
        if found.value is None or found.low is None:
            continue
        values.append(found.value)
        ends.append((found.low, found.high))
    if len(values) < repeats // 2:
        return {"coverage": None, "error": 0.0, "width": 0.0, "refused": 1 - len(values) / repeats}
    middle = np.mean(values) if truth is None else truth
    low, high = np.array(ends).T
    held = float(((low <= middle) & (middle <= high)).mean())
    return {
        "coverage": held,
        "error": float(np.sqrt(max(held * (1 - held), 0.25 / len(values)) / len(values))),
        "width": float((high - low).mean() / (2 * 1.96 * np.std(values, ddof=1))),
        "refused": 1 - len(values) / repeats,
    }


def setting(case: Case, random: np.random.Generator) -> tuple[Callable[..., Any], float | None]:
    """A function that draws one set and gives its estimate; the truth, None: the mean over repeats."""
    prompts = np.repeat(np.arange(case.prompts), case.images)
    if case.metric == "mean":
        draw, truth = scores(case)

        def mean(random: np.random.Generator) -> Any:
            rows = draw(random)[:, None].astype(np.float32)
            return STATISTICS["value"](inputs(rows, prompts, share=case.shape.startswith("share")))

        return mean, truth
    if case.metric == "diversity":

        def diversity(random: np.random.Generator) -> Any:
            return STATISTICS["diversity"](inputs(features(case, random), prompts))

        return diversity, None
    spectrum = np.arange(1.0, case.d + 1) ** -1
    names = {"fid": "frechet", "kid": "kernel", "fid_infinity": "frechet_infinity"}
    statistic = STATISTICS[names.get(case.metric, case.metric)]
    if names.get(case.metric, "").startswith("frechet"):
        moments = Moments(mean=np.zeros(case.d), covariance=np.diag(spectrum), factor=None, n=0)
        truth = distance(case, spectrum) if case.metric == "fid_infinity" else None
        floor = floors(moments)
        return (
            lambda random: statistic(inputs(features(case, random), prompts, moments=moments, floor=floor)),
            truth,
        )
    # Of KID as many as there are images: all of both are taken, so that no choice of subsets widens the interval.
    m = case.prompts * case.images if case.metric == "kid" else 500
    reference = random.standard_normal((m, case.d)) * np.sqrt(spectrum)
    return (
        lambda random: statistic(inputs(features(case, random), prompts, reference=reference)),
        None,
    )


def floors(moments: Moments) -> Callable[..., Array] | None:
    """The reference's own Gaussian at each number of images, computed once; None in the version before."""
    import functools

    import bench.metrics.frechet as frechet

    if not hasattr(frechet, "gaussian_floor"):
        return None
    computed = functools.cache(lambda sizes: frechet.gaussian_floor(moments, sizes))
    return lambda sizes: computed(tuple(sizes))


def inputs(images: Array, prompts: Array, **others: Any) -> Inputs:
    return Inputs(images=images, prompts=prompts, **{k: v for k, v in others.items() if k in KNOWN})


def scores(case: Case) -> tuple[Callable[[np.random.Generator], Array], float]:
    """Draws of (n,) scores, images of a prompt together; and their mean."""
    kind, _, parameter = case.shape.partition(" ")
    size = (case.prompts, case.images)

    def latent(random: np.random.Generator) -> Array:
        share = TOGETHER if case.images > 1 else 0.0
        own = np.sqrt(share) * random.standard_normal((case.prompts, 1))
        return own + np.sqrt(1 - share) * random.standard_normal(size)

    if kind == "lognormal":
        sigma = float(parameter)
        return lambda random: np.exp(sigma * latent(random)).ravel(), float(np.exp(sigma**2 / 2))
    if kind == "share":
        from scipy.stats import norm

        return lambda random: (latent(random) < norm.ppf(float(parameter))).ravel().astype(float), float(
            parameter
        )
    if kind == "t":
        freedom = float(parameter)
        return (
            lambda random: (
                latent(random) / np.sqrt(random.chisquare(freedom, (case.prompts, 1)) / freedom)
            ).ravel(),
            0.0,
        )
    return lambda random: latent(random).ravel(), 0.0


def features(case: Case, random: np.random.Generator) -> Array:
    """(n, d) with power-law variances; `near`: 10% more variance and a small shift, `far`: 50% and a larger."""
    more, shift = shifts(case)
    share = TOGETHER if case.images > 1 else 0.0
    own = np.sqrt(share) * random.standard_normal((case.prompts, 1, case.d))
    rows = own + np.sqrt(1 - share) * random.standard_normal((case.prompts, case.images, case.d))
    spectrum = np.arange(1.0, case.d + 1) ** -1
    return (rows * np.sqrt(spectrum * more) + shift * np.sqrt(spectrum)).reshape(-1, case.d)


def shifts(case: Case) -> tuple[Array, Array]:
    odd, few = np.arange(case.d) % 2, np.arange(case.d) < max(1, case.d // 16)
    more, shift = (1.1, 0.2) if case.shape == "near" else (1.5, 0.6)
    return np.where(odd, more, 1.0), np.where(few, shift, 0.0)


def distance(case: Case, spectrum: Array) -> float:
    """Of the distributions, in closed form: everything is diagonal."""
    more, shift = shifts(case)
    return float((np.square(shift) * spectrum).sum() + (spectrum * np.square(np.sqrt(more) - 1)).sum())


def differences(case: Case, repeats: int) -> dict[str, float]:
    """Share of studies in which the joint intervals of all three pairs hold; and of which each holds alone."""
    if "share" not in KNOWN:
        return {}
    random = np.random.default_rng(7)
    prompts, metric = np.repeat(np.arange(case.prompts), case.images), case.metric.rpartition(" ")[2]
    spectrum = np.arange(1.0, case.d + 1) ** -1
    reference = random.standard_normal((400, case.d)) * np.sqrt(spectrum)
    import bench.metrics.frechet as frechet

    moments = frechet.moments(reference)
    name = {"mean": "value", "fid": "frechet", "kid": "kernel"}.get(metric, metric)
    gaps, ends = [], []
    for _ in range(repeats):
        common = random.standard_normal((case.prompts, 1, case.d))
        estimates = []
        for contender in range(3):
            own = random.standard_normal((case.prompts, case.images, case.d))
            rows = (0.8 * common + 0.6 * own) * np.sqrt(spectrum) * (1 + 0.1 * contender) + 0.1 * contender
            rows = rows.reshape(-1, case.d)
            estimates.append(STATISTICS[name](inputs(rows, prompts, reference=reference, moments=moments)))
        pairs = intervals.paired_differences([e.value for e in estimates], [e.effects for e in estimates])
        gaps.append([pair.estimate for pair in pairs])
        ends.append([(pair.low, pair.high) for pair in pairs])
    truth, bounds = np.mean(gaps, axis=0), np.array(ends)
    held = ((bounds[:, :, 0] <= truth) & (truth <= bounds[:, :, 1])).all(1)
    width = (bounds[:, :, 1] - bounds[:, :, 0]).mean(0) / (2 * 1.96 * np.std(gaps, axis=0, ddof=1))
    share = float(held.mean())
    return {
        "coverage": share,
        "error": float(np.sqrt(max(share * (1 - share), 0.25 / repeats) / repeats)),
        "width": float(width.mean()),
        "refused": 0.0,
    }


if __name__ == "__main__":
    main()
