"""What every metric of one scoring run shares: the study, its images and references, and in which order they come."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

import bench.metrics.features as features
import bench.metrics.references as references
from bench.metrics.feature_rows import Array
from bench.metrics.registry import Metric
from bench.scoring.scorable_images import Found, Key
from bench.store.study_folder import StudyFolder
from bench.study.study import Study


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What every metric of one scoring run shares."""

    folder: StudyFolder
    study: Study
    found: Mapping[str, Found]
    faults: Mapping[str, Counter[str]]
    keys: Sequence[Key]
    """Prompt and replicate of each image, in the order of every array."""
    metrics: Mapping[str, Metric]
    references: Mapping[str, references.Reference]
    """By metric."""
    device: str
    progress: features.Progress | None

    @property
    def prompt_ids(self) -> list[str]:
        """(G,) in the order of the keys."""
        return list(dict.fromkeys(prompt_id for prompt_id, _ in self.keys))

    @property
    def prompts(self) -> Array:
        """(n,) number of each image's prompt."""
        numbers = {prompt_id: i for i, prompt_id in enumerate(self.prompt_ids)}
        return np.array([numbers[prompt_id] for prompt_id, _ in self.keys])

    @property
    def captions(self) -> list[str]:
        """(n,) the text of each image's prompt."""
        texts = {prompt.id: prompt.text for prompt in self.study.prompts}
        return [texts[prompt] for prompt, _ in self.keys]
