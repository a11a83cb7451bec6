"""The miniature world: scenes with known contents, and how they are drawn as 64x64 RGB images."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

SIDE = 64  # pixels

SHAPES = ("circle", "square", "triangle", "star", "cross", "heart")
COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "brown", "black")
TEXTURES = ("solid", "striped", "dotted")
SIZES = ("small", "large")
TINTS = ("white", "grey", "beige", "mint", "lilac")
GROUNDS = ("grass", "sand", "snow")
BACKDROPS = ("plain", "gradient", "striped", "outdoors")
LAYOUTS = ("empty", "alone", "left_of", "above", "inside", "on", "row")
RELATIONS = ("alone", "left_of", "above", "inside", "on", "same", "row")

_RGB = {
    "red": (215, 40, 40),
    "orange": (245, 135, 25),
    "yellow": (250, 215, 30),
    "green": (35, 140, 60),
    "blue": (40, 80, 215),
    "purple": (130, 50, 165),
    "brown": (120, 75, 40),
    "black": (30, 30, 35),
    "white": (246, 246, 244),
    "grey": (188, 190, 194),
    "beige": (236, 221, 190),
    "mint": (184, 232, 206),
    "lilac": (216, 198, 238),
    "sky": (160, 208, 244),
    "grass": (150, 196, 112),
    "sand": (228, 206, 158),
    "snow": (238, 242, 250),
}

# Vertical extent (up, down) of each shape in units of its radius: what "on" needs to make two shapes touch.
_EXTENT = {
    "circle": (1.0, 1.0),
    "square": (0.88, 0.88),
    "triangle": (1.0, 0.72),
    "star": (1.05, 0.85),
    "cross": (0.98, 0.98),
    "heart": (0.72, 0.98),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Thing:
    """One object of a scene."""

    shape: str
    colour: str
    texture: str = "solid"
    size: str | None = None
    """small or large; None: the caption leaves it open"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backdrop:
    """What is behind the objects."""

    kind: str
    names: tuple[str, ...]
    """plain, striped: one tint; gradient: top and bottom tint; outdoors: one ground"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What must be seen: 1-3 objects in canonical order (left, top or inner first), relation, background."""

    things: tuple[Thing, ...]
    relation: str
    """one of RELATIONS; `same`: two or three equal objects, anywhere; `row`: three objects, left to right"""
    backdrop: Backdrop | None = None
    """None: the caption leaves it open"""


def combination(scene: Scene) -> str:
    """The part of a scene that is held out as a whole: objects and their relation, not size or background."""
    if scene.relation == "alone":
        thing = scene.things[0]
        return f"alone {thing.shape} {thing.colour} {thing.texture}"
    names = " ".join(f"{t.shape} {t.colour}" for t in scene.things)
    return f"{scene.relation} {names}"


def is_held_out(scene: Scene) -> bool:
    """True for one combination in ten, by a stable hash: never drawn for training."""
    return hashlib.sha256(combination(scene).encode()).digest()[0] % 10 == 0


def random_backdrop(rng: np.random.Generator, kind: str | None = None) -> Backdrop:
    """A background of a given or random kind."""
    if kind is None:
        kind = str(rng.choice(BACKDROPS, p=(0.4, 0.2, 0.2, 0.2)))
    if kind == "outdoors":
        return Backdrop(kind=kind, names=(str(rng.choice(GROUNDS)),))
    if kind == "gradient":
        top, bottom = rng.choice(TINTS, size=2, replace=False)
        return Backdrop(kind=kind, names=(str(top), str(bottom)))
    return Backdrop(kind=kind, names=(str(rng.choice(TINTS)),))


def _random_thing(rng: np.random.Generator, solid: float, sized: bool) -> Thing:
    texture = "solid" if rng.random() < solid else str(rng.choice(("striped", "dotted")))
    return Thing(
        shape=str(rng.choice(SHAPES)),
        colour=str(rng.choice(COLOURS)),
        texture=texture,
        size=str(rng.choice(SIZES)) if sized else None,
    )


def random_scene(rng: np.random.Generator, relation: str | None = None) -> Scene:
    """A scene of a given or random relation; held-out combinations included (see `is_held_out`)."""
    if relation is None:
        relation = str(rng.choice(RELATIONS, p=(0.24, 0.14, 0.13, 0.12, 0.13, 0.14, 0.10)))
    backdrop = random_backdrop(rng)
    if relation == "alone":
        things = [_random_thing(rng, 0.5, True)]
    elif relation == "same":
        things = [_random_thing(rng, 0.8, False)] * int(rng.integers(2, 4))
    elif relation == "row":
        things = [_random_thing(rng, 1.0, False)]
        while len(things) < 3:
            thing = _random_thing(rng, 1.0, False)
            if thing not in things:
                things.append(thing)
    else:
        things = [_random_thing(rng, 0.8, relation != "inside")]
        while len(things) < 2:
            thing = _random_thing(rng, 0.8, relation != "inside")
            same_colour = thing.colour == things[0].colour
            if not (same_colour and (relation == "inside" or thing.shape == things[0].shape)):
                things.append(thing)
    return Scene(things=tuple(things), relation=relation, backdrop=backdrop)


