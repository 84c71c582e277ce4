"""Pictures as files, prepared as MNIST was, folders of classes, and the formats of the other data sets."""

import bz2
import gzip
import hashlib
import os
import struct
from dataclasses import replace

import numpy as np
import pytest

from minicnn import data
from minicnn.data import idx, sets, svmlight
from minicnn.files import FileFormatError

pillow = pytest.importorskip("PIL.Image")


def written(path, pixels, mode=None, **options):
    picture = pillow.fromarray(np.asarray(pixels, np.uint8))
    (picture.convert(mode) if mode else picture).save(path, **options)
    return path


def test_grey_levels_and_colours_are_read_as_they_are(tmp_path):
    levels = np.arange(12).reshape(3, 4) * 20
    grey = data.read_image(written(tmp_path / "a.png", levels))
    assert grey.dtype == np.float32
    assert np.array_equal(grey[..., 0], (levels / 255).astype(np.float32))
    colours = np.stack([levels, levels[::-1], levels[:, ::-1]], axis=-1)
    found = data.read_image(written(tmp_path / "b.png", colours), channels=3)
    assert np.array_equal(found, (colours / 255).astype(np.float32))


def test_transparent_pixels_are_white(tmp_path):
    pixels = np.zeros((2, 2, 4), np.uint8)
    pixels[0, 0] = (0, 0, 0, 255)
    pixels[0, 1] = (0, 0, 0, 51)  # a fifth of black over white
    assert np.allclose(data.read_image(written(tmp_path / "a.png", pixels))[..., 0] * 255, [[0, 204], [255, 255]])


def test_sixteen_bits_per_pixel_are_scaled(tmp_path):
    path = tmp_path / "a.png"
    pillow.fromarray(np.array([[0, 32768, 65535]], np.uint16)).save(path)
    assert np.allclose(data.read_image(path)[0, :, 0], [0, 0.5, 1], atol=1 / 255)


@pytest.mark.parametrize("content", [b"", b"rubbish", b"\x89PNG\r\n\x1a\n" + b"\0" * 100])
def test_what_is_not_a_picture_is_named(tmp_path, content):
    path = tmp_path / "a.png"
    path.write_bytes(content)
    with pytest.raises(FileFormatError, match=r"read_image: path must be a picture .*a\.png"):
        data.read_image(path)


def test_half_a_picture_is_named(tmp_path):
    path = written(tmp_path / "a.png", np.random.default_rng(0).integers(0, 255, (50, 50)))
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(FileFormatError, match="read_image"):
        data.read_image(path)


def test_a_picture_that_claims_to_be_huge_is_refused_before_it_is_decoded(tmp_path):
    path = written(tmp_path / "a.png", np.zeros((2, 2)))
    content = bytearray(path.read_bytes())
    content[16:24] = struct.pack(">II", 60_000, 60_000)
    import zlib

    content[29:33] = struct.pack(">I", zlib.crc32(bytes(content[12:29])))
    path.write_bytes(content)
    with pytest.raises(FileFormatError, match=r"60000x60000 pixels|DecompressionBomb|exceeds limit"):
        data.read_image(path)
    with pytest.raises(FileFormatError, match="max_bytes is 10"):
        data.read_image(path, max_bytes=10)


def test_the_images_of_mnist_are_prepared_already():
    if "MINICNN_DATASETS" not in os.environ:
        pytest.skip("MNIST's files are not on this machine")
    try:
        images = data.load("mnist", download=False).test.images[:500]
    except FileNotFoundError:
        pytest.skip("MNIST's files are not on this machine")
    done = [data.as_mnist(image) for image in images]
    assert not any(p.inverted for p in done)
    same = [np.abs(p.image - image).max() < 0.11 for p, image in zip(done, images, strict=True)]
    assert np.mean(same) > 0.95  # others by a pixel: their centre of mass lies half-way between two


@pytest.mark.parametrize("bright", [True, False])
@pytest.mark.parametrize("size", [(28, 28), (8, 8), (16, 16), (20, 40)])
def test_a_stroke_has_the_size_of_the_box_and_lies_in_the_centre(size, bright):
    image = np.zeros((120, 200))
    image[10:90, 150:170] = 0.8
    done = data.as_mnist(image if bright else 1 - image, size=size)
    side = round(min(size) * 20 / 28)
    rows, cols = np.nonzero(done.image[..., 0] > 0.5)
    assert done.inverted is not bright
    assert done.image.shape == (*size, 1)
    assert done.image.max() == 1
    assert rows.max() - rows.min() + 1 == side
    assert cols.max() - cols.min() + 1 == max(1, round(side / 4))
    assert abs(rows.mean() - size[0] / 2) <= 0.5
    assert abs(cols.mean() - size[1] / 2) <= 0.5


def test_noise_of_a_scan_does_not_count_as_strokes():
    rng = np.random.default_rng(0)
    image = 0.9 + rng.uniform(-0.04, 0.04, (100, 100))
    image[40:60, 45:55] = 0.2
    clean = np.where(image < 0.5, 0.2, 0.9)
    assert np.abs(data.as_mnist(image).image - data.as_mnist(clean).image).max() < 0.1


