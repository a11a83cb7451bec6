"""Ratings and plans on a terminal: tables for people, a bar while they wait."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table

from bench.ratings.pilot import Pilot
from bench.ratings.plan_words import sentences
from bench.ratings.planning import Plan

SHOWN_DESIGNS = 6
SHOWN = 12
"""Pairs of a question printed at most; the file holds all."""


@contextmanager
def rating(stages: int) -> Iterator[Callable[[str], None]]:
    """A bar on stderr that moves with each stage of `bench.ratings.rate.rate`."""
    columns = (
        SpinnerColumn(),
        BarColumn(20),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}", markup=False),
    )
    with Progress(
        *columns, console=Console(stderr=True, markup=False, emoji=False), transient=True
    ) as progress:
        task = progress.add_task("reading", total=stages)
        begun = 0

        def stage(text: str) -> None:
            nonlocal begun
            progress.update(task, description=text, completed=begun)
            begun += 1

        yield stage


def show_pilot(pilot: Pilot) -> None:
    """What the pilot's votes say, each with its 90% interval."""
    console = Console()
    if pilot.simulated:
        console.print("SIMULATED VOTES: this pilot says nothing about people", style="bold red")
    spreads = [
        f"{name} differ with SD {spread.value:.2f} [{spread.low:.2f}, {spread.high:.2f}]"
        for name, spread in (("raters", pilot.rater), ("prompts", pilot.prompt))
    ]
    console.print(
        f"Pilot of {pilot.votes:,} votes by {pilot.raters:,} raters on {pilot.prompts:,} prompts: "
        f"{', '.join(spreads)} logits (90%); equals tie in {pilot.ties:.0%}; votes a rater vary by "
        f"{pilot.unevenness:.0%} of their mean.",
        highlight=False,
        markup=False,
    )


def show_plan(planned: Plan) -> None:
    """The answer in sentences, the designs that reach the power with what each costs, and the assumptions."""
    console = Console(markup=False, emoji=False)
    for text in sentences(planned):
        console.print(text, highlight=False, soft_wrap=not console.is_terminal)
    rows = [
        {
            "prompts": f"{design.prompts:,}",
            "answers a rater": f"{design.votes_per_rater}",
            "raters": f"{design.raters:,}",
            "votes": f"{design.votes * planned.questions:,}",
            "hours": f"{design.hours:,.0f}",
            "pay": f"{design.money:,.0f}",
        }
        for design in planned.designs[:SHOWN_DESIGNS]
    ]
    if rows:
        title = f"Designs that show {planned.rate:.1%} in {planned.target_power:.0%} of studies, the cheapest first"
        _show_rows(console, f"{title}; votes on all questions" if planned.questions > 1 else title, rows)
    assumed = "Assumed: " + "; ".join(planned.assumptions) + "."
    console.print(assumed, style="dim", highlight=False, soft_wrap=not console.is_terminal)


def show_ratings(document: dict[str, Any]) -> None:
    """Of a document as JSON has it (`bench.ratings.document.to_dict`)."""
    console = Console(markup=False, emoji=False)
    if document["simulated"]:
        console.print("SIMULATED VOTES: these ratings say nothing about the models", style="bold red")
    questions = document["questions"]
    only = len({id(block) for block in questions.values()}) == 1 or len(questions) == 2
    for question, block in questions.items():
        if not (only and len(questions) > 1 and question == "overall"):
            _show_question(console, question, block)
    left_out = ", ".join(f"{reason} {count:,}" for reason, count in document["excluded"].items())
    console.print(
        f"{document['n_votes']:,} votes; left out: {left_out or 'none'}. Rating: 1000 is "
        f"{'the mean' if document['anchor'] == 'mean' else document['anchor']}, 400 points are odds of 10 to 1. "
        "Intervals: 95%. Rank: places that the joint intervals leave open.",
        style="dim",
        highlight=False,
    )


def _show_question(console: Console, question: str, block: dict[str, Any]) -> None:
    counts = [_counted(block, name) for name in ("raters", "prompts") if block[f"n_{name}"] is not None]
    title = ", ".join([f"{question}: {block['n']:,} votes", *counts])
    columns = ["rank", "contender", "rating", "95%", "wins", "95% ", "both bad", "votes"]
    rows = []
    average = {row["contender"]: row for row in block["average_win_rates"]}
    for row in block["ratings"]:
        wins = average[row["contender"]]
        cells = (
            _rank(row["rank_low"], row["rank_high"]),
            row["contender"],
            _points(row["rating"]),
            _range(_points(row["low"]), _points(row["high"])),
            _share(wins["rate"]),
            _range(_share(wins["low"]), _share(wins["high"])),
            _share(row["both_bad_rate"]),
            f"{row['n']:,}",
        )
        rows.append(dict(zip(columns, cells, strict=True)))
    _show_rows(console, title, rows)
    for note in [*block["notes"], *_findings(block)]:
        console.print(f"  {note}", highlight=False, soft_wrap=True)
    console.print()


