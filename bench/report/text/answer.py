"""The study's question in one sentence, and its answer in at most three, each number with its interval."""

from __future__ import annotations

from collections.abc import Sequence

from bench.ratings.document import QuestionRatings
from bench.report.results import Results
from bench.report.tables.claims import Claim, claims
from bench.report.tables.form import UP, Estimate, interval, number
from bench.report.tables.metrics import label, metric_columns, metric_estimates
from bench.report.tables.votes import excludes_half, win_interval, wins_of
from bench.report.text.phrases import counted, listed
from bench.report.timings import seconds_an_image

MOST_NAMED = 4
"""Rivals that a sentence names; more of them are counted."""


def question(results: Results) -> str:
    """What the study asks: the chosen contender against each rival of its comparisons. Empty: nothing to compare."""
    rivals = results.rivals
    if any(results.chosen not in pair for pair in results.comparisons):
        pairs = [f"{a} as good as {b}" for a, b in results.comparisons]
        rest = "" if len(pairs) <= MOST_NAMED else f" ({len(pairs)} comparisons)"
        return f"Is {listed(pairs[:MOST_NAMED])}{rest}?"
    if not rivals:
        return ""
    if len(rivals) == 1:
        against = rivals[0]
    elif len(rivals) <= MOST_NAMED:
        against = f"each of {listed(list(rivals))}"
    else:
        against = f"each of its {len(rivals)} rivals"
    return f"Is {results.chosen} as good as {against}?"


def answer(results: Results) -> list[str]:
    """At most three sentences: the strongest rival, the other rivals, the speed."""
    if results.headline and any(results.chosen not in pair for pair in results.comparisons):
        return _pairs(results, results.headline)[:3]
    voted = _by_votes(results)
    return [*(voted or _by_metric(results)), *_speed(results)][:3]


def _pairs(results: Results, headline: QuestionRatings) -> list[str]:
    """A sentence for each named comparison, where they are not all with the chosen contender."""
    sentences = []
    for a, b in results.comparisons:
        win = wins_of(headline, a).get(b)
        if win is None or win.value is None:
            sentences.append(f"There are no votes on {a} against {b}.")
            continue
        claim = next((claim for claim in claims(headline, a) if claim.rival == b), None)
        share = f"{number(win.value, 0)}% {win_interval(win)}".strip()
        sentences.append(f"{a} wins {share} of {win.n} votes against {b}: {_conclusion(win, claim)}.")
    if len(sentences) <= 3:
        return sentences
    rest = len(sentences) - 2
    return [*sentences[:2], f"The table of claims has the other {rest} comparisons."]


def _by_votes(results: Results) -> list[str]:
    headline = results.headline
    if headline is None:
        return []
    wins = {rival: win for rival, win in wins_of(headline, results.chosen).items() if rival in results.rivals}
    if not wins:
        return []
    order = [row.contender for row in headline.ratings if row.contender in wins]
    strongest = order[0] if order else next(iter(wins))
    by_rival = {claim.rival: claim for claim in claims(headline, results.chosen)}
    sentences = [_against(results, strongest, wins[strongest], by_rival.get(strongest))]
    others = [rival for rival in (order or list(wins)) if rival != strongest]
    return sentences + _others(results, others, wins, by_rival)


def _against(results: Results, rival: str, win: Estimate, claim: Claim | None) -> str:
    """The strongest rival: the win rate, and what it says."""
    share = f"{number(win.value, 0)}% {win_interval(win)}".strip()
    strongest = ", the rival with the highest rating" if len(results.rivals) > 1 else ""
    votes = f" of {win.n} votes" if win.n else ""
    return f"{results.chosen} wins {share}{votes} against {rival}{strongest}: {_conclusion(win, claim)}."


def _conclusion(win: Estimate, claim: Claim | None) -> str:
    if win.low is None or win.high is None or win.value is None:
        return "there are too few votes for an interval"
    within = "" if claim is None else f"{claim.margin:g} points"
    equivalent = claim is not None and claim.equivalent
    if excludes_half(win):
        word = "better" if win.value > 50 else "worse"
        alone = ", taken alone; not jointly over the study's comparisons" if _only_alone(claim) else ""
        return f"it is {word}" + (f", though by less than {within}" if equivalent else "") + alone
    if claim is None:
        return "the interval includes 50%, so neither is shown to be better"
    conclusions = {
        "equivalent": f"the two are equivalent within {within}",
        "not worse": f"it is not worse by {within} or more",
        "not better": f"it is not better by {within} or more",
    }
    return conclusions.get(claim.verdict, "the interval includes 50%, so neither is shown to be better")


def _others(
    results: Results, others: Sequence[str], wins: dict[str, Estimate], by_rival: dict[str, Claim]
) -> list[str]:
    """The remaining rivals in one sentence, grouped by what the votes say."""
    groups: dict[str, list[str]] = {}
    for rival in others:
        groups.setdefault(_group(wins[rival], by_rival.get(rival)), []).append(rival)
    parts = []
    for group, rivals in groups.items():
        if len(rivals) <= 2:
            named = [f"{name} ({number(wins[name].value, 0)}% {win_interval(wins[name])})" for name in rivals]
            parts.append(f"{group} {listed(named)}")
        else:
            parts.append(f"{group} {len(rivals)} rivals ({_range([wins[name] for name in rivals])})")
    if not parts:
        return []
    rest = "the other rival" if len(others) == 1 else f"the other {len(others)} rivals"
    return [f"Against {rest} it is {listed(parts, '; ')}."]


