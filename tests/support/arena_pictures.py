"""Screenshots of every page of the arena, at desktop and phone size, light and dark, on drawn scenes.

    python -m tests.support.arena_pictures FOLDER

`vote-desktop-dark.png` is the README's picture. No model made these scenes.
"""

from __future__ import annotations

import argparse
import hashlib
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from bench.records import Generation, Prompt
from bench.store.study_folder import StudyFolder
from tests.support.arena_server import BROWSER_FLAGS, CHROMIUM, Server

NAMES = ("sdxl-turbo@1", "sdxl-turbo@4", "sdxl@50")
SIDE = 512
DRAWN = 2 * SIDE
"""Pixels; drawn larger, so that edges are smooth."""
TOKEN = "screenshots-only-token"
DESKTOP = {"viewport": {"width": 1280, "height": 800}}
PHONE = {
    "viewport": {"width": 390, "height": 844},
    "has_touch": True,
    "is_mobile": True,
    "device_scale_factor": 2,
}


@dataclass(frozen=True, slots=True)
class Scene:
    """A house by a lake."""

    sky: tuple[int, int, int]
    glow: tuple[int, int, int]
    house: tuple[int, int, int]
    moons: int
    house_left: bool


SCENES = (
    ("a red wooden house to the left of a lake, under a full moon, at dusk",
     Scene((24, 28, 74), (232, 126, 104), (176, 44, 38), 1, True),
     Scene((30, 30, 68), (214, 110, 122), (176, 44, 38), 2, False)),
    ("a yellow house to the right of a lake in the early morning mist",
     Scene((120, 168, 196), (250, 222, 186), (226, 176, 58), 0, False),
     Scene((96, 150, 190), (246, 214, 196), (70, 104, 168), 0, False)),
    ("two moons above a blue house and dark hills",
     Scene((12, 20, 44), (64, 110, 140), (52, 98, 170), 2, True),
     Scene((18, 18, 52), (92, 84, 150), (52, 98, 170), 1, True)),
)  # fmt: skip


def draw(scene: Scene, seed: int) -> Image.Image:
    rng = np.random.default_rng(seed)
    down = np.linspace(0, 1, DRAWN)[:, None, None] ** 0.8
    sky = np.array(scene.sky) * (1 - down) + np.array(scene.glow) * down
    picture = Image.fromarray(np.broadcast_to(sky, (DRAWN, DRAWN, 3)).astype(np.uint8).copy())
    pen = ImageDraw.Draw(picture)
    for _ in range(90 if sum(scene.sky) < 260 else 0):
        x, y = rng.uniform(0, DRAWN), rng.uniform(0, DRAWN * 0.42)
        pen.ellipse((x, y, x + 3, y + 3), fill=(238, 236, 226))
    for i in range(scene.moons):
        x, y, r = DRAWN * (0.7 - 0.42 * i), DRAWN * (0.2 + 0.05 * i), DRAWN * (0.085 - 0.025 * i)
        halo = Image.new("L", picture.size, 0)
        ImageDraw.Draw(halo).ellipse((x - 2 * r, y - 2 * r, x + 2 * r, y + 2 * r), fill=110)
        picture.paste((248, 238, 208), mask=halo.filter(ImageFilter.GaussianBlur(r * 0.9)))
        pen.ellipse((x - r, y - r, x + r, y + r), fill=(250, 243, 218))
    across = np.arange(0, DRAWN + 1, 8)
    for layer in range(4):
        share = layer / 3
        waves = sum(np.sin(across / DRAWN * f + rng.uniform(0, 6.3)) / f for f in (5, 9, 17))
        height = DRAWN * (0.5 + 0.05 * layer) - waves * DRAWN * 0.16 * (1 - 0.45 * share)
        colour = tuple(
            int(g * (1 - share) * 0.62 + s * 0.38 * (1 - share) + d * share)
            for g, s, d in zip(scene.glow, scene.sky, (22, 34, 40), strict=True)
        )
        pen.polygon([(0, DRAWN), *zip(across, height, strict=True), (DRAWN, DRAWN)], fill=colour)
    shore = DRAWN * 0.74
    pen.rectangle((0, shore, DRAWN, DRAWN), fill=(26, 38, 36))
    lake = [0.36, 1.02] if scene.house_left else [-0.02, 0.64]
    pen.ellipse(
        (DRAWN * lake[0], shore - 26, DRAWN * lake[1], DRAWN * 1.06), fill=_mix(scene.sky, scene.glow, 0.55)
    )
    for _ in range(70):
        y = rng.uniform(shore + 20, DRAWN)
        x, w = rng.uniform(DRAWN * (lake[0] + 0.1), DRAWN * (lake[1] - 0.16)), rng.uniform(20, 110)
        pen.line((x, y, x + w, y), fill=_mix(scene.sky, scene.glow, 0.85), width=3)
    _house(pen, DRAWN * (0.17 if scene.house_left else 0.83), shore + 34, scene.house)
    return picture.resize((SIDE, SIDE), Image.Resampling.LANCZOS)


