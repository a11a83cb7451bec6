"""The votes as tables: leaderboards, Elo, win rates, the pairwise matrix, categories and challenges."""

from __future__ import annotations

from collections.abc import Sequence

from bench.ratings.document import MEAN, OVERALL, QuestionRatings, Slice
from bench.records import Score
from bench.report.results import Results
from bench.report.tables.form import DOWN, UP, Cell, Column, Estimate, Table, decimals, interval, number
from bench.report.tables.marks import marked, rating_differences
from bench.report.tables.metrics import label
from bench.report.text.phrases import counted


def all_of(results: Results) -> list[Table]:
    """Leaderboards side by side and of each question, Elo, win rates, categories and challenges."""
    tables = [leaderboards(results), elo_table(results)]
    tables += [leaderboard(results, preference) for preference in results.preferences.values()]
    tables += [win_rates(results, preference) for preference in results.preferences.values()]
    if results.headline:
        tables += [slice_table(results, "category"), slice_table(results, "challenge")]
    tables += [contradictions(results)]
    return [table for table in tables if table is not None]


def rating_digits(results: Results) -> int:
    """Decimals of ratings, the same in every table."""
    rows = [r for part in results.preferences.values() for r in part.ratings]
    return decimals([Estimate(value=r.rating, low=r.low, high=r.high) for r in rows], most=1)


def rate_digits(results: Results) -> int:
    """Decimals of win rates in per cent, the same in every table."""
    rows = [w for part in results.preferences.values() for w in (*part.average_win_rates, *part.win_rates)]
    return decimals([_percent(w.rate, w.low, w.high, w.n) for w in rows], most=1)


def ratings_of(preference: QuestionRatings) -> dict[str, Estimate]:
    """Ratings by contender, best first; the best and those not shown to be worse are marked."""
    estimates = {
        r.contender: Estimate(value=r.rating, low=r.low, high=r.high, n=r.n) for r in preference.ratings
    }
    return marked(estimates, rating_differences(preference), up=True)


def average_wins_of(preference: QuestionRatings) -> dict[str, Estimate]:
    """Mean win rate over the opponents met, per cent, by contender."""
    return {w.contender: _percent(w.rate, w.low, w.high, w.n) for w in preference.average_win_rates}


def leaderboards(results: Results) -> Table | None:
    """Every question beside each other: ratings, mean win rates, and `both bad` where it was an answer."""
    headline = results.headline
    if headline is None or not headline.ratings:
        return None
    parts = asked_parts(results)
    names = [row.contender for row in headline.ratings]
    ranks = {r.contender: _rank(r.rank_low, r.rank_high) for r in headline.ratings}
    columns = [Column(head="Rank"), Column(head="Contender")]
    cells: list[list[Cell]] = [[ranks[name] for name in names], [*names]]
    for part in parts:
        head = f"Rating, {part.question}" if len(parts) > 1 else "Rating"
        ratings = ratings_of(part)
        columns.append(Column(head=head, direction=UP, digits=rating_digits(results)))
        cells.append([ratings.get(name) for name in names])
    for part in parts:
        wins = average_wins_of(part)
        if wins:
            head = f"Win rate, {part.question}" if len(parts) > 1 else "Win rate"
            columns.append(Column(head=head, unit="%", direction=UP, digits=rate_digits(results)))
            cells.append([wins.get(name) for name in names])
    bad = {
        r.contender: _percent(r.both_bad_rate, r.both_bad_low, r.both_bad_high, None)
        for r in headline.ratings
    }
    if any(cell.value for cell in bad.values()):
        columns.append(Column(head="Both bad", unit="%", direction=DOWN, digits=rate_digits(results)))
        cells.append([bad[name] for name in names])
    together = ", all questions together" if len(parts) > 1 else ""
    return Table(
        name="leaderboards",
        title="Leaderboard, every question",
        columns=tuple(columns),
        rows=tuple(zip(*cells, strict=True)),
        notes=(
            f"Rank: the places that the joint 95% intervals leave open{together}. "
            f"{scale(results.anchor)} Win rate: mean over the rivals met, ties half.",
            *both_bad_note(headline),
            *([f"Votes of {effective(headline)}."] if headline.n_raters else []),
            *dict.fromkeys(note for part in parts for note in part.notes),
        ),
        counts_below=True,
    )


