"""Which images a study can be scored on: what is there and sound, what is not, and what all contenders share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from bench.errors import InputError
from bench.store.images import File
from bench.store.study_folder import StudyFolder
from bench.study.study import Study

Key = tuple[str, int]
"""prompt_id, replicate"""
Found = dict[Key, tuple[str, File]]
"""sha256 and file of each sound image of one contender"""


def census(folder: StudyFolder, study: Study) -> tuple[dict[str, Found], dict[str, Counter[str]]]:
    """Per contender: the sound images (sha256, file), and how many are `missing`, `black` or `damaged`."""
    made = folder.generations()
    found: dict[str, Found] = {c.name: {} for c in study.contenders}
    faults: dict[str, Counter[str]] = {c.name: Counter() for c in study.contenders}
    for contender in found:
        for prompt in study.prompts:
            for replicate in range(study.file.images_per_prompt):
                row = made.get((contender, prompt.id, replicate))
                fault = "missing" if row is None else "black" if row.black else folder.fault(row)
                if fault or row is None:
                    faults[contender][fault] += 1
                else:
                    found[contender][prompt.id, replicate] = (row.sha256, folder.image_file(row))
    return found, faults


def common_keys(
    study: Study,
    found: Mapping[str, Mapping[Key, Any]],
    faults: Mapping[str, Counter[str]],
    allow_missing: bool,
) -> list[Key]:
    """The images every contender has, in the study's order: all contenders stand on one N.

    A distance of 4,000 images is not comparable with one of 5,000, so unequal numbers are refused, or with
    `allow_missing` cut to what all share. Raises InputError where some are not there and that is not
    allowed, or none is left.
    """
    lacking = {name: count for name, count in faults.items() if count.total()}
    if lacking and not allow_missing:
        listed = "; ".join(f"{name}: {counted(count)}" for name, count in lacking.items())
        cures = [cure_of(study, name) for name in lacking]
        raise InputError(
            f"images are not all there ({listed}): {'; '.join(dict.fromkeys(cures))}; or --allow-missing scores only "
            "the prompts that every contender has"
        )
    keys = [(p.id, r) for p in study.prompts for r in range(study.file.images_per_prompt)]
    keys = [key for key in keys if all(key in images for images in found.values())]
    if not keys:
        raise InputError(
            f"no prompt of study '{study.name}' has an image of every contender: generate them first"
        )
    return keys


def cure_of(study: Study, name: str) -> str:
    """How a contender gets the images that it lacks: they are generated, or imported."""
    if any(study.imported(c) for c in study.contenders if c.name == name):
        return f"`bench import {study.name} --as {name} --images DIR` brings those of {name}"
    return f"`bench generate {study.name}` generates them"


def counted(count: Counter[str]) -> str:
    """`2 black, 1 missing`"""
    return ", ".join(f"{number} {kind}" for kind, number in sorted(count.items()))
