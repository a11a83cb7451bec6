"""Both clocks of the live page on one recorded typing: every key, and every picture that was painted.

    python -m tests.performance.live_clocks [--prompts 5] [--out results/speed/typing.json]

A headless Chromium types the same prompts of the miniature set for two contenders at 6.7 keys a second. The key clock
counts every keystroke to the first frame that reflects it; the picture clock counts only pictures that were painted,
each from its own key, and so leaves out what newer text replaced. Kept: the summary, and the record behind it.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from bench.live.measure import measure, summary
from bench.models.registry import MODELS
from bench.prompts import sets

CONTENDERS = ("mini-turbo@1", "mini-sdxl@4")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--prompts", type=int, default=5)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    texts = [prompt.text for prompt in sets.load("miniature")[: given.prompts]]
    document = measure(
        CONTENDERS, MODELS, texts, device="cpu", report=lambda line: print(line, file=sys.stderr)
    )
    table = summary(document)
    print(json.dumps(table, indent=1))
    if given.out:
        record = {
            "keys_ms": {
                name: [
                    [round(1000 * k["seconds"]), int(k["replaced"])]
                    for k in document["keys"]
                    if k["contender"] == name
                ]
                for name in CONTENDERS
            },
            "pictures_ms": {
                name: [
                    round(1000 * sum(v for s, v in row.items() if s not in ("contender", "behind")))
                    for row in document["rows"]
                    if row["contender"] == name
                ]
                for name in CONTENDERS
            },
        }
        result = {
            "load_average": os.getloadavg()[0],
            "summary": table,
            "protocol": document["protocol"],
            "record": record,
        }
        given.out.write_text(json.dumps(result) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
