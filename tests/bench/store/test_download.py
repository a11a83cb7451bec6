"""A server that does not answer: one line in seconds."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

import pytest

import bench.store.download as download_module
from bench.errors import InputError
from bench.store.download import download


@contextlib.contextmanager
def black_hole() -> Iterator[int]:
    """A port of this machine whose queue of connections is full: a packet to it vanishes, as behind a firewall."""
    with contextlib.ExitStack() as open_:
        server = open_.enter_context(socket.socket())
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        for _ in range(8):
            client = open_.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(server.getsockname())
        yield server.getsockname()[1]


def test_a_server_that_does_not_answer_is_given_up_and_named(tmp_path, monkeypatch):
    monkeypatch.setattr(download_module, "CONNECT", 0.3)
    with black_hole() as port:
        address = f"http://127.0.0.1:{port}/val2017.zip"
        with pytest.raises(
            InputError, match=f"cannot reach {address}: .*timed out.*; put it there yourself"
        ) as error:
            download(address, tmp_path / "val2017.zip", "put it there yourself")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "val2017.zip").exists()


def test_a_server_is_waited_for_no_longer_than_a_few_seconds():
    assert download_module.CONNECT <= 10
