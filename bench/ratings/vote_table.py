"""A votes table in integers: what every fit, interval and bootstrap reads; made of the arena's battles here,
of anybody's file in `bench.ratings.votes_file`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.errors import InputError, unknown
from bench.records import OUTCOMES, Battle

Ints = NDArray[np.int32]
Floats = NDArray[np.float64]

LEFT, RIGHT, TIE, BOTH_BAD = range(len(OUTCOMES))

KINDS = ("vote", "check", "repeat", "practice")
NEVER_RATED = {"check": "attention check", "practice": "practice pair"}
"""Kind of battle → reason for which it is counted, and not rated."""
MISSING = -128
"""Code in `scale` of a vote without a point."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VoteTable:
    """n votes as columns of codes; a code indexes the label tuple of the same name."""

    contenders: tuple[str, ...]
    left: Ints
    """(n,) contender shown on the left."""
    right: Ints
    outcome: NDArray[np.int8]
    """(n,) LEFT, RIGHT, TIE or BOTH_BAD."""
    weight: Floats
    """(n,) > 0; 1 unless reweighted."""
    questions: tuple[str, ...]
    question: Ints
    raters: tuple[str, ...]
    rater: Ints | None
    """None: unknown, so every vote stands alone and intervals cannot be clustered by rater."""
    prompts: tuple[str, ...]
    prompt: Ints | None
    replicate: Ints
    """(n,) which of a prompt's images was shown, 0-based."""
    categories: tuple[str, ...]
    category: Ints
    challenges: tuple[str, ...]
    challenge: Ints
    groups: tuple[str, ...]
    group: Ints
    probability: Floats | None
    """(n,) with which the arena chose the pair, in (0, 1]; None where it was not logged."""
    repeat: NDArray[np.bool_]
    """(n,) planted a second time to measure consistency: never counted in ratings."""
    excluded: dict[str, int] = field(default_factory=dict)
    """Reason → votes left out before this table was made."""
    simulated: bool = False
    covariates: Floats | None = None
    """(n, k) of each vote: a covariate's difference, left less right, or what of the presentation may favour the left;
    nan: unknown. None: there are none."""
    covariate_names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    """What the reader of a votes file assumed or left unused."""
    rules: tuple[str, ...] = ()
    """Quality rules that were applied to the raters."""
    ruled_out: tuple[Battle, ...] = ()
    """Battles that only these rules exclude (`Battle.rules`): what each rule changes is shown with them."""
    arrangements: tuple[str, ...] = ("",)
    arrangement: Ints | None = None
    """(n,) `beside` or `stacked`, where left is above right; '' or None: unknown."""
    scale: NDArray[np.int8] | None = None
    """(n,) point of a seven-point answer, 3 (left much better) to -3, or MISSING; None: no vote has one."""

    def __len__(self) -> int:
        return len(self.left)


BLOCK = 1 << 18
"""Votes worked on at once: what is made of them stays in the cache, so time grows with their number alone."""


def blocks(votes: int) -> Iterator[slice]:
    """Slices of at most BLOCK that cover 0..votes."""
    return (slice(start, min(start + BLOCK, votes)) for start in range(0, votes, BLOCK))


def select(table: VoteTable, mask: NDArray[np.bool_]) -> VoteTable:
    """The votes where `mask` (n,) holds; label tuples stay as they are, so codes keep their meaning."""
    columns = {}
    for entry in fields(table):
        value = getattr(table, entry.name)
        if isinstance(value, np.ndarray):
            columns[entry.name] = value[mask]
    return replace(table, **columns)


def ratable(table: VoteTable) -> VoteTable:
    """Without planted repeats, whose number is added to `excluded`."""
    if not table.repeat.any():
        return table
    excluded = {**table.excluded, "repeat": table.excluded.get("repeat", 0) + int(table.repeat.sum())}
    return replace(select(table, ~table.repeat), excluded=excluded)


def reweighted(table: VoteTable, scheme: str) -> VoteTable:
    """Weights by name, scaled to a mean of 1.

    `votes`: every vote counts one. `raters`: every rater counts the same, however many votes they gave.
    `propensity`: by one over the logged probability of the pair (Horvitz–Thompson), so that an adaptive
    choice of pairs does not decide which pairs the fit listens to.
    """
    if scheme == "votes":
        return table
    if scheme == "raters":
        if table.rater is None:
            raise InputError("weights 'raters' need a rater for every vote; this table has no 'rater' column")
        weight = 1.0 / np.bincount(table.rater)[table.rater]
    elif scheme == "propensity":
        if table.probability is None:
            raise InputError(
                "weights 'propensity' need the logged probability of every pair; "
                "this table has none, use weights 'votes'"
            )
        weight = 1.0 / table.probability
    else:
        raise unknown("weights", scheme, ("votes", "raters", "propensity"))
    return replace(table, weight=weight / weight.mean())


