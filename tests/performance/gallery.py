"""Claim: `bench view` shows its first screen of a study of 100,000 images in seconds, and filters it without a stall.

Makes a synthetic study once (12,500 prompts x 8 contenders; 32 images of noise on colour fields under 100,000 names by
hard links; two metrics of random numbers; simulated votes; labelled as synthetic in its title), starts `bench view` in
a process of its own and opens it in headless Chromium. Measured: seconds from the start of the command to an answering
server, from opening the page to the first screen of images painted, seconds of a filter and of an order by metric, and
the server's resident memory. The peer of the same run is json.loads over the same row files: what nobody can avoid.

    PYTHONPATH=. python tests/performance/gallery.py [--prompts 12500] [--contenders 8] [--out FOLDER]
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from bench.records import Battle, Generation, ImageScore, Prompt, to_json
from bench.store.study_folder import StudyFolder

SIDE = 512
ARGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-sync",
]


def images(count: int) -> list[bytes]:
    """Lossless WebP of smooth colour fields with a little noise."""
    rng = np.random.default_rng(0)
    encoded = []
    for _ in range(count):
        small = Image.fromarray(rng.integers(0, 255, (6, 6, 3), dtype=np.uint8))
        smooth = np.asarray(small.resize((SIDE, SIDE), Image.Resampling.BICUBIC), np.int16)
        noisy = np.clip(smooth + rng.integers(-6, 7, (SIDE, SIDE, 1)), 0, 255).astype(np.uint8)
        out = io.BytesIO()
        Image.fromarray(noisy).save(out, "WEBP", lossless=True)
        encoded.append(out.getvalue())
    return encoded


def study(path: Path, contenders: tuple[str, ...], prompts: int, votes: int) -> StudyFolder:
    """The synthetic study, rows written in one go."""
    folder = StudyFolder(path)
    path.mkdir(parents=True)
    listed = ", ".join(f'"{name}"' for name in contenders)
    folder.study_file.write_text(
        f'name = "synthetic"\ntitle = "Synthetic study: {prompts * len(contenders):,} images of noise"\n'
        f'contenders = [{listed}]\n[prompts]\nset = "synthetic"\n'
    )
    rng = np.random.default_rng(1)
    words = ["red", "fox", "snow", "bridge", "night", "cup", "tea", "glass", "tower", "river", "small", "old"]
    texts = [" ".join(rng.choice(words, 12)) for _ in range(prompts)]
    rows = [
        Prompt(id=f"p{i:05d}", text=text, category=f"category {i % 12}", challenge=f"challenge {i % 11}")
        for i, text in enumerate(texts)
    ]
    folder.prompts_file.write_text("".join(to_json(row) + "\n" for row in rows))
    encoded = images(32)
    digests = [hashlib.sha256(data).hexdigest() for data in encoded]
    originals = []
    for k, data in enumerate(encoded):
        originals.append(path / f"original-{k}.webp")
        originals[-1].write_bytes(data)
    with (
        folder.generations_file.open("w") as made,
        folder.image_scores_file.open("w") as scored,
    ):
        for j, name in enumerate(contenders):
            (path / "images" / name).mkdir(parents=True)
            values = rng.normal(0.3, 0.02, (prompts, 2))
            for i, prompt in enumerate(rows):
                k = (7 * i + j) % len(encoded)
                os.link(originals[k], folder.image(name, prompt.id, 0))
                row = Generation(contender=name, prompt_id=prompt.id, replicate=0, seed=i, sha256=digests[k],
                                 width=SIDE, height=SIDE, bytes=len(encoded[k]), seconds=0.1, settings="s")  # fmt: skip
                made.write(to_json(row) + "\n")
                for m, metric in enumerate(("clip_score", "hpsv2")):
                    score = ImageScore(metric=metric, fingerprint="synthetic", contender=name, prompt_id=prompt.id,
                                       replicate=0, value=float(values[i, m]))  # fmt: skip
                    scored.write(to_json(score) + "\n")
    with folder.battles_file.open("w") as file:
        for k in range(votes):
            a, b = rng.choice(len(contenders), 2, replace=False)
            outcome = str(rng.choice(["left", "right", "tie"]))
            battle = Battle(left=contenders[a], right=contenders[b], outcome=outcome,
                            question="quality", rater=f"r{k % 200}", prompt_id=rows[rng.integers(prompts)].id,
                            simulated=True)  # fmt: skip
            file.write(to_json(battle) + "\n")
    return folder


def resident_mib(pid: int) -> float:
    """Resident memory of a process, MiB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return float("nan")


