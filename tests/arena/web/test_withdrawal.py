"""A rater's own address withdraws their answers for good, and nothing else does."""

import pytest
from fastapi.testclient import TestClient

from arena.admission import unseal, withdrawal_token
from arena.db.proof import verify_database
from arena.results.export import collect
from arena.results.participants import participants
from arena.web.app import create_app
from tests.support.arena_desk import KEY, Clock, make_desk, start, vote_all


@pytest.fixture
def desk(tmp_path, database_url):
    made = make_desk(
        tmp_path / "s", Clock(), database_url, votes_per_pair=30, votes_per_rater=5, completion_code="DONE"
    )
    yield made
    made.database.close()


def test_a_withdrawn_raters_answers_leave_every_later_analysis_and_are_counted_as_that(desk):
    app = create_app(desk, KEY)
    client = TestClient(app, base_url="http://arena.test")
    start(client)
    rater = unseal(KEY, client.cookies["arena_rater"]).rater_id
    vote_all(desk, rater)
    with desk.database.reading() as tx:
        assert sum(pair.taken for pair in tx.pairs()) == 5
    address = client.get("/withdraw?lang=de", follow_redirects=False).headers["location"]
    assert address == f"withdraw/{withdrawal_token(KEY, rater)}?lang=de"
    elsewhere = TestClient(app, base_url="http://arena.test")  # the address alone is enough
    page = elsewhere.get("/" + address)
    assert page.status_code == 200
    assert "Sie haben 5 Antworten gegeben" in page.text
    assert not any(row.excluded for row in collect(desk.database, desk.prompts, desk.exclusion)[0])
    for _ in range(2):
        assert "zurückgezogen" in elsewhere.post("/" + address).text
    rows = collect(desk.database, desk.prompts, desk.exclusion)[0]
    assert {row.excluded for row in rows} == {"withdrawn by the rater"}
    with desk.database.reading() as tx:
        assert sum(pair.taken for pair in tx.pairs()) == 0
    assert (desk.hand(rater).stage, desk.hand(rater).code) == ("closed", "completed"), "pay does not change"
    people = participants(desk.database, desk.exclusion)
    assert [(one.action, one.reason) for one in people] == [("approve", "withdrawn")]
    assert "zurückgezogen" in client.get("/" + address).text
    assert verify_database(desk.database).rows == 5


def test_no_other_address_withdraws_anybody(desk):
    app = create_app(desk, KEY)
    client = TestClient(app, base_url="http://arena.test")
    assert client.get("/withdraw").status_code == 404
    start(client)
    rater = unseal(KEY, client.cookies["arena_rater"]).rater_id
    vote_all(desk, rater)
    forged = withdrawal_token(bytes(32), rater)
    for token in (forged, rater, client.cookies["arena_rater"], withdrawal_token(KEY, "nobody"), "x"):
        for reply in (client.get(f"/withdraw/{token}"), client.post(f"/withdraw/{token}")):
            assert reply.status_code == 404
            assert "not valid" in reply.text
    evil = client.post(f"/withdraw/{withdrawal_token(KEY, rater)}", headers={"Origin": "http://evil.test"})
    assert evil.status_code == 403
    assert not any(row.excluded for row in collect(desk.database, desk.prompts, desk.exclusion)[0])