def _group(win: Estimate, claim: Claim | None) -> str:
    if win.low is not None and win.high is not None and win.value is not None:
        alone = ", taken alone," if _only_alone(claim) else ""
        if win.low > 50:
            return f"better{alone} than"
        if win.high < 50:
            return f"worse{alone} than"
    if claim is None:
        return "not shown to differ from"
    within = f"within {claim.margin:g} points"
    return {
        "equivalent": f"equivalent {within} to",
        "not worse": f"not worse {within} than",
        "not better": f"not better {within} than",
    }.get(claim.verdict, "not shown to differ from")


def _only_alone(claim: Claim | None) -> bool:
    """Whether the win rate shows a difference that the joint intervals of the study's comparisons do not."""
    return claim is not None and claim.jointly is False


def _range(wins: Sequence[Estimate]) -> str:
    """`52% to 65%, each interval within 37 to 80`."""
    values = sorted(win.value for win in wins if win.value is not None)
    lows = [win.low for win in wins if win.low is not None]
    highs = [win.high for win in wins if win.high is not None]
    span = f"{number(values[0], 0)}% to {number(values[-1], 0)}%" if values else "no votes"
    if not (lows and highs):
        return span
    return f"{span}; intervals from {number(min(lows), 0)} to {number(max(highs), 0)}"


def _by_metric(results: Results) -> list[str]:
    """Without votes: the first metric, said to be one."""
    keys = metric_columns(results.scores)
    if not keys:
        return []
    metric, fingerprint = keys[0]
    values = metric_estimates(results, metric, fingerprint)
    digits = values.digits
    chosen = values.by_contender.get(results.chosen)
    if chosen is None or chosen.value is None:
        return []
    name = f"{label(metric)} ({'higher' if values.direction == UP else 'lower'} is better)"
    sentence = f"There are no votes yet. On {name}, {results.chosen} has {number(chosen.value, digits)} "
    sentence += interval(chosen, digits)
    best = next((who for who, value in values.by_contender.items() if value.best), None)
    if best is not None and best != results.chosen:
        other = values.by_contender[best]
        value = f"{number(other.value, digits)} {interval(other, digits)}"
        sentence = f"{sentence.strip()}; the best value is that of {best}, {value}"
    return [f"{sentence.strip()}. A metric is not people's judgement."]


def _speed(results: Results) -> list[str]:
    """The chosen contender's latency, and its ratio to the strongest rival's."""
    chosen = seconds_an_image(results, results.chosen)
    if chosen is None or chosen.value is None:
        return []
    own = f"{results.chosen} takes {milliseconds(chosen)} an image at the smallest batch on {results.device}"
    rival = _rival_for_speed(results)
    other = seconds_an_image(results, rival) if rival else None
    if rival is None or other is None or other.value is None:
        return [f"{own}."]
    return [f"{own}, {rival} {milliseconds(other)}: {ratio_in_words(chosen, other)}."]


def _rival_for_speed(results: Results) -> str | None:
    headline = results.headline
    order = [row.contender for row in headline.ratings] if headline else list(results.rivals)
    return next((name for name in order if name in results.rivals), None)


def milliseconds(seconds: Estimate) -> str:
    """`28.4 ms [27.7, 28.9]`, three digits; seconds from one second on."""
    scale, unit = (1, "s") if (seconds.value or 0.0) >= 1 else (1000, "ms")

    def digits(value: float) -> str:
        return f"{scale * value:.0f}" if scale * value >= 100 else f"{scale * value:.3g}"

    text = f"{digits(seconds.value or 0.0)} {unit}"
    if seconds.low is None or seconds.high is None:
        return text
    return f"{text} [{digits(seconds.low)}, {digits(seconds.high)}]"


def ratio_in_words(chosen: Estimate, other: Estimate) -> str:
    """`24.7 times as fast [23.6, 27.3]`; where the interval includes 1, that no difference is shown.

    The interval takes the ends of both medians' intervals, which is wider than 95%.
    """
    assert chosen.value
    assert other.value
    times = other.value / chosen.value
    known = chosen.low and chosen.high and other.low and other.high
    low, high = (other.low / chosen.high, other.high / chosen.low) if known else (times, times)  # type: ignore[operator]
    word = "fast"
    if times < 1:
        times, low, high, word = 1 / times, 1 / high, 1 / low, "slow"
    ends = f" [{low:.3g}, {high:.3g}]" if known else ""
    if low <= 1 <= high or f"{times:.3g}" == "1":
        return f"no difference in speed is shown (ratio {times:.3g}{ends})"
    return f"{times:.3g} times as {word}{ends}"


def remarks(results: Results) -> list[str]:
    """What else the votes carry: first place, and what it hangs on; for below the answer."""
    from bench.report.tables.claims import fragility

    headline = results.headline
    if headline is None or not headline.ratings:
        return []
    return [
        _first_place(headline.ratings),
        *(f"{text[:1].upper()}{text[1:]}" for text in fragility(headline)),
    ]


def _first_place(ratings: Sequence[object]) -> str:
    leaders = [row.contender for row in ratings if row.rank_low == 1]  # type: ignore[attr-defined]
    if len(leaders) == 1:
        return f"{leaders[0]} is alone in first place."
    if not leaders or len(leaders) > MOST_NAMED:
        of = (
            f"all {len(ratings)}"
            if len(leaders) in (0, len(ratings))
            else f"{len(leaders)} of {counted(len(ratings), 'contender')}"
        )
        return f"The votes leave first place open among {of}."
    return f"The votes leave first place open between {listed(leaders)}."
