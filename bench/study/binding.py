"""Binding a study folder to its study: what an edit of the study file would generate, replace or refuse."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bench.errors import InputError, unknown
from bench.records import Battle, Reference, iterate_rows, read_rows
from bench.store.object_store import ObjectFolder
from bench.store.study_folder import Key, StudyFolder, sha256
from bench.study.identity import Conflict, Recorded, compare, record, recorded, reference_hashes, refusal
from bench.study.study import Study


@dataclass(frozen=True, slots=True, kw_only=True)
class Replaced:
    """What `--replace` took out of a folder."""

    images: int
    place: str
    """Where their rows and files are kept."""
    votes: int
    """Votes on those images, as `arena rate` last read them; they no longer count."""

    def __str__(self) -> str:
        votes = (
            f"; votes on them that no longer count: {self.votes}" if self.votes else "; no vote was on them"
        )
        return f"{self.images} images replaced, their rows and files are in {self.place}{votes}"


def bind(study: Study, folder: StudyFolder | ObjectFolder, replace: Sequence[str] = ()) -> Replaced | None:
    """Bind a folder to a study as its file is now. The caller holds the folder's lock.

    Parameters
    ----------
    study
        As its file says now.
    folder
        New, or holding what earlier forms of the study generated, which stays.
    replace
        Contenders and prompt ids whose images are taken out, so that they are generated anew.

    Returns
    -------
    Replaced | None
        What was taken out; None where nothing was asked to be.

    Raises
    ------
    InputError
        An edit would change images that exist, or a name in `replace` is unknown.
    """
    before = recorded(folder)
    sources = source_hashes(study, folder)
    gone = None
    if before is not None:
        changes = compare(before, study, sources)
        _check_names(study, before, replace)
        kept = [conflict for conflict in changes.conflicts if conflict.name not in replace]
        bound = binding_of(folder, kept)
        if bound:
            raise InputError(refusal(folder.where, study.name, bound))
        if replace or kept:
            gone = _replace(study, folder, {*replace, *(conflict.name for conflict in kept)})
    record(folder, study, before, sources)
    folder.write_study(study.text, study.prompts)
    return gone if replace else None


def binding_of(folder: StudyFolder | ObjectFolder, conflicts: Sequence[Conflict]) -> list[Conflict]:
    """The conflicts that concern images: what was recorded and never generated binds nothing."""
    if not conflicts:
        return []
    there = {name for key in folder.generations() for name in key[:2]}
    return [conflict for conflict in conflicts if conflict.name in there]


def source_hashes(study: Study, folder: StudyFolder | ObjectFolder) -> dict[str, str]:
    """Prompt id → sha256 of the file its reference image is taken from; where it is gone, of the one that was."""
    if not study.edits:
        return {}
    hashes = reference_hashes(folder)
    for prompt in study.prompts:
        path = study.references / prompt.reference if study.references and prompt.reference else None
        if path is not None and path.is_file():
            hashes[prompt.id] = sha256(path.read_bytes())
    return hashes


def _check_names(study: Study, before: Recorded, names: Iterable[str]) -> None:
    known = [*before.contenders, *(c.name for c in study.contenders)]
    prompts = {slot.prompt_id for slot in before.slots}
    for name in names:
        if name not in known and name not in prompts:
            raise unknown("contender or prompt to --replace", name, dict.fromkeys(known))


def _replace(study: Study, folder: StudyFolder | ObjectFolder, names: set[str]) -> Replaced | None:
    def concerned(key: Key) -> bool:
        return key[0] in names or key[1] in names

    votes = votes_on(folder, names)
    place, images = folder.archive(concerned)
    left = Counter(key[0] for key in folder.generations())
    for model in folder.plan():
        mine = [c.name for c in study.contenders if c.model == model]
        if any(name in names for name in mine) and not any(left[name] for name in mine):
            folder.forget_model(model)
    if isinstance(folder, StudyFolder) and study.edits:
        _forget_references(folder, names)
    return Replaced(images=images, place=place, votes=votes) if images else None


def votes_on(folder: StudyFolder | ObjectFolder, names: set[str]) -> int:
    """Votes on images of these contenders or prompts, as `arena rate` last read them."""
    if not isinstance(folder, StudyFolder):
        return 0
    battles = iterate_rows(folder.battles_file, Battle)
    return sum(bool({b.left, b.right, b.prompt_id} & names) for b in battles if b.kind == "vote")


def _forget_references(folder: StudyFolder, names: set[str]) -> None:
    rows = read_rows(folder.references_file, Reference)
    if any(row.prompt_id in names for row in rows):
        folder.write_rows("references.jsonl", [row for row in rows if row.prompt_id not in names])
