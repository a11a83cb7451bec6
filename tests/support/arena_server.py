"""Real servers for the tests: the arena as a process, PostgreSQL in a folder of its own, a browser."""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx

CHROMIUM = "/usr/bin/chromium"
BROWSER_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
POST = {"X-Arena": "1"}


def free_port() -> int:
    """A free port below those the system gives to outgoing connections, so that it stays free over a restart."""
    for port in random.SystemRandom().sample(range(15000, 30000), 100):
        with socket.socket() as found, suppress(OSError):
            found.bind(("127.0.0.1", port))
            return port
    raise RuntimeError("no free port")


class Server:
    """`arena serve` on a port; `kill` is SIGKILL."""

    def __init__(
        self,
        folder: Path,
        database: str | None = None,
        admin: str | None = None,
        port: int | None = None,
        options: Sequence[str] = (),
    ) -> None:
        self.folder, self.database, self.admin, self.options = folder, database, admin, options
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "arena.cli.app", "serve", str(self.folder), "--port", str(self.port)]
        command += [] if self.admin else ["--no-admin"]
        command += ["--database", self.database] if self.database else []
        command += self.options
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        if self.admin:
            environment["ARENA_ADMIN_TOKEN"] = self.admin
        log = (self.folder / f"server-{self.port}.log").open("ab")
        self.process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        log.close()
        # verify=False: reading the system's certificates takes longer than the question, and this is loopback
        with httpx.Client(verify=False, timeout=2) as client:
            for _ in range(1200):  # a busy machine may take a minute
                try:
                    if client.get(self.url + "/healthz").status_code == 200:
                        return
                except httpx.HTTPError:
                    pass
                if self.process.poll() is not None:
                    raise RuntimeError((self.folder / f"server-{self.port}.log").read_text()[-2000:])
                time.sleep(0.2)
        self.kill()
        raise RuntimeError("the arena does not answer")

    def kill(self, how: int = signal.SIGKILL) -> None:
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait()
            self.process = None

    def __enter__(self) -> Server:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


def postgres_programs() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return found[-1].parent if found else None


class Postgres:
    """A PostgreSQL on loopback, run by a user that is not root."""

    def __init__(self) -> None:
        programs = postgres_programs()
        assert programs is not None
        # Not below pytest's folder: every session that starts closes that to other users again.
        self.folder = Path(tempfile.mkdtemp(prefix="arena-postgres-"))
        self.programs, self.data, self.port = programs, self.folder / "data", free_port()
        self.user = "postgres" if os.geteuid() == 0 else None
        if self.user:
            shutil.chown(self.folder, self.user)
        self._run("initdb", "-D", str(self.data), "-U", "arena", "-A", "trust", "--no-sync")
        self.url = f"postgresql://arena@127.0.0.1:{self.port}/postgres"

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [str(self.programs / program), *arguments],
            check=True,
            user=self.user,
            cwd="/",
            stdout=subprocess.DEVNULL,
            stderr=subprocess.STDOUT,
            timeout=60,
        )

    def start(self) -> None:
        options = f"-p {self.port} -h 127.0.0.1 -k '' -c max_connections=120"
        self._run("pg_ctl", "-D", str(self.data), "-o", options, "-w", "-l", str(self.data / "log"), "start")

    def stop(self) -> None:
        self._run("pg_ctl", "-D", str(self.data), "-m", "immediate", "-w", "stop")


@contextmanager
def postgres() -> Iterator[Postgres]:
    server = Postgres()
    try:
        server.start()
        yield server
    finally:
        if (server.data / "postmaster.pid").exists():
            with suppress(subprocess.CalledProcessError):  # it may have ended between the look and the call
                server.stop()
        shutil.rmtree(server.folder, ignore_errors=True)


class Rater:
    """A client that votes like the page does, and remembers what it was told is saved."""

    def __init__(self, url: str) -> None:
        self.client = httpx.Client(base_url=url, headers=POST, timeout=20, verify=False)
        self.acknowledged: dict[str, str] = {}
        self.not_saved = 0

    def close(self) -> None:
        self.client.close()

    def call(self, path: str, body: dict[str, object]) -> httpx.Response | None:
        """None: no answer, so the caller asks again."""
        try:
            reply = self.client.post(path, json=body)
        except httpx.HTTPError:
            return None
        return reply if reply.status_code < 500 else None

    def patiently(self, path: str, body: dict[str, object]) -> httpx.Response:
        for _ in range(600):
            reply = self.call(path, body)
            if reply is not None:
                return reply
            self.not_saved += 1
            time.sleep(0.25)
        raise AssertionError(f"{path} never answered")

    def vote(self, count: int) -> None:
        state = self.patiently("/api/start", {"consent": True}).json()["state"]
        for number in range(count):
            if state["stage"] != "vote":
                return
            token, answer = state["ballots"][0]["token"], ("left", "right", "tie")[number % 3]
            reply = self.patiently("/api/vote", {"token": token, "answer": answer, "seconds": 1.0})
            assert reply.status_code == 200, reply.text
            assert reply.json()["saved"] is True
            self.acknowledged[token] = answer
            state = reply.json().get("state") or self.patiently("/api/state", {}).json()["state"]
