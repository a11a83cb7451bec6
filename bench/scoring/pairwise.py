"""A vision-language model as judge of pairs: both orders, ties where they disagree, rated as votes are, kept apart."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np

import bench.metrics.networks.loading as networks
from bench.errors import InputError
from bench.metrics.extractors import EXTRACTORS
from bench.metrics.networks.asking import Reader
from bench.metrics.weights import Located, locate
from bench.ratings.document import RatingsDocument, to_dict
from bench.ratings.rate import Options, rate
from bench.ratings.vote_table import code_battles
from bench.records import Battle, PeopleAgreement, Prompt, iterate_rows, settings_hash, to_json
from bench.scoring.metric_agreement import SIGNS, Judged, agreements
from bench.scoring.scorable_images import Found, Key, census, common_keys
from bench.store.images import display_image
from bench.store.study_folder import StudyFolder, write_bytes
from bench.study.study import Study

JUDGE = "qwen2.5-vl-7b"
"""Extractor whose reader judges where none is named."""
BATTLES, DOCUMENT = "judge-battles.jsonl", "judge.json"
"""Files of the study folder; people's battles are in others."""
ASKED = {
    "alignment": "Which image shows what the prompt says more faithfully?",
    "quality": "Which image looks better: sharper, better composed, with fewer flaws?",
}
"""What the model is asked where raters are asked the question of that name."""
FORM = 'Two images were made for this prompt: "{prompt}"\n{question}\nAnswer with A for the first, B for the second.'
FIRST, SECOND = ("A", " A"), ("B", " B")
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What one run of the judge gave."""

    battles: tuple[Battle, ...]
    ratings: RatingsDocument
    """Fitted to the judge's own battles; the intervals hold for this judge, over other prompts."""
    agreement: tuple[PeopleAgreement, ...]
    """With people's votes on the same pairs, beside how well one rater predicts another; empty without votes."""
    protocol: dict[str, Any]


def questions_of(study: Study) -> dict[str, str]:
    """The study's questions that the judge can be asked. Raises InputError: none of them."""
    asked = {name: ASKED[name] for name in study.file.arena.questions if name in ASKED}
    if not asked:
        named = ", ".join(study.file.arena.questions)
        raise InputError(
            f"the judge can be asked {' and '.join(ASKED)}, not {named}: name one in [arena] questions"
        )
    return asked


def judge_study(
    folder: StudyFolder,
    study: Study,
    *,
    judge: str = JUDGE,
    device: str = "cpu",
    allow_missing: bool = False,
    reader: Reader | None = None,
    progress: Progress = lambda what, done, total: None,
) -> Judgement:
    """Every pair of contenders on every image that both have, by every question; writes `judge-battles.jsonl` and
    `judge.json`, never what people's votes are kept in.

    Parameters
    ----------
    judge: an extractor of kind `qwen-vl` that is asked no file of questions.
    reader: the loaded model; None: loaded here.

    Raises InputError: an unknown judge, its weights or images are missing, fewer than two contenders.
    """
    if judge not in EXTRACTORS or EXTRACTORS[judge].kind != "qwen-vl" or EXTRACTORS[judge].questions:
        raise InputError(f"'{judge}' is no judge of pairs: name {JUDGE}")
    asked, located = questions_of(study), locate(judge)
    found, faults = census(folder, study)
    if len(found) < 2:
        raise InputError(f"study '{study.name}' has one contender: there is no pair to judge")
    keys = common_keys(study, found, faults, allow_missing)
    reader = reader or networks.reader(located, device)
    battles = tuple(_battles(study, found, keys, asked, judge, reader, progress))
    protocol = _protocol(located, asked, study)
    ratings = rate(code_battles(battles), study=study.name, options=Options(this_rater_only=True))
    judgement = Judgement(
        battles=battles,
        ratings=ratings,
        protocol=protocol,
        agreement=tuple(_agreement(folder, battles, protocol, judge)),
    )
    write_bytes(folder.path / BATTLES, "".join(f"{to_json(battle)}\n" for battle in battles).encode())
    folder.write_json(
        DOCUMENT,
        {
            "protocol": protocol,
            "fingerprint": settings_hash(protocol),
            "ratings": to_dict(ratings),
            "agreement": [asdict(row) for row in judgement.agreement],
        },
    )
    return judgement


