"""How many careless raters each rule of exclusion finds, and how many careful ones it costs: results/arena/quality.md.

Simulated raters; nothing here is about people but the assumption of how they answer, stated in the table. The rules
and the schedule of attention checks are those of `arena.quality` and `arena.next_assignment`, vectorised over raters;
`tests/arena/test_quality.py` holds the rules themselves to closed forms. The rules of revision 0002 are in the same
run, for comparison.

    python tests/performance/quality.py --out results/arena/quality.md
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from arena.next_assignment import FIRST_CHECK, RECHECK
from arena.quality import CHECKS, COIN_VERIFIED, FAST_SECONDS, RULES, SIDE, SPEED, Rule

RATERS = 20_000
LENGTHS = (12, 20, 40, 100)
RATES = (0.05, 0.1)
FALSE_EXCLUSION = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """How one kind of rater answers."""

    name: str
    careful: bool
    fails: float
    """Probability of failing an attention check."""
    ties: float
    left: float
    """Of the answers that are not ties, probability of `left`."""
    median_seconds: float
    spread: float = 0.5
    """Standard deviation of the logarithm of the seconds."""


KINDS = (
    Kind(name="careful, 1% slips", careful=True, fails=0.01, ties=0.15, left=0.5, median_seconds=4.0),
    Kind(name="careful, 3% slips", careful=True, fails=0.03, ties=0.15, left=0.5, median_seconds=4.0),
    Kind(name="careful, 5% slips", careful=True, fails=0.05, ties=0.15, left=0.5, median_seconds=4.0),
    Kind(name="careful, quick (1.6 s)", careful=True, fails=0.03, ties=0.15, left=0.5, median_seconds=1.6),
    Kind(name="careful, 55% left", careful=True, fails=0.03, ties=0.15, left=0.55, median_seconds=4.0),
    Kind(name="careful, always a tie", careful=True, fails=0.03, ties=1.0, left=0.5, median_seconds=4.0),
    Kind(name="coin (left, right)", careful=False, fails=0.5, ties=0.0, left=0.5, median_seconds=3.0),
    Kind(name="coin (left, tie, right)", careful=False, fails=2 / 3, ties=1 / 3, left=0.5, median_seconds=3.0),
    Kind(name="side-lover (95% left)", careful=False, fails=0.5, ties=0.0, left=0.95, median_seconds=3.0),
    Kind(name="bot (coin, 0.3 s)", careful=False, fails=0.5, ties=0.0, left=0.5, median_seconds=0.3, spread=0.1),
    Kind(name="bot (only ties, 0.3 s)", careful=False, fails=1.0, ties=1.0, left=0.5, median_seconds=0.3,
         spread=0.1),
)  # fmt: skip

Flags = NDArray[np.bool_]


@dataclass(slots=True)
class Ratio:
    """Running log likelihood ratio of many raters, with its extremes; as `Rule.evidence`, one event at a time."""

    rule: Rule
    one: NDArray[np.float64]
    other: NDArray[np.float64]
    high: NDArray[np.float64]
    low: NDArray[np.float64]

    @classmethod
    def start(cls, rule: Rule, count: int) -> Ratio:
        return cls(rule, *(np.zeros(count) for _ in range(4)))

    @property
    def now(self) -> NDArray[np.float64]:
        return np.logaddexp(self.one, self.other) - np.log(2) if self.rule.two_sided else self.one

    def see(self, event: Flags, counts: Flags) -> None:
        yes = np.log(self.rule.careless / self.rule.careful)
        no = np.log((1 - self.rule.careless) / (1 - self.rule.careful))
        self.one += np.where(counts, np.where(event, yes, no), 0.0)
        self.other += np.where(counts, np.where(event, no, yes), 0.0)
        self.high, self.low = np.maximum(self.high, self.now), np.minimum(self.low, self.now)

    def excluded(self, share: float) -> Flags:
        return self.high >= -np.log(self.rule.share * share)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Shares of raters, 0 to 1."""

    by_rule: dict[str, float]
    any_rule: float
    verified: float
    old_excluded: float
    old_verified: float
    checks: float
    """Attention checks a rater answered, mean."""
    counted: float
    """Of all answers given, those that count."""


