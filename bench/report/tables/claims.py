"""What the votes let one claim: is the chosen contender as good as a rival, was it decided, what hangs on little.

As tables and in words. The tests themselves are `arena rate`'s; nothing is computed anew here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median

from bench.report.preferences import OVERALL, Decision, Equivalence, Preference
from bench.report.results import Results
from bench.report.tables.form import NONE, Cell, Column, Estimate, P, Table, decimals, number
from bench.report.text.phrases import listed

LEVEL = 0.05
"""Of the two one-sided tests."""
ALL = "all questions together"
QUARTERS = {
    1: "By the least consistent quarter of raters",
    2: "By the second quarter",
    3: "By the third quarter",
    4: "By the most consistent quarter",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One rival, told from the side of the chosen contender."""

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
    """The 95% interval of the win rate leaves 50 out."""

    @property
    def verdict(self) -> str:
        equivalent = self.p_equivalent < LEVEL
        if self.apart:
            better = (self.gap.value or 0.0) > 0
            return ("better" if better else "worse") + (", yet within the margin" if equivalent else "")
        if equivalent:
            return "equivalent"
        if self.p_not_worse < LEVEL:
            return "not worse"
        return "not better" if self.p_rival_not_worse < LEVEL else "open"


def asked(results: Results) -> list[Preference]:
    """All questions together, then each; only the one where there is one."""
    parts = results.preferences
    alone = len(parts) == 2 and OVERALL in parts
    return [part for name, part in parts.items() if not (alone and name == OVERALL)]


def name_of(question: str) -> str:
    """In sentences; tables say `overall`."""
    return ALL if question == OVERALL else question


def claims(preference: Preference, chosen: str) -> list[Claim]:
    """A claim a rival that met the chosen contender, in the order of the ratings document."""
    wins = {(w.a, w.b): w for w in preference.win_rates}
    found = []
    for row in preference.equivalence:
        if chosen not in (row.a, row.b):
            continue
        win = wins.get((row.a, row.b))
        found.append(
            _claim(
                preference.question,
                row,
                flip=row.b == chosen,
                n=None if win is None else win.n,
                detectable=None if win is None else win.detectable,
                apart=win is not None and win.apart,
            )
        )
    return found


def _claim(
    question: str, row: Equivalence, *, flip: bool, n: int | None, detectable: float | None, apart: bool
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
    )


def all_of(results: Results) -> list[Table]:
    found = (claims_table(results), stopping_table(results), robustness_table(results))
    return [table for table in found if table is not None]


def claims_table(results: Results) -> Table | None:
    """Questions × rivals of the chosen contender: two one-sided tests, verdict, smallest detectable gap."""
    found = [claim for part in asked(results) for claim in claims(part, results.chosen)]
    if not found:
        return None
    margin = number(found[0].margin, 1).removesuffix(".0")
    return Table(
        name="claims",
        title=f"Is {results.chosen} as good as its rivals?",
        columns=(
            Column(head="Question"),
            Column(head="Against"),
            Column(
                head="Win rate − 50", unit="points", digits=decimals([c.gap for c in found], most=1), level=90
            ),
            Column(head="Verdict"),
            Column(head="p, not worse", digits=3),
            Column(head="p, equivalent", digits=3),
            Column(head="Detectable", unit="points", digits=1),
        ),
        rows=tuple(
            (
                c.question, c.rival, c.gap, c.verdict, P(c.p_not_worse), P(c.p_equivalent),
                c.detectable,
            )
            for c in found
        ),
        notes=(
            f"Margin: ±{margin} points of win rate. Brackets: the 90% interval; inside the margin it means "
            f"equivalent, above −{margin} not worse, below +{margin} not better (two one-sided tests at 5%, not "
            "adjusted for the number of rows). Better, worse: the 95% interval leaves 50% out. Open: none of these.",
            "Detectable: the distance from 50% that so many votes would have shown in four studies of five.",
        ),
    )  # fmt: skip


