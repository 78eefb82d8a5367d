"""Pictures of every kind come out as they are seen, in the size that is asked for."""

import io
import re
import struct
import zlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps

from tfdl.core import pictures

RANDOM = np.random.default_rng(0)
BLOCKS = np.kron(RANDOM.integers(0, 256, (5, 7, 3), dtype="uint8"), np.ones((8, 8, 1), "uint8"))  # (40, 56, 3)
SMOOTH = Image.fromarray(BLOCKS[::8, ::8]).resize((56, 40), Image.BICUBIC)
GRAPH = {}  # one traced function for each set of arguments


def encoded(pixels, kind, **options):
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    content = io.BytesIO()
    image.save(content, kind, **options)
    return content.getvalue()


def both(content, shape, resize="stretch", **options):
    """The picture, which is the same in a graph and outside."""
    key = (shape, resize, *options.items())
    if key not in GRAPH:
        signature = [tf.TensorSpec((), tf.string)]
        GRAPH[key] = tf.function(lambda c: pictures.decode(c, shape, resize, **options), input_signature=signature)
    eager, traced = pictures.decode(content, shape, resize, **options), GRAPH[key](tf.constant(content))
    assert eager.shape == shape and eager.dtype == tf.uint8
    np.testing.assert_array_equal(eager, traced)
    return eager.numpy()


@pytest.mark.parametrize("kind", ["PNG", "BMP", "WEBP", "TIFF"])
def test_every_kind_without_loss_is_read_exactly(kind):
    content = encoded(BLOCKS, kind, **({"lossless": True} if kind == "WEBP" else {}))
    np.testing.assert_array_equal(both(content, (40, 56, 3), tiff=True), BLOCKS)


