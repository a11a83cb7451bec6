"""What the votes support: equivalence with each rival, the stopping rule, robustness of the first place.

As tables and in sentences. The tests are those of `arena rate`; nothing is computed here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median

from bench.ratings.document import OVERALL, EquivalenceRow, PairDecision, QuestionRatings
from bench.report.results import Results
from bench.report.tables.form import NONE, UP, Cell, Column, Estimate, P, Table, decimals, number
from bench.report.tables.votes import asked_parts
from bench.report.text.phrases import counted, listed

LEVEL = 0.05
"""Of the two one-sided tests."""
ALL = "all questions together"
RULES = {"checks": "attention checks", "speed": "speed", "side": "one side", "all": "any rule"}
"""Quality rules of the arena, as a reader of the report calls them."""
QUARTERS = {
    1: "By the least consistent quarter of raters",
    2: "By the second quarter",
    3: "By the third quarter",
    4: "By the most consistent quarter",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One rival, seen from the chosen contender."""

    question: str
    rival: str
    gap: Estimate
    """Win rate of the chosen minus 50, points; 90% interval, N votes."""
    margin: float
    p_not_worse: float
    p_rival_not_worse: float
    p_equivalent: float
    detectable: float | None
    apart: bool
    """The 95% interval of the win rate excludes 50."""
    jointly: bool | None = None
    """The interval of the ratings' difference, joint over the comparisons that the study names, excludes 0; None: the
    study names none."""

    @property
    def equivalent(self) -> bool:
        """Both one-sided tests reject a difference of the margin or more."""
        return self.p_equivalent < LEVEL

    @property
    def verdict(self) -> str:
        """`better`, `worse`, `equivalent`, `not worse`, `not better` or `open`."""
        if self.apart:
            better = (self.gap.value or 0.0) > 0
            return ("better" if better else "worse") + (", within the margin" if self.equivalent else "")
        if self.equivalent:
            return "equivalent"
        if self.p_not_worse < LEVEL:
            return "not worse"
        return "not better" if self.p_rival_not_worse < LEVEL else "open"


def name_of(question: str) -> str:
    """In sentences; tables say `overall`."""
    return ALL if question == OVERALL else question


def claims(preference: QuestionRatings, chosen: str) -> list[Claim]:
    """A claim a rival that met the chosen contender, in the order of the ratings document."""
    wins = {(w.a, w.b): w for w in preference.win_rates}
    jointly = {frozenset((d.a, d.b)): d.low > 0 or d.high < 0 for d in preference.differences if d.named}
    rows = []
    for row in preference.equivalence:
        if chosen not in (row.a, row.b):
            continue
        win = wins.get((row.a, row.b))
        rows.append(
            _claim(
                preference.question,
                row,
                flip=row.b == chosen,
                n=None if win is None else win.n,
                detectable=None if win is None else win.detectable,
                apart=win is not None and win.apart,
                jointly=jointly.get(frozenset((row.a, row.b))),
            )
        )
    return rows


def _claim(
    question: str,
    row: EquivalenceRow,
    *,
    flip: bool,
    n: int | None,
    detectable: float | None,
    apart: bool,
    jointly: bool | None,
) -> Claim:
    value, low, high = (-row.difference, -row.high, -row.low) if flip else (row.difference, row.low, row.high)
    return Claim(
        question=question,
        rival=row.a if flip else row.b,
        gap=Estimate(value=value, low=low, high=high, n=n),
        margin=row.margin,
        p_not_worse=row.p_b_not_worse if flip else row.p_a_not_worse,
        p_rival_not_worse=row.p_a_not_worse if flip else row.p_b_not_worse,
        p_equivalent=row.p_equivalent,
        detectable=detectable,
        apart=apart,
        jointly=jointly,
    )


def all_of(results: Results) -> list[Table]:
    """The four tables, those that have data."""
    tables = (claims_table(results), stopping_table(results), robustness_table(results), rules_table(results))
    return [table for table in tables if table is not None]


