"""The table of faults: each leaves the study of an undisturbed run, and is said. Slow ones: performance/faults.py."""

from __future__ import annotations

import os

import pytest

from tests.support.faults import FAULTS, examine
from tests.support.sweeping import undisturbed, write_study


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return write_study(tmp_path_factory.mktemp("study"))


@pytest.fixture(scope="module")
def whole(study):
    return undisturbed(study.parent)


@pytest.mark.parametrize("fault", [f for f in FAULTS if f.cheap], ids=lambda fault: fault.run.__name__)
def test_a_fault_loses_nothing_and_is_said(fault, study, whole, tmp_path):
    if fault.run.__name__ == "other_umask" and os.getuid() != 0:
        pytest.skip("needs a second user")
    outcome = examine(fault, study, tmp_path, whole)
    assert outcome.lost == 0
    assert outcome.rows + outcome.again == len(whole)
    assert any(fault.says in line for line in outcome.said) or not fault.says, outcome.said
    assert not any("Traceback" in line for line in outcome.said)
