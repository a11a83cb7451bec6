"""Votes → strengths: Davidson (Bradley–Terry with ties) and Bradley–Terry, by Newton on counts.

One vote between left l and right r, with d = strength_l − strength_r + position, has the probabilities
left : right : tie = exp(d/2) : exp(−d/2) : exp(tie). Sources: Davidson 1970, JASA 65(329); position effect
after Davidson and Beaver 1977, Biometrics 33(4). `both_bad` is no point on this scale: it is left out here
and reported as a rate of its own (`bench.ratings.winrates`). Counts, not votes, enter: ten million cost as ten do.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.errors import InputError
from bench.ratings.sparse_fit import LIMIT, sparse_newton
from bench.ratings.vote_table import TIE, VoteTable, blocks

Floats = NDArray[np.float64]

SCALE = 400 / math.log(10)
"""Rating points a logit: 400 points are odds of 10 to 1."""
CENTRE = 1000.0
"""Rating of the anchor."""
MANY_CONTENDERS = 500
"""Above it fits take sparse steps, and what needs every pair of contenders is bounded or left out, with a note."""


class SeparationError(InputError):
    """Some contenders never lost (or never won) against the rest, so their strength is infinite."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    contenders: tuple[str, ...]
    strength: Floats
    """(m,) logits, sum 0."""
    position: float | None
    """Logits in favour of the left side; None: not modelled, see `notes`."""
    tie: float | None
    """Log of Davidson's ν; None: no tie was given, or ties are half wins (Bradley–Terry)."""
    counts: Floats
    """(m, m, 3) weighted votes by left, right and outcome, as the model saw them."""
    information: Floats
    """(p, p) negative Hessian over strengths, then position, then tie where modelled; penalty included."""
    penalty: float
    """Precision of the normal prior on the strengths; 0: maximum likelihood."""
    iterations: int
    notes: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        return len(self.strength)


def count_votes(table: VoteTable) -> Floats:
    """(m, m, 4) weighted votes by left, right and outcome."""
    m = len(table.contenders)
    counts = np.zeros(m * m * 4)
    for part in blocks(len(table)):
        cell = (table.left[part].astype(np.int64) * m + table.right[part]) * 4 + table.outcome[part]
        np.add.at(counts, cell, table.weight[part])
    return counts.reshape(m, m, 4)


def davidson(
    contenders: tuple[str, ...], counts: Floats, *, position: bool = True, penalty: float = 0.0
) -> Fit:
    """Fit of counts (m, m, 3 or 4). A position effect that the design cannot tell apart from the
    contenders (each pair always shown one way round) is left out, with a note.

    Raises InputError: no votes, ties only, groups of contenders that never met, no convergence;
    SeparationError (an InputError): strengths without a finite estimate, unless `penalty` > 0.
    """
    counts = np.ascontiguousarray(counts[..., :3], dtype=np.float64)
    notes: list[str] = []
    check_graph(contenders, counts, separation=penalty == 0)
    if not counts[..., :TIE].any():
        raise InputError("every vote is a tie: nothing tells the contenders apart; collect more votes")
    ties = bool(counts[..., TIE].sum() > 0)
    if not ties:
        notes.append("no ties were given: the tie parameter is not estimated")
    if position and not position_identified(counts):
        position = False
        notes.append("the design cannot separate a left-position effect: it is not estimated")
    fit = _fit(contenders, counts, ties=ties, position=position, penalty=penalty, notes=tuple(notes))
    if fit is None and position:
        notes.append("the left-position effect has no finite estimate: it is not estimated")
        fit = _fit(contenders, counts, ties=ties, position=False, penalty=penalty, notes=tuple(notes))
    if fit is None:
        raise InputError(
            "the Davidson fit does not converge: the votes are nearly separated; "
            "collect more votes (their win rates stand)"
        )
    return fit


def bradley_terry(
    contenders: tuple[str, ...], counts: Floats, *, position: bool = False, penalty: float = 0.0
) -> Fit:
    """As `davidson`, with a tie as half a win for each side: what other boards report."""
    halved = np.zeros((*counts.shape[:2], 3))
    halved[..., 0] = counts[..., 0] + counts[..., TIE] / 2
    halved[..., 1] = counts[..., 1] + counts[..., TIE] / 2
    check_graph(contenders, halved, separation=penalty == 0)
    notes = ("ties count as half a win",)
    if position and not position_identified(halved):
        position = False
        notes += ("the design cannot separate a left-position effect: it is not estimated",)
    fit = _fit(contenders, halved, ties=False, position=position, penalty=penalty, notes=notes)
    if fit is None:
        raise InputError("the Bradley–Terry fit does not converge: the votes are nearly separated")
    return fit


