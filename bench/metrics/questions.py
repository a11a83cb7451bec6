"""Files of questions about prompts, and how the answers' probabilities become a number: Soft-TIFA, TIFA, DPG-Bench."""

from __future__ import annotations

import contextlib
import csv
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.errors import InputError

YES, NO = ("Yes", "yes", " yes", " Yes"), ("No", "no", " no", " No")
NUMBERS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
DIGITS = {word: str(number) for number, word in enumerate(NUMBERS, 1)}
LETTERS = "ABCDEFGH"


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One question about one prompt."""

    text: str
    """As it is put to the reader."""
    answers: tuple[tuple[str, ...], ...]
    """Spellings of each answer; the first answer is the right one. One answer alone: its probability is the value."""
    needs: tuple[int, ...] = ()
    """Places of the questions whose answer must be right for this one to count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """How a benchmark keeps and counts its questions."""

    read: Callable[[Path], dict[str, list[Question]]]
    """A file to the questions of each prompt, by its text as `plain` gives it."""
    value: Callable[[Sequence[Question], Sequence[Sequence[float]]], float]
    """Questions and the probability of each of their answers to the image's number, 0 to 1."""
    source: str
    prompt_set: str
    """The set of `bench prompts` whose questions these are."""
    file: str
    """Its path in the authors' repository, that of the prompt set."""

    @property
    def name(self) -> str:
        """Of the file beside the prompt set."""
        return self.file.rpartition("/")[2]


def plain(text: str) -> str:
    """A prompt's text as the key of its questions: white space is one space, as in a prompt set."""
    return " ".join(text.split())


def soft_tifa_questions(path: Path) -> dict[str, list[Question]]:
    """`geneval2_data.jsonl`: a line a prompt, `vqa_list` of pairs of question and answer."""
    found = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        with _parsing(path, number):
            row = json.loads(line)
            found[plain(row["prompt"])] = [
                Question(text=f"{question} Answer in one word.", answers=(_atom(question, answer),))
                for question, answer in row["vqa_list"]
            ]
    return found


def _atom(question: str, answer: str) -> tuple[str, ...]:
    """The spellings that GenEval 2 counts as right: of a number its word and digit, of all else `yes`."""
    if not question.startswith("How many"):
        return YES
    words = [answer, answer.capitalize(), DIGITS.get(answer, "other")]
    return (*words, *(f" {word}" for word in words))


def geometric_mean(questions: Sequence[Question], probabilities: Sequence[Sequence[float]]) -> float:
    """Soft-TIFA GM: geometric mean over a prompt's atoms of the right answer's probability.

    Source: Kamath et al. 2025 (GenEval 2), arXiv 2512.16853.
    """
    shares = [parts[0] for parts in probabilities]
    return math.exp(sum(map(math.log, shares)) / len(shares)) if min(shares) > 0 else 0.0


def tifa_questions(path: Path) -> dict[str, list[Question]]:
    """`tifa_v1.0_question_answers.json`: a list of questions with `caption`, `choices` and `answer`."""
    found: dict[str, list[Question]] = {}
    with _parsing(path, 0):
        rows = json.loads(path.read_text(encoding="utf-8"))
    for number, row in enumerate(rows, 1):
        with _parsing(path, number):
            choices, right = list(row["choices"]), row["answer"]
            place = choices.index(right)
            letters = [(LETTERS[i], f" {LETTERS[i]}") for i in range(len(choices))]
            listed = "\n".join(f"{LETTERS[i]}. {choice}" for i, choice in enumerate(choices))
            text = f"{row['question']}\n{listed}\nAnswer with the letter of the right choice."
            answers = (letters[place], *(letters[i] for i in range(len(choices)) if i != place))
            found.setdefault(plain(row["caption"]), []).append(Question(text=text, answers=answers))
    return found


def share_right(questions: Sequence[Question], probabilities: Sequence[Sequence[float]]) -> float:
    """TIFA: share of the questions whose right choice is the most probable.

    Source: Hu et al. 2023, arXiv 2303.11897.
    """
    right = [parts[0] > max(parts[1:]) for parts in probabilities]
    return sum(right) / len(right)


def dpg_questions(path: Path) -> dict[str, list[Question]]:
    """`dpg_bench.csv`: a row a question, with `proposition_id` and `dependency`, `0` for none."""
    rows: dict[str, list[dict[str, str]]] = {}
    with path.open(encoding="utf-8-sig", newline="") as stream:
        for row in csv.DictReader(stream):
            rows.setdefault(plain(row.get("text", "")), []).append(row)
    found = {}
    for text, own in rows.items():
        with _parsing(path, 0):
            places = {int(row["proposition_id"]): i for i, row in enumerate(own)}
            found[text] = [
                Question(
                    text=f"{row['question_natural_language']} Answer yes or no.",
                    answers=(YES, NO),
                    needs=tuple(places[n] for n in map(int, row["dependency"].split(",")) if n),
                )
                for row in own
            ]
    return found


def share_supported(questions: Sequence[Question], probabilities: Sequence[Sequence[float]]) -> float:
    """DPG-Bench: share of questions answered yes, of which those do not count that rest on one answered no.

    In the order of the file, as the authors' script does: what rests on a question that does not count does not
    count either. Source: Hu et al. 2024 (ELLA), arXiv 2403.05135.
    """
    right = [parts[0] > parts[1] for parts in probabilities]
    for place, question in enumerate(questions):
        right[place] = right[place] and all(right[other] for other in question.needs)
    return sum(right) / len(right)


FORMS: dict[str, Form] = {
    "soft-tifa": Form(
        read=soft_tifa_questions,
        value=geometric_mean,
        source="GenEval 2, Soft-TIFA GM",
        prompt_set="geneval2",
        file="geneval2_data.jsonl",
    ),
    "tifa": Form(
        read=tifa_questions,
        value=share_right,
        source="TIFA v1.0",
        prompt_set="tifa",
        file="tifa_v1.0/tifa_v1.0_question_answers.json",
    ),
    "dpg": Form(
        read=dpg_questions,
        value=share_supported,
        source="DPG-Bench",
        prompt_set="dpg-bench",
        file="dpg_bench/dpg_bench.csv",
    ),
}


@contextlib.contextmanager
def _parsing(path: Path, row: int) -> Iterator[None]:
    """Raises InputError, naming the place, where a file of questions is not of its form."""
    try:
        yield
    except (KeyError, ValueError, TypeError, AttributeError, IndexError) as error:
        where = f"{path}:{row}" if row else str(path)
        raise InputError(f"{where}: not a question of this form ({type(error).__name__}: {error})") from None


def check_covered(questions: Mapping[str, Sequence[Question]], texts: Iterable[str], path: Path) -> None:
    """Raises InputError: prompts that the file has no questions about."""
    asked = list(texts)
    lacking = [text for text in asked if not questions.get(plain(text))]
    if lacking:
        raise InputError(
            f"{path} has no questions about {len(lacking)} of {len(asked)} prompts, {lacking[0]!r} among them: take "
            "the prompts of the benchmark, or name another file in [metrics] questions"
        )
