"""Davidson's fit to thousands of contenders of which few pairs met: Newton, with steps by conjugate gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LIMIT = 25.0
"""Logits beyond which an estimate is called infinite."""


def sparse_newton(
    counts: Floats, *, ties: bool, position: bool, penalty: float, tolerance: float = 1e-9, limit: int = 60
) -> tuple[Floats, bool, int]:
    """As `bench.ratings.fits.newton`, of one board's counts (m, m, 3): parameters (p,), converged, iterations."""
    from scipy.sparse import coo_array, csr_array, hstack

    m = len(counts)
    left, right = np.nonzero(counts.sum(axis=2))
    votes, k = counts[left, right], len(left)
    place = np.tile(np.arange(k), 2), np.concatenate([left, right])
    sides = coo_array((np.repeat([1.0, -1.0], k), place), shape=(k, m))
    design: Any = csr_array(hstack([sides, np.ones((k, 1))]) if position else sides)
    size, n = design.shape[1], votes.sum(axis=1)
    at = np.zeros(size + ties)
    for iteration in range(1, limit + 1):
        d = design @ at[:size]
        larger = np.abs(d) / 2
        up, down = np.exp(d / 2 - larger), np.exp(-d / 2 - larger)
        third = np.exp(at[-1] - larger) if ties else np.zeros(k)
        total = up + down + third
        lead, tie = (up - down) / total, third / total
        score = np.zeros(len(at))
        score[:size] = design.T @ ((votes[:, 0] - votes[:, 1] - n * lead) / 2)
        score[:m] -= penalty * at[:m]
        if ties:
            score[-1] = float((votes[:, 2] - n * tie).sum())
        step = _step(design, n, lead, tie, score, m, ties=ties, penalty=penalty)
        longest = float(np.abs(step).max())
        at += step * min(1.0, 2.0 / max(longest, 1e-300))
        if np.abs(at).max() >= LIMIT:
            return at, False, iteration
        if longest < tolerance:
            at[:m] -= at[:m].mean()
            return at, True, iteration
    return at, False, limit


def _step(
    design: Any, n: Floats, lead: Floats, tie: Floats, score: Floats, m: int, *, ties: bool, penalty: float
) -> Floats:
    """Information⁻¹ score, the strengths' sum fixed; the information is never formed."""
    from scipy.sparse.linalg import LinearOperator, cg

    size = design.shape[1]
    curve = n * (1 - tie - lead**2) / 4
    cross, own = design.T @ (-n * tie * lead / 2), float((n * tie * (1 - tie)).sum())
    diagonal = abs(design).T @ curve
    if ties:
        diagonal = np.append(diagonal, own)

    def times(x: Floats) -> Floats:
        x = x.ravel()
        result = np.zeros(len(x))
        result[:size] = design.T @ (curve * (design @ x[:size]))
        result[:m] += penalty * x[:m] + curve.sum() / m**2 * x[:m].sum()
        if ties:
            result[:size] += cross * x[-1]
            result[-1] = cross @ x[:size] + own * x[-1]
        return result

    def scaled(x: Floats) -> Floats:
        return x.ravel() / np.maximum(diagonal, 1e-12)

    shape = (len(score), len(score))
    information: Any = LinearOperator(shape, times, dtype=np.float64)  # pyright: ignore[reportCallIssue]
    roughly: Any = LinearOperator(shape, scaled, dtype=np.float64)  # pyright: ignore[reportCallIssue]
    step, _ = cg(information, score, rtol=1e-10, maxiter=2000, M=roughly)
    return step
