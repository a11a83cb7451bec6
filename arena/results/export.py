"""Votes out and in: battles for any tool, the signed log for verification."""

from __future__ import annotations

import csv
import hashlib
import hmac
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from sqlalchemy import func, insert, select, update

from arena.db import raters as register
from arena.db.database import VoteDatabase
from arena.db.rows import HandedOut, Logged, Vote, field_names
from arena.db.schema import assignments, cells, pairs, raters, votes
from arena.db.vote_log import UNDO, Images, battles, image_changed, verify_chain
from arena.quality import Exclusion, RaterQuality, rater_quality
from bench.errors import InputError, unknown
from bench.records import Battle, Prompt, from_dict, to_json

FORMATS = {"jsonl": "jsonl", "csv": "csv", "parquet": "parquet", "pairs": "pairs.csv", "log": "log.jsonl"}
"""Format → file ending. `pairs`: model_a, model_b, winner, as other tools read; `log`: the hash chain."""

WINNER = {"left": "model_a", "right": "model_b", "tie": "tie", "both_bad": "tie (bothbad)"}


def collect(
    database: VoteDatabase,
    prompts: Mapping[str, Prompt],
    exclusion: Exclusion,
    images: Images | None = None,
) -> tuple[list[Battle], list[RaterQuality]]:
    """Every standing answer, those that do not count marked with the reason, and what is known of each rater.

    Parameters
    ----------
    prompts: by id.
    exclusion: the study's rules.
    images: the study's images as they are now; votes on others do not count. None: not compared.
    """
    with database.reading() as tx:
        rows = list(tx.log())
        unverified = register.unverified_checks(tx.db)
        aside = register.checks_set_aside(tx.db)
        standings = {rater.id: rater.standing for rater in register.all_raters(tx.db) if rater.standing}
    about = rater_quality(rows, unverified, standings, exclusion, aside)
    excluded = {one.rater: one.excluded for one in about if one.excluded}
    changed = set() if images is None else {row.seq for row in rows if image_changed(row, images)}
    rules = {one.rater: one.rules for one in about if one.rules}
    return battles(rows, prompts, excluded, changed, rules), about


def exported(
    database: VoteDatabase,
    prompts: Mapping[str, Prompt],
    kind: str,
    exclusion: Exclusion,
    images: Images | None = None,
) -> bytes:
    """The votes as a file's bytes; parameters as of `collect`. Raises InputError for an unknown format."""
    if kind not in FORMATS:
        raise unknown("format", kind, FORMATS)
    if kind == "log":
        return export_log(database)
    rows, _ = collect(database, prompts, exclusion, images)
    if kind == "jsonl":
        return "".join(to_json(row) + "\n" for row in rows).encode()
    if kind == "parquet":
        return _parquet(rows)
    if kind == "pairs":
        pairs_ = [_as_pair(row) for row in rows if row.kind == "vote" and not row.excluded]
        # A reader of such a table wants a column filled or absent: prompts without a category have neither.
        filled = [c for c in _PAIR_COLUMNS if c in _NEEDED or all(row[c] not in ("", None) for row in pairs_)]
        return _csv(pairs_, filled)
    return _csv([asdict(row) for row in rows], [f.name for f in fields(Battle)])


_PAIR_COLUMNS = ["model_a", "model_b", "winner", "rater", "prompt", "question", "category", "challenge"]
_PAIR_COLUMNS += ["group", "probability"]
_NEEDED = ("model_a", "model_b", "winner")


def _as_pair(row: Battle) -> dict[str, Any]:
    return {
        "model_a": row.left,
        "model_b": row.right,
        "winner": WINNER[row.outcome],
        "rater": row.rater,
        "prompt": row.prompt_id,
        "question": row.question,
        "category": row.category,
        "challenge": row.challenge,
        "group": row.group,
        "probability": row.probability,
    }


def safe_cell(value: Any) -> Any:
    """Text that a spreadsheet would run as a formula gets an apostrophe in front."""
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r"):
        return "'" + value
    return value


def _csv(rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> bytes:
    buffer = io.StringIO(newline="")
    writer = csv.DictWriter(buffer, columns, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: safe_cell(row[name]) for name in columns})
    return buffer.getvalue().encode()