def stopping_table(results: Results) -> Table | None:
    """Questions × rivals of the chosen contender by the rule that may be asked after every vote."""
    parts = [part for part in asked(results) if part.stopping]
    rows: list[tuple[Cell, ...]] = []
    for part in parts:
        for row in part.stopping:
            if results.chosen in (row.a, row.b):
                rival, rate = _seen_from(results.chosen, row)
                rows.append((part.question, rival, rate, P(row.p_adjusted), "yes" if row.decided else "no"))
    if not rows:
        return None
    counts = "; ".join(f"{part.question} {_decided(part)}" for part in parts)
    return Table(
        name="stopping",
        title=f"Had the votes on {results.chosen} decided?",
        columns=(
            Column(head="Question"),
            Column(head="Against"),
            Column(head="Win rate", unit="%", digits=decimals([row[2] for row in rows], most=1)),
            Column(head="p, adjusted", digits=3),
            Column(head="Decided"),
        ),
        rows=tuple(rows),
        notes=(
            "Brackets: the 95% confidence sequence, wider than an interval because it may be looked at after every "
            "vote. Decided: the better one is known at a familywise error of 5% (Holm over all pairs); its votes "
            "could have stopped.",
            f"Pairs decided, of all contenders: {counts}.",
        ),
    )


def _seen_from(chosen: str, row: Decision) -> tuple[str, Estimate]:
    """The rival, and the win rate of the chosen in per cent."""
    if row.a == chosen:
        return row.b, Estimate(value=100 * row.rate, low=100 * row.low, high=100 * row.high, n=row.n)
    return row.a, Estimate(
        value=100 * (1 - row.rate), low=100 * (1 - row.high), high=100 * (1 - row.low), n=row.n
    )


def _decided(part: Preference) -> str:
    return f"{sum(row.decided for row in part.stopping)} of {len(part.stopping)}"


def robustness_table(results: Results) -> Table | None:
    """What the first place hangs on: a column a question."""
    parts = [part for part in asked(results) if _first(part) is not None]
    if not parts:
        return None
    told = [dict(_hangs_on(part)) for part in parts]
    return Table(
        name="robustness",
        title="What the first place hangs on",
        columns=(Column(head="First place"), *(Column(head=part.question) for part in parts)),
        rows=tuple((what, *(said.get(what, NONE) for said in told)) for what in dict.fromkeys(
            what for said in told for what in said)),
        notes=(
            "Fewest votes: found by influence and checked by a refit, up to half of all; their share; who is then "
            "first. Single raters: those without whom alone another is first; ratings.json names them. Quarters: "
            "raters by their share of votes with the majority of the others, in parentheses. Cycles: a beats b beats "
            "c beats a; clear where all three intervals leave 50% out.",
        ),
    )  # fmt: skip


def _hangs_on(part: Preference) -> Iterator[tuple[str, str]]:
    held = part.robustness
    yield "By all votes", _first(part) or NONE
    few = held.few_votes
    if few is not None:
        share = f"{few.votes} ({few.share:.1%}): {few.challenger}" if few.votes is not None else "none found"
        yield "Fewest votes without which it changes", share
    others = listed(list(dict.fromkeys(held.without_rater)))
    count = len(held.without_rater)
    yield "Single raters without whom it changes", f"{count}: {others}" if count else "none"
    for quarter in held.quartiles:
        if quarter.ratings:
            first = max(quarter.ratings, key=lambda name: quarter.ratings[name])
            yield QUARTERS[quarter.quartile], f"{first} ({quarter.consistency:.0%})"
    yield "Beats every other in votes", held.winner or "nobody"
    yield "Cycles of three", f"{held.cycles}, {held.clear_cycles} clear" if held.cycles else "none"


def _first(part: Preference) -> str | None:
    row = next(iter(part.ratings), None)
    return None if row is None or row.rating is None else row.contender


