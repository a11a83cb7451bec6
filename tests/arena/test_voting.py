"""Slots, stages and completion codes: nobody is told the study is over while it is not, and everybody is paid."""

import shutil
import threading

import pytest

from arena.db.proof import verify_database
from arena.db.vote_log import IMAGE_CHANGED, standing
from arena.entry.stages import owed_code
from arena.results import export
from arena.shown.study_images import current_images
from bench.errors import InputError
from tests.support.arena_desk import Clock, arrive, log, make_desk, vote_all
from tests.support.arena_study import NAMES

CODES = {
    "completion_code": "DONE",
    "return_link": "https://panel.test/back?cc={code}",
    "codes": {"screened_out": "OUT", "full": "FULL", "no_consent": "NO"},
}


@pytest.fixture
def desk_of(tmp_path, database_url):
    """Makes the desk of a study with settings of its own, on each kind of database."""
    made = []

    def make(**arena):
        made.append(make_desk(tmp_path / "s", Clock(), database_url, **arena))
        return made[-1]

    yield make
    for desk in made:
        desk.database.close()


def counters_agree(desk):
    """Counters of pairs and cells are what the log and the assignments say."""
    with desk.database.reading() as tx:
        answers = [row for row in standing(tx.log()) if row.kind == "vote"]
        states = {row.assignment_id: tx.assignment(row.assignment_id).state for row in answers}
        pairs = tx.pairs()
        held = sum(p.taken for p in pairs)
        assert held == sum(c.taken for p in pairs for c in tx.cells(p.id))
        counted = [row for row in answers if states[row.assignment_id] == "voted"]
        assert sum(p.voted for p in pairs) == len(counted)
        for p in pairs:
            mine = [
                r for r in counted if {r.left, r.right} == {p.first, p.second} and r.question == p.question
            ]
            wins = [r.left if r.answer == "left" else r.right for r in mine if r.answer in ("left", "right")]
            assert (p.voted, p.first_wins, p.second_wins, p.ties) == (
                len(mine),
                wins.count(p.first),
                wins.count(p.second),
                sum(r.answer == "tie" for r in mine),
            )


def test_raters_who_never_vote_do_not_end_the_study_for_the_next(desk_of):
    desk = desk_of(votes_per_pair=1, questions=("quality",), first_vote_minutes=3, expire_minutes=15)
    for _ in range(5):
        desk.hand(arrive(desk))
    person = arrive(desk)
    waiting = desk.hand(person)
    assert (waiting.stage, waiting.open, waiting.code) == ("wait", (), "")
    desk.clock.now += 3 * 60 + 1
    assert desk.hand(person).stage == "vote"
    assert vote_all(desk, person) == 3
    assert desk.hand(person).stage == "full"
    counters_agree(desk)


def test_whoever_has_answered_keeps_a_pair_longer_than_whoever_has_not(desk_of):
    desk = desk_of(votes_per_pair=50, first_vote_minutes=3, expire_minutes=15)
    person = arrive(desk)
    first = desk.hand(person).open[0]
    assert first.expires - first.issued == 3 * 60
    desk.vote(person, first.token, "left", 1.0)
    assert max(one.expires - one.issued for one in desk.hand(person).open) == 15 * 60


