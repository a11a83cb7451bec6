"""Questions put to a vision-language model: one about the whole caption (VQAScore), or those of a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from bench.errors import InputError
from bench.metrics.feature_rows import Array
from bench.metrics.questions import Form, Question, plain


class Reader(Protocol):
    """A vision-language model as the source of an answer's probability."""

    def prepare(self, image: Any) -> Any:
        """A PIL image to what the model takes."""
        ...

    def probabilities(self, images: Sequence[Any], question: str, answers: Sequence[str]) -> list[float]:
        """Of each spelling of an answer to a question about prepared images, 0 to 1."""
        ...


class WholeCaption:
    """VQAScore: the probability that the answer to one question about the caption is yes.

    Source: Lin et al. 2024, arXiv 2404.01291.
    """

    alone = True
    """Reads one image at a time."""

    def __init__(self, reader: Reader, question: str, answers: Sequence[str]) -> None:
        """question: with {} where the caption goes. answers: spellings, whose probabilities are added up."""
        self.reader, self.question, self.answers = reader, question, tuple(answers)

    def prepare(self, image: Any) -> Any:
        return self.reader.prepare(image)

    def pairs(self, batch: Sequence[Any], partners: Sequence[str]) -> tuple[Array, Array]:
        """batch: n prepared images. partners: n captions."""
        values = [
            min(1.0, sum(self.reader.probabilities([image], self.question.format(caption), self.answers)))
            for image, caption in zip(batch, partners, strict=True)
        ]
        return np.array(values, dtype=np.float32), np.zeros(len(values), dtype=bool)


class QuestionFile:
    """The questions of a file about each caption, and the number that their answers give."""

    alone = True
    """Reads one image at a time."""

    def __init__(self, reader: Reader, form: Form, questions: Mapping[str, Sequence[Question]]) -> None:
        self.reader, self.form, self.questions = reader, form, questions

    def prepare(self, image: Any) -> Any:
        return self.reader.prepare(image)

    def pairs(self, batch: Sequence[Any], partners: Sequence[str]) -> tuple[Array, Array]:
        """batch: n prepared images. partners: n captions. Raises InputError: a caption without questions."""
        values = [self.value(image, caption) for image, caption in zip(batch, partners, strict=True)]
        return np.array(values, dtype=np.float32), np.zeros(len(values), dtype=bool)

    def value(self, image: Any, caption: str) -> float:
        """0 to 1."""
        questions = self.questions.get(plain(caption))
        if not questions:
            raise InputError(f"no questions about prompt {caption!r}: take the prompts of the benchmark")
        return self.form.value(questions, [self._shares(image, question) for question in questions])

    def _shares(self, image: Any, question: Question) -> list[float]:
        """Probability of each answer, its spellings added up."""
        spelled = [spelling for answer in question.answers for spelling in answer]
        shares = iter(self.reader.probabilities([image], question.text, spelled))
        return [min(1.0, sum(next(shares) for _ in answer)) for answer in question.answers]