def check_graph(contenders: tuple[str, ...], counts: Floats, *, separation: bool = True) -> None:
    """Whether finite relative strengths exist (Ford 1957): every contender can be reached from every
    other by wins and ties. Raises InputError naming the groups that never met, SeparationError naming those
    that never lost or never won."""
    from scipy.sparse.csgraph import connected_components

    if counts.sum() == 0:
        raise InputError("no left, right or tie votes to fit")
    beaten = counts[..., 0] + counts[..., 1].T + counts[..., 2] + counts[..., 2].T > 0
    groups, label = connected_components(beaten, directed=True, connection="weak")
    if groups > 1:
        raise InputError(f"not connected by votes: {_name_groups(contenders, label)} never met each other")
    groups, label = connected_components(beaten, directed=True, connection="strong")
    if separation and groups > 1:
        above = beaten & (label[:, None] != label[None, :])
        never_lost = [contenders[i] for i in range(len(label)) if not above[:, label == label[i]].any()]
        never_won = [contenders[i] for i in range(len(label)) if not above[label == label[i]].any()]
        raise SeparationError(
            f"no finite ratings: {', '.join(never_lost)} never lost to the others and "
            f"{', '.join(never_won)} never won against them; collect more votes (win rates and their intervals stand)"
        )


def _name_groups(contenders: tuple[str, ...], label: NDArray[np.int32]) -> str:
    members = [
        [name for name, g in zip(contenders, label, strict=True) if g == k] for k in set(label.tolist())
    ]
    return " and ".join("{" + ", ".join(group) + "}" for group in sorted(members))


def position_identified(counts: Floats) -> bool:
    """Whether the left side is more than a relabelling of contenders: some pair was shown both ways round.

    Then no strengths give every left side the same advantage. Pairs that were each shown one way round can determine an
    effect by the model's form alone; none is claimed then.
    """
    n = counts.sum(axis=2)
    return bool(((n > 0) & (n.T > 0)).any())


def _fit(
    contenders: tuple[str, ...],
    counts: Floats,
    *,
    ties: bool,
    position: bool,
    penalty: float,
    notes: tuple[str, ...],
) -> Fit | None:
    m = len(contenders)
    if m > MANY_CONTENDERS:
        at, settled, iterations = sparse_newton(counts, ties=ties, position=position, penalty=penalty)
        parameters, converged = at[None], [settled]
    else:
        parameters, converged, iterations = newton(
            counts[None], ties=ties, position=position, penalty=penalty
        )
    if not converged[0]:
        return None
    _, information = score_and_information(
        counts[None], parameters, ties=ties, position=position, penalty=penalty
    )
    return Fit(
        contenders=contenders,
        strength=parameters[0, :m],
        position=float(parameters[0, m]) if position else None,
        tie=float(parameters[0, -1]) if ties else None,
        counts=counts,
        information=information[0],
        penalty=penalty,
        iterations=iterations,
        notes=notes,
    )


def newton(
    counts: Floats,
    *,
    ties: bool,
    position: bool,
    penalty: float = 0.0,
    start: Floats | None = None,
    tolerance: float = 1e-10,
    limit: int = 60,
) -> tuple[Floats, NDArray[np.bool_], int]:
    """Estimates of a batch: counts (b, m, m, 3) → parameters (b, p), converged (b,), iterations.

    p = m strengths (sum 0), then position, then tie where modelled. Steps are cut to 2 logits; a member
    of the batch whose estimate runs beyond LIMIT, or does not settle, is not converged.
    """
    batch, m = counts.shape[:2]
    size = m + position + ties
    parameters = np.zeros((batch, size))
    if start is not None:
        parameters[:] = start
    converged = np.zeros(batch, bool)
    iterations = 0
    while iterations < limit:
        iterations += 1
        score, information = score_and_information(
            counts, parameters, ties=ties, position=position, penalty=penalty
        )
        information[:, :m, :m] += _centre(information[:, :m, :m])
        index = np.arange(size)
        information[:, index, index] += 1e-12 * information[:, index, index] + 1e-300
        try:
            step = np.linalg.solve(information, score[..., None])[..., 0]
        except np.linalg.LinAlgError:
            step = np.einsum("bij,bj->bi", np.linalg.pinv(information, hermitian=True), score)
        longest = np.abs(step).max(axis=1)
        step *= np.minimum(1.0, 2.0 / np.maximum(longest, 1e-300))[:, None]
        finite = np.abs(parameters + step).max(axis=1) < LIMIT
        parameters[finite] += step[finite]
        converged = finite & (longest < tolerance)
        if (converged | ~finite).all():
            break
    return parameters, converged, iterations