def _parquet(rows: Sequence[Battle]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds = {
        "replicate": pa.int32(),
        "probability": pa.float64(),
        "seconds": pa.float64(),
        "simulated": pa.bool_(),
        "scale": pa.int32(),
        "picture_side": pa.int32(),
        "viewport_width": pa.int32(),
        "viewport_height": pa.int32(),
        "pixel_ratio": pa.float64(),
        "away": pa.float64(),
    }
    schema = pa.schema([(f.name, kinds.get(f.name, pa.string())) for f in fields(Battle)])
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([asdict(row) for row in rows], schema), sink)
    return sink.getvalue()


def export_log(database: VoteDatabase) -> bytes:
    """The chain, a row a line, and a signed last line, so that a cut-off end shows."""
    with database.reading() as tx:
        lines = [to_json(row) for row in tx.log()]
        head = tx.head
    lines.append(
        json.dumps({"votes": len(lines), "head": head, "seal": _seal(database.key, len(lines), head)})
    )
    return ("\n".join(lines) + "\n").encode()


def _seal(key: bytes, count: int, head: str) -> str:
    return hmac.new(key, f"end {count} {head}".encode(), hashlib.sha256).hexdigest()


def read_log(path: Path, key: bytes) -> list[Logged]:
    """Rows of an exported log, verified. Raises InputError naming the vote at which it breaks."""
    lines = path.read_text(encoding="utf-8").splitlines()
    rows = []
    for number, line in enumerate(lines, 1):
        try:
            data = json.loads(line)
        except ValueError:
            raise InputError(f"{path}:{number}: not JSON: export the log again") from None
        if "seal" in data:
            if number != len(lines) or data["votes"] != len(rows):
                raise InputError(f"{path}:{number}: the log goes on after its end, or rows are missing")
            if not hmac.compare_digest(str(data["seal"]), _seal(key, len(rows), str(data["head"]))):
                raise InputError(f"{path}:{number}: the end was not written with this key")
            verify_chain(key, rows, data["head"])
            return rows
        rows.append(from_dict(Logged, data, f"{path}:{number}"))
    raise InputError(f"{path}: the signed last line is missing: the log was cut off")


def import_log(database: VoteDatabase, rows: Sequence[Logged]) -> int:
    """Replay a verified log into tables that hold the pool of the same study and no vote yet.

    Raises InputError: there are votes already, or a pair is not in the pool.
    """
    import secrets

    with database.writing() as tx:
        if tx.db.scalar(select(func.count()).select_from(assignments)):
            raise InputError("this study has votes already: import into a fresh database (--database)")
        pool = {(c.id, c.prompt_id, c.replicate): c.pair_id for p in tx.pairs() for c in tx.cells(p.id)}
        known: set[str] = set()
        last: dict[int, Logged] = {}
        for row in rows:
            if row.rater_id not in known:
                known.add(row.rater_id)
                register.add_rater(
                    tx.db, row.rater_id, now=row.issued, group=row.group_label, simulated=row.simulated
                )
            if row.cell_id is not None and (row.cell_id, row.prompt_id, row.replicate) not in pool:
                raise InputError(f"vote {row.seq} is of a pair that this study's images do not have")
            if row.assignment_id not in last:
                own = {name: getattr(row, name) for name in field_names(HandedOut)}
                unused = {name: secrets.token_urlsafe(24) for name in ("token", "left_token", "right_token")}
                own |= {"id": row.assignment_id, "state": "voted", "expires": row.created, **unused}
                tx.db.execute(insert(assignments).values(**own))
            last[row.assignment_id] = row
            tx.db.execute(insert(votes).values(**{name: getattr(row, name) for name in field_names(Vote)}))
        for row in last.values():
            one = tx.assignment(row.assignment_id)
            standing = row.answer != UNDO
            state = "voted" if standing else "expired"
            tx.db.execute(
                update(assignments)
                .where(assignments.c.id == one.id)
                .values(state=state, revision=row.revision)
            )
            if not standing:
                continue
            tx.count(one, row.answer, 1)
            if row.cell_id is not None:
                pair_id = pool[row.cell_id, row.prompt_id, row.replicate]
                tx.db.execute(update(cells).where(cells.c.id == row.cell_id).values(taken=cells.c.taken + 1))
                tx.db.execute(update(pairs).where(pairs.c.id == pair_id).values(taken=pairs.c.taken + 1))
        for rater in known:
            numbers = [row.number for row in rows if row.rater_id == rater]
            tx.db.execute(update(raters).where(raters.c.id == rater).values(issued=max(numbers) + 1))
        if rows:
            tx.set_chain(rows[-1].seq, rows[-1].hash)
    return len(rows)