def training_scene(rng: np.random.Generator) -> Scene:
    """A random scene whose combination is not held out."""
    while True:
        scene = random_scene(rng)
        if not is_held_out(scene):
            return scene


def held_out_scene(rng: np.random.Generator, relation: str | None = None) -> Scene:
    """A random scene whose combination is held out."""
    while True:
        scene = random_scene(rng, relation)
        if is_held_out(scene):
            return scene


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """An object with its place in the image."""

    thing: Thing
    x: float
    y: float
    radius: float
    """pixels"""


def _radius(thing: Thing, rng: np.random.Generator, small: float, large: float) -> float:
    size = thing.size or str(rng.choice(SIZES))
    return (small if size == "small" else large) + float(rng.uniform(-0.8, 0.8))


def place(scene: Scene, rng: np.random.Generator) -> tuple[str, tuple[Placed, ...]]:
    """Where each object goes: the layout seen (one of LAYOUTS) and the objects in canonical order."""
    relation, things = scene.relation, scene.things
    centre = SIDE / 2
    jitter = rng.uniform(-2.5, 2.5, size=2)
    if relation == "alone":
        radius = _radius(things[0], rng, 10, 19)
        reach = max(2.0, 24 - radius)
        x, y = centre + rng.uniform(-reach, reach, size=2) * 0.7
        return "alone", (Placed(thing=things[0], x=x, y=y, radius=radius),)
    if relation == "inside":
        x, y = centre + jitter
        inner, outer = things
        small, large = 8.0 + rng.uniform(-0.6, 0.6), 25.0 + rng.uniform(-1.5, 1.5)
        lift = {"triangle": 4.0, "heart": -1.5}.get(outer.shape, 0.0)
        return "inside", (
            Placed(thing=inner, x=x, y=y + lift, radius=small),
            Placed(thing=outer, x=x, y=y, radius=large),
        )
    if relation == "on":
        top, bottom = things
        r_top, r_bottom = _radius(top, rng, 8.5, 12.5), _radius(bottom, rng, 8.5, 12.5)
        heights = (r_top * sum(_EXTENT[top.shape]), r_bottom * sum(_EXTENT[bottom.shape]))
        start = (SIDE - sum(heights)) / 2 + rng.uniform(-3, 3)
        dip = (
            3.0 if bottom.shape == "heart" else 1.0
        )  # a heart is entered at its notch, else the two seem apart
        y_top = start + r_top * _EXTENT[top.shape][0] + dip
        y_bottom = start + heights[0] + r_bottom * _EXTENT[bottom.shape][0]
        x = centre + rng.uniform(-6, 6)
        return "on", (
            Placed(thing=top, x=x + rng.uniform(-1.5, 1.5), y=y_top, radius=r_top),
            Placed(thing=bottom, x=x, y=y_bottom, radius=r_bottom),
        )
    if len(things) == 3:
        xs = np.array((11.5, 32.0, 52.5)) + rng.uniform(-1, 1, size=3)
        ys = centre + jitter[0] * 2.5 + rng.uniform(-2, 2, size=3)
        radius = 8.3 + rng.uniform(-0.8, 0.8)
        return "row", tuple(
            Placed(thing=t, x=x, y=y, radius=radius) for t, x, y in zip(things, xs, ys, strict=True)
        )
    upright = relation == "above" or (relation == "same" and rng.random() < 0.4)
    along = np.array((15.5, 48.5)) + rng.uniform(-1.2, 1.2, size=2)
    across = centre + jitter[0] * 2.5 + rng.uniform(-2, 2, size=2)
    equal = _radius(things[0], rng, 8.5, 12.5)
    placed = []
    for i, thing in enumerate(things):
        radius = equal if relation == "same" else _radius(thing, rng, 8.5, 12.5)
        x, y = (across[i], along[i]) if upright else (along[i], across[i])
        placed.append(Placed(thing=thing, x=x, y=y, radius=radius))
    return ("above" if upright else "left_of"), tuple(placed)


_GRID = np.mgrid[0:SIDE, 0:SIDE].astype(np.float32) + 0.5


