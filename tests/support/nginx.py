"""A real nginx with a configuration of the test's, in a folder of its own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

NGINX = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")


@contextmanager
def nginx(servers: str, health: str) -> Iterator[None]:
    """Runs until the end of the block.

    servers: what stands inside `http { … }`. health: an address through it that answers 200 once all is up.
    """
    assert NGINX is not None
    # Not below pytest's folder, which is closed to the user that nginx's workers run as.
    folder = Path(tempfile.mkdtemp(prefix="arena-nginx-"))
    folder.chmod(0o755)
    (folder / "arena.conf").write_text(servers)
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    places = "".join(f"{kind}_temp_path {folder}/{kind};" for kind in kinds)
    (folder / "nginx.conf").write_text(
        f"daemon off; pid {folder}/pid; error_log {folder}/error.log; events {{ }}\n"
        f"http {{ {places} include {folder}/arena.conf; }}\n"
    )
    process = subprocess.Popen([NGINX, "-p", str(folder), "-c", str(folder / "nginx.conf")])
    try:
        for _ in range(300):
            try:
                if httpx.get(health).status_code == 200:
                    break
            except httpx.HTTPError:
                pass
            assert process.poll() is None, "nginx refuses the configuration"
            time.sleep(0.1)
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)
