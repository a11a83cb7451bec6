"""What is sent comes from the image that the study recorded, also for attention checks."""

import pytest

from arena.shown.images import DEGRADED, Shown, displayed
from bench.errors import InputError
from tests.support.arena_study import NAMES, make_study


def test_a_degraded_check_is_made_of_the_served_image_and_never_of_a_file_exchanged_since(tmp_path):
    _, folder = make_study(tmp_path / "s")
    (path, digest), other = (
        (folder.image(NAMES[0], "secret0", 0), folder.generations()[NAMES[0], "secret0", 0].sha256),
        folder.image(NAMES[1], "secret1", 0),
    )
    fresh = Shown(tmp_path / "fresh", 32)
    shown = Shown(tmp_path / "shown", 32)
    shown.get(path, digest)
    expected = displayed(shown.path(digest), 32, change=DEGRADED)
    path.write_bytes(other.read_bytes())
    assert shown.get(path, digest, DEGRADED) == expected
    with pytest.raises(InputError, match="not the one the study recorded"):
        fresh.get(path, digest, DEGRADED)  # nothing was rendered before the exchange