def _polygon_distance(px: np.ndarray, py: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Signed distance to a closed polygon (negative inside). Source: Quilez, 2D distance functions."""
    best = np.full(px.shape, 1e9, np.float32)
    sign = np.ones(px.shape, np.float32)
    for i in range(len(corners)):
        (ax, ay), (bx, by) = corners[i], corners[i - 1]
        ex, ey = bx - ax, by - ay
        wx, wy = px - ax, py - ay
        t = np.clip((wx * ex + wy * ey) / (ex * ex + ey * ey), 0, 1)
        best = np.minimum(best, (wx - ex * t) ** 2 + (wy - ey * t) ** 2)
        up, down, side = py >= ay, py < by, ex * wy > ey * wx
        flip = (up & down & side) | (~up & ~down & ~side)
        sign[flip] *= -1
    return sign * np.sqrt(best)


def _star() -> np.ndarray:
    angles = -np.pi / 2 + np.arange(10) * np.pi / 5
    radii = np.where(np.arange(10) % 2 == 0, 1.05, 0.5)
    return np.stack([radii * np.cos(angles), radii * np.sin(angles)], 1)


_CORNERS = {
    "square": np.array([(-0.88, -0.88), (0.88, -0.88), (0.88, 0.88), (-0.88, 0.88)]),
    "triangle": np.array([(0, -1.0), (0.98, 0.72), (-0.98, 0.72)]),
    "star": _star(),
    "cross": np.array(
        [(a, b) for a, b in ((-0.34, -0.98), (0.34, -0.98), (0.34, -0.34), (0.98, -0.34), (0.98, 0.34))]
        + [(a, b) for a, b in ((0.34, 0.34), (0.34, 0.98), (-0.34, 0.98), (-0.34, 0.34), (-0.98, 0.34))]
        + [(-0.98, -0.34), (-0.34, -0.34)]
    ),
}


def _heart() -> np.ndarray:
    t = np.linspace(0, 2 * np.pi, 33)[:-1]
    x = 16 * np.sin(t) ** 3
    y = -(13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t))
    return np.stack([x / 16.5, y / 17.3], 1)


_CORNERS["heart"] = _heart()


def coverage(shape: str, x: float, y: float, radius: float) -> np.ndarray:
    """How much of each pixel the shape covers: (64, 64) in 0..1."""
    py, px = _GRID[0] - np.float32(y), _GRID[1] - np.float32(x)
    if shape == "circle":
        distance = np.sqrt(px * px + py * py) - radius
    else:
        distance = _polygon_distance(px, py, _CORNERS[shape] * radius)
    return np.clip(0.5 - distance, 0, 1)


def _paint(placed: Placed, rng: np.random.Generator) -> np.ndarray:
    """The object's own colours: (64, 64, 3)."""
    colour = np.array(_RGB[placed.thing.colour], np.float32) + rng.uniform(-6, 6, size=3)
    pale = colour * 0.25 + 255 * 0.75
    py, px = _GRID[0] - placed.y, _GRID[1] - placed.x
    if placed.thing.texture == "striped":
        mark = np.clip(np.abs((px + py) / 1.414 % 6.0 - 3.0) - 1.0, 0, 1)
    elif placed.thing.texture == "dotted":
        qx, qy = (px + 3.25) % 6.5 - 3.25, (py + 3.25) % 6.5 - 3.25
        mark = np.clip(1.8 - np.sqrt(qx * qx + qy * qy) + 0.5, 0, 1)
    else:
        return np.broadcast_to(colour, (SIDE, SIDE, 3)).astype(np.float32)
    return colour + (pale - colour) * mark[..., None].astype(np.float32)


def draw_backdrop(backdrop: Backdrop, rng: np.random.Generator) -> np.ndarray:
    """The background alone: (64, 64, 3) float."""
    first = np.array(_RGB[backdrop.names[0]], np.float32) + rng.uniform(-3, 3)
    if backdrop.kind == "plain":
        return np.broadcast_to(first, (SIDE, SIDE, 3)).copy()
    rows = _GRID[0][..., None]
    if backdrop.kind == "gradient":
        mix = rows / SIDE
        return first * (1 - mix) + np.array(_RGB[backdrop.names[1]], np.float32) * mix
    if backdrop.kind == "striped":
        mark = np.clip(np.abs(_GRID[1] % 16.0 - 8.0) - 3.5, 0, 1)[..., None]
        return first * (1 - 0.14 * mark)
    horizon = 42 + rng.uniform(-3, 3)
    mix = np.clip(rows - horizon + 0.5, 0, 1)
    return np.array(_RGB["sky"], np.float32) * (1 - mix) + first * mix


def draw(scene: Scene, rng: np.random.Generator) -> tuple[np.ndarray, str]:
    """An image of a scene: (64, 64, 3) uint8, and the layout it shows (one of LAYOUTS).

    The caption's open ends (sizes, places, an unstated background) are drawn from `rng`.
    """
    backdrop = scene.backdrop or random_backdrop(rng, "plain")
    layout, placed = place(scene, rng)
    image = draw_backdrop(backdrop, rng)
    for item in reversed(placed):  # the outer or lower object first, the inner on top of it
        alpha = coverage(item.thing.shape, item.x, item.y, item.radius)[..., None]
        image = image * (1 - alpha) + _paint(item, rng) * alpha
    return np.clip(image + 0.5, 0, 255).astype(np.uint8), layout