def peer_seconds(folder: StudyFolder) -> float:
    """Processor seconds of json.loads over the three row files."""
    began = time.process_time()
    for path in (folder.generations_file, folder.image_scores_file, folder.battles_file):
        with path.open("rb") as file:
            for line in file:
                json.loads(line)
    return time.process_time() - began


def browse(address: str, picture: Path | None) -> dict[str, Any]:
    """Seconds to the first screen, of a filter and of two orders; bytes of the data; screenshots."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=ARGS)
        page = chromium.new_page(viewport={"width": 1280, "height": 900})
        began = time.perf_counter()
        page.goto(address)
        page.wait_for_selector("#rows .row", timeout=300_000)
        rows_at = time.perf_counter() - began
        page.wait_for_function(
            """() => [...document.querySelectorAll('#rows img')]
                 .filter(i => i.getBoundingClientRect().top < innerHeight)
                 .every(i => i.complete && i.naturalWidth)""",
            timeout=300_000,
        )
        first = time.perf_counter() - began
        if picture is not None:
            page.screenshot(path=picture)
        timed = {}
        for label, name, value in (
            ("filter by two words", "text", "fox bridge"),
            ("all words again", "text", ""),
            ("order by metric", "order", "high"),
            ("order by votes against the metric", "order", "against"),
        ):
            timed[label] = page.evaluate(
                "([name, value]) => { const t = performance.now(); window.gallery.set(name, value); "
                "return (performance.now() - t) / 1000; }",
                [name, value],
            )
        if picture is not None:
            page.locator("#rows figure button").first.click()
            page.wait_for_function(
                "[...document.querySelectorAll('dialog.compare .stage img')].every(i => i.complete && i.naturalWidth)"
            )
            page.screenshot(path=picture.with_name(picture.stem + "-compare.png"))
        heap = page.evaluate("performance.memory ? performance.memory.usedJSHeapSize : 0")
        chromium.close()
    return {
        "rows_seconds": rows_at,
        "first_screen_seconds": first,
        "script_seconds": timed,
        "heap_mib": heap / 2**20,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--prompts", type=int, default=12_500)
    parser.add_argument("--contenders", type=int, default=8)
    parser.add_argument("--votes", type=int, default=20_000)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        names = tuple(f"model-{j}@{1 + j % 4}" for j in range(asked.contenders))
        folder = study(Path(place) / "synthetic", names, asked.prompts, asked.votes)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        began = time.perf_counter()
        command = [
            sys.executable,
            "-m",
            "bench",
            "view",
            str(folder.path),
            "--port",
            str(port),
            "--no-browser",
        ]
        server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        address = f"http://127.0.0.1:{port}/"
        while True:
            try:
                urllib.request.urlopen(f"{address}gallery/state", timeout=60).read()
                break
            except OSError:
                time.sleep(0.1)
        answering = time.perf_counter() - began
        before = resident_mib(server.pid)
        data = len(urllib.request.urlopen(f"{address}gallery/data.json").read())
        picture = asked.out / "gallery.png" if asked.out else None
        if asked.out:
            asked.out.mkdir(parents=True, exist_ok=True)
        measured = browse(address, picture)
        after = resident_mib(server.pid)
        server.terminate()
        server.wait()
        alone = peer_seconds(folder)
    result = {
        "synthetic": True, "images": asked.prompts * asked.contenders, "prompts": asked.prompts,
        "contenders": asked.contenders, "votes": asked.votes, "start_to_answer_seconds": answering,
        "data_bytes": data, "server_mib_at_start": before, "server_mib_after": after,
        "json_alone_processor_seconds": alone, "load": os.getloadavg(), "cores": os.cpu_count(), **measured,
    }  # fmt: skip
    text = json.dumps(result, indent=1) + "\n"
    print(text)
    if asked.out:
        (asked.out / "gallery.json").write_text(text)


if __name__ == "__main__":
    main()