def method_in_words(results: Results) -> list[str]:
    """Power, equivalence, stopping and robustness, as the method paragraph says them."""
    headline = results.headline
    if headline is None:
        return []
    return [
        *_power(headline),
        *_equivalence(headline, results.chosen),
        *_stopping(results),
        *(f"T{words[1:]}" for words in fragility(headline)),
    ]


def _power(headline: Preference) -> list[str]:
    gaps = sorted(win.detectable for win in headline.win_rates if win.detectable is not None)
    if not gaps:
        return []
    span = f"; {gaps[0]:.1f} to {gaps[-1]:.1f} over the pairs" if len(gaps) > 1 else ""
    return [
        f"Power: the votes of the median pair would have shown a win rate of 50% ± {median(gaps):.1f} points in "
        f"four studies of five, the pair on its own{span}."
    ]


def _equivalence(headline: Preference, chosen: str) -> list[str]:
    found = claims(headline, chosen)
    if not found:
        return []
    by_verdict: dict[str, list[str]] = {}
    for claim in found:
        by_verdict.setdefault(claim.verdict, []).append(claim.rival)
    told = "; ".join(f"{verdict}: {listed(rivals)}" for verdict, rivals in by_verdict.items())
    return [
        f"Equivalence was tested within ±{found[0].margin:g} points of win rate by two one-sided tests at 5%, "
        f"unadjusted; {chosen}, {name_of(headline.question)}, is {told}."
    ]


def _stopping(results: Results) -> list[str]:
    parts = [part for part in asked(results) if part.stopping]
    if not parts:
        return []
    ended = all(row.decided for part in parts for row in part.stopping)
    counts = listed([f"{_decided(part)} pairs ({name_of(part.question)})" for part in parts])
    return [
        "Looked at after any number of votes (confidence sequences, Holm over the pairs, familywise 5%), "
        f"{counts} were decided: by that rule the study {'could have stopped' if ended else 'had not ended'}."
    ]


def fragility(headline: Preference) -> list[str]:
    """What would change the first place, in one sentence; none without a fit."""
    first, held = _first(headline), headline.robustness
    few = held.few_votes
    if first is None or few is None:
        return []
    raters, others = len(held.without_rater), " or ".join(dict.fromkeys(held.without_rater))
    whose = "one rater's" if raters == 1 else f"any one of {raters} raters'"
    if few.votes is None:
        alone = f"but {whose} would ({others} first)" if raters else "nor would any single rater's"
        return [f"taking away up to half the votes was not found to cost {first} the first place; {alone}."]
    alone = f"so would {whose} ({others} first)" if raters else "no single rater's votes would"
    which = "one vote that tells most" if few.votes == 1 else f"{few.votes} votes that tell most"
    return [
        f"taking away the {which} ({few.share:.1%}) would put {few.challenger} first instead of {first}; {alone}."
    ]


def claim_against(results: Results, rival: str) -> list[str]:
    """One sentence on the chosen contender and a rival; none where the two were not tested."""
    found = claims(results.headline, results.chosen) if results.headline else []
    return [_claim_in_words(results.chosen, claim) for claim in found if claim.rival == rival]


def _claim_in_words(chosen: str, claim: Claim) -> str:
    if claim.apart:
        word, comma, rest = claim.verdict.partition(",")
        return f"{chosen} is {word} than {claim.rival}{comma}{rest}."
    within = f"{claim.margin:g} points of win rate"
    told = {
        "equivalent": f"{chosen} is as good as {claim.rival} within {within}.",
        "not worse": f"{chosen} is not worse than {claim.rival} by {within}.",
        "not better": f"{chosen} is not better than {claim.rival} by {within}.",
    }
    shown = "" if claim.detectable is None else (
        f": so many votes show a difference of {claim.detectable:.1f} points or more"
    )  # fmt: skip
    return told.get(
        claim.verdict, f"whether {chosen} is as good as {claim.rival} within {within} stays open{shown}."
    )
