"""Where a server cannot listen, one line says so before an address is printed."""

from __future__ import annotations

import socket

import pytest
from typer.testing import CliRunner

from arena.cli.app import app
from bench.address import check_address
from bench.errors import InputError


def test_a_busy_port_is_named_and_a_free_one_passes():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(InputError, match=f"--port {port}: something listens at 127.0.0.1:{port} already"):
            check_address("127.0.0.1", port)
    check_address("127.0.0.1", port)


@pytest.mark.parametrize(
    ("host", "port", "said"),
    [
        ("127.0.0.1", 99999, "--port 99999: a number from 1 to 65535"),
        ("127.0.0.1", 0, "--port 0: a number"),
        ("192.0.2.1", 8000, "--host 192.0.2.1: not this machine's"),
        ("no host", 8000, "--host no host: no such address"),
    ],
)
def test_impossible_addresses_are_one_line(host, port, said):
    with pytest.raises(InputError, match=said) as error:
        check_address(host, port)
    assert "\n" not in str(error.value)


def test_arena_serve_prints_no_address_of_a_port_that_it_cannot_have():
    result = CliRunner().invoke(app, ["serve", "any", "--port", "70000"])
    assert isinstance(result.exception, InputError)
    assert result.output == ""
