"""The advice about strength and steps is true for every number of steps, at both ends of what is advised."""

import re

import pytest

from bench.models.registry import MODELS, strength_problem
from bench.records import Contender

MODEL = MODELS["sdxl-turbo"]


def contender(steps):
    return Contender(name=f"sdxl-turbo@{steps}", model="sdxl-turbo", steps=steps, guidance=0.0, size=512)


@pytest.mark.parametrize("steps", range(1, 51))
def test_what_is_advised_takes_a_step_and_a_little_less_does_not(steps):
    for strength in (0.011, 0.1, round(0.3 / steps, 4), round(0.999 / steps, 4)):
        said = strength_problem(MODEL, contender(steps), strength)
        if not said:
            assert int(steps * strength) >= 1
            continue
        advised, more, enough = re.search(
            r"use strength ([\d.]+)( or more)?, or at least (\d+) steps", said
        ).groups()
        assert bool(more) == (float(advised) < 1)
        assert strength_problem(MODEL, contender(steps), float(advised)) == ""
        assert int(steps * (float(advised) - 2e-4)) < 1
        assert strength_problem(MODEL, contender(int(enough)), strength) == ""
        assert int((int(enough) - 1) * strength) < 1
