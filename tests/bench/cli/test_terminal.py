"""What a user writes is never markup at the terminal."""

from __future__ import annotations

import pytest

from bench.cli.terminal import print_rows, progress

NAMES = ("FLUX.1 [dev]", "[/y]", "[red]x[/red]", ":smile:")


@pytest.mark.parametrize("below", [(), ("title",)])
def test_brackets_of_a_name_stay_in_a_table(
    capsys: pytest.CaptureFixture[str], below: tuple[str, ...]
) -> None:
    print_rows([{"model": name, "title": name} for name in NAMES], False, below=below)
    out = capsys.readouterr().out
    for name in NAMES:
        assert out.count(name) == 2


def test_brackets_of_a_name_stay_in_a_progress_bar(capsys: pytest.CaptureFixture[str]) -> None:
    with progress() as shown:
        for name in NAMES:
            shown.images(name, 1, 1)
            shown.step(name)
    err = capsys.readouterr().err
    for name in NAMES:
        assert err.count(name) == 2
