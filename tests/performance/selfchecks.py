"""The self-check of every entry of the registry, on tiny networks in the real layouts from a hub on the loopback.

    python -m tests.performance.selfchecks results/selfcheck/README.md

Every entry is fetched, checked, loaded and compared with diffusers' own call in its own dtype and in float32. The
weights are random and tiny: the table shows that the path is diffusers' path, and says nothing of real weights;
for these, run `bench selfcheck` after `bench fetch`.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import pytest

from bench.device import device_name
from bench.models.availability import fetch
from bench.models.registry import MODELS
from bench.models.selfcheck import SelfCheck, markdown, selfcheck
from bench.records import Contender
from tests.support import hub as hubs
from tests.support import hub_layouts

HEAD = """# Self-checks of every entry

Made by `python -m tests.performance.selfchecks results/selfcheck/README.md`: tiny networks with random weights in
the layouts of the real repositories, fetched from a hub on the loopback. At most three steps of a step count that
has no weights of its own. With real weights run `bench fetch` and `bench selfcheck` on your own machine.

"""


def checks(work: Path) -> list[SelfCheck]:
    names, found = hub_layouts.hub_models(), []
    hub_layouts.build(work / "hub", names)
    patch = pytest.MonkeyPatch()
    with hubs.serving(work / "hub") as hub:
        hub.gated = set(hub_layouts.GATED)
        hubs.use(patch, hub, work / "cache", hubs.ACCEPTED)
        for name in names:
            model = hub_layouts.small(MODELS[name])
            fetch(model)
            counts = model.steps if model.recipes else tuple(dict.fromkeys(min(n, 3) for n in model.steps))
            for steps in counts:
                who = Contender(
                    name=f"{name}@{steps}", model=name, steps=steps, guidance=model.guidance, size=model.size
                )
                for dtype in dict.fromkeys((model.dtype, "float32")):
                    found.append(selfcheck(model, who, device="cpu", dtype=dtype))
    patch.undo()
    return found


def main(target: Path) -> None:
    with tempfile.TemporaryDirectory() as work:
        os.environ["TURBO_BENCH_CACHE"] = str(Path(work) / "tiny")
        found = checks(Path(work))
    equal = sum(check.passed is True for check in found)
    compared = sum(check.passed is not None for check in found)
    entries = len({check.contender.partition("@")[0] for check in found})
    line = f"{entries} entries; {equal} of {compared} comparisons equal within rounding.\n\n"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(HEAD + line + markdown(found, device_name("cpu")), encoding="utf-8")
    print(line.strip())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
