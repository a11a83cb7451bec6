"""Links that a panel signs: only genuine ones pass, also without a network."""

import os
import time

import pytest
from joserfc import jwt
from joserfc.jwk import KeySet, OctKey, RSAKey

from arena import admission
from arena.admission import Gate, Refused
from arena.db import raters as register
from arena.db.database import VoteDatabase
from arena.panels import ISSUER, KEYS_SECONDS, SigningKeys, completion_code, panel_link, return_link
from bench.errors import InputError
from bench.study.file import Arena, Codes, Panel
from tests.support.arena_desk import KEY

NOW = 1_700_000_000
SITE = "https://arena.test/?x=1"
IDS = {"PROLIFIC_PID": "5f00", "STUDY_ID": "s1", "SESSION_ID": "t1"}


@pytest.fixture(scope="module")
def signing_key():
    return RSAKey.generate_key(2048, {"kid": "one", "use": "sig", "alg": "RS256"})


def public(*keys):
    import json

    return json.dumps(KeySet(list(keys)).as_dict(private=False)).encode()


def signed(key, header=None, **claims):
    content = {
        "iss": ISSUER,
        "aud": "https://arena.test/",
        "exp": NOW + 600,
        "sub": "t1",
        "prolific": {**IDS, "workspace_id": "w"},
        **claims,
    }
    return jwt.encode(header or {"alg": "RS256", "kid": key.kid}, content, key)


def keys(tmp_path, data, now=NOW):
    return SigningKeys(tmp_path / "keys.json", clock=lambda: now, download=lambda _: data)


def verified(keys, token, **changed):
    return keys.verified(panel_link({**IDS, **changed, "prolific_token": token}), audience=SITE)


def test_only_the_panels_own_signature_over_these_ids_for_this_site_passes(tmp_path, signing_key):
    other = RSAKey.generate_key(2048, {"kid": "one", "use": "sig", "alg": "RS256"})
    trusted = keys(tmp_path, public(signing_key))
    good = signed(signing_key)
    assert verified(trusted, good)
    assert not verified(trusted, good, PROLIFIC_PID="5f01")
    assert not verified(trusted, good, STUDY_ID="s2")
    assert not verified(trusted, good, SESSION_ID="t2")
    head, body, signature = good.split(".")
    wrong = {
        "another key": signed(other),
        "expired": signed(signing_key, exp=NOW - 1),
        "no end": signed(signing_key, exp=None),
        "another issuer": signed(signing_key, iss="https://evil.test"),
        "another site": signed(signing_key, aud="https://other.test/"),
        "no ids": signed(signing_key, prolific=None),
        "cut": f"{head}.{body}.",
        "swapped body": f"{head}.{signed(signing_key, sub='t2').split('.')[1]}.{signature}",
        "the public key as a shared secret": jwt.encode(
            {"alg": "HS256", "kid": "one"}, {"iss": ISSUER}, OctKey.import_key(public(signing_key))
        ),
        "nonsense": "a.b.c",
        "empty": "",
    }
    for what, token in wrong.items():
        assert not verified(trusted, token), what


def test_keys_are_kept_on_disk_and_fetched_again_when_the_panel_has_a_new_one(tmp_path, signing_key):
    new = RSAKey.generate_key(2048, {"kid": "two", "use": "sig", "alg": "RS256"})
    asked = []

    def download(address):
        asked.append(address)
        if len(asked) == 2:
            raise OSError("no network")
        return public(signing_key) if len(asked) == 1 else public(signing_key, new)

    clock = [float(NOW)]
    cached = SigningKeys(tmp_path / "keys.json", clock=lambda: clock[0], download=download)
    assert verified(cached, signed(signing_key))
    os.utime(cached.cache, (NOW, NOW))
    again = SigningKeys(tmp_path / "keys.json", clock=lambda: clock[0], download=download)
    assert verified(again, signed(signing_key))
    assert len(asked) == 1  # from the file
    clock[0] += 100
    assert not verified(again, signed(new))  # a key not known yet, and no network
    assert verified(again, signed(signing_key))
    clock[0] += 100
    assert verified(again, signed(new))
    clock[0] += 1
    assert not verified(again, signed(RSAKey.generate_key(2048, {"kid": "three"})))
    assert len(asked) == 3  # made-up keys do not make the server ask without end
    os.utime(cached.cache, (NOW, NOW))
    clock[0] = NOW + KEYS_SECONDS + 200.0
    verified(again, signed(signing_key))
    assert len(asked) == 4


def test_a_file_that_holds_no_keys_is_named(tmp_path, signing_key):
    (tmp_path / "keys.json").write_text("{}")
    with pytest.raises(InputError, match=r"keys\.json"):
        verified(keys(tmp_path, b"<html>"), signed(signing_key))


def test_a_signed_link_opens_the_gate_and_a_copied_one_does_not_share_a_session(
    database_url, tmp_path, signing_key
):
    database = VoteDatabase(database_url, KEY)
    database.migrate()
    gate = Gate(
        invited_only=True,
        panel=Panel(studies=("s1",), address=SITE),
        keys=SigningKeys(tmp_path / "keys.json", download=lambda _: public(signing_key)),
    )
    link = {**IDS, "prolific_token": signed(signing_key, exp=int(time.time()) + 600)}
    assert admission.admit(database, link, now=0.0, gate=gate)
    with pytest.raises(Refused, match="session_elsewhere"):
        admission.admit(database, link, now=0.0, gate=gate)
    for changed in ({"PROLIFIC_PID": "5f01"}, {"prolific_token": ""}, {"prolific_token": "a.b.c"}):
        with pytest.raises(Refused, match="unverified"):
            admission.admit(database, {**link, **changed, "SESSION_ID": "t1"}, now=0.0, gate=gate)
    with database.reading() as tx:
        assert [r.verified for r in register.panel_rows(tx.db)] == ["signed"]
    database.close()


def test_codes_differ_by_outcome_and_the_return_link_carries_the_code():
    codes = Codes(screened_out="OUT", full="FULL", no_consent="NO")
    settings = Arena(completion_code="DONE", codes=codes, return_link="https://panel.test/?cc={code}")
    found = {
        kind: completion_code(settings, kind, took_part=True)
        for kind in ("completed", "full", "screened_out", "no_consent")
    }
    assert found == {"completed": "DONE", "full": "FULL", "screened_out": "OUT", "no_consent": "NO"}
    assert return_link(settings, "A&B") == "https://panel.test/?cc=A%26B"
    assert return_link(settings, None) is None
    plain = Arena(completion_code="DONE")
    # Whoever took part is paid by the one code there is; who only looked in is not.
    assert completion_code(plain, "full", took_part=True) == "DONE"
    assert completion_code(plain, "full", took_part=False) is None