def test_a_rush_of_200_raters_on_100_slots_ends_with_every_slot_voted_and_everyone_told(desk_of):
    """A third of those who get a pair never answer it. Nobody is told that a study that goes on is over."""
    desk = desk_of(votes_per_pair=100, prompts=50, names=NAMES[:2], questions=("quality",), **CODES)
    people = [arrive(desk) for _ in range(200)]
    gone = set(people[::3])
    told = {person: [] for person in people}

    def come(mine):
        for person in mine:
            hand = desk.hand(person)
            told[person].append(hand.stage)
            if hand.open and person not in gone:
                desk.vote(person, hand.open[0].token, "left", 1.0)

    threads = [threading.Thread(target=come, args=(people[i::8],)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {stage for stages in told.values() for stage in stages} <= {"vote", "wait", "full"}
    for _ in range(30):  # those who wait look again, those who vote go on, and time passes
        desk.clock.now += 30
        come([p for p in people if p not in gone])
    with desk.database.reading() as tx:
        (pair,) = tx.pairs()
    assert (pair.taken, pair.voted) == (100, 100)
    last = {person: desk.hand(person) for person in people}
    assert {hand.stage for hand in last.values()} == {"full"}
    assert {hand.code for hand in last.values()} == {"full"}
    for stages in told.values():
        assert "full" not in stages[: stages.index("full")] if "full" in stages else True
        after = stages[stages.index("full") :] if "full" in stages else []
        assert set(after) <= {"full"}  # what was said to be over stays over
    counters_agree(desk)


@pytest.mark.parametrize(
    ("stage", "voted", "limit", "before", "code"),
    [
        ("vote", 5, 12, "", ""),
        ("wait", 5, 12, "", ""),
        ("done", 12, 12, "", "completed"),
        ("done", 0, None, "", ""),  # nothing could be shown to this rater
        ("paused", 12, 12, "", "completed"),
        ("paused", 7, 12, "", "full"),
        ("paused", 0, 12, "", ""),
        ("closed", 7, 12, "", "full"),
        ("full", 0, 12, "", "full"),
        ("screened", 7, 12, "", "screened_out"),
        ("screened", 12, 12, "completed", "completed"),
        ("vote", 8, 12, "full", "full"),  # paused once; it goes on
    ],
)
def test_which_code_a_rater_is_owed(stage, voted, limit, before, code):
    assert owed_code(stage, voted, limit, before) == code


@pytest.mark.parametrize("phase", ["paused", "closed"])
def test_pausing_or_closing_takes_no_code_away(desk_of, phase):
    desk = desk_of(votes_per_pair=50, votes_per_rater=4, **CODES)
    done, half, new = arrive(desk), arrive(desk), arrive(desk)
    vote_all(desk, done)
    vote_all(desk, half, limit=2)
    assert desk.hand(done).code == "completed"
    with desk.database.writing() as tx:
        tx.set_setting("phase", phase)
    hands = [desk.hand(person) for person in (done, half, new)]
    assert [hand.stage for hand in hands] == [phase] * 3
    assert [hand.code for hand in hands] == ["completed", "full", "full" if phase == "closed" else ""]
    with desk.database.writing() as tx:
        tx.set_setting("phase", "open")
    assert desk.hand(half).stage == "vote"
    vote_all(desk, half)
    assert desk.hand(half).code == "completed"


def test_an_excluded_raters_slots_return_while_the_study_runs(desk_of):
    desk = desk_of(votes_per_pair=9, questions=("quality",), attention_rate=0.2, exclude=("checks",), **CODES)
    careless, careful = arrive(desk), arrive(desk)
    vote_all(desk, careful, limit=5)
    stages = []
    while (hand := desk.hand(careless)).open:
        one = hand.open[0]
        wrong = {"left": "right", "right": "left"}.get(one.expected, "left")
        desk.vote(careless, one.token, wrong, 1.0)
    stages.append(hand.stage)
    assert (hand.stage, hand.code, hand.can_undo) == ("screened", "screened_out", False)
    counters_agree(desk)
    with desk.database.reading() as tx:
        assert sum(p.voted for p in tx.pairs()) == sum(
            r.kind == "vote" for r in tx.log() if r.rater_id == careful
        )
    vote_all(desk, careful)
    while vote_all(desk, arrive(desk)):
        pass
    with desk.database.reading() as tx:
        assert {(p.taken, p.voted) for p in tx.pairs()} == {(9, 9)}
    battles, _ = export.collect(desk.database, desk.prompts, desk.exclusion)
    assert {b.excluded for b in battles if b.rater == careless} == {"failed attention checks"}
    assert sum(not b.excluded and b.kind == "vote" for b in battles) == 27
    assert desk.decide_about(careless, "kept", "checks reviewed by hand") > 0
    counters_agree(desk)
    battles, _ = export.collect(desk.database, desk.prompts, desk.exclusion)
    assert not any(b.excluded for b in battles)


@pytest.mark.parametrize(
    ("decision", "stage"), [("returned", "closed"), ("withdrawn", "closed"), ("excluded", "screened")]
)
def test_a_decision_about_a_rater_gives_slots_back_and_excludes_the_votes(desk_of, decision, stage):
    desk = desk_of(votes_per_pair=6, **CODES)
    person = arrive(desk)
    vote_all(desk, person, limit=5)
    assert desk.decide_about(person, decision, "by hand") == 5
    assert desk.hand(person).stage == stage
    counters_agree(desk)
    battles, _ = export.collect(desk.database, desk.prompts, desk.exclusion)
    assert len({b.excluded for b in battles}) == 1
    assert all(b.excluded for b in battles)
    assert verify_database(desk.database).rows == 5
    with pytest.raises(InputError, match="no rater"):
        desk.decide_about("nobody", decision, "")


def test_the_browsers_time_is_at_most_what_the_server_saw(desk_of):
    desk = desk_of(votes_per_pair=50)
    person = arrive(desk)
    first, second = desk.hand(person).open
    desk.clock.now += 7
    desk.vote(person, first.token, "left", 99.0)
    desk.clock.now += 2  # the second pair was handed out 9 s ago, and on screen for 2 s at most
    desk.vote(person, second.token, "left", 99.0)
    third = desk.hand(person).open[0]
    desk.clock.now += 5
    desk.vote(person, third.token, "left", 1.5)
    assert [row.seconds for row in log(desk)] == [7.0, 2.0, 1.5]


def test_votes_on_images_that_were_swapped_do_not_count(desk_of):
    desk = desk_of(votes_per_pair=18, questions=("quality",))
    vote_all(desk, arrive(desk))
    rows = log(desk)

    def collected():
        return export.collect(desk.database, desk.prompts, desk.exclusion, current_images(desk.folder))[0]

    assert not any(b.excluded for b in collected())
    first, second = (desk.folder.image(name, "secret0", 0) for name in NAMES[:2])
    shutil.copy(first, first.with_suffix(".kept"))
    shutil.move(second, first)
    shutil.move(first.with_suffix(".kept"), second)
    battles = collected()
    touched = [r for r in rows if r.prompt_id == "secret0" and {r.left, r.right} & set(NAMES[:2])]
    assert touched
    assert [b.excluded for b in battles] == [IMAGE_CHANGED if r in touched else "" for r in rows]
    # A server that starts now shows neither of the two.
    desk.images.shown.folder.mkdir(exist_ok=True)
    faults = [str(fault) for fault in desk.images.faults() if fault]
    assert len(faults) == 2
    assert all("not the one the study recorded" in fault for fault in faults)


def test_the_browsers_seconds_are_stored_up_to_the_servers_own_count_and_no_further(tmp_path):
    desk = make_desk(tmp_path / "s", Clock())
    rater = arrive(desk)
    for spent, said, stored in ((3.0, 2.5, 2.5), (3.0, 3600.0, 3.0), (2.0, None, None), (1.0, 99.0, 1.0)):
        one = desk.hand(rater).open[0]  # from the second on it was handed out before the last answer
        desk.clock.now += spent
        desk.vote(rater, one.token, "left", said)
        assert log(desk)[-1].seconds == stored
    desk.database.close()
