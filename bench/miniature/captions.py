"""The grammar of the miniature world: scenes to varied English, and English back to what must be seen."""

from __future__ import annotations

import re

import numpy as np

from bench.miniature.world import COLOURS, GROUNDS, SHAPES, SIZES, TEXTURES, TINTS, Backdrop, Scene, Thing

PLURALS = {shape: ("crosses" if shape == "cross" else shape + "s") for shape in SHAPES}
_SINGULAR = {plural: shape for shape, plural in PLURALS.items()}
_NUMBERS = {"two": 2, "three": 3}
_OPENINGS = ("", "a picture of ", "there is ")

_PAIR_FORMS = {
    "left_of": ("{a} to the left of {b}", "{a} left of {b}", "{b} to the right of {a}"),
    "above": ("{a} above {b}", "{b} below {a}", "{b} under {a}"),
    "inside": ("{a} inside {b}", "{b} with {a} inside"),
    "on": ("{a} on top of {b}", "{a} standing on {b}"),
}
_BACKDROP_FORMS = {
    "plain": ("on a {0} background", "on a plain {0} background"),
    "gradient": ("on a background fading from {0} to {1}", "on a {0} to {1} gradient"),
    "striped": ("on a striped {0} background", "with {0} stripes behind"),
    "outdoors": ("outdoors on {0}", "under the sky over {0}"),
}


def _phrase(thing: Thing, sized: bool, plural: str | None = None) -> str:
    words = [thing.size] if sized and thing.size else []
    words += [thing.texture] if thing.texture != "solid" else []
    words += [thing.colour, plural or thing.shape]
    text = " ".join(words)
    if plural:
        return text
    return ("an " if text[0] in "aeiou" else "a ") + text


def describe(
    scene: Scene, rng: np.random.Generator, *, sized: float = 0.5, behind: float = 0.6, plainly: bool = False
) -> str:
    """A caption of a scene, in one of the grammar's wordings.

    sized, behind: chances that a stated size, or a plain background, is said; any other background always is.
    plainly: no opening words.
    """
    say = [rng.random() < sized for _ in scene.things]
    names = [_phrase(t, s) for t, s in zip(scene.things, say, strict=True)]
    opening = "" if plainly else str(rng.choice(_OPENINGS, p=(0.7, 0.15, 0.15)))
    if scene.relation == "alone":
        text = names[0]
    elif scene.relation == "same":
        count = len(scene.things)
        number = "three" if count == 3 else "two"
        text = f"{number} " + _phrase(scene.things[0], False, PLURALS[scene.things[0].shape])
    elif scene.relation == "row":
        listed = f"{names[0]}, {names[1]} and {names[2]}"
        text = f"from left to right {listed}" if rng.random() < 0.3 else f"{listed} in a row"
    else:
        text = str(rng.choice(_PAIR_FORMS[scene.relation])).format(a=names[0], b=names[1])
    if opening == "there is " and (scene.relation in ("same", "row")):
        opening = "a picture of "
    backdrop = scene.backdrop
    if backdrop is not None and (backdrop.kind != "plain" or rng.random() < behind):
        text += ", " + str(rng.choice(_BACKDROP_FORMS[backdrop.kind])).format(*backdrop.names)
    return opening + text


