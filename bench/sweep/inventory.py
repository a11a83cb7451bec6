"""Which images of a study exist: one byte an image."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from bench.store.object_store import ObjectFolder
from bench.store.study_folder import Key, StudyFolder
from bench.study.study import Study
from bench.sweep.settings import Folder


class Census:
    """Which images of the study are there: one byte an image, so that a million take a megabyte."""

    def __init__(self, study: Study, limit: int | None = None) -> None:
        self.prompts = {prompt.id: i for i, prompt in enumerate(study.prompts[:limit])}
        names = [c.name for c in study.contenders if not study.imported(c)]
        self.there = {
            (name, replicate): bytearray(len(self.prompts))
            for name in names
            for replicate in range(study.file.images_per_prompt)
        }
        self.counts: Counter[str] = Counter({name: 0 for name in names})
        self.totals = dict.fromkeys(names, len(self.prompts) * study.file.images_per_prompt)

    def mark(self, key: Key, there: bool = True) -> None:
        """Note an image; one that the study does not ask for is ignored."""
        contender, prompt_id, replicate = key
        row, place = self.there.get((contender, replicate)), self.prompts.get(prompt_id)
        if row is not None and place is not None:
            self.counts[contender] += there - row[place]
            row[place] = there

    def __contains__(self, key: Key) -> bool:
        return bool(self.there[key[0], key[2]][self.prompts[key[1]]])

    def complete(self, contenders: Iterable[str]) -> bool:
        return all(self.counts[name] >= self.totals[name] for name in contenders)


def census(study: Study, folder: Folder, limit: int | None = None) -> Census:
    """A scan of rows and file sizes; no image is opened."""
    found = Census(study, limit)
    for key, whole in folder.intact():
        found.mark(key, whole)
    return found


def images_without_row(study: Study, folder: StudyFolder | ObjectFolder) -> dict[str, int]:
    """Contender → images that the study asks for and that have neither a row nor a failure that stands. Imported
    contenders are left out: what they have is theirs."""
    found = Census(study)
    for key in folder.generations():
        found.mark(key)
    for row in folder.failures():
        if row.stage == "generate":
            found.mark((row.contender, row.prompt_id, row.replicate))
    return {
        name: total - found.counts[name] for name, total in found.totals.items() if total > found.counts[name]
    }
