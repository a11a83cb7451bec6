"""The live page's server, with the tiny random pipelines: what it answers, refuses and bounds."""

import io
import json
from concurrent.futures import ThreadPoolExecutor
from threading import get_ident

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from bench.errors import InputError
from bench.live import app as live
from bench.live.studio import Asked, open_studio
from bench.models.load import load
from bench.models.registry import MODELS, contender

OURS = {"X-Live": "1"}
ADDRESS = "http://127.0.0.1:7861"
ANN, BOB, CY = "ann-00000001", "bob-00000001", "cy-000000001"


@pytest.fixture(scope="module")
def studio(tmp_path_factory):
    patch = pytest.MonkeyPatch()
    patch.setenv("TURBO_BENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
    made = open_studio(["tiny-turbo@1", "tiny-sdxl@3"], MODELS, device="cpu")
    yield made
    made.close()
    patch.undo()


@pytest.fixture
def client(studio):
    app = live.pictures(studio, people=2)
    yield TestClient(app, base_url=ADDRESS, headers=OURS)
    app.state.close()


def ask(client, person=ANN, seat=0, text="a fox", **more):
    return client.post("/live/draw", json={"person": person, "seat": seat, "text": text, "seed": 7, **more})


def pixels(data):
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def png(colour=(200, 30, 30), side=64):
    buffer = io.BytesIO()
    Image.new("RGB", (side, side), colour).save(buffer, "PNG")
    return buffer.getvalue()


def test_the_picture_is_the_contenders_own(client):
    """Oracle: the pipeline, asked without the page."""
    pipeline = load(MODELS["tiny-turbo"])
    who = contender("tiny-turbo@1", MODELS)
    expected = pipeline.decode(pipeline.denoise(pipeline.encode(["a fox"], who), [7], who))[0]
    reply = ask(client)
    assert reply.status_code == 200
    assert reply.headers["content-type"] == "image/png"
    assert np.array_equal(pixels(reply.content), expected)


def test_the_times_are_whole_and_the_contender_is_named(client):
    about = json.loads(ask(client, seat=1).headers["x-picture"])
    assert about["contender"] == "tiny-sdxl@3"
    stages = [about[stage] for stage in ("wait", "encode", "denoise", "decode")]
    assert all(value > 0 for value in stages)
    assert sum(stages) == pytest.approx(about["server"], abs=0.01)


def test_the_switch_moves_a_model_that_has_that_count_and_no_other(client):
    names = [json.loads(ask(client, seat=seat, steps=4).headers["x-picture"])["contender"] for seat in (0, 1)]
    assert names == ["tiny-turbo@4", "tiny-sdxl@3"]


def test_a_saved_picture_carries_what_draws_it_again(client):
    reply = ask(client, keep=True, steps=2)
    picture = Image.open(io.BytesIO(reply.content))
    about = json.loads(picture.info["parameters"])
    assert (about["text"], about["seed"], about["contender"]["name"]) == ("a fox", 7, "tiny-turbo@2")
    assert np.array_equal(pixels(reply.content), pixels(ask(client, steps=2).content))


def test_a_reference_moves_the_picture_by_its_strength_until_it_is_taken_away(client):
    plain = ask(client, steps=4).content
    assert ask(client, steps=4, strength=0.5).content == plain  # there is none yet
    assert client.post(f"/live/reference/{ANN}", content=png()).json() == {"side": 64}
    half = ask(client, steps=4, strength=0.5).content
    assert half != plain
    assert ask(client, steps=4, strength=0.75).content != half
    assert ask(client, BOB, steps=4, strength=0.5).content == plain  # it is Ann's alone
    assert client.delete(f"/live/reference/{ANN}").status_code == 204
    assert ask(client, steps=4, strength=0.5).content == plain


def test_what_cannot_be_drawn_is_one_line(client):
    client.post(f"/live/reference/{ANN}", content=png())
    reply = ask(client, steps=1, strength=0.5)
    assert reply.status_code == 422
    assert "steps × strength must be at least 1" in reply.json()["error"]
    for data, told in ((b"<svg/>", "SVG"), (b"", "empty"), (png()[:60], "whole")):
        reply = client.post(f"/live/reference/{ANN}", content=data)
        assert reply.status_code == 422
        assert told in reply.json()["error"]


def test_a_reference_is_bounded(client, monkeypatch):
    assert client.post(f"/live/reference/{ANN}", content=png(side=1500)).json() == {"side": live.SIDE}
    monkeypatch.setattr(live, "UPLOAD", 1000)
    assert "larger than" in client.post(f"/live/reference/{ANN}", content=bytes(2000)).json()["error"]


def test_a_full_page_says_busy_and_a_place_comes_free(client):
    assert ask(client, ANN).status_code == ask(client, BOB).status_code == 200
    reply = ask(client, CY)
    assert (reply.status_code, reply.json()["busy"]) == (503, True)
    assert "2 people are drawing here already" in reply.json()["error"]
    assert client.post(f"/live/reference/{CY}", content=png()).status_code == 503
    client.post(f"/live/leave/{ANN}")
    assert ask(client, CY).status_code == 200


def test_another_sites_page_gets_nothing(studio):
    app = live.pictures(studio)
    try:
        reply = ask(TestClient(app, base_url=ADDRESS))
    finally:
        app.state.close()
    assert reply.status_code == 403


@pytest.mark.parametrize(
    "wrong", [{"seat": 2}, {"text": "x" * 20_000}, {"strength": 0.0}, {"seed": -1}, {"model": "x"}]
)
def test_what_is_not_a_request_is_refused(client, wrong):
    assert ask(client, **wrong).status_code == 422


def test_files_of_the_page_and_no_others(client):
    assert client.get("/live/live.js").status_code == 200
    assert client.get("/live/..%2Fapp.py").status_code == 404
    assert client.get("/live/app.py").status_code == 404


def test_one_thread_draws_for_the_warm_up_and_for_everybody(monkeypatch, shared_cache):
    """CUDA graphs are of the thread that recorded them."""
    studio = open_studio(["tiny-turbo@1"], MODELS, device="cpu")
    pipeline = studio.pipelines["tiny-turbo"]
    threads, own, own_close = [], pipeline.denoise, pipeline.close
    monkeypatch.setattr(pipeline, "denoise", lambda *a, **k: threads.append(get_ident()) or own(*a, **k))
    monkeypatch.setattr(pipeline, "close", lambda: threads.append(get_ident()) or own_close())
    studio.warm_up()
    asked = Asked(contender=studio.contenders[0], text="a fox", seed=1)
    with ThreadPoolExecutor(3) as askers:
        assert len({drawn.data for drawn in askers.map(studio.draw, [asked] * 6)}) == 1
    studio.close()
    assert len(threads) > 8
    assert len(set(threads)) == 1
    assert get_ident() not in threads


def test_more_than_two_contenders_are_refused():
    with pytest.raises(InputError, match="one, or two side by side"):
        open_studio(["tiny-turbo@1", "tiny-turbo@2", "tiny-turbo@4"], MODELS, device="cpu")


def test_a_large_picture_is_sent_as_jpeg(studio):
    from bench.live.studio import _encoded

    asked = Asked(contender=studio.contenders[0], text="x", seed=1)
    data, kind = _encoded(np.full((256, 256, 3), (30, 90, 200), np.uint8), asked)
    assert kind == "image/jpeg"
    assert np.abs(pixels(data).astype(int) - (30, 90, 200)).max() <= 3


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "127.0.0.1:7861"}, 200),
        ({"host": "localhost:7861"}, 200),
        ({"host": "192.168.1.20:7861"}, 200),
        ({"host": "[::1]:7861"}, 200),
        ({"host": "evil.example"}, 403),
        ({"host": "127.0.0.1.evil.example"}, 403),
        ({"host": ""}, 403),
        ({"host": "127.0.0.1:7861", "origin": "http://127.0.0.1:7861"}, 200),
        ({"host": "127.0.0.1:7861", "origin": "http://evil.example"}, 403),
        ({"host": "127.0.0.1:7861", "origin": "http://127.0.0.1:9999"}, 403),
        ({"host": "127.0.0.1:7861", "origin": "null"}, 403),
    ],
)
def test_every_route_refuses_a_foreign_host_and_a_foreign_origin(headers, status):
    """DNS rebinding has a name of its own in Host; a form or script of another site has its Origin."""
    import asyncio

    from bench.live.security import SameSite

    sent = []

    async def inner(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def send(message):
        sent.append(message)

    scope = {
        "type": "http",
        "path": "/gradio_api/upload",
        "headers": [(k.encode(), v.encode()) for k, v in headers.items()],
    }
    asyncio.run(SameSite(inner)(scope, None, send))
    assert sent[0]["status"] == status


def test_a_name_given_to_host_is_ours(monkeypatch):
    from bench.live.security import SameSite

    assert SameSite(None, "live.example").refusal({"headers": [(b"host", b"live.example:80")]}) == ""
    assert SameSite(None, "0.0.0.0").refusal({"headers": [(b"host", b"live.example:80")]})


def test_text_above_the_limit_names_the_limit(client):
    reply = ask(client, text="a" * 100_000)
    assert reply.status_code == 422
    assert f"longer than {live.LONGEST_TEXT:,} characters" in reply.json()["error"]


def test_half_a_surrogate_pair_is_422(client):
    body = b'{"person": "ann-00000001", "seat": 0, "text": "a \\ud83d fox"}'
    reply = client.post("/live/draw", content=body, headers={"Content-Type": "application/json"})
    assert reply.status_code == 422
    assert "surrogate" in reply.json()["error"]
