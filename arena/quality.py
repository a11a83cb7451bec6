"""Which raters' votes count: three rules, each a sequential test of careful against careless answering.

Each rule looks at a series of yes-or-no events of one rater: an attention check failed, an answer given too
fast, an answer for the left side. Its evidence is the likelihood ratio of two Bernoulli series, careless over
careful, after each event; a rater is excluded once it exceeds one over the share of careful raters the study
accepts to lose (`false_exclusion`). Under the careful rate the ratio is a supermartingale with mean 1, so by
Ville's inequality at most that share is ever excluded, however often one looks (Wald 1945, Annals of
Mathematical Statistics 16:117). `results/arena/quality.md` has the measured power and cost of each rule.

No rater is excluded for ties, for inconsistent repeats, or for disagreeing with others: between equal contenders
a careful rater does all three.
"""

from __future__ import annotations

import math
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from arena.db.rows import Logged
from arena.db.vote_log import standing
from bench.study.file import Arena

FAST_SECONDS = 0.6
"""Two images and a question cannot be compared in less; by the server's clock."""
COIN_VERIFIED = 0.05
"""Share of coin-flippers that may be called verified."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A sequential test of one kind of event."""

    reason: str
    careful: float
    """Probability of the event for a careful rater, at most; 0 to 1."""
    careless: float
    """For the careless rater the rule is built against."""
    share: float
    """Of the study's `false_exclusion` that this rule may use; the shares of all rules add up to 1."""
    two_sided: bool = False
    """Whether the opposite event, at the same rates, counts as well."""

    def evidence(self, events: Iterable[bool]) -> Evidence:
        """Log likelihood ratio after the last event, its maximum and minimum over all of them."""
        happened = math.log(self.careless / self.careful)
        not_happened = math.log((1 - self.careless) / (1 - self.careful))
        one = other = now = high = low = 0.0
        for event in events:
            one += happened if event else not_happened
            if self.two_sided:
                other += not_happened if event else happened
                now = _log_mean(one, other)
            else:
                now = one
            high, low = max(high, now), min(low, now)
        return Evidence(now=now, high=high, low=low)

    def excludes(self, evidence: Evidence, false_exclusion: float) -> bool:
        return evidence.high >= -math.log(self.share * false_exclusion)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Natural logarithms of likelihood ratios; above 0 speaks for carelessness."""

    now: float
    high: float
    low: float


def _log_mean(a: float, b: float) -> float:
    return max(a, b) + math.log1p(math.exp(-abs(a - b))) - math.log(2)


CHECKS = Rule(reason="failed attention checks", careful=0.03, careless=0.5, share=0.5)
SPEED = Rule(reason="answered too fast", careful=0.05, careless=0.8, share=0.25)
SIDE = Rule(reason="always the same side", careful=0.55, careless=0.95, share=0.25, two_sided=True)
RULES = {"checks": CHECKS, "speed": SPEED, "side": SIDE}
"""As `exclude` of the study file names them."""

STANDINGS = {
    "withdrawn": "withdrawn by the rater",
    "returned": "submission returned to the panel",
    "excluded": "excluded by the operator",
    "screened": "screened out",
    "full": "the quota was full",
}
"""What was decided about a rater → why the rater's votes do not count.

Beside these, a rater's standing is `careless` (excluded by a rule while the study ran; the log is judged anew at
each analysis), `kept` (the operator looked at it: no rule applies) or empty.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exclusion:
    """Which rules apply, and how many careful raters they may cost."""

    rules: tuple[str, ...] = tuple(RULES)
    false_exclusion: float = 0.01
    """Share of careful raters, 0 to 1, that all rules together may exclude."""


def exclusion_of(settings: Arena) -> Exclusion:
    return Exclusion(rules=settings.exclude, false_exclusion=settings.false_exclusion)


