"""Reference folders and statistics as people have them; a failed build leaves what was there before."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

import bench.metrics.references as references
from bench.errors import InputError


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TURBO_BENCH_CACHE", str(tmp_path / "cache"))


def pictures(folder, *names):
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(len(names))
    for name in names:
        Image.fromarray(rng.integers(0, 256, (16, 16, 3), np.uint8)).save(folder / name)
    return folder


def test_every_image_below_a_folder_counts_once(tmp_path):
    folder = pictures(tmp_path / "r", "a.png", "b.JPG", "c.tif", "d.avif", "._a.png", ".hidden.png")
    pictures(tmp_path / "r" / ".ipynb_checkpoints", "a-checkpoint.png")
    pictures(tmp_path / "r" / "__MACOSX", "x.png")
    pictures(tmp_path / "elsewhere", "e.png", "f.png")
    (folder / "notes.txt").write_text("x")
    (folder / "more").symlink_to(tmp_path / "elsewhere")
    (folder / "loop").symlink_to(folder)
    found = references.from_folder("r", folder)
    assert [path.name for _, path in found.files] == ["a.png", "b.JPG", "c.tif", "d.avif", "e.png", "f.png"]


def test_a_build_that_fails_lists_nothing_and_leaves_the_last_one(tmp_path):
    folder = pictures(tmp_path / "r", "a.png", "b.png")

    def broken(reference):
        raise InputError("c.png: not a whole image")

    with pytest.raises(InputError, match="not a whole"):
        references.build("mine", folder, broken)
    assert references.built() == []
    good = references.build("mine", folder)
    pictures(folder, "c.png")
    with pytest.raises(InputError, match="not a whole"):
        references.build("mine", folder, broken)
    assert references.resolve("mine", tmp_path).sha256 == good.sha256
    (folder / "d.png").write_bytes(b"no image")
    with pytest.raises(InputError, match=r"d\.png: not an image"):
        references.build("mine", folder)
    assert references.resolve("mine", tmp_path).sha256 == good.sha256


def bad_statistics(folder):
    mean, unit = np.zeros(16), np.eye(16)
    np.savez(folder / "good.npz", mu=mean, sigma=unit)
    whole = (folder / "good.npz").read_bytes()
    (folder / "cut.npz").write_bytes(whole[:-300])
    (folder / "empty.npz").write_bytes(b"")
    (folder / "text.npz").write_bytes(b"<html>sign in</html>")
    np.save(folder / "array.npy", mean)
    (folder / "array.npy").rename(folder / "renamed.npz")
    np.savez(folder / "negative.npz", mu=mean, sigma=-unit)
    tilted = np.eye(16)
    tilted[0, 1] = tilted[1, 0] = 2.0
    np.savez(folder / "indefinite.npz", mu=mean, sigma=tilted)
    np.savez(folder / "nan.npz", mu=mean * np.nan, sigma=unit)
    np.savez(folder / "shapes.npz", mu=mean[:4], sigma=unit)
    np.savez(folder / "skew.npz", mu=mean, sigma=unit + np.triu(np.ones((16, 16)), 1))
    np.savez(folder / "objects.npz", mu=np.array([None, 1], dtype=object), sigma=unit)
    np.savez(folder / "other.npz", activations=unit)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cut", "not a file of statistics"),
        ("empty", "not a file of statistics"),
        ("text", "not a file of statistics"),
        ("renamed", "not a file of statistics"),
        ("objects", "not a file of statistics"),
        ("other", "not a file of statistics"),
        ("negative", "negative variance"),
        ("indefinite", "negative variance"),
        ("nan", "not finite"),
        ("shapes", "do not belong together"),
        ("skew", "not symmetric"),
    ],
)
def test_statistics_that_are_none_are_refused_by_name(tmp_path, name, message):
    bad_statistics(tmp_path)
    with pytest.raises(InputError, match=rf"{name}\.npz.*{message}") as caught:
        references.load_statistics(tmp_path / f"{name}.npz")
    assert "\n" not in str(caught.value)


def test_a_singular_covariance_of_few_images_is_good(tmp_path):
    """Of fewer images than dimensions: rounding leaves eigenvalues of about -1e-16."""
    rows = np.random.default_rng(0).normal(size=(8, 32))
    np.savez(tmp_path / "few.npz", mu=rows.mean(0), sigma=np.cov(rows, rowvar=False))
    assert references.load_statistics(tmp_path / "few.npz").covariance.shape == (32, 32)