BOTH_BAD = "N of ratings counts every vote; N of win rates leaves out the answers “both bad”."


def asked_parts(results: Results) -> list[QuestionRatings]:
    """All questions together, then each; only the one where one was asked."""
    parts = results.preferences
    alone = len(parts) == 2 and OVERALL in parts
    return [part for name, part in parts.items() if not (alone and name == OVERALL)]


def elo_table(results: Results) -> Table | None:
    """Sequential Elo beside Bradley–Terry and Davidson's model, all votes together."""
    headline = results.headline
    if headline is None or not headline.elo_add:
        return None
    elo = {row.contender: row for row in headline.elo_add}
    terry = {r.contender: Estimate(value=r.rating, low=r.low, high=r.high) for r in headline.bradley_terry}
    davidson = {r.contender: Estimate(value=r.rating, low=r.low, high=r.high) for r in headline.ratings}
    names = sorted(elo, key=lambda name: -elo[name].rating)
    digits = rating_digits(results)
    protocol = str(results.votes_method.get("elo_add") or "protocol not recorded")
    return Table(
        name="elo",
        title="Elo ratings beside Bradley–Terry and Davidson",
        columns=(
            Column(head="Contender"),
            Column(head="Elo", direction=UP, digits=1),
            Column(head="Order noise of Elo", digits=2),
            Column(head="Bradley–Terry", direction=UP, digits=digits),
            Column(head="Davidson", direction=UP, digits=digits),
        ),
        rows=tuple(
            (
                name,
                Estimate(value=elo[name].rating),
                Estimate(value=elo[name].order_spread),
                terry.get(name),
                davidson.get(name),
            )
            for name in names
        ),
        notes=(
            f"Elo: updated vote by vote as the reference study defines it ({protocol}); order noise is its standard "
            "deviation over the shuffles, not an interval, and ratings stay close to the start when votes are few. "
            "Bradley–Terry: maximum likelihood, ties as half wins. Davidson: with a parameter for ties; the ratings of "
            "every other table. Brackets: 95% intervals clustered by rater and prompt.",
        ),
    )


def leaderboard(results: Results, preference: QuestionRatings) -> Table | None:
    """Ratings with intervals and rank sets, best first; average win rates and `both bad` where there are any."""
    if not preference.ratings:
        return None
    ratings, averages = ratings_of(preference), average_wins_of(preference)
    wins = [averages.get(r.contender) for r in preference.ratings]
    bad = [_percent(r.both_bad_rate, r.both_bad_low, r.both_bad_high, None) for r in preference.ratings]
    columns = [
        Column(head="Rank"),
        Column(head="Contender"),
        Column(head="Rating", direction=UP, digits=rating_digits(results)),
    ]
    cells: list[list[Cell]] = [
        [_rank(r.rank_low, r.rank_high) for r in preference.ratings],
        [r.contender for r in preference.ratings],
        [ratings[r.contender] for r in preference.ratings],
    ]
    if any(wins):
        columns.append(Column(head="Mean win rate", unit="%", direction=UP, digits=rate_digits(results)))
        cells.append([*wins])
    if any(cell.value for cell in bad):
        columns.append(Column(head="Both bad", unit="%", direction=DOWN, digits=rate_digits(results)))
        cells.append([*bad])
    return Table(
        name=f"leaderboard-{preference.question}",
        title=f"Leaderboard: {_question(preference.question)}",
        columns=tuple(columns),
        rows=tuple(zip(*cells, strict=True)),
        notes=(
            f"Rank: the places that the joint 95% intervals leave open. {scale(results.anchor)} "
            "Brackets: 95% intervals.",
            *both_bad_note(preference),
            *preference.notes,
        ),
    )


