"""What was planned and how it came out; what ratings owe to codings, weights, categories and covariates."""

from __future__ import annotations

from bench.ratings.document import OVERALL, QuestionRatings, Slice
from bench.report.results import Results
from bench.report.tables.form import UP, Cell, Column, Estimate, P, Table
from bench.report.tables.votes import asked_parts, rating_digits

CODINGS = {"dropped": "not counted", "tie": "half a win each", "loss": "a loss for each"}
WEIGHTS = {
    "raters alike": "Every rater alike",
    "reliability": "Raters by reliability",
    "stated mix": "Stated mix",
    "equal covariates": "At equal covariates",
}


def all_of(results: Results) -> list[Table]:
    tables = [
        planned(results),
        codings(results),
        weights(results),
        category_effects(results),
        covariates(results),
    ]
    return [table for table in tables if table is not None]


def planned(results: Results) -> Table | None:
    """The comparisons named before the first vote."""
    plan = results.plan
    if plan is None:
        return None
    rows = tuple(
        (
            "primary" if row.primary else "secondary",
            row.a,
            row.b,
            Estimate(value=100 * row.rate, low=100 * row.low, high=100 * row.high, n=row.n),
            None if row.p is None else P(row.p),
            None if row.p_adjusted is None else P(row.p_adjusted),
            None if row.p_not_worse is None else P(row.p_not_worse),
            row.verdict,
        )
        for row in plan.rows
    )
    before = "before the first vote" if not plan.votes_before else f"after {plan.votes_before} votes"
    margins = {row.margin for row in plan.rows if row.margin is not None}
    margin = f", margin {margins.pop():g} points" if len(margins) == 1 else ""
    return Table(
        name="planned",
        title="The planned comparisons",
        columns=(
            Column(head="Planned as"),
            Column(head="Contender"),
            Column(head="Against"),
            Column(head="Win rate", unit="%", direction=UP, digits=1),
            Column(head="p", digits=4),
            Column(head="p, adjusted", digits=4),
            Column(head=f"p, not worse{margin}", digits=4),
            Column(head="Verdict"),
        ),
        rows=rows,
        notes=(
            f"Frozen {before}, on {plan.frozen}, SHA-256 {plan.sha256[:16]}… (analysis.json); question: "
            f"{'all together' if plan.question == OVERALL else plan.question}. The primary comparison is tested alone, "
            f"secondary ones {'by Holm among themselves' if plan.correction == 'holm' else 'unadjusted'}, all at 5%. "
            "Every other comparison in this report was not planned.",
            *(f"{note[0].upper()}{note[1:]}." for note in plan.notes),
        ),
    )


def codings(results: Results) -> Table | None:
    """Average win rates with both_bad coded in each way, side by side; a change of the first place is said."""
    parts = [part for part in asked_parts(results) if part.both_bad_codings]
    if not parts:
        return None
    rows: list[tuple[Cell, ...]] = []
    flips = []
    for part in parts:
        by = {block.coding: {row.contender: row for row in block.rows} for block in part.both_bad_codings}
        first = {block.coding: block.first for block in part.both_bad_codings}
        flips += [
            f"{_question(part)}: {first[coding]} is first with both bad {CODINGS.get(coding, coding)}, "
            f"{first['dropped']} with it {CODINGS['dropped']}"
            for coding in first
            if first[coding] != first.get("dropped")
        ]
        for name in by.get("dropped", {}):
            cells = [_share(by[coding].get(name)) if coding in by else None for coding in CODINGS]
            rows.append((_question(part), name, *cells))
    return Table(
        name="both-bad",
        title='Win rates with "both bad" coded in three ways',
        columns=(
            Column(head="Question", folds=True),
            Column(head="Contender"),
            *(
                Column(head=f"Both bad: {text}", unit="%", direction=UP, digits=1)
                for text in CODINGS.values()
            ),
        ),
        rows=tuple(rows),
        notes=(
            *([f"The first place depends on the coding. {'; '.join(flips)}."] if flips else []),
            *([] if flips else ["The first place is the same under each."]),
            "Mean win rate over the rivals met, ties half; 95% intervals clustered by rater and prompt.",
        ),
    )


def _share(row: object) -> Estimate | None:
    rate, low, high = (getattr(row, name, None) for name in ("rate", "low", "high"))
    if rate is None:
        return None
    return Estimate(
        value=100 * rate, low=None if low is None else 100 * low, high=None if high is None else 100 * high
    )


def _question(part: QuestionRatings) -> str:
    return "all together" if part.question == OVERALL else part.question