def slanted_bar(slant, thickness=12, height=100):
    """Return a bar whose upper end is `slant` times its height to the right of its lower end."""
    rows, cols = np.indices((height + 40, 200))
    middle = 100 + slant * (height / 2 + 20 - rows)
    return ((np.abs(cols - middle) <= thickness / 2) & (rows >= 20) & (rows < height + 20)).astype(float)


@pytest.mark.parametrize("slant", [0, 0.4, -0.3])
@pytest.mark.parametrize("thickness", [3, 12, 24])
def test_digits_of_8x8_are_upright_with_strokes_of_one_width(slant, thickness):
    """A bar of any slant and thickness fills the height, and three tenths of the width, in the centre."""
    image = data.as_digits(slanted_bar(slant, thickness)).image[..., 0]
    assert image.shape == (8, 8)
    assert np.array_equal(16 * image, np.round(16 * image))
    assert 0.25 <= image.mean() <= 0.36
    assert image[:, 3:5].min() >= 0.75
    assert image[:, [0, 1, 6, 7]].max() <= 0.25


def test_a_ring_has_the_height_and_the_width_of_the_zeros_of_the_digits():
    rows, cols = np.indices((200, 150))
    radius = np.hypot((rows - 100) / 80, (cols - 75) / 40)
    image = data.as_digits(0.9 - 0.8 * ((radius > 0.7) & (radius < 1))).image[..., 0]
    digits = data.load("digits").train
    zero = digits.images[digits.labels == 0].mean(0)[..., 0]
    assert np.corrcoef(image.ravel(), zero.ravel())[0, 1] > 0.9
    assert image[3:5, 3:5].max() <= 0.25
    assert image[:, [0, 7]].max() == 0


def test_digits_that_were_made_large_become_what_they_were():
    """More so than by the preparation of MNIST."""
    images = data.load("digits").test.images[:100]
    large = [np.pad(np.kron(image[..., 0], np.ones((12, 12))), 30) for image in images]
    found = {
        "digits": np.stack([data.as_digits(image).image for image in large]),
        "mnist": np.stack([data.as_mnist(image, size=(8, 8), box=8).image for image in large]),
    }
    alike = {
        name: [np.corrcoef(one.ravel(), other.ravel())[0, 1] > 0.7 for one, other in zip(made, images, strict=True)]
        for name, made in found.items()
    }
    assert np.mean(alike["digits"]) > 0.95
    assert np.mean(alike["mnist"]) < 0.75
    dark = data.as_digits(1 - large[0])
    assert dark.inverted
    assert np.array_equal(dark.image, found["digits"][0])


@pytest.mark.parametrize("prepare", [data.as_mnist, data.as_digits], ids=lambda prepare: prepare.__name__)
@pytest.mark.parametrize(
    ("image", "words"),
    [
        (np.ones((5, 5)), "must show something"),
        (np.zeros((0, 5)), "must have the shape"),
        (np.zeros((5, 5, 3)), "must have the shape"),
        (np.full((5, 5), np.nan), "must be finite"),
    ],
)
def test_what_cannot_be_prepared_is_told(prepare, image, words):
    with pytest.raises(ValueError, match=f"{prepare.__name__}: image {words}"):
        prepare(image)


@pytest.mark.parametrize("prepare", [data.as_mnist, data.as_digits], ids=lambda prepare: prepare.__name__)
@pytest.mark.parametrize("image", [int, [[1], [2, 3]], np.array([["a"]])], ids=repr)
def test_what_is_not_an_array_of_numbers_is_told(prepare, image):
    with pytest.raises(TypeError, match=f"{prepare.__name__}: image must be an array of grey levels"):
        prepare(image)


@pytest.mark.parametrize("shape", [(1, 1), (1, 30), (30, 1), (3, 2)])
def test_the_smallest_pictures_are_prepared(shape):
    image = data.as_digits(np.pad(np.ones(shape), 2)).image
    assert image.shape == (8, 8, 1)
    assert np.isfinite(image).all()
    assert image.max() > 0


def test_a_box_larger_than_the_image_is_refused():
    with pytest.raises(ValueError, match="box must be at most"):
        data.as_mnist(np.eye(9), size=(8, 8), box=9)


def folder(tmp_path, shapes=((5, 6), (5, 6)), count=10):
    for name, shape in zip("ab", shapes, strict=True):
        (tmp_path / name).mkdir()
        for index in range(count):
            written(tmp_path / name / f"{index}.png", np.full(shape, 10 * index + (name == "b")))
    return tmp_path


def test_a_folder_of_classes(tmp_path):
    found = data.from_folder(folder(tmp_path), channels=1, seed=0)
    parts = [found.train, found.valid, found.test]
    assert found.classes == ("a", "b")
    levels = np.concatenate([np.round(part.images[:, 0, 0, 0] * 255) for part in parts])
    labels = np.concatenate([part.labels for part in parts])
    assert sorted(zip(levels.tolist(), labels.tolist(), strict=True)) == sorted(
        (10.0 * i + label, label) for i in range(10) for label in (0, 1)
    )
    assert data.from_folder(tmp_path, size=(4, 3)).train.images.shape[1:] == (4, 3, 3)


