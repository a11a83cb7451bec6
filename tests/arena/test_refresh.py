"""A study that changes while its arena is open: who enters, who leaves, which votes count."""

from __future__ import annotations

import pytest

from arena.results.export import collect
from arena.shown.study_images import current_images
from bench.records import Generation, iterate_rows
from tests.support.arena_desk import arrive, log, make_desk, vote_all

OLD, NEW = "sdxl@50", "sdxl-turbo@2"


@pytest.fixture
def desk(tmp_path):
    return make_desk(tmp_path / "s", votes_per_pair=4)


def change(desk, *, add=(), remove=()):
    """The study's folder as `bench generate` leaves it after contenders came or went; new ones get the images of the
    first, row by row."""
    names = [c.name for c in desk.study.contenders if c.name not in remove] + list(add)
    text = desk.folder.study_file.read_text()
    listed = ", ".join(f'"{name}"' for name in names)
    lines = [
        f"contenders = [{listed}]" if line.startswith("contenders") else line for line in text.splitlines()
    ]
    desk.folder.study_file.write_text("\n".join(lines) + "\n")
    rows = [
        row
        for row in iterate_rows(desk.folder.generations_file, Generation)
        if row.contender == "sdxl-turbo@1"
    ]
    for name in add:
        for row in rows:
            data = desk.folder.image(*key(row)).read_bytes()
            desk.folder.write_image(name, row.prompt_id, row.replicate, data)
        desk.folder.append(desk.folder.generations_file, [copy(row, name) for row in rows])
    while not desk.refresh():
        pass


def key(row):
    return row.contender, row.prompt_id, row.replicate


def copy(row, name):
    from dataclasses import replace

    return replace(row, contender=name)


def asked(desk):
    """Contenders of the pairs that may still be handed out."""
    with desk.database.reading() as tx:
        return {name for pair in tx.pairs() if pair.wanted > pair.voted for name in (pair.first, pair.second)}


def voted(desk):
    return [(row.left, row.right) for row in log(desk)]


def test_a_new_contender_enters_the_pool_and_votes_stay(desk):
    vote_all(desk, arrive(desk), limit=5)
    before = voted(desk)
    change(desk, add=[NEW])
    assert NEW in asked(desk)
    vote_all(desk, arrive(desk))
    assert voted(desk)[: len(before)] == before
    assert any(NEW in pair for pair in voted(desk)[len(before) :])


def test_a_removed_contender_is_asked_no_more_also_not_what_raters_hold(desk):
    raters = [arrive(desk) for _ in range(4)]
    vote_all(desk, raters[0], limit=6)
    held = [desk.hand(rater).open for rater in raters]
    before = voted(desk)
    assert any(OLD in (one.left, one.right) for hand in held for one in hand)
    change(desk, remove=[OLD])
    assert OLD not in asked(desk)
    for rater in raters:
        assert all(OLD not in (one.left, one.right) for one in desk.hand(rater).open)
        vote_all(desk, rater)
    assert voted(desk)[: len(before)] == before
    assert all(OLD not in pair for pair in voted(desk)[len(before) :])
    change(desk, add=[OLD])  # it returns, with its votes
    assert OLD in asked(desk)


def test_votes_on_replaced_images_are_left_out_and_counted(desk):
    vote_all(desk, arrive(desk), limit=8)
    gone = key(next(row for row in desk.folder.generations().values() if row.contender == "sdxl-turbo@1"))
    concerned = sum((row.prompt_id == gone[1]) and gone[0] in (row.left, row.right) for row in log(desk))
    assert concerned
    other = desk.folder.image("sdxl-turbo@4", gone[1], 0).read_bytes()
    row = desk.folder.generations()["sdxl-turbo@4", gone[1], 0]
    desk.folder.write_image(*gone, other)
    desk.folder.append(desk.folder.generations_file, [copy(row, gone[0])])
    change(desk)
    battles, _ = collect(desk.database, desk.prompts, desk.exclusion, current_images(desk.folder))
    assert len(battles) == 8
    assert sum(bool(battle.excluded) for battle in battles) == concerned
    assert desk.images.made[gone] == row.sha256


def test_a_folder_that_is_being_written_is_left_for_the_next_look(desk):
    assert not desk.refresh()
    text = desk.folder.study_file.read_text()
    desk.folder.study_file.write_text(text + "# a\n")
    assert not desk.refresh()
    desk.folder.study_file.write_text(text + "# ab\n")
    assert not desk.refresh()
    assert desk.refresh()
    assert not desk.refresh()