def weights(results: Results) -> Table | None:
    """Ratings as analysed beside those under other weights."""
    headline = results.headline
    if headline is None or not headline.ratings:
        return None
    kept = {name: part for name, part in headline.sensitivity.items() if part.ratings}
    if headline.covariates is not None and headline.covariates.ratings:
        kept["equal covariates"] = Slice(level="equal covariates", ratings=headline.covariates.ratings)
    if not kept:
        return None
    notes = [
        f"{WEIGHTS.get(name, name)}: {part.note}." for name, part in headline.sensitivity.items() if part.note
    ]
    digits = rating_digits(results)
    firsts = {WEIGHTS.get(name, name): _first(part) for name, part in kept.items()}
    best = headline.ratings[0].contender
    changed = [f"{name} ({first})" for name, first in firsts.items() if first != best]
    return Table(
        name="weights",
        title="Ratings under other weights and models",
        columns=(
            Column(head="Contender"),
            Column(head="As analysed", direction=UP, digits=digits),
            *(Column(head=WEIGHTS.get(name, name), direction=UP, digits=digits) for name in kept),
        ),
        rows=tuple(
            (
                row.contender,
                Estimate(value=row.rating, low=row.low, high=row.high),
                *(_rating(part, row.contender) for part in kept.values()),
            )
            for row in headline.ratings
        ),
        notes=(
            f"The first place changes under: {', '.join(changed)}."
            if changed
            else f"{best} is first under each of them.",
            "Every rater alike: however many votes they gave. Raters by reliability: by the share of their votes that "
            "follow Davidson's model and not chance (a mixture, by EM; Beta prior). Stated mix: categories and rater "
            "groups weighted to the shares in [analysis]. At equal covariates: see there. All questions together; 95% "
            "intervals, each on its own.",
            *notes,
        ),
    )


def _first(part: Slice) -> str:
    return max(part.ratings, key=lambda row: row.rating).contender


def _rating(part: Slice, contender: str) -> Estimate | None:
    for row in part.ratings:
        if row.contender == contender:
            return Estimate(value=row.rating, low=row.low, high=row.high)
    return None


def category_effects(results: Results) -> Table | None:
    """Contenders × categories: shrunken deviations from the rating over all, with one joint test."""
    effects = None if results.headline is None else results.headline.category_effects
    if effects is None or not effects.rows or effects.p is None:
        return None
    levels = list(dict.fromkeys(row.level for row in effects.rows))
    names = [name for name in results.contenders if any(row.contender == name for row in effects.rows)]
    by = {(row.contender, row.level): row for row in effects.rows}
    p = f"p = {effects.p:.3f}" if effects.p >= 0.001 else "p < 0.001"
    verdict = (
        "The categories do differ"
        if effects.p < 0.05
        else "That contenders do better in some categories than in others is not shown"
    )
    return Table(
        name="category-effects",
        title="Who does better where: deviation from the rating over all, points",
        columns=(Column(head="Contender"), *(Column(head=level, direction=UP, digits=0) for level in levels)),
        rows=tuple(
            (
                name,
                *(
                    Estimate(value=by[name, level].shrunk, low=by[name, level].low, high=by[name, level].high)
                    for level in levels
                ),
            )
            for name in names
        ),
        notes=(
            f"{verdict}: {p}, one joint test over all contenders and categories, by permuting the categories of "
            f"{effects.prompts} prompts. Deviations are drawn towards 0 as far as chance explains them; their true "
            f"spread is estimated at {effects.spread or 0:.0f} points.",
        ),
    )


def covariates(results: Results) -> Table | None:
    """Effects of image style and presentation, and ratings at equal covariates."""
    block = None if results.headline is None else results.headline.covariates
    if block is None or not block.rows:
        return None
    return Table(
        name="covariates",
        title="What style and presentation explain",
        columns=(
            Column(head="Covariate"),
            Column(head="Effect, points", digits=0),
            Column(head="A standard deviation is", digits=3),
        ),
        rows=tuple(
            (row.name, Estimate(value=row.effect, low=row.low, high=row.high), row.spread)
            for row in block.rows
        ),
        notes=(
            "Points for a difference of one standard deviation between the two images shown, left less right, beside "
            "contenders and the other covariates; of a presentation: for the left side under it. A description, not a "
            f"cause: what a model is preferred for may be what makes it so. {block.n} votes; 95% intervals clustered "
            "by rater and prompt. Ratings at equal covariates stand beside the ratings under other weights.",
            *(f"{note[0].upper()}{note[1:]}." for note in block.notes),
        ),
    )
