"""Croissant 1.0 metadata of a data package: what files there are, and what each column of each table means.

Source: MLCommons, Croissant format specification 1.0 (http://mlcommons.org/croissant/1.0).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.report.results import Results
from bench.report.tables.votes import vote_count
from bench.report.text.bibliography import citation
from bench.report.text.method import counted

_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileProperty": "cr:fileProperty",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "sc": "https://schema.org/",
    "samplingRate": "cr:samplingRate",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
_ENCODING = {
    ".parquet": "application/x-parquet",
    ".json": "application/json",
    ".toml": "application/toml",
    ".md": "text/markdown",
    ".bib": "application/x-bibtex",
}
_KEYS = {"prompts": ("id",), "generations": ("contender", "prompt_id", "replicate")}
"""Columns that name a row, where one row a key is sure."""


def croissant(results: Results, package: Path, files: Mapping[str, str]) -> dict[str, Any]:
    """The document; `files` are paths inside the package with their sha256, images aside."""
    licences = sorted({str(entry.get("licence") or "unknown") for entry in results.models.values()})
    simulated = (
        " The votes are simulated: they say nothing about the models." if results.simulated_votes else ""
    )
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "name": results.name,
        "description": (
            f"{results.title}: {counted(len(results.contenders), 'text-to-image contender')} on "
            f"{counted(len(results.prompts), 'prompt')}, {len(results.generations)} images, "
            f"{vote_count(results)} pairwise answers.{simulated}"
        ),
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "license": licences or ["unknown"],
        "url": f"./{results.name}",
        "version": "1.0.0",
        **_dated(results),
        "citeAs": citation(results),
        **_creators(results),
        "isLiveDataset": False,
        "distribution": [_file(path, digest) for path, digest in sorted(files.items())] + [_images()],
        "recordSet": [_records(package, path) for path in sorted(files) if path.endswith(".parquet")],
    }


def _creators(results: Results) -> dict[str, Any]:
    people = [{"@type": "sc:Person", "name": name} for name in results.authors]
    return {"creator": people[0] if len(people) == 1 else people} if people else {}


def _dated(results: Results) -> dict[str, str]:
    finished = str(results.run.get("finished") or "")[:10]
    return {"datePublished": finished} if finished else {}


def _file(path: str, digest: str) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": path,
        "name": path,
        "contentUrl": path,
        "encodingFormat": _ENCODING.get(Path(path).suffix, "application/octet-stream"),
        "sha256": digest,
    }


def _images() -> dict[str, Any]:
    return {
        "@type": "cr:FileSet",
        "@id": "image-files",
        "name": "image-files",
        "description": "CONTENDER/PROMPT-REPLICATE.webp, lossless; sha256 of each in data/generations.parquet",
        "encodingFormat": "image/webp",
        "includes": "images/*/*.webp",
    }


def _records(package: Path, path: str) -> dict[str, Any]:
    import pyarrow.parquet as pq

    name = Path(path).stem
    schema = pq.read_schema(package / path)
    record: dict[str, Any] = {"@type": "cr:RecordSet", "@id": name, "name": name}
    if name in _KEYS:
        record["key"] = [{"@id": f"{name}/{column}"} for column in _KEYS[name]]
    record["field"] = [_field(name, path, column) for column in schema]
    return record


def _field(name: str, path: str, column: Any) -> dict[str, Any]:
    """A column; that of thumbnails is a struct whose `bytes` are the image."""
    import pyarrow as pa

    image = pa.types.is_struct(column.type)
    source = {"fileObject": {"@id": path}, "extract": {"column": column.name}}
    return {
        "@type": "cr:Field",
        "@id": f"{name}/{column.name}",
        "name": column.name,
        "dataType": "sc:ImageObject" if image else _type(column.type),
        "source": {**source, "transform": {"jsonPath": "bytes"}} if image else source,
    }


def _type(kind: Any) -> str:
    import pyarrow as pa

    if pa.types.is_boolean(kind):
        return "sc:Boolean"
    if pa.types.is_integer(kind):
        return "sc:Integer"
    return "sc:Float" if pa.types.is_floating(kind) else "sc:Text"