def code_battles(battles: Iterable[Battle], rules: Iterable[str] = ()) -> VoteTable:
    """Battles → table. Excluded battles and attention checks are counted by reason, not rated.

    rules: quality rules that were applied; those that excluded a battle are added.
    Raises InputError: no battle left, an unknown outcome or kind, a contender against itself.
    """
    kept: list[Battle] = []
    ruled_out: list[Battle] = []
    excluded: dict[str, int] = {}
    simulated = False
    for battle in battles:
        simulated |= battle.simulated
        if battle.kind not in KINDS:
            raise unknown("kind of battle", battle.kind, KINDS)
        reason = battle.excluded or NEVER_RATED.get(battle.kind, "")
        if reason:
            excluded[reason] = excluded.get(reason, 0) + 1
            if battle.rules and battle.kind not in NEVER_RATED:
                ruled_out.append(battle)
        else:
            kept.append(battle)
    if not kept:
        raise InputError(f"no votes to rate ({sum(excluded.values())} excluded)")
    seen = {name for battle in ruled_out for name in battle.rules.split(",")}
    return replace(
        _coded_battles(kept, excluded, simulated),
        rules=tuple(dict.fromkeys((*rules, *sorted(seen)))),
        ruled_out=tuple(ruled_out),
    )


def _coded_battles(kept: Sequence[Battle], excluded: dict[str, int], simulated: bool) -> VoteTable:
    outcome = np.empty(len(kept), np.int8)
    codes = {name: code for code, name in enumerate(OUTCOMES)}
    for index, battle in enumerate(kept):
        if battle.outcome not in codes:
            raise unknown("outcome", battle.outcome, OUTCOMES)
        outcome[index] = codes[battle.outcome]
    probabilities = [battle.probability for battle in kept]
    table = coded_table(
        left=[b.left for b in kept],
        right=[b.right for b in kept],
        outcome=outcome,
        columns={
            "rater": [b.rater for b in kept],
            "prompt": [b.prompt_id for b in kept],
            "question": [b.question for b in kept],
            "category": [b.category for b in kept],
            "challenge": [b.challenge for b in kept],
            "group": [b.group for b in kept],
        },
        replicate=np.array([b.replicate for b in kept], np.int32),
        probability=None if None in probabilities else np.array(probabilities, np.float64),
        weight=None,
        repeat=np.array([b.kind == "repeat" for b in kept]),
        excluded=excluded,
        simulated=simulated,
    )
    arrangement, arrangements = _column([b.arrangement for b in kept], len(kept), "arrangement")
    scale = _points(kept)
    return replace(
        table,
        arrangement=arrangement,
        arrangements=arrangements or ("",),
        scale=None if (scale == MISSING).all() else scale,
    )


def _points(battles: Sequence[Battle]) -> NDArray[np.int8]:
    return np.array([MISSING if one.scale is None else one.scale for one in battles], np.int8)


def with_battles(table: VoteTable, battles: Sequence[Battle]) -> VoteTable:
    """The table and more battles between its contenders, each of weight 1; their labels come behind those there are."""
    if not battles:
        return table

    def coded(labels: tuple[str, ...], values: list[str]) -> tuple[Ints, tuple[str, ...]]:
        known = dict.fromkeys((*labels, *values))
        place = {label: code for code, label in enumerate(known)}
        return np.array([place[value] for value in values], np.int32), tuple(known)

    columns: dict[str, Any] = {}
    for code, labels, name in _LABELLED:
        old = getattr(table, code)
        if old is not None:
            more, columns[labels] = coded(getattr(table, labels), [getattr(one, name) for one in battles])
            columns[code] = np.concatenate([old, more])
    if table.scale is not None:
        columns["scale"] = np.concatenate([table.scale, _points(battles)])
    place = {name: code for code, name in enumerate(table.contenders)}
    outcomes = np.array([OUTCOMES.index(one.outcome) for one in battles], np.int8)
    probabilities = [one.probability for one in battles]
    if table.probability is None or None in probabilities:
        columns["probability"] = None
    else:
        columns["probability"] = np.concatenate([table.probability, np.array(probabilities, np.float64)])
    if table.scale is not None:
        columns["scale"] = np.concatenate([table.scale, _points(battles)])
    return replace(
        table,
        left=np.concatenate([table.left, np.array([place[one.left] for one in battles], np.int32)]),
        right=np.concatenate([table.right, np.array([place[one.right] for one in battles], np.int32)]),
        outcome=np.concatenate([table.outcome, outcomes]),
        weight=np.concatenate([table.weight, np.ones(len(battles))]),
        replicate=np.concatenate([table.replicate, np.array([one.replicate for one in battles], np.int32)]),
        repeat=np.concatenate([table.repeat, np.array([one.kind == "repeat" for one in battles])]),
        covariates=None,
        covariate_names=(),
        **columns,
    )