def test_pictures_of_several_sizes_need_a_size(tmp_path):
    with pytest.raises(ValueError, match=r"size must be given where pictures differ in size, got 5x6 in .* and 7x6"):
        data.from_folder(folder(tmp_path, ((5, 6), (7, 6))))


def test_folders_that_are_not_a_data_set_are_told(tmp_path):
    with pytest.raises(ValueError, match="path must be a folder"):
        data.from_folder(tmp_path / "none")
    with pytest.raises(ValueError, match="each of at least two classes"):
        data.from_folder(tmp_path)
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    with pytest.raises(ValueError, match="must be a picture or a folder with pictures"):
        data.from_folder(tmp_path)


def test_more_pictures_than_memory_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"max_bytes must be at least 2,400 .*got 2,399"):
        data.from_folder(folder(tmp_path), channels=1, max_bytes=2399)


def test_labels_of_qmnist_are_the_first_of_eight_integers(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (40, 28, 28)), rng.integers(0, 1000, (40, 8))
    labels[:, 0] = np.arange(40) % 10
    files = {}
    for name in data.SOURCES["qmnist"].md5:
        array, code, kind = (images, 8, "u1") if "images" in name else (labels, 12, ">i4")
        head = bytes([0, 0, code, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
        files[name] = gzip.compress(head + array.astype(kind).tobytes())
    source = replace(data.SOURCES["qmnist"], count=40, md5=sums(files))
    monkeypatch.setitem(sets.SOURCES, "qmnist", source)
    put(tmp_path / "qmnist", files)
    found = data.load("qmnist", root=tmp_path, valid=0)
    assert np.array_equal(np.sort(found.train.labels), np.sort(labels[:, 0]))
    assert np.array_equal(found.test.labels, labels[:, 0])
    assert np.allclose(found.test.images[..., 0] * 255, images)


def test_usps_is_read_from_its_text(tmp_path, monkeypatch):
    rng = np.random.default_rng(1)
    levels, labels = np.round(rng.uniform(-1, 1, (30, 256)), 3), np.arange(30) % 10
    rows = [
        f"{label + 1} " + " ".join(f"{i + 1}:{v:g}" for i, v in enumerate(row))
        for label, row in zip(labels, levels, strict=True)
    ]
    text = "\n".join(rows).encode() + b"\n"
    files = dict.fromkeys(data.SOURCES["usps"].md5, bz2.compress(text))
    monkeypatch.setitem(sets.SOURCES, "usps", replace(data.SOURCES["usps"], count=30, md5=sums(files)))
    put(tmp_path / "usps", files)
    found = data.load("usps", root=tmp_path, valid=0)
    assert np.array_equal(found.test.labels, labels)
    assert np.allclose(found.test.images.reshape(30, 256), (levels + 1) / 2, atol=1e-6)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"11 1:0\n", "labels must be from 1 to 10"),
        (b"1 1:2\n", "grey levels must be from -1 to 1"),
        (b"1 257:0\n", ""),
        (b"one 1:0\n", ""),
        (b"1 99999999999999999999:0\n", "too large"),
        (b"1 4294967297:0\n", ""),
        (b"1 1:0\n" * 20_001, "at most 20,000 lines"),
        (b" " * 50_000_000, "max_bytes must be"),
        (b"", ""),
    ],
)
def test_a_text_that_is_not_usps_is_named(tmp_path, text, words):
    path = tmp_path / "usps.bz2"
    path.write_bytes(bz2.compress(text))
    with pytest.raises(FileFormatError, match=f"usps.bz2: .*{words}"):
        svmlight.read(path, hashlib.md5(path.read_bytes()).hexdigest())  # noqa: S324


def test_a_bomb_and_half_a_file_are_refused(tmp_path):
    path = tmp_path / "usps.bz2"
    path.write_bytes(bz2.compress(b"1 1:0\n" * 100_000))
    with pytest.raises(FileFormatError, match="max_bytes must be"):
        svmlight.read(path, hashlib.md5(path.read_bytes()).hexdigest(), max_bytes=100_000)  # noqa: S324
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(FileFormatError, match="must be whole"):
        svmlight.read(path, hashlib.md5(path.read_bytes()).hexdigest())  # noqa: S324


def test_an_idx_file_of_integers_is_read():
    content = bytes([0, 0, 12, 2]) + struct.pack(">2I", 1, 2) + struct.pack(">2i", -5, 70_000)
    assert idx.parse_idx(content, "x").tolist() == [[-5, 70_000]]
    with pytest.raises(ValueError, match="starts with 00 00 08"):
        idx.parse_idx(bytes([0, 0, 13, 1]) + struct.pack(">I", 0), "x")


def sums(files):
    return {name: hashlib.md5(content).hexdigest() for name, content in files.items()}  # noqa: S324


def put(place, files):
    place.mkdir(parents=True)
    for name, content in files.items():
        (place / name).write_bytes(content)
