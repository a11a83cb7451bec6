"""Who may ask the live page: pages of its own address alone.

A browser sends what any site tells it to, so each request is checked: its Host must be an address of this machine or
the name the server was started with (a site whose name is made to point here, DNS rebinding, has another), and its
Origin, where there is one, must be that same host.
"""

from __future__ import annotations

import ipaddress
import json
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]


class SameSite:
    """ASGI middleware: 403 for a foreign Host or Origin, on every route, Gradio's uploads included."""

    def __init__(self, app: Any, host: str = "127.0.0.1") -> None:
        self.app = app
        self.names = {"localhost", socket.gethostname().lower(), host.lower()} - {"0.0.0.0", "::", ""}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket") and (reason := self.refusal(scope)):
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008})
                return
            body = json.dumps({"error": reason}).encode()
            headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
            await send({"type": "http.response.start", "status": 403, "headers": headers})
            await send({"type": "http.response.body", "body": body})
            return
        await self.app(scope, receive, send)

    def refusal(self, scope: Scope) -> str:
        """Why a request is refused; empty: it is not."""
        headers = {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}
        host, origin = headers.get(b"host", ""), headers.get(b"origin")
        if not self._is_ours(host):
            return f"this server is not '{host}': open it by its address, or start it with --host {host}"
        if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
            return "this request came from another site"
        return ""

    def _is_ours(self, host: str) -> bool:
        name = (urlsplit(f"//{host}").hostname or "").lower()
        if name in self.names:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True
