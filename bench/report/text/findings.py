"""The study at a glance: a few sentences a reader takes away, each only if the numbers carry it."""

from __future__ import annotations

from bench.report.preferences import Preference
from bench.report.results import Results
from bench.report.tables.claims import claim_against, fragility
from bench.report.tables.form import interval, number
from bench.report.tables.votes import wins_of
from bench.report.text.phrases import listed
from bench.report.timings import seconds_an_image


def findings(results: Results) -> list[str]:
    """First place and what it hangs on, the chosen contender against the one people like best, the fastest."""
    found = []
    headline = results.headline
    if headline and headline.ratings:
        by_whom = "Simulated votes: " if results.simulated_votes else ""
        said = [_first_place(headline), *_chosen_against_best(results, headline), *fragility(headline)]
        found += [by_whom + words if by_whom else _sentence(words) for words in said]
    return found + _speeds(results)


def _sentence(words: str) -> str:
    """With a capital, unless it begins with a contender's name."""
    return words[:1].upper() + words[1:] if words.startswith(("the ", "whether ", "taking ")) else words


def _first_place(headline: Preference) -> str:
    leaders = [row.contender for row in headline.ratings if row.rank_low == 1]
    if len(leaders) == 1:
        return f"{leaders[0]} is alone in first place."
    if not leaders:
        return "the votes leave every order open."
    if len(leaders) > 6:
        everyone = len(leaders) == len(headline.ratings)
        of = f"all {len(leaders)}" if everyone else f"{len(leaders)} of {len(headline.ratings)}"
        return f"the votes leave first place open among {of} contenders."
    return f"the votes leave first place open between {listed(leaders)}."


def _chosen_against_best(results: Results, headline: Preference) -> list[str]:
    best = next((r.contender for r in headline.ratings if r.contender != results.chosen), None)
    win = wins_of(headline, results.chosen).get(best or "")
    if best is None or win is None or win.value is None:
        return []
    told = f"{results.chosen} wins {number(win.value, 0)}% {interval(win, 0)} of its comparisons with {best}"
    claim = claim_against(results, best)
    mine, other = seconds_an_image(results, results.chosen), seconds_an_image(results, best)
    if not (mine and other and mine.value and other.value):
        return [f"{told}.", *claim]
    times = other.value / mine.value
    pace = f"{times:.3g} times as fast" if times >= 1 else f"{1 / times:.3g} times as slow"
    return [f"{told} and is {pace}.", *claim]


def _speeds(results: Results) -> list[str]:
    seconds = {
        name: found.value
        for name in results.contenders
        if (found := seconds_an_image(results, name)) and found.value
    }
    if len(seconds) < 2:
        return []
    fastest, slowest = min(seconds, key=lambda n: seconds[n]), max(seconds, key=lambda n: seconds[n])
    return [
        f"Fastest: {fastest}, {_told(seconds[fastest])} an image; slowest: {slowest}, {_told(seconds[slowest])}; "
        f"{results.device}."
    ]


def _told(seconds: float) -> str:
    return f"{seconds:.3g} s" if seconds >= 1 else f"{1000 * seconds:.3g} ms"
