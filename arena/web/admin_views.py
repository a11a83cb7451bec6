"""What the administrator's page shows, as HTML: progress, who met whom, the leaderboard, the raters.

Names of contenders and groups come from files and links, so all text is escaped.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape
from typing import TYPE_CHECKING, Any

from sqlalchemy import Row

from arena.db import raters
from arena.db.reports import all_reports
from arena.entry.stages import TAKES_PART
from arena.quality import RaterQuality
from arena.results.export import collect
from arena.voting import Desk, asked_of
from bench.errors import InputError
from bench.records import Battle

if TYPE_CHECKING:
    from bench.ratings.document import RatingRow, RatingsDocument

STYLE = """
.arena { font-size: 15px; line-height: 1.5; }
.arena table { border-collapse: collapse; margin: .25rem 0 1rem; font-variant-numeric: tabular-nums; }
.arena table, .arena tbody, .arena tr { border: 0 solid #8885 !important; }
.arena th { text-align: left; font-weight: 600; opacity: .75; }
.arena th, .arena td { padding: .4rem 1rem .4rem 0 !important; border: 0 solid #8885 !important;
  border-bottom-width: 1px !important; white-space: nowrap; }
.arena .n { text-align: right !important; } .arena .wide { width: 100%; min-width: 12rem; }
.arena .scroll { overflow-x: auto; } .arena small { opacity: .75; } .arena h3 { margin: 1rem 0 .25rem; }
.arena .bar { height: .6rem; border-radius: 1rem; background: #8883; overflow: hidden; max-width: 48rem;
  margin-bottom: .4rem; }
.arena .bar i { display: block; height: 100%; background: #2f7fd6; }
.arena .cell { text-align: center !important; padding: .4rem !important; border-radius: .3rem; min-width: 5rem; }
.arena .line { position: relative; height: 1.1rem; } .arena .line * { position: absolute; top: 50%; }
.arena .line i { height: 3px; margin-top: -1.5px; background: #2f7fd6; border-radius: 2px; }
.arena .line b { width: 10px; height: 10px; margin: -5px; border-radius: 50%; background: #2f7fd6; }
.arena .alarm { background: #c2410c; color: #fff; padding: .5rem .8rem; border-radius: .5rem; font-weight: 600; }
"""


def _box(content: str) -> str:
    return f'<style>{STYLE}</style><div class="arena">{content}</div>'


def progress(desk: Desk) -> str:
    """Phase, votes, raters, what was left out, what is simulated."""
    with desk.database.reading() as tx:
        rows, phase, states = tx.pairs(), tx.phase, tx.state_counts()
        people = raters.all_raters(tx.db)
    voted, wanted = sum(p.voted for p in rows), sum(map(asked_of, rows))
    share = 100 * voted / max(wanted, 1)
    lines = [
        f"<h2>{escape(desk.study.name)} is {phase}</h2>"
        f'<div class="bar"><i style="width:{min(share, 100):.1f}%"></i></div>'
        f"{voted:,} of {wanted:,} votes ({share:.1f}%); raters: {len(people):,}; "
        f"{sum(p.decided for p in rows)} of {len(rows)} pairs decided.",
        "Assignments: " + (", ".join(f"{n:,} {s}" for s, n in sorted(states.items())) or "none yet") + ".",
    ]
    lines += _pace_and_cost(desk, people)
    if desk.left_out:
        lines.append(f"{desk.left_out} pairs × prompts are not shown, because an image is missing.")
    if any(r.simulated for r in people):
        lines.insert(
            0, '<span class="alarm">SIMULATED VOTES: nothing here says anything about a model</span>'
        )
    return _box("<br>".join(lines))


PACE_MINUTES = 10
"""Over which votes a minute are counted."""


def _pace_and_cost(desk: Desk, people: Sequence[Row[Any]]) -> list[str]:
    """Votes a minute, raters whose votes count or do not, and what completed submissions cost so far."""
    with desk.database.reading() as tx:
        recent, active = tx.answers_since(desk.clock() - 60 * PACE_MINUTES)
    out = sum(r.standing not in TAKES_PART for r in people)
    completed = sum(r.code == "completed" and r.standing in TAKES_PART for r in people)
    lines = [
        f"{recent / PACE_MINUTES:.1f} answers a minute over the last {PACE_MINUTES} minutes, by {active:,} raters. "
        f"Completed: {completed:,} raters; votes do not count of: {out:,}."
    ]
    panel = desk.settings.panel
    if panel.reward is not None:
        lines.append(
            f"Cost so far: {completed * panel.reward * (1 + panel.fee):,.2f} ({completed:,} completed at "
            f"{panel.reward:,.2f}, panel's fee {panel.fee:.0%}; bonuses not included)."
        )
    return lines


def still_open(document: RatingsDocument) -> str:
    """Pairs whose 95% interval includes one half, the widest first."""
    rows = []
    for question, block in document.questions.items():
        if question != "overall" or len(document.questions) == 1:
            rows += [(question, row) for row in block.win_rates if not row.apart and row.rate is not None]
    rows.sort(key=lambda entry: (entry[1].low or 0.0) - (entry[1].high or 1.0))
    if not rows:
        return "<h3>Still open</h3>Every pair's interval excludes 50%."
    shown = [
        f"<li>{escape(question)}: {escape(row.a)} against {escape(row.b)} {100 * (row.rate or 0):.0f}% "
        f"[{100 * (row.low or 0):.0f}, {100 * (row.high or 1):.0f}], {row.n} votes</li>"
        for question, row in rows[:12]
    ]
    more = f"<li>and {len(rows) - 12} more</li>" if len(rows) > 12 else ""
    return f"<h3>Still open: {len(rows)} pairs</h3><ul>{''.join(shown)}{more}</ul>"


def matrix(desk: Desk) -> str:
    """For each question, how often the row's contender beat the column's: share, wins, votes."""
    with desk.database.reading() as tx:
        rows = tx.pairs()
    parts = []
    for question in sorted({p.question for p in rows}):
        mine = [p for p in rows if p.question == question]
        names = sorted({p.first for p in mine} | {p.second for p in mine})
        head = "".join(f'<th class="cell">{escape(name)}</th>' for name in names)
        body = "".join(
            f"<tr><th>{escape(a)}</th>{''.join(_met(mine, a, b) for b in names)}</tr>" for a in names
        )
        parts.append(
            f'<h3>{escape(question)}</h3><div class="scroll"><table><tr><td></td>{head}</tr>{body}</table></div>'
        )
    return _box(
        "".join(parts)
        + "<small>Row against column: share of wins, a tie half; votes given of votes wanted.</small>"
    )


def _met(rows: Sequence[Row[Any]], a: str, b: str) -> str:
    pair = next((p for p in rows if {p.first, p.second} == {a, b}), None)
    if a == b or pair is None:
        return '<td class="cell"></td>'
    wins, losses = pair.first_wins, pair.second_wins
    if a != pair.first:
        wins, losses = losses, wins
    decided = wins + losses + pair.ties
    share = (wins + pair.ties / 2) / decided if decided else 0.5
    colour = f"rgba(47,127,214,{share - 0.5:.2f})" if share >= 0.5 else f"rgba(214,110,47,{0.5 - share:.2f})"
    shown = f"{100 * share:.0f}%" if decided else "–"
    of = f"{pair.voted}, decided" if pair.decided else f"{pair.voted} of {pair.wanted}"
    return f'<td class="cell" style="background:{colour}">{shown}<br><small>{of}</small></td>'


def leaderboard(desk: Desk, rows: Sequence[Battle]) -> str:
    """Ratings with their 95% intervals, as numbers and as lines on one scale a question."""
    from bench.ratings.rate import Options, rate
    from bench.ratings.vote_table import code_battles

    options = Options(anchor=desk.study.file.report.anchor, bootstrap=0, shuffles=1)
    try:
        document = rate(code_battles(rows), study=desk.study.name, options=options)
    except InputError as error:
        return _box(escape(str(error)))
    left_out = ", ".join(f"{n} {why}" for why, n in document.excluded.items()) or "none"
    parts = [f"{document.n_votes:,} votes counted. Left out: {escape(left_out)}."]
    one = len(document.questions) == 2  # then `overall` is that question again
    for question, block in list(document.questions.items())[: 1 if one else None]:
        parts.append(f'<h3>{escape(question)}</h3><div class="scroll">{_board(block.ratings)}</div>')
    return _box("".join([*parts, still_open(document)]))


def _board(ratings: Sequence[RatingRow]) -> str:
    known = [v for r in ratings for v in (r.rating, r.low, r.high) if v is not None]
    low, span = (min(known), max(max(known) - min(known), 1.0)) if known else (0.0, 1.0)
    lines = []
    for r in ratings:
        drawn = ""
        if r.rating is not None:
            drawn = f'<b style="left:{100 * (r.rating - low) / span:.1f}%"></b>'
        if r.low is not None and r.high is not None:
            left, width = 100 * (r.low - low) / span, 100 * (r.high - r.low) / span
            drawn = f'<i style="left:{left:.1f}%;width:{width:.1f}%"></i>{drawn}'
        lines.append(
            f'<tr><td>{escape(r.contender)}</td><td class="n">{_whole(r.rating)}</td>'
            f'<td class="n"><small>[{_whole(r.low)}, {_whole(r.high)}]</small></td><td class="n">{r.n}</td>'
            f'<td class="wide"><div class="line">{drawn}</div></td></tr>'
        )
    head = '<tr><th>contender</th><th class="n">rating</th><th class="n">95%</th><th class="n">votes</th><td></td></tr>'
    return f"<table>{head}{''.join(lines)}</table>"


def _whole(value: float | None) -> str:
    return "–" if value is None else f"{value:.0f}"


RATER_COLUMNS = ["rater", "group", "votes", "checks", "repeats", "median s", "same side", "ties", "verdict"]


def rater_rows(about: Sequence[RaterQuality]) -> list[list[Any]]:
    """One row a rater, as `arena.quality.rater_quality` sees them; checks and repeats as passed of asked."""
    return [
        [
            t.rater[:8],
            t.group,
            t.votes,
            f"{t.checks_passed}/{t.checks_passed + t.checks_failed}",
            f"{t.repeats_same}/{t.repeats}",
            None if t.median_seconds is None else round(t.median_seconds, 1),
            f"{100 * t.same_side:.0f}%",
            f"{100 * t.ties:.0f}%",
            t.verdict,
        ]
        for t in about
    ]


REPORT_COLUMNS = ["reported (UTC)", "reason", "contender", "prompt", "replicate", "question", "rater"]


def report_rows(desk: Desk) -> list[list[Any]]:
    """One row an image that a rater reported, newest first; both images where the rater said both."""
    with desk.database.reading() as tx:
        found = all_reports(tx.db)
    rows = []
    for one in found:
        when = datetime.fromtimestamp(one.created, UTC).strftime("%Y-%m-%d %H:%M")
        for side in ("left", "right") if one.comment == "both" else (one.comment,):
            contender, prompt = (one.left, one.prompt_id) if side == "left" else (one.right, one.prompt_id)
            where = [contender, prompt, one.replicate, one.question, one.rater_id[:8]]
            rows.append([when, one.reason.replace("_", " "), *where])
    return rows


def everything(desk: Desk) -> tuple[str, str, str, list[list[Any]], list[list[Any]]]:
    """Progress, matrix, leaderboard, raters and reports; the log is read once."""
    rows, about = collect(desk.database, desk.prompts, desk.exclusion, desk.images.made)
    return progress(desk), matrix(desk), leaderboard(desk, rows), rater_rows(about), report_rows(desk)