def claims_table(results: Results) -> Table | None:
    """Questions × rivals of the chosen contender: two one-sided tests, verdict, smallest detectable gap."""
    rows = [
        claim
        for part in asked_parts(results)
        for claim in claims(part, results.chosen)
        if claim.rival in results.rivals
    ]
    if not rows:
        return None
    margin = number(rows[0].margin, 1).removesuffix(".0")
    gap_digits = decimals([claim.gap for claim in rows], most=1)
    return Table(
        name="claims",
        title=f"Is {results.chosen} as good as its rivals?",
        columns=(
            Column(head="Question"),
            Column(head="Against"),
            Column(head="Win rate − 50", unit="points", digits=gap_digits, level=90),
            Column(head="Verdict"),
            Column(head="p, not worse", digits=3),
            Column(head="p, equivalent", digits=3),
            Column(head="Detectable", unit="points", digits=1),
        ),
        rows=tuple(
            (c.question, c.rival, c.gap, c.verdict, P(c.p_not_worse), P(c.p_equivalent), c.detectable)
            for c in rows
        ),
        notes=(
            f"Margin: ±{margin} points of win rate. Brackets: the 90% interval. Equivalent: the interval lies inside "
            f"the margin; not worse: it lies above −{margin}; not better: below +{margin} (two one-sided tests at "
            "5%, unadjusted for the number of rows). Better, worse: the 95% interval of the win rate excludes 50%. "
            "Open: none of these.",
            "Detectable: the distance from 50% that this number of votes would have shown with 80% power.",
        ),
    )


def stopping_table(results: Results) -> Table | None:
    """Questions × rivals of the chosen contender by the rule that may be asked after every vote."""
    parts = [part for part in asked_parts(results) if part.stopping]
    rows: list[tuple[Cell, ...]] = []
    for part in parts:
        for row in part.stopping:
            if results.chosen in (row.a, row.b):
                rival, rate = _seen_from(results.chosen, row)
                if rival in results.rivals:
                    rows.append(
                        (part.question, rival, rate, P(row.p_adjusted), "yes" if row.decided else "no")
                    )
    if not rows:
        return None
    counts = "; ".join(f"{part.question} {_decided(part)}" for part in parts)
    return Table(
        name="stopping",
        title=f"Could the votes on {results.chosen} have stopped?",
        columns=(
            Column(head="Question"),
            Column(head="Against"),
            Column(head="Win rate", unit="%", digits=decimals([row[2] for row in rows], most=1)),
            Column(head="p, adjusted", digits=3),
            Column(head="Decided"),
        ),
        rows=tuple(rows),
        notes=(
            "A stricter test than that of the claims: it may be applied after every vote, and p is adjusted over all "
            "pairs (Holm, familywise 5%). A pair can therefore be better or worse there and undecided here. "
            "Brackets: the 95% confidence sequence, wider than an interval of a fixed number of votes. Decided: its "
            "votes could have stopped.",
            f"Pairs decided, of all contenders: {counts}.",
        ),
    )


def _seen_from(chosen: str, row: PairDecision) -> tuple[str, Estimate]:
    """The rival, and the win rate of the chosen in per cent."""
    if row.a == chosen:
        return row.b, Estimate(value=100 * row.rate, low=100 * row.low, high=100 * row.high, n=row.n)
    return row.a, Estimate(
        value=100 * (1 - row.rate), low=100 * (1 - row.high), high=100 * (1 - row.low), n=row.n
    )


def _decided(part: QuestionRatings) -> str:
    return f"{sum(row.decided for row in part.stopping)} of {len(part.stopping)}"


def robustness_table(results: Results) -> Table | None:
    """What the first place depends on: a column a question."""
    parts = [part for part in asked_parts(results) if _first(part) is not None]
    if not parts:
        return None
    rows = [dict(_dependence(part)) for part in parts]
    return Table(
        name="robustness",
        title="How robust is the first place?",
        columns=(Column(head="First place"), *(Column(head=part.question) for part in parts)),
        rows=tuple(
            (what, *(row.get(what, NONE) for row in rows))
            for what in dict.fromkeys(what for row in rows for what in row)
        ),
        notes=(
            "Fewest votes: an upper bound, from the most influential votes and a refit, up to half of all; in "
            "parentheses their share; then the contender that would be first. Single raters: those whose removal "
            "alone changes the first place. Quarters: raters by their share of votes with the majority of the "
            "others, in parentheses. Cycles: a beats b, b beats c, c beats a; clear where all three intervals "
            "exclude 50%.",
        ),
    )


def _dependence(part: QuestionRatings) -> Iterator[tuple[str, str]]:
    held = part.robustness
    yield "By all votes", _first(part) or NONE
    few = held.few_votes
    if few is not None:
        share = (
            f"{few.votes} ({few.share:.1%}): {few.challenger}"
            if few.votes is not None
            else "none found up to half"
        )
        yield "At most so many votes removed change it", share
    others = listed(list(dict.fromkeys(held.without_rater)))
    count = len(held.without_rater)
    yield "Single raters without whom it changes", f"{count}: {others}" if count else "none"
    for quarter in held.consistency_quartiles:
        if quarter.ratings:
            first = max(quarter.ratings, key=lambda name: quarter.ratings[name])
            yield QUARTERS[quarter.quartile], f"{first} ({quarter.consistency:.0%})"
    yield "Beats every other in votes", held.condorcet.winner or "none"
    yield (
        "Cycles of three",
        f"{held.condorcet.count}, {held.condorcet.clear} clear" if held.condorcet.count else "none",
    )


