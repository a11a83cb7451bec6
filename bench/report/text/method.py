"""The method section in paragraphs with citations, the data statement, and the provenance.

Only what the folder records: a sentence about something that is absent is left out.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from bench.ratings.document import OVERALL, QuestionRatings
from bench.report.images.selection import licences
from bench.report.results import Results, model_of
from bench.report.tables import claims
from bench.report.tables.metrics import label
from bench.report.tables.votes import effective, scale, vote_count, votes_of
from bench.report.text.bibliography import Bibliography, bibliography, cite
from bench.report.text.phrases import counted, listed
from bench.report.timings import dtype_of

ASKED = {
    "alignment": "which image follows the prompt better",
    "quality": "which image looks better, with the prompt hidden",
    "faithfulness": "which image keeps more of the reference, as the prompt asks",
}
"""What the arena's questions ask."""
RULES = {
    "balanced": "the pair with the fewest votes first",
    "active": "more on pairs that serve the study's target, with a share spread evenly",
    "exhaustive": "every pair of every prompt",
}
LONGEST_WINDOW = 120
"""Characters of a timing window that the paragraph repeats; a longer one is below the latency table."""


MOST_NAMED = 8
"""Contenders that a sentence names; with more of them it points to the main table."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Paragraph:
    """One paragraph of the method section."""

    head: str
    text: str
    """Sentences; citations as `[@key]`."""


def method(results: Results) -> list[Paragraph]:
    """The method section: images, votes, analysis, metrics, latency, reproduction."""
    works = bibliography(results)
    paragraphs = {
        "Images": _images(results, works),
        "Votes": _votes(results),
        "Ratings and tests": _analysis(results, works),
        "Metrics": _metrics(results, works),
        "Latency": _latency(results, works),
        "Reproduction": _reproduction(results, works),
    }
    return [
        Paragraph(head=head, text=" ".join(sentences)) for head, sentences in paragraphs.items() if sentences
    ]


def _images(results: Results, works: Bibliography) -> list[str]:
    sizes = {(row.width, row.height) for row in results.generations.values()}
    chosen = results.run.get("prompt_set") or {}
    source = f" from the set {chosen['name']}{cite(works.prompts)}" if chosen.get("name") else ""
    per = f", {results.images_per_prompt} images each" if results.images_per_prompt > 1 else ""
    native = (
        f"; native sizes were {listed([f'{w}×{h}' for w, h in sorted(sizes)])} px" if len(sizes) > 1 else ""
    )
    edits = ", starting from each prompt's reference image," if results.task == "image-to-image" else ""
    return [
        f"{_contenders(results, works)} generated images{edits} for {counted(len(results.prompts), 'prompt')}"
        f"{source}{per}: {len(results.generations)} of {results.expected} images.",
        _seeds(results),
        f"Raters saw and metrics scored the images at {results.display_size} px{native}.",
    ]


def _contenders(results: Results, works: Bibliography) -> str:
    count = counted(len(results.contenders), "contender")
    if len(results.contenders) > MOST_NAMED:
        return f"{count} (the rows of the main table){cite(works.models.values())}"
    cited: set[str] = set()
    names = []
    for name in results.contenders:
        key = works.models.get(model_of(name)[0])
        names.append(name + (cite([key]) if key and key not in cited else ""))
        cited |= {key} if key else set()
    return f"{count}, {listed(names)}," if len(names) > 1 else f"One contender, {names[0]},"


def _seeds(results: Results) -> str:
    """What the rows record of the seeds."""
    by_image: dict[tuple[str, int], set[int]] = {}
    unknown = 0
    for row in results.generations.values():
        if row.seed is None:
            unknown += 1
        else:
            by_image.setdefault((row.prompt_id, row.replicate), set()).add(row.seed)
    imported = f" The seeds of {counted(unknown, 'imported image')} are not known." if unknown else ""
    if any(len(seeds) > 1 for seeds in by_image.values()):
        return f"Contenders did not all start from the same seed.{imported}"
    same = "All contenders started a prompt and replicate from the same seed." if by_image else ""
    return f"{same}{imported}".strip() or "No seed is recorded."


def _votes(results: Results) -> list[str]:
    if not results.preferences:
        return [f"No votes were counted; the questions are {listed(list(results.questions))}."]
    asked = [name for name in results.preferences if name != OVERALL] or list(results.preferences)
    whose = "A program, not people," if results.simulated_votes else "Raters"
    parts = "; ".join(_question(results.preferences[name]) for name in asked)
    sentences = [f"{whose} compared pairs of images of one prompt, blind to the contenders: {parts}."]
    sentences += _design(results)
    if results.excluded_votes:
        excluded = [f"{count} for {reason}" for reason, count in sorted(results.excluded_votes.items())]
        sentences.append(f"Excluded from the ratings: {listed(excluded)}.")
    return sentences + _agreement(results)


def _question(preference: QuestionRatings) -> str:
    raters = f" by {effective(preference)}" if preference.n_raters else ""
    asked = f" ({ASKED[preference.question]})" if preference.question in ASKED else ""
    return f"{preference.question}{asked}, {votes_of(preference)} votes{raters}"


def _design(results: Results) -> list[str]:
    """What `[arena]` says, with the defaults of the study file's schema where it says nothing."""
    if not results.arena:
        return []
    arena = results.arena
    answers = [
        "left",
        "right",
        *(["tie"] if arena.get("ties", True) else []),
        *(["both bad"] if arena.get("both_bad") else []),
    ]
    rule = arena.get("pairing", "balanced")
    meaning = f" ({RULES[rule]})" if rule in RULES else ""
    return [
        f"Answers were {listed(answers)}; sides were drawn at random; pairs were chosen by the {rule} rule{meaning}, "
        f"with a target of {arena.get('votes_per_pair', 50)} votes for each pair of contenders and question; "
        f"{100 * arena.get('attention_rate', 0.05):.3g}% of the assignments were attention checks and "
        f"{100 * arena.get('repeat_rate', 0.05):.3g}% planted repeats."
    ]


