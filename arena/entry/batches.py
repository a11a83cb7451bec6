"""Votes in batches: after so many the study pauses by itself, until the operator opens it for the next."""

from __future__ import annotations

from arena.db.assignments import Transaction

END = "batch_end"
"""Setting: votes with which the present batch is complete."""


def start_batch(tx: Transaction, size: int) -> None:
    """Begin a batch of `size` votes, counted from those that are in."""
    tx.set_setting(END, str(_voted(tx) + size))


def left_of_batch(tx: Transaction) -> int:
    """Pairs that may still be handed out before the study pauses."""
    return int(tx.setting(END, "0")) - sum(pair.taken for pair in tx.pairs())


def end_batch(tx: Transaction) -> None:
    """Pause the study where its batch is complete."""
    if tx.phase == "open" and _voted(tx) >= int(tx.setting(END, "0")):
        tx.set_setting("phase", "paused")


def _voted(tx: Transaction) -> int:
    return sum(pair.voted for pair in tx.pairs())
