"""Whether a server can listen where it is asked to, before it prints an address."""

from __future__ import annotations

import errno
import socket

from bench.errors import InputError

HIGHEST_PORT = 65535


def check_address(host: str, port: int) -> None:
    """Raises InputError, in one line, where nothing can listen at host and port."""
    if not 1 <= port <= HIGHEST_PORT:
        raise InputError(f"--port {port}: a number from 1 to {HIGHEST_PORT}")
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = found[0]
        with socket.socket(family, kind, protocol) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen()
    except (socket.gaierror, UnicodeError):
        raise InputError(
            f"--host {host}: no such address; 127.0.0.1 is this machine alone, 0.0.0.0 all its networks"
        ) from None
    except OSError as error:
        raise InputError(_refusal(host, port, error)) from None


def _refusal(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"--port {port}: something listens at {host}:{port} already: stop it, or give another --port"
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"--port {port}: ports below 1024 are the administrator's: give a higher --port"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"--host {host}: not this machine's; 127.0.0.1 is this machine alone, 0.0.0.0 all its networks"
    return f"cannot listen at {host}:{port}: {error.strerror}"