def _analysis(results: Results, works: Bibliography) -> list[str]:
    if not results.preferences:
        return []
    about = results.votes_method
    sentences = []
    if about.get("model"):
        sentences.append(
            f"Ratings are those of {about['model']}{cite(works.ratings)}. {scale(results.anchor)}"
        )
    if about.get("intervals"):
        sentences.append(f"Intervals of ratings: {about['intervals']}.")
    if about.get("rates"):
        sentences.append(f"Intervals of win rates: {about['rates']}.")
    return [*sentences, *claims.method_in_words(results)]


def _agreement(results: Results) -> list[str]:
    agreement = results.headline.agreement if results.headline else None
    if agreement is None:
        return []
    sentences = []
    if agreement.alpha is not None:
        ends = (
            ""
            if agreement.alpha_low is None or agreement.alpha_high is None
            else f" [{agreement.alpha_low:.2f}, {agreement.alpha_high:.2f}]"
        )
        sentences.append(
            f"Agreement of raters on {counted(agreement.units, 'shared pair')} of images: Krippendorff's alpha "
            f"{agreement.alpha:.2f}{ends}."
        )
    if agreement.repeats and agreement.repeat_consistency is not None:
        sentences.append(
            f"Of {counted(agreement.repeats, 'planted repeat')}, {agreement.repeat_consistency:.0%} were answered as "
            "before."
        )
    return sentences


def _metrics(results: Results, works: Bibliography) -> list[str]:
    names = list(dict.fromkeys(score.metric for score in results.scores))
    if not names:
        return []
    cited = [f"{label(name)}{cite(works.metrics.get(name, ()))}" for name in names]
    kinds = list(dict.fromkeys(score.interval for score in results.scores if score.interval))
    intervals = f" with 95% intervals by {listed(kinds)}" if kinds else ""
    published = (
        f" Figures published by others{cite(works.published)} are in tables of their own."
        if works.published
        else ""
    )
    return [
        f"{listed(cited)} {'was' if len(names) == 1 else 'were'} computed{intervals}; a fingerprint names the protocol "
        f"of each, and numbers of two protocols are never in one column.{published}"
    ]


def _latency(results: Results, works: Bibliography) -> list[str]:
    if not results.timings:
        return []
    window = str(results.timing_protocol.get("window") or "")
    measured = f" ({window})" if 0 < len(window) <= LONGEST_WINDOW else ""
    kinds = list(dict.fromkeys(filter(None, (dtype_of(results, name) for name in results.contenders))))
    dtype = f" in {listed(kinds)}" if kinds else ""
    least = min(len(t.seconds) for t in results.timings)
    return [
        f"Latency was measured on {results.device}{dtype}{measured}; each figure is the median of at least {least} "
        "calls after warm-up, with its order-statistic interval."
    ]


def _reproduction(results: Results, works: Bibliography) -> list[str]:
    """Failures, software, licences, fingerprint, command."""
    sentences = []
    if results.failures:
        sentences.append(f"{counted(len(results.failures), 'failure')} are listed in the table of failures.")
    versions = results.run.get("versions") or {}
    named = [
        f"{name} {versions[name]}" + (cite(works.suite) if name == "turbo-preference-bench" else "")
        for name in ("turbo-preference-bench", "torch", "diffusers")
        if name in versions
    ]
    if named:
        commit = f", commit {results.run['git']}" if results.run.get("git") else ""
        sentences.append(f"Software: {listed(named)}{commit}.")
    if results.run.get("selfcheck"):
        sentences.append(selfcheck(results.run["selfcheck"]))
    if results.models:
        sentences.append(licences(results))
    if results.run.get("fingerprint"):
        sentences.append(f"Fingerprint of the study's protocol: {results.run['fingerprint']}.")
    if results.run:
        sentences.append(
            f"Command: `bench run {results.name}`, or with the study file in the study's folder."
        )
    return sentences


