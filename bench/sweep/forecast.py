"""What `bench generate` would do to a folder: images to generate, their time, images that stay, what is refused."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass

from bench.store.object_store import ObjectFolder
from bench.store.study_folder import StudyFolder
from bench.study.binding import binding_of, source_hashes, votes_on
from bench.study.identity import compare, recorded, refusal
from bench.study.study import Study
from bench.sweep.inventory import census


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """Of one call of `bench generate`."""

    new: dict[str, int]
    """Contender → images to generate, where there are any."""
    kept: int
    """Images that stay."""
    left: int
    """Images whose contender or prompt has left the study: they stay on the disk and count nowhere."""
    seconds: float | None
    """Of one process, by the seconds an image that the folder's rows say; None where they do not say."""
    certain: bool
    """Whether that covers every contender."""
    refused: str
    """Why the call would be refused, with the cures; empty: it would not."""
    notes: tuple[str, ...]

    def __str__(self) -> str:
        count = sum(self.new.values())
        each = ", ".join(f"{name} {images}" for name, images in self.new.items())
        parts = [
            f"{count} images to generate ({each})" if count else "nothing to generate",
            f"{self.kept} stay",
        ]
        if count and self.seconds is not None:
            bound = "about" if self.certain else "more than"
            parts.append(f"{bound} {_duration(self.seconds)} in one process")
        if self.left:
            parts.append(f"{self.left} are of contenders or prompts that left the study")
        return "; ".join([*parts, *self.notes])


def forecast(study: Study, folder: StudyFolder | ObjectFolder) -> Forecast:
    """What would happen to a folder that holds this study or an earlier form of it. Reads, and changes nothing."""
    before = recorded(folder)
    assert before is not None
    conflicts = binding_of(folder, compare(before, study, source_hashes(study, folder)).conflicts)
    found = census(study, folder)
    new = {
        name: total - found.counts[name] for name, total in found.totals.items() if total > found.counts[name]
    }
    seconds: defaultdict[str, float] = defaultdict(float)
    counts = Counter[str]()
    prompts, names = {prompt.id for prompt in study.prompts}, set(study.file.contenders)
    left = 0
    for row in folder.generations().values():
        asked = row.contender in names and row.prompt_id in prompts
        left += not (asked and row.replicate < study.file.images_per_prompt)
        if row.seconds is not None:
            seconds[row.contender] += row.seconds
            counts[row.contender] += 1
    known = {name: seconds[name] / counts[name] for name in new if counts[name]}
    notes = []
    if conflicts:
        votes = votes_on(folder, {conflict.name for conflict in conflicts})
        notes.append(f"{len(conflicts)} edits would change images that exist, with {votes} votes on them")
    plan = folder.plan()
    slotted = [name for name in study.models if plan.get(name, {}).get("independent") is False]
    if slotted and new:
        notes.append(
            f"on the device of {', '.join(slotted)} an image's last bits depend on its place in a batch: added prompts "
            f"equal those of a study generated whole up to rounding"
        )
    return Forecast(
        new=new,
        kept=found.counts.total(),
        left=left,
        seconds=sum(new[name] * each for name, each in known.items()) if known else None,
        certain=known.keys() == new.keys(),
        refused=refusal(folder.where, study.name, conflicts) if conflicts else "",
        notes=tuple(notes),
    )


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
