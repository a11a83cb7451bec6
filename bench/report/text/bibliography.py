"""What a report cites: its models, metrics, prompt set, published figures and rating model, as BibTeX.

Models bring their citation in run.json. Metrics, prompt sets and published figures name an arXiv number in
their source; `bench.papers` knows the paper behind it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from bench.papers import BY_ARXIV
from bench.report.published import PUBLISHED, TURBO_A100
from bench.report.results import Results, model_of

_DAVIDSON = """@article{davidson1970extending,
  title = {On Extending the {Bradley--Terry} Model to Accommodate Ties in Paired Comparison Experiments},
  author = {Davidson, Roger R.},
  journal = {Journal of the American Statistical Association},
  volume = {65}, number = {329}, pages = {317--328},
  year = {1970},
}
"""
_ARXIV = re.compile(r"arxiv(?:\.org/abs/|[:\s]+)(\d{4}\.\d{4,5})", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bibliography:
    """The works that a report cites, and where."""

    entries: Mapping[str, str]
    """Key → BibTeX."""
    models: Mapping[str, str]
    """Model → key; models without a citable source are absent."""
    metrics: Mapping[str, tuple[str, ...]]
    """Metric → keys."""
    prompts: tuple[str, ...]
    """Of the prompt set."""
    published: tuple[str, ...]
    """Of the figures that others published."""
    ratings: tuple[str, ...]
    """Of the rating model."""
    suite: tuple[str, ...]
    """Of this software."""


def bibliography(results: Results) -> Bibliography:
    """What the report cites, from run.json, the metrics' sources and the published figures."""
    entries: dict[str, str] = {}
    models = {}
    for name, model in sorted(results.models.items()):
        key, text = _entry(name, model)
        if text:
            models[name] = key
            entries.setdefault(key, text)
    scores = {(s.metric, s.fingerprint): s for s in results.scores}.values()
    metrics: dict[str, tuple[str, ...]] = {}
    for score in scores:
        keys = _add(entries, str(score.protocol.get("source") or ""))
        if keys:
            metrics[score.metric] = keys
    prompts = _add(entries, str((results.run.get("prompt_set") or {}).get("source") or ""))
    names = {model_of(name)[0] for name in results.contenders}
    published: dict[str, None] = {}
    for line in PUBLISHED:
        if line.model in names or (line is TURBO_A100 and results.timings):
            published |= dict.fromkeys(_add(entries, line.protocol.source))
    ratings: tuple[str, ...] = ()
    if results.preferences:
        ratings = ("davidson1970extending",)
        entries.setdefault(ratings[0], _DAVIDSON)
    suite: tuple[str, ...] = ()
    if results.run:
        suite = ("turbopreferencebench",)
        entries.setdefault(suite[0], _suite(results))
    return Bibliography(
        entries=entries,
        models=models,
        metrics=metrics,
        prompts=prompts,
        published=tuple(published),
        ratings=ratings,
        suite=suite,
    )


def citation(results: Results) -> str:
    """The study itself, as it wants to be cited; else as BibTeX."""
    if results.cite:
        return results.cite
    year = str(results.run.get("finished") or "")[:4]
    key = re.sub(r"[^A-Za-z0-9-]+", "-", results.name)
    fields = [
        f"  title = {{{results.title}}},",
        *([f"  author = {{{' and '.join(results.authors)}}},"] if results.authors else []),
        *([f"  year = {{{year}}},"] if year else []),
        f"  note = {{Study {results.name}, protocol {results.run.get('fingerprint') or 'not recorded'}}},",
    ]
    return "\n".join([f"@misc{{{key},", *fields, "}"])


def bibtex(results: Results) -> str:
    """The entries as a .bib file."""
    return "\n".join(bibliography(results).entries.values())


def _add(entries: dict[str, str], source: str) -> tuple[str, ...]:
    """Add the arXiv papers that a source names; their keys."""
    keys = []
    for number in dict.fromkeys(_ARXIV.findall(source)):
        known = next((key for key, text in entries.items() if f"eprint = {{{number}}}" in text), None)
        if known is None:
            known, text = _paper(number, source)
            entries.setdefault(known, text)
        keys.append(known)
    return tuple(keys)