def selfcheck(checks: Sequence[Mapping[str, Any]]) -> str:
    """The result of `bench selfcheck`: this suite's images beside those of diffusers' own call."""
    compared = [check for check in checks if check.get("largest") is not None]
    if not compared:
        return "Self-check: no contender has a call in diffusers to be compared with."
    worst = max(compared, key=lambda check: check["largest"])
    verdict = (
        "all within rounding" if all(check["passed"] for check in compared) else "NOT all within rounding"
    )
    return (
        f"Self-check, two prompts with the same noise by diffusers' own call and by this suite: "
        f"{counted(len(compared), 'contender')}, {verdict}; the largest difference of a channel value is "
        f"{worst['largest']} of 255 ({worst['contender']}, {worst['dtype']} on {worst['device']})."
    )


def data_statement(results: Results) -> list[tuple[str, str]]:
    """Heading and text: what the data are, whose they are, what they cannot show."""
    chosen = results.run.get("prompt_set") or {}
    categories = Counter(prompt.category for prompt in results.prompts if prompt.category)
    spread = (
        f" Categories: {listed([f'{name} ({n})' for name, n in sorted(categories.items())])}."
        if categories
        else ""
    )
    name = chosen.get("name") or "a set that is not recorded"
    licence = chosen.get("licence") or "not recorded"
    source = f"; {chosen['source']}" if chosen.get("source") else ""
    rows = [
        ("Prompts", f"{counted(len(results.prompts), 'prompt')} from {name}{source}. Licence: {licence}.{spread}"),
        ("Images", _images_statement(results)),
        ("Votes", _votes_statement(results)),
        ("Personal data", "Raters appear as salted hashes; the exported data hold no name, address or panel id."
         if results.preferences and not results.simulated_votes else "None."),
        ("Limits", _limits(results)),
    ]  # fmt: skip
    return rows


def _images_statement(results: Results) -> str:
    black = sum(row.black for row in results.generations.values())
    gone = results.expected - len(results.generations)
    random = sorted(name for name, entry in results.models.items() if entry.get("weights") == "random")
    words = f"{len(results.generations)} synthetic images, lossless; {gone} missing, {black} black."
    return words + (f" Random weights, whose images show nothing: {listed(random)}." if random else "")


def _votes_statement(results: Results) -> str:
    if not results.preferences:
        return "None yet."
    if results.simulated_votes:
        return f"{vote_count(results)} votes drawn by a program from known strengths; no person took part."
    raters = results.headline.n_raters if results.headline else None
    who = counted(raters, "rater") if raters else "raters whose number is not recorded"
    said = "; ".join(
        f"{name}: {listed([f'{answer} ({n})' for answer, n in answers.items()])}"
        for name, answers in results.declared.items()
        if answers
    )
    known = f"they said of themselves, in sums: {said}" if said else "who they are is not recorded"
    return f"{vote_count(results)} answers of {who}, given in the arena; {known}."


def _limits(results: Results) -> str:
    words = []
    if results.simulated_votes:
        words.append("The votes say nothing about the models.")
    headline = results.headline
    if headline and not results.simulated_votes and (headline.n_raters or 0) < 30:
        words.append("Few raters: their tastes, not the public's.")
    if len(results.prompts) < 100:
        words.append(
            f"{counted(len(results.prompts), 'prompt')}: differences between prompts are not averaged out."
        )
    words.append(
        "Ratings hold for these prompts, this display size and these contenders; a metric does not replace people."
    )
    return " ".join(words)


def provenance(results: Results) -> list[tuple[str, str]]:
    """Key and value, in reading order, of run.json and the latency protocol."""
    run = results.run
    rows = [("Study", results.name), ("Rerun", f"bench run {results.name}")]
    labels = (
        ("fingerprint", "Protocol fingerprint"),
        ("started", "Started"),
        ("finished", "Finished"),
        ("git", "Git commit"),
        ("device", "Device"),
    )
    rows += [(label, _text(run[key])) for key, label in labels if run.get(key)]
    rows += [(f"Prompt set: {key}", _text(value)) for key, value in (run.get("prompt_set") or {}).items()]
    rows += [(f"Version: {key}", _text(value)) for key, value in sorted((run.get("versions") or {}).items())]
    for model, commits in sorted((run.get("weights") or {}).items()):
        rows += [(f"Weights: {model}", f"{repo} at {commit}") for repo, commit in sorted(commits.items())]
    known = {key for key, _ in labels} | {"prompt_set", "versions", "models", "weights", "selfcheck"}
    rows += [(key, _text(run[key])) for key in sorted(set(run) - known - {"command"})]
    if run.get("command"):
        rows.append(("command", command_without_folders(run["command"])))
    rows += [(f"Latency: {key}", _text(value)) for key, value in sorted(results.timing_protocol.items())]
    return rows


def protocols(results: Results) -> list[tuple[str, str, str]]:
    """Metric, fingerprint, protocol in full: what a fingerprint stands for."""
    texts = {
        (s.metric, s.fingerprint): json.dumps(s.protocol, sort_keys=True, ensure_ascii=False)
        for s in results.scores
    }
    return [(metric, fingerprint, text) for (metric, fingerprint), text in texts.items()]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)


def command_without_folders(command: str) -> str:
    """Paths by their last part, so that a report does not publish the user's folders."""
    return " ".join(
        PurePath(word).name if "/" in word and "://" not in word else word for word in command.split(" ")
    )
