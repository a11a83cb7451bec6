"""The miniature world: what is drawn is what is said, and what is held out stays out."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from bench.miniature import prompt_set, world
from bench.miniature.captions import describe, parse, words
from bench.miniature.world import Backdrop, Scene, Thing

PROMPTS = Path(__file__).parents[3] / "prompts/miniature.tsv"


def scenes(count, seed=0):
    rng = np.random.default_rng(seed)
    return [(world.random_scene(rng), rng) for _ in range(count)]


def test_every_caption_says_its_scene():
    for scene, rng in scenes(1500):
        for sized in (0.0, 1.0):
            said = parse(describe(scene, rng, sized=sized, behind=1.0))
            assert said.relation == scene.relation
            assert said.backdrop == scene.backdrop
            for heard, meant in zip(said.things, scene.things, strict=True):
                assert (heard.shape, heard.colour, heard.texture) == (
                    meant.shape,
                    meant.colour,
                    meant.texture,
                )
                assert heard.size in (None, meant.size)


def test_a_size_is_heard_when_it_is_said():
    rng = np.random.default_rng(0)
    scene = Scene(things=(Thing(shape="star", colour="red", size="large"),), relation="alone")
    assert parse(describe(scene, rng, sized=1.0)).things[0].size == "large"
    assert parse(describe(scene, rng, sized=0.0)).things[0].size is None


@pytest.mark.parametrize(
    ("caption", "relation", "things"),
    [
        ("A red circle.", "alone", [("circle", "red", "solid")]),
        (
            "a blue star to the right of a red heart",
            "left_of",
            [("heart", "red", "solid"), ("star", "blue", "solid")],
        ),
        (
            "a small green cross below a dotted black square, outdoors on sand",
            "above",
            [("square", "black", "dotted"), ("cross", "green", "solid")],
        ),
        (
            "a red star with a blue circle inside",
            "inside",
            [("circle", "blue", "solid"), ("star", "red", "solid")],
        ),
        ("three striped yellow crosses", "same", [("cross", "yellow", "striped")] * 3),
    ],
)
def test_a_caption_means_what_a_reader_takes_it_to_mean(caption, relation, things):
    scene = parse(caption)
    assert scene.relation == relation
    assert [(t.shape, t.colour, t.texture) for t in scene.things] == things


@pytest.mark.parametrize(
    "caption", ["", "a dog", "a red circle and", "four red circles", "a circle", "red circle"]
)
def test_a_caption_outside_the_grammar_is_refused(caption):
    with pytest.raises(ValueError, match="not of the miniature grammar"):
        parse(caption)


def test_training_scenes_are_never_held_out_and_a_tenth_of_the_world_is():
    rng = np.random.default_rng(1)
    trained = {world.combination(world.training_scene(rng)) for _ in range(3000)}
    held = {world.combination(world.held_out_scene(rng)) for _ in range(300)}
    assert not trained & held
    share = np.mean([world.is_held_out(scene) for scene, _ in scenes(4000, seed=2)])
    assert 0.07 < share < 0.13


def test_a_picture_is_the_same_for_the_same_seed_and_another_for_another():
    scene = scenes(1)[0][0]
    first, second, other = (world.draw(scene, np.random.default_rng(s))[0] for s in (3, 3, 4))
    assert first.shape == (64, 64, 3)
    assert first.dtype == np.uint8
    assert np.array_equal(first, second)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize(
    ("shape", "area"), [("circle", np.pi), ("square", 1.76**2), ("triangle", 0.98 * 1.72)]
)
def test_a_shape_covers_its_area(shape, area):
    assert world.coverage(shape, 32, 32, 20).sum() == pytest.approx(area * 400, rel=0.01)


def test_edges_are_antialiased():
    cover = world.coverage("circle", 32.3, 31.8, 15)
    assert ((cover > 0.02) & (cover < 0.98)).sum() > 40


def mask(image, rgb):
    return np.abs(image.astype(int) - rgb).max(2) < 30


@pytest.mark.parametrize("relation", ["left_of", "above", "inside", "on"])
def test_a_relation_can_be_measured_in_the_pixels(relation):
    scene = Scene(
        things=(Thing(shape="circle", colour="red"), Thing(shape="square", colour="blue")),
        relation=relation,
        backdrop=Backdrop(kind="plain", names=("white",)),
    )
    for seed in range(12):
        image, layout = world.draw(scene, np.random.default_rng(seed))
        assert layout == relation
        (ry, rx), (by, bx) = (np.nonzero(mask(image, rgb)) for rgb in ((215, 40, 40), (40, 80, 215)))
        if relation == "left_of":
            assert rx.max() < bx.min()
        elif relation == "above":
            assert ry.max() + 4 < by.min()
        elif relation == "on":
            assert abs(by.min() - ry.max()) <= 4
        else:
            assert bx.min() < rx.min()
            assert rx.max() < bx.max()
            assert by.min() < ry.min()
            assert ry.max() < by.max()


def test_the_prompt_file_is_what_the_code_makes():
    assert PROMPTS.read_text(encoding="utf-8").splitlines() == prompt_set.lines()


def test_prompts_are_held_out_different_and_enough_in_every_category():
    rows = [line.split("\t") for line in prompt_set.lines()]
    assert rows[0] == ["id", "text", "category", "challenge"]
    assert len(rows) > 300
    texts = [row[1] for row in rows[1:]]
    assert len(set(texts)) == len(texts)
    assert len({row[0] for row in rows}) == len(rows)
    assert all(world.is_held_out(parse(text)) for text in texts)
    for category in prompt_set.CATEGORIES:
        assert sum(row[2] == category for row in rows) == prompt_set.PER_CATEGORY


def test_the_word_list_is_complete():
    known = set(words())
    for scene, rng in scenes(500, seed=5):
        assert set(re.findall(r"[a-z]+|,", describe(scene, rng, sized=1.0, behind=1.0))) <= known


def test_training_scenes_do_not_depend_on_how_many_processes_draw_them(monkeypatch):
    from bench.miniature import dataset

    monkeypatch.setattr(dataset, "PART", 7)
    one, two = (dataset.make_parts(20, 3, processes) for processes in (1, 2))
    assert one.images.shape == (20, 64, 64, 3)
    for name in ("images", "labels", "tokens"):
        assert np.array_equal(getattr(one, name), getattr(two, name))
    assert len({picture.tobytes() for picture in one.images}) == 20
