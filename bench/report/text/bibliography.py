"""BibTeX for whatever a report speaks of: its models, metrics, prompt set, published figures and rating model.

Models bring their citation in run.json. Metrics, prompt sets and published figures name an arXiv number in
their source; `bench.papers` knows the paper behind it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict
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


def bibtex(results: Results) -> str:
    """An entry for each model, metric, prompt set and published figure shown, and for the rating model."""
    entries: dict[str, str] = {}
    for name, model in sorted(results.models.items()):
        key, text = _entry(name, model)
        if text:
            entries.setdefault(key, text)
    for source in _sources(results):
        for number in _ARXIV.findall(source):
            if not any(f"eprint = {{{number}}}" in text for text in entries.values()):
                key, text = _paper(number, source)
                entries.setdefault(key, text)
    if results.preferences:
        entries.setdefault("davidson1970extending", _DAVIDSON)
    if results.run:
        entries.setdefault("turbopreferencebench", _suite(results))
    return "\n".join(entries.values())


def _sources(results: Results) -> Iterator[str]:
    """Where the metrics, the prompt set and the published figures of the tables come from, in words."""
    for score in {(s.metric, s.fingerprint): s for s in results.scores}.values():
        yield str(score.protocol.get("source") or "")
    yield str((results.run.get("prompt_set") or {}).get("source") or "")
    models = {model_of(name)[0] for name in results.contenders}
    for line in PUBLISHED:
        if line.model in models or (line is TURBO_A100 and results.timings):
            yield line.protocol.source


def _paper(number: str, source: str) -> tuple[str, str]:
    if number in BY_ARXIV:
        return _from_citation("", asdict(BY_ARXIV[number]))
    return _from_fields(f"arxiv{number}", {"title": source, "eprint": number, "archiveprefix": "arXiv"})


def _suite(results: Results) -> str:
    version = (results.run.get("versions") or {}).get("turbo-preference-bench")
    note = f"Software, version {version}" if version else "Software"
    fields = {"title": "Turbo Preference Bench: a human preference benchmark for few-step text-to-image models",
              "note": note}  # fmt: skip
    return _from_fields("turbopreferencebench", fields)[1]


def _entry(name: str, model: Mapping[str, Any]) -> tuple[str, str]:
    cited = model.get("citation")
    if isinstance(cited, Mapping):
        return _from_citation(name, cited)
    source = str(model.get("source") or "")
    if number := next(iter(_ARXIV.findall(source)), None):
        return _paper(number, source) if number in BY_ARXIV else _from_fields(
            _key(name), {"title": name, "url": source, "eprint": number, "archiveprefix": "arXiv"}
        )  # fmt: skip
    # A model of the suite itself has a path for its source; the suite's own entry speaks for it.
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
