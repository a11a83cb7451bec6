"""What all tests share: the real data beside the checkout, and parts that may be missing."""

from __future__ import annotations

import importlib.util
import os
import shutil
from pathlib import Path

import hypothesis
import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["HF_HUB_OFFLINE"] = "1"

hypothesis.settings.register_profile("suite", hypothesis.settings.default, deadline=None)
hypothesis.settings.load_profile("suite")  # no test fails by the machine's speed

ROOT = Path(__file__).resolve().parent.parent
SHARED = Path(os.environ.get("BENCH_SHARED") or ROOT.parent / "shared")
SYSTEM = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"
"""Daemons lie where a user does not look."""
PARTS = {
    "browser": lambda: shutil.which("chromium") is not None,
    "postgres": lambda: (
        bool(list(Path("/usr/lib/postgresql").glob("*/bin/initdb"))) or bool(shutil.which("initdb"))
    ),
    "slurm": lambda: all(
        shutil.which(part, path=SYSTEM) for part in ("munged", "slurmctld", "slurmd", "sbatch")
    ),
    "ray": lambda: importlib.util.find_spec("ray") is not None,
    "gpu": lambda: __import__("torch").cuda.is_available(),
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The end-to-end files come first: the slowest of all, they would keep one process busy at the end."""
    items.sort(key=lambda item: "end_to_end" not in item.path.parts)


def pytest_runtest_setup(item: pytest.Item) -> None:
    for name, here in PARTS.items():
        if item.get_closest_marker(name) and not here():
            if os.environ.get("CI") and name != "gpu":
                pytest.fail(f"{name} is missing, and in CI it must be there")
            pytest.skip(f"{name} is missing here")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real prompts, photographs, weights and votes."""
    if not (SHARED / "data" / "README.md").exists():
        pytest.skip("the folder of real data (shared/data) is not here")
    return SHARED / "data"


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache a test process: tiny pipelines are made once."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def cache(shared_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test reads or writes the user's cache."""
    monkeypatch.setenv("TURBO_BENCH_CACHE", str(shared_cache))
    return shared_cache
