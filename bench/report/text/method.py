"""How the study was done, in sentences an author can paste and a data statement; where it came from.

Only what the folder says: a sentence about something that is not there is left out.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import PurePath
from typing import Any

from bench.report.preferences import OVERALL, Preference
from bench.report.results import Results
from bench.report.tables import claims
from bench.report.tables.votes import vote_count, votes_of
from bench.report.text.phrases import counted, listed
from bench.report.timings import dtype_of

ASKED = {
    "alignment": "which picture follows the description better",
    "quality": "which picture looks better, the description hidden",
    "faithfulness": "which picture keeps more of the reference, as the text asks",
}
"""The arena's questions, in its words."""
RULES = {
    "balanced": "the least-judged pair first",
    "active": "the pair that tells most about the order first, over a uniform floor",
    "exhaustive": "every pair of every prompt",
}
LONGEST_WINDOW = 120
"""Characters of a timing window that the paragraph repeats; a longer one stands below the latency table."""


def method(results: Results) -> list[str]:
    """Sentences of the method paragraph, in order."""
    return [
        *_pictures_in_words(results),
        *_votes_in_words(results),
        *claims.method_in_words(results),
        *_latency_in_words(results),
        *_metrics_in_words(results),
        *_run_in_words(results),
    ]


def _pictures_in_words(results: Results) -> list[str]:
    sizes = {(row.width, row.height) for row in results.generations.values()}
    chosen = results.run.get("prompt_set") or {}
    source = f" from {chosen['name']}" if chosen.get("name") else ""
    per = f", {results.images_per_prompt} images each" if results.images_per_prompt > 1 else ""
    native = (
        f"; native sizes were {listed([f'{w}×{h}' for w, h in sorted(sizes)])} px" if len(sizes) > 1 else ""
    )
    edits = " starting from each prompt's reference image" if results.task == "image-to-image" else ""
    return [
        f"{counted(len(results.contenders), 'contender')} ({listed(list(results.contenders))}) drew "
        f"{counted(len(results.prompts), 'prompt')}{source}{per}{edits}: "
        f"{len(results.generations)} of {results.expected} images.",
        f"{_seeds_in_words(results)} Images were judged and scored at {results.display_size} px{native}.",
    ]


def _seeds_in_words(results: Results) -> str:
    """What the rows say of the seeds, not what the suite means them to be."""
    by_image: dict[tuple[str, int], set[int]] = {}
    unknown = 0
    for row in results.generations.values():
        if row.seed is None:
            unknown += 1
        else:
            by_image.setdefault((row.prompt_id, row.replicate), set()).add(row.seed)
    told = f" The seeds of {counted(unknown, 'imported image')} are not known." if unknown else ""
    if any(len(seeds) > 1 for seeds in by_image.values()):
        return f"Contenders did not all start from the same seed.{told}"
    same = "All contenders started a prompt and replicate from the same seed." if by_image else ""
    return f"{same}{told}".strip() or "No seed is recorded."


def _votes_in_words(results: Results) -> list[str]:
    if not results.preferences:
        return [f"No votes were counted; the questions are {listed(list(results.questions))}."]
    asked = [name for name in results.preferences if name != OVERALL] or list(results.preferences)
    whose = "A program, not people," if results.simulated_votes else "Raters"
    parts = listed([_votes_on(results.preferences[name]) for name in asked], "; ")
    words = [f"{whose} compared pairs of images of one prompt, blind to the contenders ({parts})."]
    words += _design_in_words(results)
    if results.excluded_votes:
        left_out = [f"{count} for {reason}" for reason, count in sorted(results.excluded_votes.items())]
        words.append(f"Left out of the ratings: {listed(left_out)}.")
    about = results.votes_method
    if about.get("model"):
        words.append(f"Ratings: {about['model']}; {about.get('scale', 'Elo scale')}.")
    if about.get("intervals"):
        words.append(f"Intervals of ratings: {about['intervals']}.")
    return words + _agreement_in_words(results)


def _votes_on(preference: Preference) -> str:
    raters = f" by {counted(preference.n_raters, 'rater')}" if preference.n_raters else ""
    asked = f", {ASKED[preference.question]}" if preference.question in ASKED else ""
    return f"{preference.question}{asked}: {votes_of(preference)} votes{raters}"


def _design_in_words(results: Results) -> list[str]:
    """What `[arena]` says, with the study schema's defaults where it says nothing."""
    if not results.arena:
        return []
    arena = results.arena
    answers = ["left", "right", *(["tie"] if arena.get("ties", True) else []),
               *(["both bad"] if arena.get("both_bad") else [])]  # fmt: skip
    rule = arena.get("pairing", "balanced")
    told = f", {RULES[rule]}" if rule in RULES else ""
    return [
        f"Answers were {listed(answers)}; sides were drawn at random; pairs were chosen by the {rule} rule{told}, "
        f"aiming at {arena.get('votes_per_pair', 50)} votes a pair of contenders and question; "
        f"{100 * arena.get('attention_rate', 0.05):.3g}% attention checks and "
        f"{100 * arena.get('repeat_rate', 0.05):.3g}% planted repeats were mixed in."
    ]


def _agreement_in_words(results: Results) -> list[str]:
    found = results.headline.agreement if results.headline else None
    if found is None:
        return []
    words = []
    if found.alpha is not None:
        ends = (
            ""
            if found.alpha_low is None or found.alpha_high is None
            else f" [{found.alpha_low:.2f}, {found.alpha_high:.2f}]"
        )
        words.append(
            f"Raters' agreement on {counted(found.units, 'shared pair')} of pictures: Krippendorff's alpha "
            f"{found.alpha:.2f}{ends}."
        )
    if found.repeats and found.repeat_consistency is not None:
        words.append(
            f"Of {counted(found.repeats, 'planted repeat')} {found.repeat_consistency:.0%} were answered as before."
        )
    return words


