"""The operator's table of participants, and the files that panels' bulk tools take."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from arena.db import raters as register
from arena.db.database import VoteDatabase
from arena.quality import Exclusion, RaterQuality, rater_quality
from bench.errors import InputError, unknown

PANEL_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""What a panel's own ids look like; anything else comes from an address typed by hand, and cannot be paid."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Participant:
    """One rater, for the person who pays."""

    provider: str
    """`prolific`, `mturk`, or '' for raters who came by another link."""
    participant: str
    panel_study: str
    panel_session: str
    rater: str
    votes: int
    """Answers, attention checks and repeats included."""
    checks: str
    """Passed of answered."""
    median_seconds: float | None
    verdict: str
    """`verified`, `unverified`, or why the votes do not count."""
    code: str
    """Which completion code was shown: `completed`, `full`, `screened_out`, or '' so far."""
    action: str
    """`approve`; `reject` (the operator excluded the rater); `review` (a rule did, or the id is not a panel's);
    `none` (nothing given, returned, or withdrawn before a code was owed)."""
    reason: str
    simulated: bool


def participants(database: VoteDatabase, exclusion: Exclusion) -> list[Participant]:
    """Everybody who came, by provider and participant."""
    with database.reading() as tx:
        rows = list(tx.log())
        unverified = register.unverified_checks(tx.db)
        aside = register.checks_set_aside(tx.db)
        people = register.all_raters(tx.db)
        panels = {row.rater_id: row for row in register.panel_rows(tx.db)}
    standings = {row.id: row.standing for row in people if row.standing}
    about = {one.rater: one for one in rater_quality(rows, unverified, standings, exclusion, aside)}
    found = [_participant(row, panels.get(row.id), about.get(row.id)) for row in people]
    return sorted(found, key=lambda one: (one.provider, one.participant, one.rater))


def _participant(rater: Any, panel: Any, about: RaterQuality | None) -> Participant:
    action, reason = _action(rater, panel, about)
    checks = about.checks_passed + about.checks_failed if about else 0
    return Participant(
        provider=panel.provider if panel else "",
        participant=panel.participant if panel else "",
        panel_study=panel.panel_study if panel else "",
        panel_session=panel.panel_session if panel else "",
        rater=rater.id,
        votes=rater.voted,
        checks=f"{about.checks_passed if about else 0}/{checks}",
        median_seconds=None
        if about is None or about.median_seconds is None
        else round(about.median_seconds, 2),
        verdict=about.verdict if about else "no answer",
        code=rater.code,
        action=action,
        reason=reason,
        simulated=rater.simulated,
    )


def _action(rater: Any, panel: Any, about: RaterQuality | None) -> tuple[str, str]:
    """What is to be done about a rater's pay, and why. No rater is rejected by a rule alone."""
    if rater.standing == "returned":
        return "none", rater.standing
    if rater.standing == "withdrawn":  # from the analysis; what was done is paid
        return ("approve" if rater.code else "none"), rater.standing
    if rater.standing == "excluded":
        return "reject", rater.standing_reason
    if not rater.voted and not rater.code:
        return "none", "no answer"
    if panel is not None and not PANEL_ID.fullmatch(panel.participant):
        return "review", "the id is none of the panel's"
    if about is not None and about.careless:
        return "review", about.excluded
    return "approve", ""


FILES = ("table", "prolific-approve", "prolific-reject", "prolific-bonus", "mturk-review", "mturk-bonus")


def payment_file(people: Sequence[Participant], kind: str, *, bonus: float | None = None) -> str:
    """A file for a panel's bulk tool.

    Parameters
    ----------
    kind: one of FILES. `prolific-approve`: ids, one a line; `prolific-reject`: id and reason;
        `prolific-bonus`: id and amount; `mturk-review`: a batch's review file; `mturk-bonus`: for the API.
    bonus: amount for each approved participant who completed, in the panel's currency.

    Raises
    ------
    InputError: unknown kind, a bonus file without an amount, or simulated raters, who are not paid.
    """
    if kind not in FILES:
        raise unknown("payment file", kind, FILES)
    if kind == "table":
        columns = [name for name in Participant.__slots__]
        return _csv(columns, ({name: getattr(one, name) for name in columns} for one in people))
    if any(one.simulated for one in people):
        raise InputError("this study's raters are simulated: there is no one to pay")
    mine = [one for one in people if one.provider == kind.split("-")[0]]
    if kind == "prolific-approve":
        return "".join(one.participant + "\n" for one in mine if one.action == "approve")
    if kind == "prolific-reject":
        rejected = [one for one in mine if one.action == "reject"]
        return _csv(
            ["participant", "reason"], ({"participant": o.participant, "reason": o.reason} for o in rejected)
        )
    if kind == "mturk-review":
        return _csv(
            ["HITId", "AssignmentId", "WorkerId", "Approve", "Reject"],
            (
                {
                    "HITId": one.panel_study,
                    "AssignmentId": one.panel_session,
                    "WorkerId": one.participant,
                    "Approve": "x" if one.action == "approve" else "",
                    "Reject": one.reason if one.action == "reject" else "",
                }
                for one in mine
                if one.action in ("approve", "reject")
            ),
        )
    return _bonus(mine, kind, bonus)


def _bonus(mine: Iterable[Participant], kind: str, bonus: float | None) -> str:
    if bonus is None or bonus <= 0:
        raise InputError(f"{kind} needs an amount above 0: --bonus 0.50")
    paid = [one for one in mine if one.action == "approve" and one.code == "completed"]
    if kind == "prolific-bonus":
        return "".join(f"{one.participant},{bonus:.2f}\n" for one in paid)
    return _csv(
        ["WorkerId", "AssignmentId", "BonusAmount"],
        (
            {"WorkerId": one.participant, "AssignmentId": one.panel_session, "BonusAmount": f"{bonus:.2f}"}
            for one in paid
        ),
    )


def _csv(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    from arena.results.export import safe_cell

    buffer = io.StringIO(newline="")
    writer = csv.DictWriter(buffer, columns, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: safe_cell(row[name]) for name in columns})
    return buffer.getvalue()