@pytest.mark.parametrize("kind", ["JPEG", "GIF"])
def test_kinds_with_loss_are_near(kind):
    smooth = np.broadcast_to(np.linspace(20, 220, 48, dtype="uint8")[:, None, None], (48, 64, 3))
    found = both(encoded(smooth, kind), (48, 64, 3), tiff=True).astype(int)
    assert np.abs(found - smooth).max() <= 6


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("order", ["little", "big"])
def test_every_orientation_is_turned(orientation, order):
    exif = Image.Exif()
    exif.endian = "<" if order == "little" else ">"
    exif[271], exif[274] = "A camera", orientation  # the maker comes first
    content = encoded(SMOOTH, "JPEG", quality=95, exif=exif, icc_profile=bytes(300))
    assert (b"II*\0" if order == "little" else b"MM\0*") in content
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(content)))
    shape = (upright.height // 2, upright.width // 2, 3)
    expected = np.asarray(upright.resize(shape[1::-1], Image.BOX)).astype(int)
    assert np.abs(both(content, shape, tiff=True) - expected).mean() < 3


def test_orientation_is_found_behind_other_segments_and_damage_does_no_harm():
    exif = Image.Exif()
    exif[274] = 6
    plain = encoded(BLOCKS, "JPEG", exif=exif)
    place = plain.index(b"\xff\xe1")
    segment = b"\xff\xe2" + struct.pack(">H", 40_002) + bytes(40_000)
    behind = plain[:2] + segment * 3 + plain[place:]
    assert int(pictures.exif_orientation(tf.constant(behind))) == 6
    start = plain.index(b"Exif\0\0") + 6
    for length in range(start, start + 24):
        int(pictures.exif_orientation(tf.constant(plain[:length])))  # cut off anywhere: no error
    for offset in (4, 5, 6, 7, 8, 9):
        broken = bytearray(plain)
        broken[start + offset] = 0xFF
        assert int(pictures.exif_orientation(tf.constant(bytes(broken)))) in range(1, 9)


def test_checkerboard_becomes_gray_where_it_shrinks():
    board = (np.indices((60, 90)).sum(0)[..., None] % 2 * [255, 255, 255]).astype("uint8")
    for shape in ((20, 30, 3), (7, 90, 3), (25, 40, 1)):
        found = both(encoded(board, "PNG"), shape).astype(int)
        assert np.abs(found - 127.5).max() < 40, shape
    np.testing.assert_array_equal(pictures.resize(board, (20, 30, 3)), both(encoded(board, "PNG"), (20, 30, 3)))


@pytest.mark.parametrize("ratio, side", [(1, 600), (2, 500), (4, 250), (8, 100)])
def test_large_photos_are_decoded_at_a_fraction_that_is_large_enough(ratio, side):
    smooth = np.asarray(Image.fromarray(RANDOM.integers(0, 256, (12, 12, 3), dtype="uint8")).resize((1000, 1000)))
    content = encoded(smooth, "JPEG", quality=90)
    assert len(content) > pictures.SMALL
    assert pictures.reduced_jpeg(content, tf.constant((side, side)), 3).shape[0] == 1000 // ratio
    expected = np.asarray(Image.open(io.BytesIO(content)).resize((side, side), Image.BILINEAR)).astype(float)
    error = np.square(both(content, (side, side, 3)) - expected).mean()
    assert 10 * np.log10(255**2 / error) > 40  # decibels


def test_middle_is_cut_out_and_borders_are_added():
    pixels = np.zeros((20, 50, 3), "uint8")
    pixels[:, 15:35] = (255, 51, 0)  # the middle square
    content = encoded(pixels, "PNG")
    np.testing.assert_array_equal(both(content, (10, 10, 3), "crop"), np.broadcast_to([255, 51, 0], (10, 10, 3)))
    padded = both(content, (50, 50, 3), "pad")
    np.testing.assert_array_equal(padded[15:35], pixels)
    assert not padded[:15].any() and not padded[35:].any()


def test_gray_becomes_color_and_color_gray():
    gray = BLOCKS[..., 0]
    np.testing.assert_array_equal(
        both(encoded(gray, "PNG"), (40, 56, 3), stored_channels=1), gray[..., None] * [1, 1, 1]
    )
    expected = np.asarray(Image.fromarray(BLOCKS).convert("L")).astype(int)
    assert np.abs(both(encoded(BLOCKS, "PNG"), (40, 56, 1))[..., 0] - expected).max() <= 1


def test_sixteen_bits_of_a_tiff_become_eight():
    deep = (np.arange(12, dtype="uint16").reshape(3, 4) * 5000).astype("uint16")
    np.testing.assert_array_equal(both(encoded(deep, "TIFF"), (3, 4, 1), tiff=True)[..., 0], deep >> 8)


def png_that_claims(width, height):
    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


HUGE = {
    "png": png_that_claims(20_000, 9_000),
    "gif": b"GIF89a" + struct.pack("<HH", 20_000, 9_000) + bytes(40),
    "bmp": b"BM" + bytes(16) + struct.pack("<ii", 20_000, -9_000) + bytes(40),
    "webp": b"RIFF" + bytes(4) + b"WEBPVP8X" + bytes(8) + b"\x1f\x4e\0\x27\x23\0" + bytes(40),  # 20,000 x 9,000
}


@pytest.mark.parametrize("kind", HUGE)
def test_claim_of_too_many_pixels_is_refused_before_it_costs_memory(kind, tmp_path):
    with pytest.raises(tf.errors.InvalidArgumentError, match="more than 178,956,970 pixels; make it smaller"):
        pictures.decode(HUGE[kind], (8, 8, 3))
    (tmp_path / f"a.{kind}").write_bytes(HUGE[kind])
    assert "178,956,970 pixels" in pictures.complaint(tmp_path / f"a.{kind}")


def test_complaints_say_what_is_wrong(tmp_path):
    good = encoded(BLOCKS, "JPEG")
    contents = {
        "fine.jpg": (good, None),
        "empty.jpg": (b"", "it is empty"),
        "cut.jpg": (good[:400], "JPEG data is damaged or truncated"),
        "text.png": (b"hello", "it is not a JPEG, PNG, WebP, GIF, BMP or TIFF file"),
        "phone.jpg": (b"\0\0\0\x18ftypheic" + bytes(20), "HEIC, .* convert it to PNG or JPEG"),
        "scan.jpg": (encoded(BLOCKS, "TIFF"), "TIFF file; let its name end in .tif"),
        "scan.tif": (encoded(BLOCKS, "TIFF"), None),
        "cut.tif": (encoded(BLOCKS, "TIFF")[:60], "convert it to PNG or JPEG"),
    }
    for name, (content, words) in contents.items():
        (tmp_path / name).write_bytes(content)
        found = pictures.complaint(tmp_path / name)
        assert found is None if words is None else re.search(words, found), name
    assert pictures.complaint(tmp_path / "none.jpg") == "no such file or directory"


@pytest.mark.parametrize(
    "shape, resize, words",
    [
        ((8, 8), "stretch", r"\(8, 8\)"),
        ((0, 8, 3), "stretch", r"\(0, 8, 3\)"),
        ((8, 8, 3), "squash", "'squash'; .*pad"),
    ],
)
def test_bad_arguments_are_refused(shape, resize, words):
    with pytest.raises(ValueError, match=words):
        pictures.decode(b"", shape, resize)