_TINT = "|".join(TINTS)
_THING = (
    rf"an? (?:(?P<size>{'|'.join(SIZES)}) )?(?:(?P<texture>{'|'.join(TEXTURES[1:])}) )?"
    rf"(?P<colour>{'|'.join(COLOURS)}) (?P<shape>{'|'.join(SHAPES)})"
)
_MANY = re.compile(
    rf"(?P<number>two|three) (?:(?P<texture>{'|'.join(TEXTURES[1:])}) )?"
    rf"(?P<colour>{'|'.join(COLOURS)}) (?P<shapes>{'|'.join(_SINGULAR)})"
)
_ONE = re.compile(_THING)
_BARE = re.sub(r"\?P<\w+>", "?:", _THING)
_PAIRS = tuple(
    (
        relation,
        re.compile(
            re.escape(form)
            .replace(r"\{a\}", f"(?P<a>{_BARE})")
            .replace(r"\{b\}", f"(?P<b>{_BARE})")
            .replace(r"\ ", " ")
        ),
    )
    for relation, forms in _PAIR_FORMS.items()
    for form in forms
)
_ROWS = (
    re.compile(rf"from left to right ({_BARE}), ({_BARE}) and ({_BARE})"),
    re.compile(rf"({_BARE}), ({_BARE}) and ({_BARE}) in a row"),
)
_BEHINDS = (
    ("plain", re.compile(rf"on a (?:plain )?({_TINT}) background")),
    ("gradient", re.compile(rf"on a background fading from ({_TINT}) to ({_TINT})")),
    ("gradient", re.compile(rf"on a ({_TINT}) to ({_TINT}) gradient")),
    ("striped", re.compile(rf"on a striped ({_TINT}) background")),
    ("striped", re.compile(rf"with ({_TINT}) stripes behind")),
    ("outdoors", re.compile(rf"outdoors on ({'|'.join(GROUNDS)})")),
    ("outdoors", re.compile(rf"under the sky over ({'|'.join(GROUNDS)})")),
)


def _thing(text: str) -> Thing:
    match = _ONE.fullmatch(text)
    assert match is not None, text  # only called on what _BARE matched
    return Thing(
        shape=match["shape"], colour=match["colour"], texture=match["texture"] or "solid", size=match["size"]
    )


def _backdrop(text: str) -> Backdrop | None:
    for kind, pattern in _BEHINDS:
        match = pattern.fullmatch(text)
        if match:
            return Backdrop(kind=kind, names=match.groups())
    return None


def _subject(text: str) -> tuple[str, tuple[Thing, ...]] | None:
    if _ONE.fullmatch(text):
        return "alone", (_thing(text),)
    many = _MANY.fullmatch(text)
    if many:
        thing = Thing(
            shape=_SINGULAR[many["shapes"]], colour=many["colour"], texture=many["texture"] or "solid"
        )
        return "same", (thing,) * _NUMBERS[many["number"]]
    for pattern in _ROWS:
        row = pattern.fullmatch(text)
        if row:
            return "row", tuple(_thing(part) for part in row.groups())
    for relation, pattern in _PAIRS:
        pair = pattern.fullmatch(text)
        if pair:
            return relation, (_thing(pair["a"]), _thing(pair["b"]))
    return None


def parse(caption: str) -> Scene:
    """What a caption says must be seen. Case, spaces around and a final full stop do not matter.

    Raises ValueError: the caption is not of the grammar.
    """
    text = re.sub(r"\s+", " ", caption.strip().lower().removesuffix("."))
    for opening in _OPENINGS[1:]:
        text = text.removeprefix(opening)
    head, _, tail = text.rpartition(", ")
    backdrop = _backdrop(tail) if head else None
    subject = _subject(head if backdrop else text)
    if subject is None:
        raise ValueError(
            f"caption {caption!r} is not of the miniature grammar; see bench/miniature/captions.py"
        )
    return Scene(things=subject[1], relation=subject[0], backdrop=backdrop)


def words() -> tuple[str, ...]:
    """Every word and mark the grammar can use, sorted."""
    forms = [form for group in (*_PAIR_FORMS.values(), *_BACKDROP_FORMS.values()) for form in group]
    text = " ".join((*forms, *_OPENINGS, "a an two three and in row from left to right ,"))
    found = set(re.findall(r"[a-z]+|,", re.sub(r"\{\w\}", " ", text)))
    found.update(COLOURS, SHAPES, PLURALS.values(), SIZES, TEXTURES[1:], TINTS, GROUNDS)
    return tuple(sorted(found))