def scale(anchor: str) -> str:
    """What a rating means: where 1000 is, and what a difference of 400 says."""
    if not anchor:
        return (
            "A difference of 400 points means odds of 10 to 1; which contender has 1000 is not recorded, so only "
            "differences have a meaning: run `arena rate` again."
        )
    held = (
        "the mean of all contenders is 1000"
        if anchor == MEAN
        else f"{anchor} is fixed at 1000, without an interval"
    )
    return f"A difference of 400 points means odds of 10 to 1; {held}."


def effective(preference: QuestionRatings) -> str:
    """`40 raters (as many as 38.2 even ones), 60 prompts`; what is not recorded is left out."""
    parts = []
    for n, even, what in (
        (preference.n_raters, preference.n_raters_effective, "rater"),
        (preference.n_prompts, preference.n_prompts_effective, "prompt"),
    ):
        if n is not None:
            same = "" if even is None else f" (effective number {even:.3g})"
            parts.append(f"{counted(n, what)}{same}")
    return ", ".join(parts)


def _rank(low: int | None, high: int | None) -> str:
    if low is None or high is None:
        return "–"
    return str(low) if low == high else f"{low}–{high}"


def _question(question: str) -> str:
    return "all questions together" if question == OVERALL else question


def win_rates(results: Results, preference: QuestionRatings) -> Table | None:
    """Every pair, in per cent for the first."""
    if not preference.win_rates:
        return None
    cells = [_percent(w.rate, w.low, w.high, w.n) for w in preference.win_rates]
    return Table(
        name=f"win-rates-{preference.question}",
        title=f"Win rates: {_question(preference.question)}",
        columns=(
            Column(head="Contender"),
            Column(head="Against"),
            Column(head="Win rate", unit="%", digits=rate_digits(results)),
        ),
        rows=tuple((w.a, w.b, cell) for w, cell in zip(preference.win_rates, cells, strict=True)),
        notes=("Share of the votes for the first contender, ties half; 95% interval in brackets.",),
    )


def _percent(rate: float | None, low: float | None, high: float | None, n: int | None) -> Estimate:
    return Estimate(value=_hundredfold(rate), low=_hundredfold(low), high=_hundredfold(high), n=n)


def _hundredfold(share: float | None) -> float | None:
    return None if share is None else 100 * share


def _rest(share: float | None) -> float | None:
    return None if share is None else 1 - share


def excludes_half(win: Estimate) -> bool:
    """Whether the interval of a win rate, in per cent, excludes 50."""
    if win.low is None or win.high is None:
        return False
    return win.low > 50 or win.high < 50


def win_interval(win: Estimate) -> str:
    """`[51, 64]`; with a decimal where the rounded ends would hold the 50 that the interval excludes."""
    if win.low is None or win.high is None:
        return ""
    touching = excludes_half(win) and round(win.low) <= 50 <= round(win.high)
    return interval(win, 1 if touching else 0)


def both_bad_note(preference: QuestionRatings) -> list[str]:
    """Why ratings and win rates differ in N, where they do."""
    return [BOTH_BAD] if any(row.both_bad_rate for row in preference.ratings) else []


def wins_of(preference: QuestionRatings, contender: str) -> dict[str, Estimate]:
    """Win rate of one contender in per cent, by rival, whichever way round the pair is stored."""
    wins = {}
    for w in preference.win_rates:
        if w.a == contender:
            wins[w.b] = _percent(w.rate, w.low, w.high, w.n)
        elif w.b == contender:
            wins[w.a] = _percent(_rest(w.rate), _rest(w.high), _rest(w.low), w.n)
    return wins


def win_matrix(preference: QuestionRatings, order: Sequence[str]) -> list[tuple[str, list[Estimate | None]]]:
    """Each contender with its win rate in per cent against each of `order`; None: the pair has no votes."""
    return [(name, [wins_of(preference, name).get(rival) for rival in order]) for name in order]


def vote_count(results: Results) -> int:
    """Votes counted, every question; `overall` holds the same votes again."""
    parts = [p for name, p in results.preferences.items() if name != OVERALL] or results.preferences.values()
    return sum(votes_of(part) for part in parts)


def votes_of(part: QuestionRatings) -> int:
    return part.n if part.n is not None else sum(win.n or 0 for win in part.win_rates)


