"""How long the large networks of a study's metrics will take: counted operations over the device's measured rate."""

from __future__ import annotations

from dataclasses import dataclass

from bench.metrics.extractors import EXTRACTORS
from bench.metrics.questions import FORMS, plain
from bench.scoring.requirements import extractor_of, plan, questions_file
from bench.study.study import Study

REACHED = 0.35
"""Share of the rate of a large matrix product that a network of this size reaches when it reads one image at a time;
an assumption, not a measurement."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Of one metric for all images of a study."""

    metric: str
    images: int
    forwards: float
    """Of the network for each image: questions, where it asks those of a file."""
    tflop: float
    """Of one forward."""

    def hours(self, rate: float) -> float:
        """rate: TFLOP/s of a large matrix product on the device."""
        return self.images * self.forwards * self.tflop / (REACHED * rate) / 3600


def costs(study: Study) -> list[Cost]:
    """The metrics whose network is large enough to plan for. Questions that are not here count as one an image."""
    images = len(study.contenders) * len(study.prompts) * study.file.images_per_prompt
    found = []
    for name, metric in plan(study).items():
        entry = EXTRACTORS.get(extractor_of(metric, study))
        if entry is None or not entry.tflop:
            continue
        found.append(
            Cost(metric=name, images=images, forwards=_forwards(study, entry.questions), tflop=entry.tflop)
        )
    return found


def _forwards(study: Study, form: str) -> float:
    if not form:
        return 1.0
    path = questions_file(study, FORMS[form])
    if not path.is_file():
        return 1.0
    questions = FORMS[form].read(path)
    return sum(len(questions.get(plain(p.text), ())) for p in study.prompts) / len(study.prompts)
