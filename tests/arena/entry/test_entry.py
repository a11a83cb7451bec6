"""The way in: screening, quotas, practice and gold pairs, batches, the least time of a look; on both databases."""

import pytest
from fastapi.testclient import TestClient

from arena.admission import Refused, unseal
from arena.db import raters as register
from arena.db.proof import verify_database
from arena.entry.practice import check_gold
from arena.results.export import collect
from arena.web.app import create_app
from bench.errors import InputError
from bench.study.participation import Gold
from tests.support.arena_desk import KEY, POST, Clock, arrive, log, make_desk, vote_all

ADULT = {
    "text": {"en": "Are you 18?", "de": "Sind Sie 18?"},
    "options": {"yes": "Yes", "no": "No"},
    "accept": ("yes",),
}
AGE = {"text": "Age?", "options": {"young": "18 to 39", "old": "40 or more"}}
GOLD = {
    "prompt": "secret0",
    "better": "sdxl@50",
    "worse": "sdxl-turbo@1",
    "why": {"en": "No blur.", "de": "Scharf."},
}


@pytest.fixture
def make(tmp_path, database_url):
    made = []

    def desk(**settings):
        made.append(make_desk(tmp_path / "s", Clock(), database_url, **settings))
        return made[-1]

    yield desk
    for one in made:
        one.database.close()


def come(app, lang="en", declared=None, **parameters):
    client = TestClient(app, base_url="http://arena.test")
    body = {"consent": True, "parameters": parameters, "declared": declared or {}}
    return client, client.post(f"/api/start?lang={lang}", json=body, headers=POST)


def rater_of(desk, client):
    with desk.database.reading() as tx:
        return register.rater(tx.db, unseal(KEY, client.cookies["arena_rater"]).rater_id)


def test_whom_a_screening_question_turns_away_gets_that_code_and_no_pair(make):
    desk = make(
        screening={"adult": ADULT},
        demographics={"age": AGE},
        codes={"screened_out": "OUT"},
        completion_code="DONE",
    )
    app = create_app(desk, KEY)
    for declared, status in (({}, 422), ({"adult": "perhaps"}, 422), ({"adult": "yes", "shoe": "44"}, 422)):
        assert come(app, declared=declared)[1].status_code == status
    with desk.database.reading() as tx:
        assert not register.all_raters(tx.db), "an incomplete answer leaves nobody behind"
    client, reply = come(app, declared={"adult": "no"})
    assert reply.json()["state"]["stage"] == "screened"
    assert (reply.json()["state"]["completion_code"], reply.json()["state"]["ballots"]) == ("OUT", [])
    assert rater_of(desk, client).standing_reason == "screening: adult"
    client, reply = come(app, declared={"adult": "yes", "age": "old"}, lang="de")
    assert reply.json()["state"]["stage"] == "vote"
    row = rater_of(desk, client)
    assert (row.declared, row.language, row.standing) == ({"adult": "yes", "age": "old"}, "de", "")
    again = client.post(
        "/api/start", json={"consent": True, "declared": {"adult": "no"}}, headers=POST
    )  # what was said first stays
    assert again.json()["state"]["stage"] == "vote"
    assert rater_of(desk, client).declared == {"adult": "yes", "age": "old"}


def test_a_quota_counts_those_who_take_part_and_the_next_one_finds_the_study_full(make):
    desk = make(quotas={"groups": {"prolific": 2}, "languages": {"de": 1}}, codes={"full": "FULL"})
    app = create_app(desk, KEY)

    def stage(who, lang="en"):
        link = {"PROLIFIC_PID": who, "STUDY_ID": "s", "SESSION_ID": who} if who else {}
        state = come(app, lang, **link)[1].json()["state"]
        return state["stage"], state.get("completion_code")

    assert [stage(who) for who in ("a", "b", "c")] == [("vote", None), ("vote", None), ("full", "FULL")]
    assert [stage("", "de"), stage("", "de"), stage("", "en")] == [
        ("vote", None),
        ("full", "FULL"),
        ("vote", None),
    ]
    desk.clock.now += 60 * desk.settings.expire_minutes + 1  # nobody of them ever answered
    assert [stage("", "de"), stage("d")] == [("vote", None), ("vote", None)]


