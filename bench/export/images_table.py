"""data/images.parquet: a thumbnail a row, so that a dataset viewer shows the images without the lossless files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.records import Generation
from bench.report.images.thumbnails import thumbnail
from bench.report.results import Results

IMAGES = "images.parquet"
SIDE = 256
"""Longest side of a thumbnail, pixels."""
ROWS = 200
"""Rows of a group: a viewer reads whole groups, and memory holds one."""


def write_images_table(results: Results, path: Path) -> None:
    """Write the table, group by group; nothing where the study has no images."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not results.generations:
        return
    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    text = ("contender", "prompt_id", "prompt", "file")
    schema = pa.schema(
        [("image", image), *((name, pa.string()) for name in text), ("replicate", pa.int64())]
    ).with_metadata({"huggingface": json.dumps({"info": {"features": _features(text)}})})
    path.parent.mkdir(parents=True, exist_ok=True)
    with pq.ParquetWriter(path, schema) as writer:
        group: list[dict[str, Any]] = []
        for row in _rows(results):
            group.append(row)
            if len(group) == ROWS:
                writer.write_table(pa.Table.from_pylist(group, schema))
                group = []
        if group:
            writer.write_table(pa.Table.from_pylist(group, schema))


def _features(text: tuple[str, ...]) -> dict[str, Any]:
    """The types as the `datasets` library names them."""
    return {
        "image": {"_type": "Image"},
        **{name: {"dtype": "string", "_type": "Value"} for name in text},
        "replicate": {"dtype": "int64", "_type": "Value"},
    }


def _rows(results: Results) -> Iterator[dict[str, Any]]:
    """In the order of the study: prompts, then contenders."""
    by_prompt: dict[str, list[Generation]] = {}
    for row in results.generations.values():
        by_prompt.setdefault(row.prompt_id, []).append(row)
    place = {name: i for i, name in enumerate(results.contenders)}
    for prompt in results.prompts:
        for row in sorted(by_prompt.get(prompt.id, []), key=lambda r: (r.replicate, place[r.contender])):
            file = f"images/{row.contender}/{row.prompt_id}-{row.replicate}.webp"
            made = thumbnail(results.folder.image(row.contender, row.prompt_id, row.replicate), SIDE)
            data = None if isinstance(made, str) else made[0]
            yield {
                "image": None if data is None else {"bytes": data, "path": None},
                "contender": row.contender,
                "prompt_id": row.prompt_id,
                "prompt": prompt.text,
                "file": file,
                "replicate": row.replicate,
            }