def slice_rows(results: Results, by: str) -> tuple[Slice, ...]:
    """by: `category` or `challenge`; of all questions together."""
    headline = results.headline
    if headline is None:
        return ()
    return tuple((headline.by_category if by == "category" else headline.by_challenge).values())


def slice_cells(results: Results, by: str) -> list[tuple[str, list[Estimate | None]]]:
    """Contender and its mean win rate in per cent on each level."""
    levels = slice_rows(results, by)
    wins = [
        {w.contender: _percent(w.rate, w.low, w.high, w.n) for w in part.average_win_rates} for part in levels
    ]
    return [(name, [known.get(name) for known in wins]) for name in results.contenders]


def slice_table(results: Results, by: str) -> Table | None:
    """Contenders × categories (or challenges): mean win rate over the opponents met."""
    levels = slice_rows(results, by)
    if not levels:
        return None
    rows = slice_cells(results, by)
    columns = [Column(head=f"{part.level} ({part.n})", digits=0) for part in levels]
    return Table(
        name=f"by-{by}",
        title=f"Mean win rate by {by}, per cent",
        columns=(Column(head="Contender"), *columns),
        rows=tuple((name, *cells) for name, cells in rows),
        notes=(
            f"All questions together; in parentheses the votes on prompts of that {by}; 95% intervals, "
            "each level on its own.",
        ),
    )


def contradictions(results: Results) -> Table | None:
    """Pairs that people put one way, beyond the interval, and a metric the other way."""
    headline = results.headline
    if headline is None or not results.scores:
        return None
    rows: list[tuple[Cell, ...]] = []
    for metric, fingerprint in dict.fromkeys((s.metric, s.fingerprint) for s in results.scores):
        scores = {
            s.contender: s for s in results.scores if (s.metric, s.fingerprint) == (metric, fingerprint)
        }
        for win in headline.win_rates:
            a, b = scores.get(win.a), scores.get(win.b)
            if not (a and b and a.value is not None and b.value is not None and win.rate is not None):
                continue
            prefer_a = win.rate > 0.5
            better_a = (a.value > b.value) == a.higher_is_better
            if a.value == b.value or prefer_a == better_a or not win.apart:
                continue
            people = _percent(win.rate, win.low, win.high, win.n)
            if not prefer_a:
                people = _percent(_rest(win.rate), _rest(win.high), _rest(win.low), win.n)
            liked, other = (a, b) if prefer_a else (b, a)
            digits = decimals([_score(liked), _score(other)])
            rows.append(
                (
                    liked.contender,
                    other.contender,
                    people,
                    label(metric),
                    f"{number(liked.value, digits)} against {number(other.value, digits)}",
                    "yes" if _apart(liked, other) else "no",
                )
            )
    if not rows:
        return None
    rows.sort(key=_margin, reverse=True)
    more = f" The {MOST_CONTRADICTIONS} widest of {len(rows)}." if len(rows) > MOST_CONTRADICTIONS else ""
    heads = (
        f"{results.voters.capitalize()} prefer",
        "to",
        "Win rate",
        "The metric prefers the other",
        "Its values",
        "Its intervals apart",
    )
    return Table(
        name="contradictions",
        title=f"Where {results.voters} disagree with the metrics",
        columns=tuple(
            Column(head=head, unit="%" if i == 2 else "", digits=0 if i == 2 else None)
            for i, head in enumerate(heads)
        ),
        rows=tuple(rows[:MOST_CONTRADICTIONS]),
        notes=(
            f"Pairs whose 95% win-rate interval excludes 50% and that a metric puts in the other order.{more}",
        ),
    )


MOST_CONTRADICTIONS = 20


def _margin(row: tuple[Cell, ...]) -> float:
    """How widely people preferred the first, per cent."""
    win = row[2]
    return win.value or 0.0 if isinstance(win, Estimate) else 0.0


def _score(score: Score) -> Estimate:
    return Estimate(value=score.value, low=score.low, high=score.high, n=score.n)


def _apart(a: Score, b: Score) -> bool:
    if a.low is None or a.high is None or b.low is None or b.high is None:
        return False
    return a.low > b.high or b.low > a.high
