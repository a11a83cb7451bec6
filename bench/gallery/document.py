"""The gallery's data as one JSON document, which the page's script filters and sorts in the browser.

The local page fetches it; the published site has it as a script, so that it opens from a disk. Values of images
are typed arrays in base64: a study of 100,000 images with two metrics is about 3 MB.
"""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.gallery.study_index import StudyIndex
from bench.report.tables.metrics import label

MISSING, PRESENT, BLACK = 0, 1, 2
"""Values of `state`."""
REFERENCE = "_reference"
"""Stands for a contender's name in the address of an image-to-image study's reference images."""


def gallery_document(index: StudyIndex, *, thumbnails: str, images: str) -> dict[str, Any]:
    """Everything the gallery's script needs.

    Parameters
    ----------
    index : the study.
    thumbnails, images : addresses, relative to the page, below which `<contender>/<prompt>-<replicate>.webp` lie.

    Returns
    -------
    JSON-compatible: arrays over (prompt, replicate, contender) are base64 of little-endian numbers, row-major.
    """
    state = np.where(index.black, BLACK, np.where(index.present, PRESENT, MISSING)).astype(np.uint8)
    return {
        "study": index.name,
        "title": index.title,
        "thumbnails": thumbnails,
        "images": images,
        "contenders": list(index.contenders),
        "replicates": index.replicates,
        "display_size": index.display_size,
        "references": index.references,
        "simulated_votes": index.simulated_votes,
        "prompts": [[p.id, p.text, p.category, p.challenge] for p in index.prompts],
        "state": _base64(state),
        "version": _base64(index.version.astype("<u4")),
        "metrics": [
            {
                "name": name,
                "label": label(name),
                "higher_is_better": index.higher_is_better.get(name, True),
                "values": _base64(values.astype("<f4")),
            }
            for name, values in index.scores.items()
        ],
        "votes": [[*pair, *counts] for pair, counts in index.votes.items()],
    }


def to_json(document: dict[str, Any]) -> str:
    """Without spaces; `<` escaped, so that no prompt can end the script element that holds it."""
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _base64(values: NDArray[Any]) -> str:
    return base64.b64encode(np.ascontiguousarray(values).tobytes()).decode()
