"""`arena plan`: what a study takes, asked before its first rater is invited."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from arena.cli.arguments import DEFAULT_RESULTS, AsJson, Results, say, study_of

if TYPE_CHECKING:
    from bench.ratings.pilot import Pilot
    from bench.study.file import Arena
    from bench.study.study import Study

PlannedStudy = Annotated[
    str | None,
    typer.Argument(help="Study file, folder or name: its contenders, comparisons, prompts, ties and votes."),
]
WinRate = Annotated[float, typer.Option("--rate", help="Win rate to tell from one half.")]
Power = Annotated[float, typer.Option(help="Share of studies that should show it.")]
Contenders = Annotated[int | None, typer.Option(show_default="the study's, or 2")]
Compare = Annotated[
    str | None,
    typer.Option(help="all, or chosen: each against one.", show_default="the study's, or all"),
]
Prompts = Annotated[int | None, typer.Option(show_default="the study's, or 100")]
VotesPerPair = Annotated[
    int | None, typer.Option(help="Also say what so many would show.", show_default="the study's")
]
VotesPerRater = Annotated[
    int | None,
    typer.Option(
        help="Answers of one rater: all questions, checks and repeats.", show_default="the study's, or 40"
    ),
]
Checks = Annotated[
    float | None,
    typer.Option(help="Share of answers that are checks or repeats.", show_default="the study's, or 0"),
]
PilotVotes = Annotated[
    str | None,
    typer.Option(
        "--from",
        metavar="PILOT",
        help="Votes to estimate the SDs, ties and unevenness from: a study with votes, or a votes file.",
    ),
]
Spread = Annotated[
    float | None,
    typer.Option(
        help="Unevenness of raters: coefficient of variation of their numbers of votes.",
        show_default="0, or the pilot's where the study sets no limit",
    ),
]
Ties = Annotated[
    float | None,
    typer.Option(help="Share of ties between equals.", show_default="the pilot's, or 0.2"),
]
RaterSd = Annotated[
    float | None,
    typer.Option(help="How far raters differ about a contender, logits.", show_default="the pilot's, or 0.5"),
]
PromptSd = Annotated[
    float | None,
    typer.Option(help="How far a contender's prompts differ, logits.", show_default="the pilot's, or 0.7"),
]
Pay = Annotated[float, typer.Option(help="Of a rater, an hour.")]
Seconds = Annotated[float, typer.Option(help="A vote takes, loading and breaks included.")]
SetupMinutes = Annotated[float, typer.Option(help="Consent, instructions, practice; once a rater.")]
Repeats = Annotated[int, typer.Option(help="Simulated studies that check the answer; 0: none.")]


def plan(
    study: PlannedStudy = None,
    win_rate: WinRate = 0.55,
    power: Power = 0.8,
    contenders: Contenders = None,
    compare: Compare = None,
    prompts: Prompts = None,
    votes_per_pair: VotesPerPair = None,
    votes_per_rater: VotesPerRater = None,
    checks: Checks = None,
    pilot: PilotVotes = None,
    spread: Spread = None,
    ties: Ties = None,
    rater_sd: RaterSd = None,
    prompt_sd: PromptSd = None,
    pay: Pay = 12.0,
    seconds: Seconds = 8.0,
    setup_minutes: SetupMinutes = 3.0,
    repeats: Repeats = 100,
    seed: int = 0,
    results: Results = DEFAULT_RESULTS,
    as_json: AsJson = False,
) -> None:
    """How many prompts, raters and votes a claim takes, and what they cost, before the first rater is invited.

    Example: arena plan turbo-preference --rate 0.55

    Example: arena plan --rate 0.515 --contenders 2 --prompts 1632 --votes-per-rater 20

    Example: arena plan my-study --from results/pilot
    """
    from arena.cli.tables import show_pilot, show_plan
    from bench.ratings.designs import Cost
    from bench.ratings.planning import plan as planned

    asked = None if study is None else study_of(study, results)
    arena = None if asked is None else asked.file.arena
    count, pairs = _compared(asked, contenders, compare)
    found = None if pilot is None else _pilot(pilot, results)
    result = planned(
        rate=win_rate,
        contenders=count,
        comparisons=pairs,
        prompts=_prompts(asked, prompts),
        power=power,
        cost=Cost(pay=pay, seconds=seconds, setup_minutes=setup_minutes),
        repeats=repeats,
        seed=seed,
        **_session(arena, votes_per_pair, votes_per_rater, checks),
        **_assumed(arena, found, spread=spread, ties=ties, rater_sd=rater_sd, prompt_sd=prompt_sd),
    )
    if as_json:
        say({**asdict(result), "pilot": found and asdict(found)}, True)
        return
    if found is not None:
        show_pilot(found)
    show_plan(result)


def _compared(
    asked: Study | None, contenders: int | None, compare: str | None
) -> tuple[int, Sequence[tuple[int, int]]]:
    """The number of contenders and the compared pairs by index: the study's own where no option says otherwise."""
    from bench.ratings.designs import comparisons_of

    if asked is not None and compare is None and contenders is None:
        names = [c.name for c in asked.contenders]
        return len(names), [(names.index(a), names.index(b)) for a, b in asked.comparisons]
    if contenders is None:
        contenders = 2 if asked is None else len(asked.contenders)
    return contenders, comparisons_of(contenders, compare or "all")