def log_likelihood(
    counts: Floats, parameters: Floats, *, ties: bool, position: bool, penalty: float = 0.0
) -> Floats:
    """(b,) of counts (b, m, m, 3) at parameters (b, p)."""
    m = counts.shape[1]
    strength = parameters[:, :m]
    d = strength[:, :, None] - strength[:, None, :]
    if position:
        d = d + parameters[:, m, None, None]
    third = np.broadcast_to(parameters[:, -1, None, None], d.shape) if ties else np.full(d.shape, -np.inf)
    stacked = np.stack([d / 2, -d / 2, third], axis=-1)
    logs = stacked - np.logaddexp.reduce(stacked, axis=-1, keepdims=True)
    value = np.where(counts > 0, counts * np.where(np.isfinite(logs), logs, 0.0), 0.0).sum(axis=(1, 2, 3))
    return value - penalty / 2 * (strength**2).sum(axis=1)


def score_and_information(
    counts: Floats, parameters: Floats, *, ties: bool, position: bool, penalty: float = 0.0
) -> tuple[Floats, Floats]:
    """Gradient (b, p) and negative Hessian (b, p, p) of `log_likelihood`, in closed form."""
    m = counts.shape[1]
    strength = parameters[:, :m]
    first, second, third = probabilities(
        strength,
        parameters[:, m] if position else None,
        parameters[:, -1] if ties else None,
    )
    n = counts.sum(axis=3)
    lead = first - second
    residual = (counts[..., 0] - counts[..., 1] - n * lead) / 2
    curve = n * (first + second - lead**2) / 4
    score = np.empty(parameters.shape)
    score[:, :m] = residual.sum(axis=2) - residual.sum(axis=1) - penalty * strength
    if position:
        score[:, m] = residual.sum(axis=(1, 2))
    if ties:
        score[:, -1] = (counts[..., TIE] - n * third).sum(axis=(1, 2))
    information = assemble(
        curve,
        -n * third * lead / 2 if ties else None,
        n * third * (1 - third) if ties else None,
        position=position,
    )
    index = np.arange(m)
    information[:, index, index] += penalty
    return score, information


def probabilities(
    strength: Floats, position: Floats | None, tie: Floats | None
) -> tuple[Floats, Floats, Floats]:
    """Left, right and tie probabilities, each (b, m, m), of strengths (b, m)."""
    d = strength[:, :, None] - strength[:, None, :]
    if position is not None:
        d += position[:, None, None]
    # Scaled by the larger of the two exponentials: no overflow at any strength.
    small = np.exp(-np.abs(d) / 2)
    nu = np.zeros(1) if tie is None else np.exp(tie)
    third = nu[:, None, None] * small
    loser = small * small
    total = 1 + loser + third
    loser /= total
    third = third / total
    winner = 1 / total
    ahead = d >= 0
    return np.where(ahead, winner, loser), np.where(ahead, loser, winner), third


def assemble(dd: Floats, dt: Floats | None, tt: Floats | None, *, position: bool) -> Floats:
    """Quadratic form over (strengths, position, tie) from its pair terms (b, m, m): dd in the
    difference d, tt in the tie parameter, dt between them. → (b, p, p)."""
    batch, m = dd.shape[:2]
    size = m + position + (tt is not None)
    form = np.zeros((batch, size, size))
    form[:, :m, :m] = _laplacian(dd)
    if position:
        form[:, :m, m] = form[:, m, :m] = dd.sum(axis=2) - dd.sum(axis=1)
        form[:, m, m] = dd.sum(axis=(1, 2))
    if tt is not None and dt is not None:
        form[:, :m, -1] = form[:, -1, :m] = dt.sum(axis=2) - dt.sum(axis=1)
        form[:, -1, -1] = tt.sum(axis=(1, 2))
        if position:
            form[:, m, -1] = form[:, -1, m] = dt.sum(axis=(1, 2))
    return form


def _laplacian(weight: Floats) -> Floats:
    both = weight + np.swapaxes(weight, -1, -2)
    index = np.arange(weight.shape[-1])
    form = -both
    form[..., index, index] += both.sum(axis=-1)
    return form


def _centre(form: Floats) -> Floats:
    """A multiple of 11ᵀ of the form's own size: fixes the sum of the strengths at 0, changes nothing else."""
    m = form.shape[-1]
    return np.broadcast_to((np.trace(form, axis1=-2, axis2=-1) / m**2)[..., None, None], form.shape)


def to_ratings(strength: Floats, anchor: int | None = None) -> Floats:
    """Logits → rating points; the anchor (None: the mean of all) stands at CENTRE."""
    base = strength.mean() if anchor is None else strength[anchor]
    return CENTRE + SCALE * (strength - base)