def _latency_in_words(results: Results) -> list[str]:
    if not results.timings:
        return []
    protocol = results.timing_protocol
    device = results.device
    told = str(protocol.get("window") or "")
    window = f" ({told})" if 0 < len(told) <= LONGEST_WINDOW else ""
    kinds = list(dict.fromkeys(filter(None, (dtype_of(results, name) for name in results.contenders))))
    dtype = f", {listed(kinds)}" if kinds else ""
    least = min(len(t.seconds) for t in results.timings)
    return [
        f"Latency was measured on {device}{dtype}{window}; a figure is the median of {least} or more "
        "calls after warm-up."
    ]


def _metrics_in_words(results: Results) -> list[str]:
    words = []
    if results.scores:
        kinds = list(dict.fromkeys(score.interval for score in results.scores if score.interval))
        told = f"95% intervals ({listed(kinds)}) and " if kinds else ""
        words.append(f"Metrics carry {told}the fingerprint of their protocol.")
    if results.failures:
        words.append(f"Failures, all in the failure table: {len(results.failures)}.")
    return words


def _run_in_words(results: Results) -> list[str]:
    """Software, licences, fingerprint and the way to do it again."""
    versions = results.run.get("versions") or {}
    named = [
        f"{name} {versions[name]}"
        for name in ("turbo-preference-bench", "torch", "diffusers")
        if name in versions
    ]
    words = []
    if named:
        commit = f", commit {results.run['git']}" if results.run.get("git") else ""
        words.append(f"Software: {listed(named)}{commit}.")
    licences = [
        f"{name} ({entry.get('licence') or 'licence unknown'})"
        for name, entry in sorted(results.models.items())
    ]
    if licences:
        words.append(f"Model licences: {listed(licences)}.")
    if results.run.get("fingerprint"):
        words.append(f"Protocol fingerprint: {results.run['fingerprint']}.")
    if results.run:
        words.append(
            f"To rerun: `bench run {results.name}`, or with the study file that lies in the study's folder."
        )
    return words


def data_statement(results: Results) -> list[tuple[str, str]]:
    """Heading and text: what the data are, whose they are, and what they cannot show."""
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
        ("Pictures", _pictures_statement(results)),
        ("Votes", _votes_statement(results)),
        ("Personal data", "Raters appear as salted hashes; the exported data hold no name, address or panel id."
         if results.preferences and not results.simulated_votes else "None."),
        ("Limits", _limits(results)),
    ]  # fmt: skip
    return rows


def _pictures_statement(results: Results) -> str:
    black = sum(row.black for row in results.generations.values())
    gone = results.expected - len(results.generations)
    random = sorted(name for name, entry in results.models.items() if entry.get("weights") == "random")
    words = f"{len(results.generations)} synthetic images, lossless; {gone} missing, {black} black."
    return words + (f" Random weights, which draw nothing: {listed(random)}." if random else "")


def _votes_statement(results: Results) -> str:
    if not results.preferences:
        return "None yet."
    if results.simulated_votes:
        return f"{vote_count(results)} votes drawn by a program from known strengths; no person took part."
    raters = results.headline.n_raters if results.headline else None
    who = counted(raters, "rater") if raters else "raters whose number is not recorded"
    return f"{vote_count(results)} answers of {who}, given in the arena; who they are is not recorded."


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
        "Ratings hold for these prompts, this display size and these contenders; a metric stands in for no person."
    )
    return " ".join(words)


def provenance(results: Results) -> list[tuple[str, str]]:
    """Key and value, in reading order, of run.json and the latency protocol."""
    run = results.run
    rows = [("Study", results.name), ("Rerun", f"bench run {results.name}")]
    labels = (
        ("fingerprint", "Protocol fingerprint"), ("started", "Started"), ("finished", "Finished"),
        ("git", "Git commit"), ("device", "Device"),
    )  # fmt: skip
    rows += [(label, _text(run[key])) for key, label in labels if run.get(key)]
    rows += [(f"Prompt set: {key}", _text(value)) for key, value in (run.get("prompt_set") or {}).items()]
    rows += [(f"Version: {key}", _text(value)) for key, value in sorted((run.get("versions") or {}).items())]
    known = {key for key, _ in labels} | {"prompt_set", "versions", "models"}
    rows += [(key, _text(run[key])) for key in sorted(set(run) - known - {"command"})]
    if run.get("command"):
        rows.append(("command", command_without_folders(run["command"])))
    rows += [(f"Latency: {key}", _text(value)) for key, value in sorted(results.timing_protocol.items())]
    return rows


def protocols(results: Results) -> list[tuple[str, str, str]]:
    """Metric, fingerprint, protocol in full: what a fingerprint stands for."""
    found = {
        (s.metric, s.fingerprint): json.dumps(s.protocol, sort_keys=True, ensure_ascii=False)
        for s in results.scores
    }
    return [(metric, fingerprint, text) for (metric, fingerprint), text in found.items()]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)


def command_without_folders(command: str) -> str:
    """Paths by their last part: where somebody keeps their studies is nobody's business."""
    return " ".join(
        PurePath(word).name if "/" in word and "://" not in word else word for word in command.split(" ")
    )