def rules_table(results: Results) -> Table | None:
    """Contenders × quality rules: the rating with all rules, and without each of them."""
    part = results.headline
    if part is None or not part.without_rule:
        return None
    shown = {name: rule.estimates for name, rule in part.without_rule.items()}
    by_rule = [{row.contender: row for row in estimates.ratings} for estimates in shown.values()]
    rows: list[tuple[Cell, ...]] = []
    for row in part.ratings:
        without = [ratings.get(row.contender) for ratings in by_rule]
        cells = [
            NONE if one is None else Estimate(value=one.rating, low=one.low, high=one.high, n=estimates.n)
            for one, estimates in zip(without, shown.values(), strict=True)
        ]
        rows.append((row.contender, Estimate(value=row.rating, low=row.low, high=row.high, n=part.n), *cells))
    digits = decimals([cell for row in rows for cell in row if isinstance(cell, Estimate)], most=1)
    heads = ["With all rules", *(f"Without {RULES.get(name, name)}" for name in shown)]
    back = [
        f"{RULES.get(name, name)} {counted(rule.raters, 'rater')} with {counted(rule.votes, 'vote')}"
        for name, rule in part.without_rule.items()
    ]
    return Table(
        name="rules",
        title="Ratings with and without each quality rule",
        columns=(
            Column(head="Contender"),
            *(Column(head=head, unit="points", digits=digits, direction=UP) for head in heads),
        ),
        rows=tuple(rows),
        notes=(
            f"Question: {name_of(part.question)}. A rater whom two rules exclude comes back without any rule only. "
            f"Excluded by one rule alone (by all together: the last): {'; '.join(back)}.",
        ),
    )


def _first(part: QuestionRatings) -> str | None:
    row = next(iter(part.ratings), None)
    return None if row is None or row.rating is None else row.contender


def method_in_words(results: Results) -> list[str]:
    """Power, equivalence, stopping rule and robustness, for the method section."""
    headline = results.headline
    if headline is None:
        return []
    return [
        *_power(headline),
        *_equivalence(headline, results.chosen),
        *_stopping(results),
        *(f"{text[:1].upper()}{text[1:]}" for text in fragility(headline)),
    ]


def _power(headline: QuestionRatings) -> list[str]:
    gaps = sorted(win.detectable for win in headline.win_rates if win.detectable is not None)
    if not gaps:
        return []
    span = f"; {gaps[0]:.1f} to {gaps[-1]:.1f} over the pairs" if len(gaps) > 1 else ""
    return [
        f"With the votes of the median pair, a difference of {median(gaps):.1f} points from 50% is detected with 80% "
        f"power, each pair on its own{span}."
    ]


def _equivalence(headline: QuestionRatings, chosen: str) -> list[str]:
    rows = claims(headline, chosen)
    if not rows:
        return []
    return [
        f"Equivalence was tested within ±{rows[0].margin:g} points of win rate by two one-sided tests at 5%, "
        "unadjusted for the number of rivals."
    ]


def _stopping(results: Results) -> list[str]:
    parts = [part for part in asked_parts(results) if part.stopping]
    if not parts:
        return []
    counts = listed([f"{_decided(part)} pairs ({name_of(part.question)})" for part in parts])
    return [
        "By confidence sequences, which may be looked at after any number of votes (Holm over the pairs, familywise "
        f"5%), {counts} were decided."
    ]


def fragility(headline: QuestionRatings) -> list[str]:
    """What would change the first place, in one sentence; none without a fit."""
    first, held = _first(headline), headline.robustness
    few = held.few_votes
    if first is None or few is None:
        return []
    raters, others = len(held.without_rater), " or ".join(dict.fromkeys(held.without_rater))
    whose = "one rater" if raters == 1 else f"any one of {raters} raters"
    if few.votes is None:
        alone = (
            f"removing {whose} would put {others} first" if raters else "nor does removing any single rater"
        )
        return [f"no removal of up to half the votes was found to cost {first} the first place; {alone}."]
    alone = f"so would removing {whose} ({others} first)" if raters else "removing any single rater would not"
    which = "the most influential vote" if few.votes == 1 else f"at most {few.votes} influential votes"
    return [
        f"removing {which} ({few.share:.1%}) would put {few.challenger} first instead of {first}; {alone}."
    ]
