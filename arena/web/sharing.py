"""A public address for a server on this machine, by Gradio's share tunnel."""

from __future__ import annotations

from bench.errors import InputError


def public_address(host: str, port: int) -> str:
    """`https://….gradio.live`, which leads to the port for 72 hours.

    Raises InputError: the tunnel cannot be had, for want of a network or of its program.
    """
    import secrets

    import httpx
    from gradio import networking
    from gradio.exceptions import ChecksumMismatchError

    local = "127.0.0.1" if host in ("0.0.0.0", "::") else host
    try:
        return networking.setup_tunnel(local, port, secrets.token_urlsafe(32), None, None).rstrip("/")
    except (RuntimeError, ValueError, OSError, httpx.HTTPError, ChecksumMismatchError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(
            f"--share: no public address ({reason}): check the network, or use a proxy of your own and --https"
        ) from None