def _battles(
    study: Study,
    found: Mapping[str, Found],
    keys: Sequence[Key],
    asked: Mapping[str, str],
    judge: str,
    reader: Reader,
    progress: Progress,
) -> Iterator[Battle]:
    prompts = {prompt.id: prompt for prompt in study.prompts}
    pairs = list(combinations(found, 2))
    for number, key in enumerate(keys, 1):
        prompt, replicate = prompts[key[0]], key[1]
        images = {name: _prepared(reader, study, found[name][key][1]) for name in found}
        for left, right in pairs:
            for name, question in asked.items():
                yield Battle(
                    left=left,
                    right=right,
                    outcome=outcome(reader, images[left], images[right], prompt, question),
                    question=name,
                    rater=f"model:{judge}",
                    prompt_id=prompt.id,
                    replicate=replicate,
                    category=prompt.category,
                    challenge=prompt.challenge,
                )
        progress(f"pairs by {judge}", number, len(keys))


def _prepared(reader: Reader, study: Study, path: Any) -> Any:
    return reader.prepare(display_image(path, study.file.display_size, study.file.fit))


def outcome(reader: Reader, left: Any, right: Any, prompt: Prompt, question: str) -> str:
    """`left` or `right` where the model prefers that image in both orders, else `tie`."""
    text = FORM.format(prompt=prompt.text, question=question)
    ahead = [_first(reader, [left, right], text), -_first(reader, [right, left], text)]
    if ahead[0] == ahead[1] != 0:
        return "left" if ahead[0] > 0 else "right"
    return "tie"


def _first(reader: Reader, images: Sequence[Any], text: str) -> int:
    """1 where the first image is the likelier answer, -1 the second, 0 neither."""
    shares = reader.probabilities(images, text, [*FIRST, *SECOND])
    return int(np.sign(sum(shares[: len(FIRST)]) - sum(shares[len(FIRST) :])))


def _protocol(located: Located, asked: Mapping[str, str], study: Study) -> dict[str, Any]:
    return {
        **located.protocol(),
        "captions": FORM,
        "answers": [*FIRST, *SECOND],
        "questions": dict(asked),
        "orders": "both; a tie where they disagree",
        "display_size": study.file.display_size,
    }


def _agreement(
    folder: StudyFolder, battles: Sequence[Battle], protocol: Mapping[str, Any], judge: str
) -> Iterator[PeopleAgreement]:
    """With people's votes on one question at a time, each judged by its own answers."""
    votes = list(iterate_rows(folder.battles_file, Battle))
    ratings = folder.read_json("ratings.json") or {}
    for question in dict.fromkeys(battle.question for battle in battles):
        own = [battle for battle in battles if battle.question == question]
        people = [vote for vote in votes if vote.question == question]
        if not people:
            continue
        rows = ratings.get("questions", {}).get(question, {}).get("ratings", ())
        judged = Judged(
            metric=f"pairs by {judge}",
            fingerprint=settings_hash(protocol),
            sign=1,
            values=_win_shares(own),
            images={},
            keys=(),
            pairs={(b.prompt_id, b.replicate, b.left, b.right): SIGNS[b.outcome] for b in own},
        )
        known = {question: {row["contender"]: row["rating"] for row in rows if row["rating"] is not None}}
        yield from (replace(row, note=_note(row.note)) for row in agreements(judged, people, known))


def _note(note: str) -> str:
    return "; ".join(part for part in (note, "a model's judgement of pairs; its ties count half") if part)


def _win_shares(battles: Sequence[Battle]) -> dict[str, float]:
    """Share of its battles that each contender wins, a tie half."""
    scores: dict[str, list[float]] = {}
    for battle in battles:
        sign = SIGNS[battle.outcome]
        scores.setdefault(battle.left, []).append((1 + sign) / 2)
        scores.setdefault(battle.right, []).append((1 - sign) / 2)
    return {name: float(np.mean(values)) for name, values in scores.items()}
