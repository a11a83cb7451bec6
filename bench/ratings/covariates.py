"""Ratings beside covariates: is a contender preferred, or its saturation, its file size, its place on the screen?

Davidson's model with d = strength_l - strength_r + position + sum of β_k z_k, where z_k is a covariate's difference,
left less right, or a property of the presentation that may favour the left. Ratings "beside" the covariates compare
contenders at equal covariates. That is a description, not a cause: a model may owe its merit to what makes it
saturated. Source: the contextual model of arena-rank and of Chatbot Arena's style control (Li, Angelopoulos and Chiang
2024); here with intervals clustered by rater and prompt (`bench.ratings.covariance`).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.errors import InputError
from bench.ratings.analysis_rows import CovariateBlock, CovariateRow, PlainRating
from bench.ratings.covariance import centred_inverse, covariance_of_scores
from bench.ratings.fits import CENTRE, LIMIT, SCALE, Fit
from bench.ratings.uncertainty import marginal_errors, t_quantile
from bench.ratings.vote_table import BOTH_BAD, TIE, VoteTable, select

Floats = NDArray[np.float64]

STEPS = 50
"""Of Newton's method, at most."""
DISTINCT = 1e-4
"""Share of a covariate's variance that contenders and the other covariates must leave unexplained."""


def covariate_block(fit: Fit, table: VoteTable, anchor: int | None) -> CovariateBlock | None:
    """Effects and ratings beside them; None: the table has no covariates.

    fit: of the same votes without covariates; the start, and what tells whether position and ties are modelled.
    Covariates that do not vary, or that contenders explain, are left out with a note.
    """
    if table.covariates is None:
        return None
    known = (table.outcome != BOTH_BAD) & np.isfinite(table.covariates).all(axis=1)
    votes = select(table, known)
    assert votes.covariates is not None
    names, values, notes = _usable(votes, fit.size)
    left_out = int((table.outcome != BOTH_BAD).sum()) - len(votes)
    if left_out:
        notes.append(f"{left_out} votes without covariates left out")
    if not names:
        return CovariateBlock(notes=(*notes, "no covariate is left"))
    spread = values.std(axis=0)
    try:
        at, information, scores = _fitted(fit, votes, values / spread)
    except (InputError, np.linalg.LinAlgError) as error:
        return CovariateBlock(notes=(*notes, f"no fit: {error}"))
    bread = centred_inverse(information, fit.size)
    cover = covariance_of_scores(bread, information, scores, votes, fit.size)
    t = t_quantile(cover.freedom)
    first = fit.size + (fit.position is not None)
    rows = tuple(
        CovariateRow(
            name=name,
            effect=SCALE * float(at[first + k]),
            low=SCALE * float(at[first + k] - t * np.sqrt(cover.full[first + k, first + k])),
            high=SCALE * float(at[first + k] + t * np.sqrt(cover.full[first + k, first + k])),
            spread=float(spread[k]),
        )
        for k, name in enumerate(names)
    )
    strength = at[: fit.size]
    rating = CENTRE + SCALE * (strength - (strength.mean() if anchor is None else strength[anchor]))
    half = SCALE * t * marginal_errors(cover.matrix, anchor)
    ratings = (
        PlainRating(contender=name, rating=r, low=r - h, high=r + h)
        for name, r, h in zip(fit.contenders, rating.tolist(), half.tolist(), strict=True)
    )
    return CovariateBlock(
        n=len(votes),
        rows=rows,
        ratings=tuple(sorted(ratings, key=lambda row: -row.rating)),
        notes=tuple(notes),
    )


def _usable(votes: VoteTable, m: int) -> tuple[list[str], Floats, list[str]]:
    """Names and values (n, k) of the covariates that contenders and other covariates leave distinct, and notes."""
    assert votes.covariates is not None
    n = len(votes)
    base = np.zeros((n, m + 1))
    base[np.arange(n), votes.left] += 1
    base[np.arange(n), votes.right] -= 1
    base[:, m] = 1
    names, columns, notes = [], [], []
    for k, name in enumerate(votes.covariate_names):
        column = votes.covariates[:, k]
        explained = base @ np.linalg.lstsq(base, column, rcond=None)[0]
        if float(((column - explained) ** 2).sum()) <= DISTINCT * max(float((column**2).sum()), 1e-300):
            notes.append(f"{name} cannot be separated from the contenders and the other covariates: left out")
            continue
        names.append(name)
        columns.append(column)
        base = np.column_stack([base, column])
    return names, np.column_stack(columns) if columns else np.zeros((n, 0)), notes


def _fitted(fit: Fit, votes: VoteTable, values: Floats) -> tuple[Floats, Floats, Any]:
    """Estimates in the order strengths, position, covariates, tie; information; weighted scores, sparse (n, p)."""
    from scipy.sparse import csr_array, hstack

    n, m, k = len(votes), fit.size, values.shape[1]
    rows = np.tile(np.arange(n), 2)
    sides = csr_array(
        (np.repeat([1.0, -1.0], n), (rows, np.concatenate([votes.left, votes.right]))), shape=(n, m)
    )
    along = [sides] if fit.position is None else [sides, csr_array(np.ones((n, 1)))]
    design: Any = hstack([*along, csr_array(values)]).tocsr()
    ties = fit.tie is not None
    start: list[Any] = [fit.strength] + [[value] for value in (fit.position,) if value is not None]
    start += [np.zeros(k)] + [[value] for value in (fit.tie,) if value is not None]
    at = np.concatenate(start)
    size = design.shape[1]
    # Without a tie parameter a tie is half a win for each side.
    won, tied = (votes.outcome == 0) - 1.0 * (votes.outcome == 1), 1.0 * (votes.outcome == TIE)
    for _ in range(STEPS):
        d = design @ at[:size]
        third = np.exp(at[-1]) if ties else 0.0
        total = np.exp(d / 2) + np.exp(-d / 2) + third
        lead, tie = (np.exp(d / 2) - np.exp(-d / 2)) / total, third / total
        in_d, in_tie = votes.weight * (won - lead) / 2, votes.weight * (tied - tie)
        curve = votes.weight * (1 - tie - lead**2) / 4
        information = np.zeros((len(at), len(at)))
        information[:size, :size] = (design.T @ design.multiply(curve[:, None])).toarray()
        if ties:
            information[:size, -1] = information[-1, :size] = design.T @ (-votes.weight * tie * lead / 2)
            information[-1, -1] = float((votes.weight * tie * (1 - tie)).sum())
        score = np.append(design.T @ in_d, float(in_tie.sum())) if ties else design.T @ in_d
        step = centred_inverse(information, m) @ score
        at = at + step * min(1.0, 2.0 / max(float(np.abs(step).max()), 1e-300))
        if np.abs(at).max() > LIMIT:
            raise InputError("the estimates run to infinity: a covariate separates the votes")
        if np.abs(step).max() < 1e-9:
            break
    else:
        raise InputError("Newton's method does not settle")
    scores = design.multiply(in_d[:, None]).tocsr()
    if ties:
        scores = hstack([scores, csr_array(in_tie[:, None])]).tocsr()
    return at, information, scores


def with_covariates(table: VoteTable, names: tuple[str, ...], values: Floats) -> VoteTable:
    """The table with a covariate difference (n, k) of each vote; nan: unknown."""
    if values.shape != (len(table), len(names)):
        raise InputError(f"{values.shape} covariate values for {len(table)} votes and {len(names)} names")
    return replace(table, covariates=np.asarray(values, np.float64), covariate_names=names)