@dataclass(frozen=True, slots=True, kw_only=True)
class RaterQuality:
    """What is known about one rater's care."""

    rater: str
    group: str
    votes: int
    checks_passed: int
    checks_failed: int
    checks_unverified: int
    """Checks that could not run; never held against the rater."""
    repeats: int
    repeats_same: int
    median_seconds: float | None
    """Between answers, by the server's clock."""
    same_side: float
    """Share of the commoner side among the answers left and right, 0 to 1."""
    ties: float
    """Share of answers `tie`, 0 to 1; no rater is excluded for it."""
    against: Mapping[str, float]
    """Rule → its highest log likelihood ratio, careless over careful."""
    excluded: str
    """Reason, or empty."""
    rules: tuple[str, ...]
    """Rules without which the votes would count; empty where a person's decision excludes them."""
    verified: bool
    """Whether the checks passed tell the rater from a coin."""

    @property
    def careless(self) -> bool:
        """Whether a rule excludes the rater, and no person's decision."""
        return self.excluded in {rule.reason for rule in RULES.values()}

    @property
    def verdict(self) -> str:
        return self.excluded or ("verified" if self.verified else "unverified")


def rater_quality(
    rows: Iterable[Logged],
    unverified: Mapping[str, int],
    standings: Mapping[str, str],
    exclusion: Exclusion,
    set_aside: Container[int] = (),
) -> list[RaterQuality]:
    """One entry a rater, by rater id.

    Parameters
    ----------
    rows: the whole log.
    unverified: rater → checks that could not run.
    standings: rater → key of STANDINGS, of those a person decided about.
    exclusion: the study's rules.
    set_aside: assignments of attention checks that a person does not hold against the rater.
    """
    rows = [row for row in rows if row.assignment_id not in set_aside or row.kind != "check"]
    answers = [row for row in standing(rows) if row.kind != "practice"]
    seconds = server_seconds(rows)
    by_assignment = {row.assignment_id: row for row in answers}
    by_rater: dict[str, list[Logged]] = {}
    for row in answers:
        by_rater.setdefault(row.rater_id, []).append(row)
    return [
        _judged(
            rater,
            by_rater[rater],
            by_assignment,
            seconds,
            unverified.get(rater, 0),
            standings.get(rater, ""),
            exclusion,
        )
        for rater in sorted(by_rater)
    ]


def _judged(
    rater: str,
    answers: Sequence[Logged],
    by_assignment: Mapping[int, Logged],
    seconds: Mapping[int, float],
    unverified: int,
    decided: str,
    exclusion: Exclusion,
) -> RaterQuality:
    """One rater's entry; `seconds` by number of the vote."""
    checks = [row for row in answers if row.kind == "check"]
    failed = [row.answer != row.expected for row in checks]
    again = [(row, before) for row in answers if (before := by_assignment.get(row.repeats or 0)) is not None]
    counted = [row for row in answers if row.kind == "vote"]
    times = [seconds[row.seq] for row in answers]
    lefts = [row.answer == "left" for row in counted if row.answer in ("left", "right")]
    evidence = {
        "checks": CHECKS.evidence(failed),
        "speed": SPEED.evidence(time < FAST_SECONDS for time in times),
        "side": SIDE.evidence(lefts),
    }
    rules = tuple(
        name
        for name in exclusion.rules
        if decided != "kept" and RULES[name].excludes(evidence[name], exclusion.false_exclusion)
    )
    reasons = [STANDINGS[decided]] if decided in STANDINGS else [RULES[name].reason for name in rules]
    return RaterQuality(
        rater=rater,
        group=answers[0].group_label,
        votes=len(counted),
        checks_passed=len(checks) - sum(failed),
        checks_failed=sum(failed),
        checks_unverified=unverified,
        repeats=len(again),
        repeats_same=sum(_winner(row) == _winner(before) for row, before in again),
        median_seconds=median(times) if times else None,
        same_side=max(sum(lefts), len(lefts) - sum(lefts)) / max(len(lefts), 1),
        ties=sum(row.answer == "tie" for row in counted) / max(len(counted), 1),
        against={name: one.high for name, one in evidence.items()},
        excluded=reasons[0] if reasons else "",
        rules=() if decided in STANDINGS else rules,
        verified=evidence["checks"].low <= math.log(COIN_VERIFIED),
    )


def server_seconds(rows: Iterable[Logged]) -> dict[int, float]:
    """Number of the vote → seconds the rater had the pair: since it was handed out, or since the rater's last answer.

    The browser's own count cannot make an answer slower than this.
    """
    last: dict[str, float] = {}
    result = {}
    for row in rows:
        since = max(row.issued, last.get(row.rater_id, row.issued))
        result[row.seq] = max(0.0, row.created - since)
        last[row.rater_id] = row.created
    return result


def _winner(row: Logged) -> str:
    return {"left": row.left, "right": row.right}.get(row.answer, row.answer)