_MARK = re.compile(r"\[@([\w.:-]+(?:;[\w.:-]+)*)\]")
"""A citation inside a sentence of the report: `[@key;key]`."""


def cite(keys: Iterable[str]) -> str:
    """A citation mark for the end of a clause; empty without keys."""
    listed = ";".join(dict.fromkeys(keys))
    return f" [@{listed}]" if listed else ""


def with_names(text: str, works: Bibliography) -> str:
    """Citation marks as `(Sauer et al. 2023)`, for the page and Markdown."""

    def named(match: re.Match[str]) -> str:
        return "(" + "; ".join(_label(works.entries.get(key, key)) for key in match[1].split(";")) + ")"

    return _MARK.sub(named, text)


def with_cite_commands(text: str, escape: Callable[[str], str]) -> str:
    r"""Citation marks as `~\cite{…}`; everything else through `escape`."""
    parts = re.split(r" ?\[@([\w.:-]+(?:;[\w.:-]+)*)\]", text)
    return "".join(
        escape(part) if k % 2 == 0 else f"~\\cite{{{part.replace(';', ',')}}}" for k, part in enumerate(parts)
    )


def _label(entry: str) -> str:
    """First author and year of a BibTeX entry, or its title."""
    fields = dict(re.findall(r"^ *(\w+) = \{(.*)\},$", entry, re.MULTILINE))
    year = re.search(r"year = \{(\d+)\}", entry)
    authors = [name for name in fields.get("author", "").split(" and ") if name]
    if not authors:
        return re.sub(r"[{}]", "", fields.get("title", "")).split(":")[0] or "source"
    family = re.sub(r"\\\W|[{}]", "", authors[0].split(",")[0]).strip()
    more = (
        " et al."
        if len(authors) > 2 or authors[-1] == "others"
        else (f" and {re.sub(r'[{}]', '', authors[1].split(',')[0]).strip()}" if len(authors) == 2 else "")
    )
    return f"{family}{more} {year[1]}" if year else f"{family}{more}"


def _paper(number: str, source: str) -> tuple[str, str]:
    if number in BY_ARXIV:
        return _from_citation("", asdict(BY_ARXIV[number]))
    return _from_fields(f"arxiv{number}", {"title": source, "eprint": number, "archiveprefix": "arXiv"})


def _suite(results: Results) -> str:
    version = (results.run.get("versions") or {}).get("turbo-preference-bench")
    note = f"Software, version {version}" if version else "Software"
    fields = {
        "title": "Turbo Preference Bench: a human preference benchmark for few-step text-to-image models",
        "note": note,
    }
    return _from_fields("turbopreferencebench", fields)[1]


def _entry(name: str, model: Mapping[str, Any]) -> tuple[str, str]:
    cited = model.get("citation")
    if isinstance(cited, Mapping):
        return _from_citation(name, cited)
    source = str(model.get("source") or "")
    if number := next(iter(_ARXIV.findall(source)), None):
        return (
            _paper(number, source)
            if number in BY_ARXIV
            else _from_fields(
                _key(name), {"title": name, "url": source, "eprint": number, "archiveprefix": "arXiv"}
            )
        )
    # A model of the suite itself has a path as its source; it is covered by the suite's own entry.
    return _from_fields(_key(name), {"title": name, "url": source}) if "://" in source else (_key(name), "")


def _key(name: str) -> str:
    return re.sub(r"[^\w.-]", "-", name)


def _from_citation(name: str, cited: Mapping[str, Any]) -> tuple[str, str]:
    """A `bench.papers.Paper` as run.json holds it: key, title, authors, year, where (`arXiv:…` or an address)."""
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
        if label == "eprint":
            lines.append(f"  howpublished = {{arXiv:{text}}},")
        if label == "url":
            label, text = "howpublished", f"\\url{{{text}}}"
        lines.append(f"  {label} = {{{text}}},")
    return key, f"@misc{{{key},\n" + "\n".join(lines) + "\n}\n"