def _prompts(asked: Study | None, prompts: int | None) -> int:
    if prompts is not None:
        return prompts
    return 100 if asked is None else len(asked.prompts)


def _session(
    arena: Arena | None, votes_per_pair: int | None, votes_per_rater: int | None, checks: float | None
) -> dict[str, Any]:
    """What one rater answers and what is asked of a pair, by argument of `bench.ratings.planning.plan`: the options,
    else the study's, else the usual ones."""
    from bench.ratings.designs import USUAL_VOTES_PER_RATER

    if votes_per_pair is None and arena is not None:
        votes_per_pair = arena.votes_per_pair
    if votes_per_rater is None:
        votes_per_rater = (arena.limit if arena else None) or USUAL_VOTES_PER_RATER
    if checks is None:
        checks = arena.checks if arena else 0.0
    return {
        "questions": len(arena.questions) if arena else 1,
        "checks": checks,
        "votes_per_rater": votes_per_rater,
        "votes_per_pair": votes_per_pair,
    }


def _assumed(
    arena: Arena | None,
    found: Pilot | None,
    *,
    spread: float | None,
    ties: float | None,
    rater_sd: float | None,
    prompt_sd: float | None,
) -> dict[str, Any]:
    """What is assumed of raters and prompts, by argument of `bench.ratings.planning.plan`: the options, else the
    pilot's, else the usual values."""
    if found is not None:
        open_ended = arena is None or arena.limit is None
        spread = (found.unevenness if open_ended else 0.0) if spread is None else spread
        ties = found.ties if ties is None and (arena is None or arena.ties) else ties
    return {
        "rater_sd": (found.rater.value if found else 0.5) if rater_sd is None else rater_sd,
        "prompt_sd": (found.prompt.value if found else 0.7) if prompt_sd is None else prompt_sd,
        "likely": () if found is None else found.likely(rater_sd, prompt_sd),
        "ties": (0.2 if arena is None or arena.ties else 0.0) if ties is None else ties,
        "spread": spread or 0.0,
    }


def _pilot(name: str, results: Path) -> Pilot:
    """Raises InputError: no votes, or too few."""
    from arena.cli.study_votes import study_votes
    from bench.ratings.pilot import estimate
    from bench.ratings.votes_file import read_votes

    if Path(name).is_file():
        return estimate(read_votes(Path(name)))
    return estimate(study_votes(name, "votes", results, None, style=False).table)