DROPPED_FIRST = ("votes", "both bad", "95% ", "wins", "95%", "rank")
"""Columns that leave a table where it is too narrow, in order: a contender's name is never cut, and of two intervals
that of the rating stays longer."""


def _show_rows(console: Console, title: str, rows: list[dict[str, str]]) -> None:
    """A table as wide as the terminal; aligned rows without lines where there is none."""
    widths = {name: max(len(name), *(len(row[name]) for row in rows)) for name in rows[0]}
    if not console.is_terminal:
        console.print(title, soft_wrap=True, highlight=False)
        for row in [{name: name for name in widths}, *rows]:
            cells = [
                cell.ljust(widths[name]) if name in ("rank", "contender") else cell.rjust(widths[name])
                for name, cell in row.items()
            ]
            console.print("  ".join(cells).rstrip(), soft_wrap=True, highlight=False)
        return
    left_out = []
    for name in DROPPED_FIRST:
        if sum(widths.values()) + 3 * len(widths) + 1 <= console.width:
            break
        del widths[name]
        left_out.append(name)
    table = Table(title=title, title_justify="left")
    for name in widths:
        table.add_column(name, justify="left" if name in ("rank", "contender") else "right", overflow="fold")
    for row in rows:
        table.add_row(*(row[name] for name in widths))
    console.print(table)
    if left_out:
        console.print("  a wider terminal, or --json, shows more columns", style="dim")


def _counted(block: dict[str, Any], name: str) -> str:
    """`40 raters (3.9 effective)`: Kish's number beside the count."""
    return f"{block[f'n_{name}']:,} {name} ({block[f'n_{name}_effective']:,.1f} effective)"


def _findings(block: dict[str, Any]) -> list[str]:
    """What else a reader should know, a line each."""
    said = []
    left = block["position_effect"]
    if left["left_rate"] is not None:
        said.append(
            f"left side: {_share(left['left_rate'])} of decided votes "
            f"({_range(_share(left['left_low']), _share(left['left_high']))})"
        )
    for name, effect in block.get("position_by_arrangement", {}).items():
        within = _range(_share(effect["left_low"]), _share(effect["left_high"]))
        where = "upper side, stacked" if name == "stacked" else "left side, side by side"
        said.append(f"{where}: {_share(effect['left_rate'])} of {effect['n']:,} decided votes ({within})")
    if ordered := block.get("seven_points"):
        places = ", ".join(f"{row['contender']} {_points(row['rating'])}" for row in ordered["ratings"])
        said.append(f"{ordered['n']:,} seven-point answers, as ordered: {places or ordered['note']}")
    few = block["robustness"]["few_votes"]
    if few and few["votes"] is not None:
        said.append(
            f"first place: {few['votes']:,} votes ({few['share']:.1%}) fewer, and it is {few['challenger']}'s"
        )
    for rater, first in block["robustness"]["flipping_raters"]:
        said.append(f"first place: without rater {rater} it is {first}'s")
    cycles = block["robustness"]["condorcet"]
    if cycles["clear"]:
        said.append(
            f"{cycles['clear']} of {cycles['count']} cycles of three (a beats b beats c beats a) are clear"
        )
    alike = block["agreement"]
    if alike["alpha"] is not None:
        within = _range(_number(alike["alpha_low"]), _number(alike["alpha_high"]))
        said.append(
            f"raters agree: alpha {alike['alpha']:.2f} ({within}), "
            f"same answer {_share(alike['percent'])} on {alike['units']:,} shared pairs of images"
        )
    decided = sum(row["decided"] for row in block["stopping"])
    if block["stopping"]:
        said.append(
            f"stopping rule: {decided} of {len(block['stopping'])} pairs are decided, whenever one looks"
        )
    equivalent = [row for row in block["equivalence"] if row["p_equivalent"] < 0.05]
    for row in equivalent[:SHOWN]:
        said.append(f"equivalent within {row['margin']:g} points: {row['a']} and {row['b']}")
    return said


def _rank(low: int | None, high: int | None) -> str:
    return "–" if low is None or high is None else str(low) if low == high else f"{low}–{high}"


def _points(value: float | None) -> str:
    return "–" if value is None else f"{value:.0f}"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _range(low: str, high: str) -> str:
    return "–" if low == high == "–" else f"{low} to {high}"
