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
        assert err.count(name) == 3  # a log line at once, the step, the bar


def test_a_log_line_has_its_time_and_is_json_where_that_was_asked(monkeypatch):
    import json
    from datetime import datetime

    from bench.cli.terminal import log_line

    when, what, *parts = log_line("sdxl@50", "3 of 9", "", "0:01:00").split("  ")
    assert datetime.fromisoformat(when).utcoffset() is not None
    assert (what, parts) == ("sdxl@50", ["3 of 9", "0:01:00"])
    monkeypatch.setenv("BENCH_LOG_JSON", "1")
    line = json.loads(log_line("sdxl@50", "3 of 9", ""))
    assert (line["what"], line["progress"]) == ("sdxl@50", ["3 of 9"])


def test_the_first_line_comes_at_once_and_the_next_after_a_minute(capsys, monkeypatch):
    from bench.cli import terminal

    now = [1000.0]
    monkeypatch.setattr(terminal.time, "monotonic", lambda: now[0])
    with terminal.progress() as told:
        for image in range(1, 5):
            told.made("tiny@1", image, 9, 0.5)
            now[0] += 30.0 if image < 3 else 61.0
    lines = [line for line in capsys.readouterr().err.splitlines() if " of 9" in line]
    assert [line.split("  ")[2] for line in lines] == ["1 of 9", "4 of 9"]
