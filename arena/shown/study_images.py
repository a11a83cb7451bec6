"""A study's images by assignment: which file stands behind a token, its bytes as sent, and the hashes of both."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from pathlib import Path

from arena.db.rows import Assignment, Comparison
from arena.shown.images import Shown, filled
from bench.errors import InputError
from bench.store.study_folder import StudyFolder, sha256
from bench.study.study import Study


class StudyImages:
    """The images of one study that may be put before raters."""

    def __init__(self, study: Study, folder: StudyFolder, *, are_sent: bool = False) -> None:
        self.folder = folder
        self.prompts = {prompt.id: prompt for prompt in study.prompts}
        names = {c.name for c in study.contenders}
        self.made = {
            key: row.sha256
            for key, row in folder.generations().items()
            if key[0] in names and key[1] in self.prompts
        }
        """Contender, prompt and replicate → sha256 of the image's file."""
        self.shown = Shown(folder.path / "shown", study.file.display_size, study.file.fit)
        self.are_sent = are_sent
        """Set by the server: the bytes sent are then hashed with each assignment."""
        self._sent: dict[tuple[str, str], str] = {}

    @cached_property
    def references(self) -> dict[str, tuple[Path, str]]:
        """Prompt id → path and sha256 of the image an image-to-image study starts from."""
        paths = {p.id: self.folder.reference(p.id) for p in self.prompts.values() if p.reference}
        return {prompt: (path, sha256(path.read_bytes())) for prompt, path in paths.items() if path.exists()}

    def sources(self) -> list[tuple[Path, str]]:
        """Path and sha256 of every image that may be shown."""
        images = [(self.folder.image(*key), digest) for key, digest in self.made.items()]
        return [*images, *self.references.values()]

    def faults(self) -> Iterable[InputError | None]:
        """Renders what is not rendered yet; yields once an image, with the fault of one that cannot be shown."""
        return self.shown.render_all(self.sources())

    @cached_property
    def sent_bytes(self) -> int:
        """Length of every image's answer; renders what is not rendered yet."""
        for _ in self.faults():
            pass  # a fault is reported again when its image is asked for
        return self.shown.longest(self.sources())

    def sent(self, one: Assignment, token: str) -> bytes:
        """The WebP behind an image token of the assignment, as long as all others.

        Raises InputError: missing or unreadable.
        """
        return filled(self._rendered(one, token), self.sent_bytes)

    def _rendered(self, one: Assignment, token: str) -> bytes:
        contender, prompt, change = image_of(one, token)
        if not contender:
            reference = self.references.get(prompt)
            if reference is None:
                raise InputError(f"prompt '{prompt}' names no reference image that is there")
            return self.shown.get(*reference)
        key = (contender, prompt, one.replicate)
        return self.shown.get(self.folder.image(*key), self.made[key], change)

    def hashes(self, chosen: Comparison, *, with_reference: bool) -> dict[str, str | None]:
        """sha256 columns of an assignment: of the image files, and, where pages are served, of the bytes sent."""
        hashes: dict[str, str | None] = {}
        sides = {"left": (chosen.left, chosen.left_change), "right": (chosen.right, chosen.right_change)}
        for side, (contender, change) in sides.items():
            _, prompt, change = shown_as(contender, chosen.prompt_id, change)
            digest = self.made[contender, prompt, chosen.replicate]
            hashes[f"{side}_sha256"] = digest
            path = self.folder.image(contender, prompt, chosen.replicate)
            hashes[f"{side}_sent_sha256"] = self._sent_hash(path, digest, change)
        if with_reference and chosen.prompt_id in self.references:
            path, digest = self.references[chosen.prompt_id]
            hashes["reference_sha256"] = digest
            hashes["reference_sent_sha256"] = self._sent_hash(path, digest, "")
        return hashes

    def _sent_hash(self, path: Path, digest: str, change: str) -> str | None:
        """sha256 of the bytes a browser gets; None where no pages are served, or the image cannot be shown."""
        if not self.are_sent:
            return None
        known = self._sent.get((digest, change))
        if known is None:
            try:
                known = sha256(filled(self.shown.get(path, digest, change), self.sent_bytes))
            except InputError:  # refused again, and logged, when the browser asks for it
                return None
            self._sent[digest, change] = known
        return known


def current_images(folder: StudyFolder) -> dict[tuple[str, str, int], str]:
    """Contender, prompt and replicate → sha256 of the study's images: of the file, where it is there, else as recorded.

    Every file is read. A folder without its images (a copy for analysis) is judged by its records alone.
    """
    images = {}
    for key, row in folder.generations().items():
        path = folder.image(*key)
        images[key] = sha256(path.read_bytes()) if path.exists() else row.sha256
    return images


def signature(folder: StudyFolder) -> tuple[tuple[int, int], ...]:
    """Changes with the study's contenders, prompts and images: times and sizes of the files that name them."""
    found = []
    for path in (folder.study_file, folder.prompts_file, folder.generations_file):
        status = path.stat() if path.exists() else None
        found.append((status.st_mtime_ns, status.st_size) if status else (0, 0))
    return tuple(found)


def image_of(one: Assignment, token: str) -> tuple[str, str, str]:
    """Contender ('' for the reference), prompt and change behind an image token of the assignment."""
    if token == one.reference_token:
        return "", one.prompt_id, ""
    contender, change = (
        (one.left, one.left_change) if token == one.left_token else (one.right, one.right_change)
    )
    return shown_as(contender, one.prompt_id, change)


def shown_as(contender: str, prompt_id: str, change: str) -> tuple[str, str, str]:
    """Contender, prompt and change of the image in the place of (contender, prompt): a check may take another."""
    if change.startswith("prompt:"):
        return contender, change.removeprefix("prompt:"), ""
    return contender, prompt_id, change
