"""Every metric against pictures whose order is known, in the features of the miniature family's instruments:
drawn scenes, the same blurred, in noise or under others' captions, and what the family's teacher makes of them.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFilter

from bench.metrics import frechet, statistics
from bench.metrics.statistics import STATISTICS, Inputs
from bench.miniature import captions, encoders, instruments, prompt_set, world

N = 64
pytestmark = pytest.mark.skipif(
    instruments.weights_path() is None, reason="the miniature weights are not installed"
)


def drawn(texts: list[str], seed: int) -> list[Image.Image]:
    random = np.random.default_rng(seed)
    return [Image.fromarray(world.draw(captions.parse(text), random)[0]) for text in texts]


def blurred(images: list[Image.Image], radius: float) -> list[Image.Image]:
    return [image.filter(ImageFilter.GaussianBlur(radius)) for image in images]


def noisy(images: list[Image.Image], scale: float) -> list[Image.Image]:
    random = np.random.default_rng(5)
    made = (np.asarray(image) + random.normal(0, scale, (64, 64, 3)) for image in images)
    return [Image.fromarray(pixels.clip(0, 255).astype(np.uint8)) for pixels in made]


@pytest.fixture(scope="module")
def texts() -> list[str]:
    found = [line.split("\t")[1] for line in prompt_set.lines()[1:]]
    return found[:: max(1, len(found) // N)][:N]


@pytest.fixture(scope="module")
def scenes(texts: list[str]) -> list[Image.Image]:
    return drawn(texts, 1)


@pytest.fixture(scope="module")
def networks() -> dict[str, Any]:
    return {name: encoders.encoder(name) for name in ("mini-features", "mini-clip", "mini-scene")}


def rows(network: Any, images: list[Image.Image]) -> np.ndarray:
    import torch

    return network.images(torch.stack([network.prepare(image) for image in images]))


def value(statistic: str, inputs: Inputs) -> float:
    found = STATISTICS[statistic](inputs).value
    assert found is not None
    return found


def inputs(images: np.ndarray, **more: Any) -> Inputs:
    return Inputs(images=images, prompts=np.arange(len(images)), **more)


@pytest.mark.parametrize("statistic", ["frechet", "kernel", "cmmd"])
def test_distances_grow_with_blur_and_with_noise(
    statistic: str, texts: list[str], scenes: list[Image.Image], networks: dict[str, Any]
) -> None:
    network = networks["mini-clip" if statistic == "cmmd" else "mini-features"]
    reference = rows(network, drawn(texts, 2))
    against = {"reference": reference, "moments": frechet.moments(reference)}

    def distance(images: list[Image.Image]) -> float:
        return value(statistic, inputs(rows(network, images), **against))

    clean = distance(scenes)
    for change, amounts in ((blurred, (2.0, 6.0)), (noisy, (25.0, 100.0))):
        weak, strong = (distance(change(scenes, amount)) for amount in amounts)
        assert clean < weak < strong


def test_fid_infinity_is_refused_for_sets_this_small(
    texts: list[str], scenes: list[Image.Image], networks: dict[str, Any]
) -> None:
    reference = rows(networks["mini-features"], drawn(texts, 2))
    small = inputs(
        rows(networks["mini-features"], scenes), reference=reference, moments=frechet.moments(reference)
    )
    assert STATISTICS["frechet_infinity"](small).value is None


def test_neighbours_see_fidelity_and_variety_apart(
    texts: list[str], scenes: list[Image.Image], networks: dict[str, Any]
) -> None:
    network = networks["mini-features"]
    reference = rows(network, drawn(texts, 2))
    sound, spoilt = (rows(network, images) for images in (scenes, noisy(scenes, 120)))
    collapsed = np.tile(sound[:4], (len(sound) // 4, 1))
    for statistic in ("precision", "density", "recall", "coverage"):
        assert value(statistic, inputs(sound, reference=reference)) > value(
            statistic, inputs(spoilt, reference=reference)
        )
    for statistic in ("recall", "coverage"):  # four pictures over and over are faithful, not various
        assert value(statistic, inputs(collapsed, reference=reference)) < 0.6 * value(
            statistic, inputs(sound, reference=reference)
        )


@pytest.mark.parametrize(("name", "statistic"), [("mini-clip", "cosine"), ("mini-scene", "dot")])
def test_others_captions_are_worst(
    name: str, statistic: str, texts: list[str], scenes: list[Image.Image], networks: dict[str, Any]
) -> None:
    asked, _ = networks[name].texts(texts)
    own = inputs(rows(networks[name], scenes), texts=asked)
    others = dataclasses.replace(own, texts=np.roll(asked, 1, axis=0))
    spoilt = inputs(rows(networks[name], blurred(scenes, 9)), texts=asked)
    assert value(statistic, own) > value(statistic, spoilt)
    assert value(statistic, own) > value(statistic, others) + 0.2 * abs(value(statistic, own))
    assert STATISTICS[statistic](own).low > STATISTICS[statistic](others).high  # type: ignore[operator]


def test_the_set_itself_tells_copies_from_variety(
    texts: list[str], scenes: list[Image.Image], networks: dict[str, Any]
) -> None:
    network = networks["mini-clip"]
    twice = np.concatenate([rows(network, scenes), rows(network, drawn(texts, 3))])
    prompts = np.tile(np.arange(len(texts)), 2)
    various = statistics.Inputs(images=twice, prompts=prompts)
    copied = dataclasses.replace(various, images=np.tile(twice[: len(texts)], (2, 1)))
    assert value("diversity", copied) == pytest.approx(0, abs=1e-6)
    assert value("diversity", various) > 1e-3
    one = dataclasses.replace(various, images=np.tile(twice[:1], (len(twice), 1)))
    assert value("near_duplicates", one) == 1
    assert value("near_duplicates", various) < 1


def test_the_direction_of_an_edit_is_the_words(networks: dict[str, Any]) -> None:
    """From a red thing to a blue one: the scene so drawn goes with the words, one turned elsewhere less."""
    network = networks["mini-clip"]
    pairs = [(f"a red {shape}", f"a blue {shape}", f"a yellow {shape}") for shape in world.SHAPES]
    source, wanted, other = (drawn([pair[i] for pair in pairs], 4) for i in range(3))
    words = [network.texts([pair[i] for pair in pairs])[0] for i in range(2)]
    given = {"sources": rows(network, source), "source_texts": words[0], "texts": words[1]}
    made, astray, untouched = (
        value("direction", inputs(rows(network, images), **given)) for images in (wanted, other, source)
    )
    assert made > 0
    assert made > astray
    assert made > untouched == pytest.approx(0, abs=1e-6)
    kept = {"sources": given["sources"]}
    assert value("source_cosine", inputs(rows(network, source), **kept)) == pytest.approx(1, abs=1e-6)
    assert value("source_cosine", inputs(rows(network, wanted), **kept)) < 1


def test_the_teacher_stands_between_the_world_and_itself_in_one_step(networks: dict[str, Any]) -> None:
    """Scene accuracy and distance both rank drawn scenes, twelve steps of the teacher, then one step."""
    from bench.models.load import load
    from bench.models.registry import MODELS
    from bench.records import Contender

    found = [line.split("\t")[1] for line in prompt_set.lines()[1:]]
    asked = found[:: max(1, len(found) // 24)][:24]
    pipeline = load(MODELS["mini-sdxl"])

    def made(steps: int) -> list[Image.Image]:
        model = MODELS["mini-sdxl"]
        contender = Contender(
            name=f"mini-sdxl@{steps}",
            model="mini-sdxl",
            steps=steps,
            guidance=model.guidance,
            size=model.size,
        )
        embeddings = pipeline.encode(asked, contender)
        pixels = pipeline.decode(pipeline.denoise(embeddings, list(range(len(asked))), contender))
        return [Image.fromarray(one) for one in np.asarray(pixels)]

    reference = frechet.moments(rows(networks["mini-features"], drawn(asked * 4, 6)))
    goals, _ = networks["mini-scene"].texts(asked)
    order = [drawn(asked, 7), made(12), made(1)]
    distances = [
        value("frechet", inputs(rows(networks["mini-features"], images), moments=reference))
        for images in order
    ]
    accuracies = [value("dot", inputs(rows(networks["mini-scene"], images), texts=goals)) for images in order]
    assert distances == sorted(distances)
    assert accuracies == sorted(accuracies, reverse=True)
    assert distances[0] < 0.8 * distances[1]
    assert accuracies[0] > accuracies[2] + 0.1