def _house(pen: ImageDraw.ImageDraw, x: float, y: float, colour: tuple[int, int, int]) -> None:
    w, h = DRAWN * 0.12, DRAWN * 0.17
    pen.rectangle((x - w, y - h, x + w, y), fill=colour)
    for i in range(1, 8):
        pen.line((x - w, y - h * i / 8, x + w, y - h * i / 8), fill=_mix(colour, (0, 0, 0), 0.25), width=2)
    pen.polygon([(x - w * 1.2, y - h), (x, y - h * 1.75), (x + w * 1.2, y - h)], fill=(44, 36, 40))
    for side in (-0.5, 0.5):
        pen.rectangle(
            (x + w * side - 24, y - h * 0.75, x + w * side + 24, y - h * 0.42), fill=(255, 224, 150)
        )
    pen.rectangle((x - 22, y - h * 0.42, x + 22, y), fill=(58, 38, 34))


def _mix(one: tuple[int, ...], other: tuple[int, ...], share: float) -> tuple[int, ...]:
    return tuple(int(a * (1 - share) + b * share) for a, b in zip(one, other, strict=True))


def make_study(path: Path, votes_per_rater: int | None = 40) -> StudyFolder:
    folder = StudyFolder(path)
    prompts = [Prompt(id=f"scene{i}", text=text, category="Outdoors") for i, (text, *_) in enumerate(SCENES)]
    folder.write_study(
        f'name = "drawn"\ncontenders = {list(NAMES)}\ndisplay_size = {SIDE}\n[prompts]\nset = "parti"\n'
        '[arena]\nquestions = ["alignment"]\nboth_bad = true\nvotes_per_pair = 60\n'
        'break_after = 3\nattention_rate = 0.0\nrepeat_rate = 0.0\ncompletion_code = "C7K2-WIND"\n'
        'return_link = "https://panel.example/complete"\n' + f"votes_per_rater = {votes_per_rater or 0}\n",
        prompts,
    )
    rows = []
    for k, name in enumerate(NAMES):
        for i, (_, *scenes) in enumerate(SCENES):
            target = folder.image(name, f"scene{i}", 0)
            target.parent.mkdir(parents=True, exist_ok=True)
            draw(scenes[k % 2], seed=10 * i + k).save(target, "WEBP", lossless=True)
            data = target.read_bytes()
            rows.append(
                Generation(
                    contender=name, prompt_id=f"scene{i}", replicate=0, seed=1,
                    sha256=hashlib.sha256(data).hexdigest(), width=SIDE, height=SIDE, seconds=0.1,
                    settings="drawn", bytes=len(data),
                )
            )  # fmt: skip
    folder.append(folder.generations_file, rows)
    return folder


def rater_pages(browser: Any, url: str, out: Path, label: str, settings: dict[str, Any]) -> None:
    context = browser.new_context(**settings)
    page = context.new_page()

    def keep(name: str) -> None:
        page.wait_for_timeout(150)
        page.screenshot(path=out / f"{name}-{label}.png")

    page.goto(url)
    page.wait_for_selector("#start", state="visible")
    keep("welcome")
    page.click("#start")
    page.wait_for_selector("body[data-ballot]")
    page.wait_for_timeout(400)
    keep("vote")
    if settings.get("has_touch"):
        page.tap("[data-part=zoom]")
    else:
        page.keyboard.press("z")
        page.keyboard.press("ArrowLeft")
    keep("zoom")
    page.keyboard.press("Escape")
    for number in (2, 3, 4):
        page.keyboard.press("ArrowLeft")
        page.wait_for_selector(f"body[data-ballot='{number}']")
        page.wait_for_timeout(300)
    keep("break")
    page.click("#continue")
    context.set_offline(True)
    page.wait_for_timeout(300)
    page.keyboard.press("ArrowLeft")
    page.wait_for_selector(".alert")
    keep("offline")
    context.set_offline(False)
    page.wait_for_selector("body[data-ballot='5']")
    for _ in range(12):
        page.wait_for_timeout(330)
        if page.is_visible("#rest"):
            page.click("#continue")
            page.wait_for_timeout(330)
        page.keyboard.press("ArrowRight")
    page.wait_for_selector("#end", state="visible")
    keep("end")
    context.close()


def admin_pages(browser: Any, url: str, out: Path, label: str, settings: dict[str, Any]) -> None:
    context = browser.new_context(**settings)
    page = context.new_page()
    page.goto(url + "/admin-login")
    page.screenshot(path=out / f"login-{label}.png")
    page.fill("input[name=token]", TOKEN)
    page.click("button")
    page.wait_for_selector("text=/votes counted|no votes to rate/")
    page.wait_for_timeout(3000)
    page.screenshot(path=out / f"admin-{label}.png", full_page=True)
    context.close()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    out = parser.parse_args().folder
    out.mkdir(parents=True, exist_ok=True)
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as playwright:
        folder = make_study(Path(scratch) / "drawn")
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=BROWSER_FLAGS)
        with Server(folder.path, admin=TOKEN) as server:
            for size, settings in (("desktop", DESKTOP), ("phone", PHONE)):
                for scheme in ("light", "dark"):
                    rater_pages(
                        browser, server.url, out, f"{size}-{scheme}", {**settings, "color_scheme": scheme}
                    )
                    admin_pages(
                        browser, server.url, out, f"{size}-{scheme}", {**settings, "color_scheme": scheme}
                    )
        browser.close()


if __name__ == "__main__":
    main()
