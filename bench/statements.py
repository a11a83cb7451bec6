"""What the report must say in words: banners, the method paragraph, provenance, the bibliography."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bench.results import OVERALL, Preference, Results
from bench.tables import dtype_of, votes_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Banner:
    """Something a reader must not miss."""

    title: str
    text: str
    grave: bool = False
    """The pictures or the votes are not what they seem."""


def banners(results: Results) -> list[Banner]:
    found = [
        _random_weights(results),
        _simulated(results),
        _missing(results),
        _black(results),
        _sizes(results),
    ]
    found += [_failed(results), _unfinished(results)]
    found += [Banner(title="About the metrics", text=text) for text in results.warnings]
    return [banner for banner in found if banner is not None]


def _random_weights(results: Results) -> Banner | None:
    names = sorted(name for name, entry in results.models.items() if entry.get("weights") == "random")
    if not names:
        return None
    return Banner(
        title="Random weights",
        text=f"{_list(names)}: these weights were never trained. The pictures show nothing and no figure of "
        "quality here means anything; the timings and the path are real.",
        grave=True,
    )


def _simulated(results: Results) -> Banner | None:
    if not results.simulated_votes:
        return None
    return Banner(
        title="Simulated votes",
        text="The votes were drawn by a program, not given by people. They exercise the path; "
        "they rank nothing.",
        grave=True,
    )


def _missing(results: Results) -> Banner | None:
    gone = results.expected - len(results.generations)
    if gone <= 0:
        return None
    asked = len(results.prompts) * results.images_per_prompt
    by_name = {name: asked - len(results.present(name)) for name in results.contenders}
    worst = sorted(((count, name) for name, count in by_name.items() if count), reverse=True)
    shown = _list([f"{name} lacks {count}" for count, name in worst[:6]])
    more = f" and {len(worst) - 6} more contenders" if len(worst) > 6 else ""
    return Banner(
        title="Missing images", text=f"{gone} of {results.expected} images are not there: {shown}{more}."
    )


def _black(results: Results) -> Banner | None:
    count = sum(row.black for row in results.generations.values())
    if not count:
        return None
    return Banner(title="Black images", text=f"{count} images are black: a safety filter, or an overflow.")


def _sizes(results: Results) -> Banner | None:
    sizes = {
        name: Counter((row.width, row.height) for row in results.present(name)) for name in results.contenders
    }
    usual = {name: counts.most_common(1)[0][0] for name, counts in sizes.items() if counts}
    groups: dict[tuple[int, int], list[str]] = {}
    for name, size in usual.items():
        groups.setdefault(size, []).append(name)
    if len(groups) < 2:
        return None
    parts = [
        f"{w}×{h} px: {_list(names[:5])}{f' and {len(names) - 5} more' if len(names) > 5 else ''}"
        for (w, h), names in sorted(groups.items())
    ]
    return Banner(
        title="Unequal resolutions",
        text=f"Contenders draw at different sizes ({'; '.join(parts)}). Every image was judged and scored at "
        f"{results.display_size} px; latency is that of the native size.",
    )


def _failed(results: Results) -> Banner | None:
    if not results.failures:
        return None
    kinds = Counter(failure.kind for failure in results.failures)
    parts = _list([f"{count} × {kind}" for kind, count in kinds.most_common(6)])
    return Banner(title="Failures", text=f"{_count(len(results.failures), 'failure')} recorded: {parts}.")


def _unfinished(results: Results) -> Banner | None:
    if results.run:
        return None
    return Banner(
        title="Not finished",
        text="run.json, which is written last, is not there: the study has not run to its end, and versions, "
        "models and licences are not recorded.",
    )


def method(results: Results) -> list[str]:
    """Sentences an author can paste; only what the folder says."""
    sizes = {(row.width, row.height) for row in results.generations.values()}
    chosen = results.run.get("prompt_set") or {}
    source = f" from {chosen['name']}" if chosen.get("name") else ""
    per = f", {results.images_per_prompt} images each" if results.images_per_prompt > 1 else ""
    native = (
        f"; native sizes were {_list([f'{w}×{h}' for w, h in sorted(sizes)])} px" if len(sizes) > 1 else ""
    )
    sentences = [
        f"{_count(len(results.contenders), 'contender')} ({_list(list(results.contenders))}) drew "
        f"{_count(len(results.prompts), 'prompt')}{source}{per}: "
        f"{len(results.generations)} of {results.expected} images.",
        f"{_seeds_in_words(results)} Images were judged and scored at {results.display_size} px{native}.",
    ]
    sentences += _votes_in_words(results) + _latency_in_words(results)
    if results.scores:
        kinds = list(dict.fromkeys(score.interval for score in results.scores if score.interval))
        sentences.append(
            f"Metrics carry 95% intervals ({_list(kinds)}) and the fingerprint of their protocol."
            if kinds
            else "Metrics carry the fingerprint of their protocol."
        )
    if results.failures:
        sentences.append(f"Failures, all in the failure table: {len(results.failures)}.")
    if results.run.get("fingerprint"):
        sentences.append(f"Protocol fingerprint: {results.run['fingerprint']}.")
    return sentences


def _seeds_in_words(results: Results) -> str:
    """What the rows say of the seeds, not what the suite means them to be."""
    by_image: dict[tuple[str, int], set[int]] = {}
    unknown = 0
    for row in results.generations.values():
        if row.seed is None:
            unknown += 1
        else:
            by_image.setdefault((row.prompt_id, row.replicate), set()).add(row.seed)
    told = f" The seeds of {_count(unknown, 'imported image')} are not known." if unknown else ""
    if any(len(seeds) > 1 for seeds in by_image.values()):
        return f"Contenders did not all start from the same seed.{told}"
    same = "All contenders started a prompt and replicate from the same seed." if by_image else ""
    return f"{same}{told}".strip() or "No seed is recorded."


def _votes_in_words(results: Results) -> list[str]:
    if not results.preferences:
        return [f"No votes were counted; the questions are {_list(list(results.questions))}."]
    asked = [name for name in results.preferences if name != OVERALL] or list(results.preferences)
    whose = "A program, not people," if results.simulated_votes else "Raters"
    parts = [_votes_on(results.preferences[name]) for name in asked]
    words = [f"{whose} compared pairs of images of one prompt, blind to the contenders ({_list(parts)})."]
    if results.excluded_votes:
        left_out = _list(
            [f"{count} for {reason}" for reason, count in sorted(results.excluded_votes.items())]
        )
        words.append(f"Left out of the ratings: {left_out}.")
    return words


def _votes_on(preference: Preference) -> str:
    raters = f" by {preference.n_raters} raters" if preference.n_raters else ""
    return f"{preference.question}: {votes_of(preference)} votes{raters}"


def _latency_in_words(results: Results) -> list[str]:
    if not results.timings:
        return []
    protocol = results.timing_protocol
    device = protocol.get("gpu") or protocol.get("device") or "a device that was not recorded"
    window = f" ({protocol['window']})" if protocol.get("window") else ""
    kinds = list(dict.fromkeys(filter(None, (dtype_of(results, name) for name in results.contenders))))
    dtype = f", {_list(kinds)}" if kinds else ""
    least = min(len(t.seconds) for t in results.timings)
    return [
        f"Latency was measured on {device}{dtype}{window}; a figure is the median of {least} or more calls."
    ]


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
    rows += [(key, _text(run[key])) for key in sorted(set(run) - known)]
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


def _count(n: int, what: str) -> str:
    return f"{n} {what}{'' if n == 1 else 's'}"


def _list(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}" if names else "none"


def bibtex(results: Results) -> str:
    """Entries for the models, as run.json cites them; a bare arXiv address becomes an entry of its own."""
    entries: dict[str, str] = {}
    for name, model in sorted(results.models.items()):
        key, text = _entry(name, model)
        if text:
            entries.setdefault(key, text)
    return "\n".join(entries.values())


def _entry(name: str, model: Mapping[str, Any]) -> tuple[str, str]:
    cited = model.get("citation")
    if isinstance(cited, Mapping):
        return _from_citation(name, cited)
    source = str(model.get("source") or "")
    key = re.sub(r"[^\w.-]", "-", name)
    arxiv = re.search(r"arxiv\.org/abs/([\w.-]+)", source, re.IGNORECASE)
    fields = {"title": name, "url": source}
    if arxiv:
        fields |= {"eprint": arxiv[1], "archiveprefix": "arXiv"}
    return _from_fields(key, fields) if source else (key, "")


def _from_citation(name: str, cited: Mapping[str, Any]) -> tuple[str, str]:
    """A citation as run.json holds it: key, title, authors, year, where (`arXiv:…` or an address)."""
    where = str(cited.get("where") or "")
    number = where.removeprefix("arXiv:")
    place = {"url": where} if number == where else {"eprint": number, "archiveprefix": "arXiv"}
    fields = {"title": cited.get("title"), "author": cited.get("authors"), "year": cited.get("year"), **place}
    return _from_fields(str(cited.get("key") or name), fields)


def _from_fields(key: str, fields: Mapping[str, Any]) -> tuple[str, str]:
    lines = []
    for label, value in fields.items():
        if not value:
            continue
        text = str(value)
        # A lone brace would swallow the entries that follow.
        text = text if text.count("{") == text.count("}") else text.replace("{", "").replace("}", "")
        if label == "url":
            label, text = "howpublished", f"\\url{{{text}}}"
        lines.append(f"  {label} = {{{text}}},")
    return key, f"@misc{{{key},\n" + "\n".join(lines) + "\n}\n"