_LABELLED = (
    ("question", "questions", "question"),
    ("rater", "raters", "rater"),
    ("prompt", "prompts", "prompt_id"),
    ("category", "categories", "category"),
    ("challenge", "challenges", "challenge"),
    ("group", "groups", "group"),
    ("arrangement", "arrangements", "arrangement"),
    ("arrangement", "arrangements", "arrangement"),
)
"""Columns of codes, their labels, and the field of a battle each is made of."""


def coded_table(
    *,
    left: Any,
    right: Any,
    outcome: NDArray[np.int8],
    columns: dict[str, Any],
    replicate: Ints,
    probability: Floats | None,
    weight: Floats | None,
    repeat: NDArray[np.bool_],
    excluded: dict[str, int],
    simulated: bool,
) -> VoteTable:
    """Columns of n labels (lists, or Arrow columns) and codes → table.

    Raises InputError: one contender only, a contender against itself, a rater or prompt for some votes only.
    """
    n = len(outcome)
    left, lefts = encoded(left)
    right, rights = encoded(right)
    contenders = tuple(sorted({*lefts, *rights}))
    place = {name: code for code, name in enumerate(contenders)}
    left = np.array([place[name] for name in lefts], np.int32)[left]
    right = np.array([place[name] for name in rights], np.int32)[right]
    if len(contenders) < 2:
        raise InputError(f"all votes name one contender, '{lefts[0]}': a rating needs two")
    same = np.flatnonzero(left == right)
    if same.size:
        raise InputError(f"row {same[0] + 1}: contender '{contenders[left[same[0]]]}' is put against itself")
    coded = {name: _column(values, n, name) for name, values in columns.items()}
    return VoteTable(
        contenders=contenders,
        left=left,
        right=right,
        outcome=outcome,
        weight=np.ones(n) if weight is None else weight / weight.mean(),
        questions=coded["question"][1] or ("",),
        question=_or_zero(coded["question"][0], n),
        raters=coded["rater"][1],
        rater=coded["rater"][0],
        prompts=coded["prompt"][1],
        prompt=coded["prompt"][0],
        replicate=replicate,
        categories=coded["category"][1] or ("",),
        category=_or_zero(coded["category"][0], n),
        challenges=coded["challenge"][1] or ("",),
        challenge=_or_zero(coded["challenge"][0], n),
        groups=coded["group"][1] or ("",),
        group=_or_zero(coded["group"][0], n),
        probability=probability,
        repeat=repeat,
        excluded=excluded,
        simulated=simulated,
    )


def _or_zero(codes: Ints | None, n: int) -> Ints:
    return np.zeros(n, np.int32) if codes is None else codes


def _column(values: Any, n: int, name: str) -> tuple[Ints | None, tuple[str, ...]]:
    """Codes with sorted labels; (None, ()) for a column that is absent or wholly empty."""
    if values is None:
        return None, ()
    codes, labels = encoded(values)
    if list(labels) == [""]:
        return None, ()
    if "" in labels and name in ("rater", "prompt"):
        row = int(np.flatnonzero(codes == labels.index(""))[0]) + 1
        raise InputError(f"vote {row} of {n} has no {name} while others have one")
    order = np.argsort(np.array(labels))
    rank = np.empty(len(labels), np.int32)
    rank[order] = np.arange(len(labels))
    return rank[codes], tuple(labels[i] for i in order)


def encoded(values: Any) -> tuple[Ints, list[str]]:
    """Integer codes and labels, in order of first appearance, of a list or an Arrow column of any
    type; an empty cell is the label ""."""
    import pyarrow as pa

    array = (
        values if isinstance(values, pa.ChunkedArray) else pa.chunked_array([pa.array(values, pa.string())])
    )
    if array.null_count:
        array = array.cast(pa.string()).fill_null("")
    if not pa.types.is_dictionary(array.type):
        array = array.cast(pa.string()).dictionary_encode()
    whole = array.unify_dictionaries().combine_chunks()
    codes = whole.indices.to_numpy(zero_copy_only=False)
    labels = whole.dictionary.cast(pa.string()).to_pylist()
    used = np.flatnonzero(np.bincount(codes, minlength=len(labels)))
    renumber = np.zeros(len(labels), np.int32)
    renumber[used] = np.arange(len(used))
    return renumber[codes], [labels[i] for i in used]