def simulate(kind: Kind, length: int, rate: float, rng: np.random.Generator) -> Outcome:
    """Many raters of one kind, who stop when they are excluded."""
    n, size = RATERS, round(1 / rate)
    ratios = {name: Ratio.start(rule, n) for name, rule in RULES.items()}
    place = rng.integers(1, min(size, FIRST_CHECK), n)
    due = np.full(n, -1)
    active, given = np.ones(n, bool), np.zeros(n, int)
    checks = np.zeros(n, int)
    for number in range(length):
        if number and number % size == 0:
            place = rng.integers(0, size, n)
        check = ((number % size == place) | (number == due)) & active
        failed = rng.random(n) < kind.fails
        ratios["checks"].see(failed, check)
        seconds = kind.median_seconds * rng.lognormal(0, kind.spread, n)
        ratios["speed"].see(seconds < FAST_SECONDS, active)
        side = ~check & active & (rng.random(n) >= kind.ties)
        ratios["side"].see(rng.random(n) < kind.left, side)
        checks += check
        given += active
        against = check & (ratios["checks"].now > 0)
        due = np.where(against, number + rng.integers(2, RECHECK + 1, n), due)
        excluded = np.any([r.excluded(FALSE_EXCLUSION) for r in ratios.values()], axis=0)
        active &= ~excluded
    old_excluded, old_verified = old_rules(kind, length, rng)
    return Outcome(
        by_rule={name: float(r.excluded(FALSE_EXCLUSION).mean()) for name, r in ratios.items()},
        any_rule=float((~active).mean()),
        verified=float((active & (ratios["checks"].low <= np.log(COIN_VERIFIED))).mean()),
        old_excluded=old_excluded,
        old_verified=old_verified,
        checks=float(checks.mean()),
        counted=float(given[active].sum() / (n * length)),
    )


def old_rules(kind: Kind, length: int, rng: np.random.Generator) -> tuple[float, float]:
    """Excluded and verified under revision 0002, which drew each answer as a check at 5%."""
    check = rng.random((RATERS, length)) < 0.05
    failed = check & (rng.random((RATERS, length)) < kind.fails)
    checks, passed = check.sum(1), (check & ~failed).sum(1)
    tie = rng.random((RATERS, length)) < kind.ties
    left = rng.random((RATERS, length)) < kind.left
    counted = (~check).sum(1)
    sides = [(~check & tie).sum(1), (~check & ~tie & left).sum(1), (~check & ~tie & ~left).sum(1)]
    same = np.max(sides, axis=0) / np.maximum(counted, 1)
    typical = np.median(kind.median_seconds * rng.lognormal(0, kind.spread, (RATERS, length)), axis=1)
    excluded = (checks >= 2) & (passed * 2 < checks)
    excluded |= (counted >= 10) & (typical < 0.6)
    excluded |= (counted >= 20) & (same >= 0.95)
    return float(excluded.mean()), float((~excluded & (checks >= 2)).mean())


def table(seed: int) -> Iterator[str]:
    rng = np.random.default_rng(seed)
    head = "raters | answers | checks | failed checks | too fast | one side | any rule | verified | votes counted"
    yield f"| {head} | 0002: excluded | 0002: verified |"
    yield "|---|" + "---:|" * 10
    for rate in RATES:
        yield f"| **attention_rate = {rate}** |" + " |" * 10
        for kind in KINDS:
            for length in LENGTHS:
                found = simulate(kind, length, rate, rng)
                shares = [*found.by_rule.values(), found.any_rule, found.verified, found.counted]
                shares += [found.old_excluded, found.old_verified]
                cells = " | ".join(_percent(share) for share in shares)
                yield f"| {kind.name} | {length} | {found.checks:.1f} | {cells} |"


def _percent(share: float) -> str:
    return f"{100 * share:.2f}%" if 0 < share < 0.1 else f"{100 * share:.0f}%"


INTRODUCTION = f"""# Rules of exclusion, measured

Simulated raters ({RATERS:,} a row), not people. Written by `tests/performance/quality.py`, seed {{seed}}.

Each rule is a likelihood ratio test of careless against careful answering, looked at after every answer; the study
accepts to lose {FALSE_EXCLUSION:.0%} of careful raters (`false_exclusion`), of which failed checks may use
{CHECKS.share:.0%}, speed and side {SPEED.share:.0%} each. Careful means: at most {CHECKS.careful:.0%} of attention
checks failed, {SPEED.careful:.0%} of answers under {FAST_SECONDS} s, {SIDE.careful:.0%} for one side. Seconds are
lognormal. A check stands at a random place in every block of 1 / attention_rate answers, the first among the first
{FIRST_CHECK}; while the checks speak against a rater another follows within {RECHECK}. Columns are shares of raters:
excluded by each rule, by any, called verified; `votes counted` is the share of all answers asked for that is given by
raters who are not excluded. `0002` are the rules before: half of at least two checks failed, a median under 0.6 s, 95%
the same answer; verified by two checks.

Careful raters who slip more often than the rule allows, or prefer a side more, cost more than the stated share: the
rows with 5% slips show by how much. Against a coin no rule but the checks has power, and it takes answers: that is
why `attention_rate` is 0.1 by default, which finds {{found_10}} of coins within 40 answers, where 0.05 finds
{{found_5}}.

"""


def main(write: Callable[[str], object] = print) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    coin = next(kind for kind in KINDS if kind.name == "coin (left, right)")
    rng = np.random.default_rng(options.seed)
    found = {rate: f"{simulate(coin, 40, rate, rng).any_rule:.0%}" for rate in RATES}
    text = INTRODUCTION.format(seed=options.seed, found_5=found[0.05], found_10=found[0.1])
    text += "\n".join(table(options.seed)) + "\n"
    if options.out is None:
        write(text)
    else:
        options.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