def test_practice_comes_first_with_feedback_and_counts_neither_as_votes_nor_towards_the_limit(make):
    desk = make(practice={"pairs": 3, "needed": 2}, gold=(GOLD,), votes_per_rater=4, questions=("quality",))
    client, reply = come(create_app(desk, KEY), lang="de")
    state, told = reply.json()["state"], []
    for number in range(1, 4):
        ballot = state["ballots"][0]
        assert ballot["practice"] == {"number": number, "of": 3}
        with desk.database.reading() as tx:
            one = tx.by_token(ballot["token"])
        wrong = {"left": "right", "right": "left"}[one.expected]
        answer = wrong if number == 1 else one.expected
        desk.clock.now += 4
        body = {"token": ballot["token"], "answer": answer, "seconds": 2.0}
        data = client.post("/api/vote?lang=de", json=body, headers=POST).json()
        state = data["state"]
        told.append(
            (data["feedback"]["right"], data["feedback"]["better"] == one.expected, data["feedback"]["why"])
        )
        assert not state["can_undo"]
    assert [right for right, _, _ in told] == [False, True, True]
    assert [why for _, _, why in told].count("Scharf.") == 1, "each gold pair comes once"
    assert all(better for _, better, _ in told)
    assert "practice" not in state["ballots"][0]
    assert (state["progress"]["done"], rater_of(desk, client).practice) == (0, "passed")
    assert vote_all(desk, rater_of(desk, client).id) == 4
    rows, about = collect(desk.database, desk.prompts, desk.exclusion)
    assert [row.kind for row in rows].count("practice") == 3
    assert (about[0].votes, about[0].checks_failed) == (4, 0)
    assert verify_database(desk.database).rows == 7


def test_practice_takes_no_attention_check_away(make):
    desk = make(practice={"pairs": 3, "needed": 0}, attention_rate=0.25, votes_per_rater=8, votes_per_pair=60)
    for _ in range(6):
        rater = arrive(desk)
        vote_all(desk, rater)
        kinds = [row.kind for row in log(desk) if row.rater_id == rater]
        assert kinds[:3] == ["practice"] * 3
        assert [kinds[3:7].count("check"), kinds[7:].count("check")] == [1, 1]


def test_whoever_fails_the_practice_is_screened_out_before_the_first_vote(make):
    desk = make(practice={"pairs": 2, "needed": 2}, codes={"screened_out": "OUT"})
    rater = arrive(desk)
    for right in (True, False):
        one = desk.hand(rater).open[0]
        wrong = {"left": "right", "right": "left"}[one.expected]
        desk.vote(rater, one.token, one.expected if right else wrong, 2.0)
    hand = desk.hand(rater)
    assert (hand.stage, hand.code, hand.open, hand.voted) == ("screened", "screened_out", (), 0)
    with desk.database.reading() as tx:
        assert register.rater(tx.db, rater).standing_reason == "practice: 1 of 2 right"
        assert sum(pair.taken for pair in tx.pairs()) == 0, "the pair preloaded behind the practice came back"


def test_gold_pairs_are_the_checks_first_and_each_comes_once_to_a_rater(make):
    desk = make(gold=(GOLD,), attention_rate=0.5, questions=("quality",), votes_per_pair=20)
    rater = arrive(desk)
    vote_all(desk, rater)
    checks = [row for row in log(desk) if row.kind == "check"]
    gold = [row for row in checks if row.left != row.right]
    assert gold == checks[:1]
    assert ({gold[0].left, gold[0].right}, gold[0].prompt_id) == ({"sdxl@50", "sdxl-turbo@1"}, "secret0")
    assert getattr(gold[0], gold[0].expected) == "sdxl@50"


def test_a_gold_pair_without_an_image_is_refused_when_the_study_is_prepared(make):
    desk = make(gold=(GOLD,))
    wrong = Gold(**{**GOLD, "prompt": "secret9"})
    with pytest.raises(InputError, match=r"no image of prompt 'secret9' by 'sdxl@50'"):
        check_gold(desk.settings.model_copy(update={"gold": (wrong,)}), desk.images.made)


def test_a_batch_ends_by_itself_and_the_next_begins_when_the_operator_opens_the_study(make):
    desk = make(batch=5, votes_per_pair=30)
    raters = [arrive(desk) for _ in range(4)]
    for rater in raters:
        vote_all(desk, rater)
    votes = [sum(pair.voted for pair in rows) for rows in [_pairs(desk)]]
    assert (votes, desk.hand(raters[0]).stage) == ([5], "paused")
    desk.set_phase("open")
    for rater in raters:
        vote_all(desk, rater)
    assert sum(pair.voted for pair in _pairs(desk)) == 10
    assert verify_database(desk.database).rows == 10


def _pairs(desk):
    with desk.database.reading() as tx:
        return tx.pairs()


def test_an_answer_before_the_least_time_is_refused_and_the_pair_stays(make):
    desk = make(min_seconds=2.0)
    rater = arrive(desk)
    one = desk.hand(rater).open[0]
    desk.clock.now += 1.99
    with pytest.raises(Refused, match="too_soon"):
        desk.vote(rater, one.token, "left", 60.0)
    assert desk.hand(rater).open[0].token == one.token
    desk.clock.now += 0.01
    assert desk.vote(rater, one.token, "left", 60.0)
    second = desk.hand(rater).open[0]
    desk.clock.now += 1.0  # it was preloaded: time counts from the last answer
    with pytest.raises(Refused, match="too_soon"):
        desk.vote(rater, second.token, "left", 60.0)
