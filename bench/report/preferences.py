"""What ratings.json says of the votes, as the report reads it: ratings, win rates, and how far they carry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar

from bench.errors import InputError

OVERALL = "overall"
"""Key of ratings.json under which the votes of all questions stand together."""
MEAN = "mean"
"""Anchor of ratings.json where 1000 is nobody's but the mean of all."""

Part = TypeVar("Part")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rating:
    contender: str
    rating: float | None
    """Elo scale: 400 points are odds of 10 to 1; None where the fit has no finite estimate."""
    low: float | None = None
    high: float | None = None
    rank_low: int | None = None
    """Best rank the votes allow, 1-based; with `rank_high` the rank set."""
    rank_high: int | None = None
    n: int | None = None
    """Votes this contender was part of."""
    both_bad_rate: float | None = None
    """Share of those votes that called both pictures bad."""
    both_bad_low: float | None = None
    both_bad_high: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WinRate:
    a: str
    b: str
    rate: float | None
    """Share of votes for `a` over `b`, 0 to 1, ties half; None: no vote decided anything."""
    low: float | None = None
    high: float | None = None
    n: int | None = None
    detectable: float | None = None
    """Points from 50% that these votes would have shown in four studies of five, the pair on its own."""

    @property
    def apart(self) -> bool:
        """Whether the interval leaves 50% out."""
        return self.low is not None and self.high is not None and (self.low > 0.5 or self.high < 0.5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Rating of `a` minus rating of `b`, points; the 95% intervals of all pairs hold jointly."""

    a: str
    b: str
    difference: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainRating:
    """A Bradley–Terry rating with ties as half wins, points."""

    contender: str
    rating: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class EloRating:
    """A sequential Elo rating, the mean over shuffled orders of the votes."""

    contender: str
    rating: float
    order_spread: float
    """Standard deviation over the shuffles: noise of the order, not of the votes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AverageWin:
    contender: str
    rate: float | None
    """Mean win rate over the opponents it met, 0 to 1."""
    low: float | None = None
    high: float | None = None
    n: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """The votes on the prompts of one category or challenge."""

    level: str
    n: int
    """Votes."""
    wins: tuple[AverageWin, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RaterAgreement:
    """How far raters agree with each other and with themselves."""

    alpha: float | None = None
    """Krippendorff's, nominal."""
    alpha_low: float | None = None
    alpha_high: float | None = None
    units: int = 0
    repeat_consistency: float | None = None
    repeats: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Equivalence:
    """Two one-sided tests of one pair against a margin, in win-rate points."""

    a: str
    b: str
    difference: float
    """Win rate of `a` minus 50."""
    low: float
    """90% interval, as two one-sided tests at 5% have it."""
    high: float
    margin: float
    p_a_not_worse: float
    """Small: `a` is not worse than `b` by the margin."""
    p_b_not_worse: float
    p_equivalent: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """One pair by the stopping rule, which may be asked after every vote."""

    a: str
    b: str
    n: int
    rate: float
    """Of `a`, 0 to 1; low and high are the ends of a 95% confidence sequence."""
    low: float
    high: float
    p_adjusted: float
    """Holm over all pairs."""
    decided: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class FewVotes:
    """The fewest votes found without which somebody else is first."""

    votes: int | None = None
    """None: no removal of up to half the votes changes the first place."""
    share: float | None = None
    challenger: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Quartile:
    """The ratings by a quarter of the raters."""

    quartile: int
    """1: those who agree least with the others."""
    consistency: float
    """Their share of votes with the majority of the others."""
    raters: int
    votes: int
    note: str = ""
    ratings: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Robustness:
    """What the first place hangs on."""

    few_votes: FewVotes | None = None
    """None: there is no fit."""
    without_rater: tuple[str, ...] = ()
    """First place without one rater, for each rater whose absence changes it."""
    cycles: int = 0
    """Triples of which each beats the next."""
    clear_cycles: int = 0
    """Those of them whose three intervals all leave 50% out."""
    winner: str | None = None
    """The contender that beats every other, if one does."""
    quartiles: tuple[Quartile, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Preference:
    """The answers to one question."""

    question: str
    ratings: tuple[Rating, ...]
    """Best first."""
    win_rates: tuple[WinRate, ...]
    average_wins: tuple[AverageWin, ...] = ()
    n: int | None = None
    """Votes counted."""
    n_raters: int | None = None
    n_prompts: int | None = None
    n_raters_effective: float | None = None
    """Raters who give equally many votes that would be worth as much (Kish); at most `n_raters`."""
    n_prompts_effective: float | None = None
    notes: tuple[str, ...] = ()
    by_category: tuple[Slice, ...] = ()
    by_challenge: tuple[Slice, ...] = ()
    differences: tuple[Difference, ...] = ()
    bradley_terry: tuple[PlainRating, ...] = ()
    elo: tuple[EloRating, ...] = ()
    agreement: RaterAgreement = RaterAgreement()
    equivalence: tuple[Equivalence, ...] = ()
    stopping: tuple[Decision, ...] = ()
    robustness: Robustness = Robustness()


def read_preferences(document: Mapping[str, Any], where: str) -> dict[str, Preference]:
    """By question, `overall` first. document: ratings.json, empty where there is none; where: its path.

    Raises InputError: a row lacks a field.
    """
    questions = document.get("questions") or {}
    order = sorted(questions, key=lambda name: name != OVERALL)
    found = {}
    for name in order:
        part = questions[name] or {}
        ratings = [_part(Rating, row, where) for row in part.get("ratings") or []]
        wins = tuple(_part(WinRate, row, where) for row in part.get("win_rates") or [])
        if ratings or wins:
            found[name] = Preference(
                question=name,
                ratings=tuple(sorted(ratings, key=_place)),
                win_rates=wins,
                average_wins=_averages(part, where),
                n=part.get("n"),
                n_raters=part.get("n_raters"),
                n_prompts=part.get("n_prompts"),
                n_raters_effective=part.get("n_raters_effective"),
                n_prompts_effective=part.get("n_prompts_effective"),
                notes=tuple(str(note) for note in part.get("notes") or ()),
                by_category=_slices(part.get("by_category") or {}, where),
                by_challenge=_slices(part.get("by_challenge") or {}, where),
                agreement=_part(RaterAgreement, part.get("agreement") or {}, where),
                differences=tuple(_part(Difference, row, where) for row in part.get("differences") or []),
                bradley_terry=tuple(
                    _part(PlainRating, row, where) for row in part.get("bradley_terry") or []
                ),
                elo=tuple(_part(EloRating, row, where) for row in part.get("elo_add") or []),
                equivalence=tuple(_part(Equivalence, row, where) for row in part.get("equivalence") or []),
                stopping=tuple(_part(Decision, row, where) for row in part.get("stopping") or []),
                robustness=_robustness(part.get("robustness") or {}, where),
            )
    return found


def _averages(part: Mapping[str, Any], where: str) -> tuple[AverageWin, ...]:
    return tuple(_part(AverageWin, row, where) for row in part.get("average_win_rates") or [])


def _slices(levels: Mapping[str, Mapping[str, Any]], where: str) -> tuple[Slice, ...]:
    return tuple(
        Slice(
            level=level,
            n=part.get("n") or 0,
            wins=_averages(part, where),
        )
        for level, part in sorted(levels.items())
    )


def _robustness(block: Mapping[str, Any], where: str) -> Robustness:
    few, cycles = block.get("few_votes"), block.get("condorcet") or {}
    return Robustness(
        few_votes=None if few is None else _part(FewVotes, few, where),
        # Who the raters are is not for the page: a package of the same study numbers them anew.
        without_rater=tuple(first for _, first in block.get("flipping_raters") or []),
        cycles=cycles.get("count") or 0,
        clear_cycles=cycles.get("clear") or 0,
        winner=cycles.get("winner"),
        quartiles=tuple(_part(Quartile, row, where) for row in block.get("consistency_quartiles") or []),
    )


def _place(row: Rating) -> tuple[bool, float, str]:
    return row.rating is None, -(row.rating or 0.0), row.contender


def _part(kind: type[Part], data: Mapping[str, Any], where: str) -> Part:
    """The fields the report needs; ratings.json says more than that."""
    known = {f.name for f in fields(kind)}  # pyright: ignore[reportArgumentType]
    try:
        return kind(**{key: value for key, value in data.items() if key in known})
    except TypeError as error:
        raise InputError(f"{where}: {error}: run `arena rate` again") from None
