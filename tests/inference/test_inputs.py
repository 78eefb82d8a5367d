"""Pictures for people: upright, on white, and no larger than a screen."""

import numpy as np
import pytest
from PIL import Image

from tfdl.inference.inputs import LONGEST, Broken, found, photograph, size


@pytest.fixture
def wide(tmp_path):
    """A picture 6 x 4, red on the left and blue on the right; and its file."""
    pixels = np.zeros((4, 6, 3), "uint8")
    pixels[:, :3, 0], pixels[:, 3:, 2] = 255, 255
    return pixels, tmp_path / "wide.png"


def test_photographs_are_turned_upright(wide):
    pixels, file = wide
    image = Image.fromarray(pixels)
    turned = image.getexif()
    turned[274] = 6  # the camera was held with its right side down
    image.save(file, exif=turned)
    seen = photograph(file)
    assert seen.shape == (6, 4, 3)
    assert (seen[:3] == (255, 0, 0)).all() and (seen[3:] == (0, 0, 255)).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_size_is_that_of_the_upright_photograph(wide, orientation):
    pixels, file = wide
    image = Image.fromarray(pixels)
    turned = image.getexif()
    turned[274] = orientation
    image.save(file, exif=turned)
    assert size(file) == photograph(file).shape[:2] == ((4, 6) if orientation < 5 else (6, 4))


def test_large_photographs_are_made_smaller_in_proportion(tmp_path):
    Image.new("L", (3 * LONGEST, LONGEST), 200).save(tmp_path / "large.jpg")
    seen = photograph(tmp_path / "large.jpg")
    assert seen.shape == (LONGEST // 3, LONGEST, 3) and abs(int(seen.mean()) - 200) < 2


def test_transparent_parts_are_white_and_16_bits_are_scaled(tmp_path):
    Image.new("RGBA", (2, 2), (255, 0, 0, 0)).save(tmp_path / "clear.png")
    assert (photograph(tmp_path / "clear.png") == 255).all()
    Image.fromarray(np.full((3, 5), 0x8000, "uint16")).save(tmp_path / "deep.png")
    assert (photograph(tmp_path / "deep.png") == 128).all()


def test_links_to_folders_are_not_followed(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.jpg").touch()
    (tmp_path / "a" / "again").symlink_to(tmp_path / "a")
    assert list(found([tmp_path / "a"])) == [str(tmp_path / "a" / "x.jpg")]


def test_file_that_exists_is_no_pattern(tmp_path):
    for name in ("a[1].png", "a1.png"):
        (tmp_path / name).touch()
    assert list(found([tmp_path / "a[1].png"])) == [str(tmp_path / "a[1].png")]
    (tmp_path / "a[1].png").unlink()
    assert list(found([tmp_path / "a[1].png"])) == [str(tmp_path / "a1.png")]


def test_order_is_that_of_the_words_and_then_of_names(tmp_path):
    for name in ("b.png", "a.JPG", "c.txt", ".hidden.png"):
        (tmp_path / name).touch()
    words = [tmp_path / "b.png", tmp_path, "-", "no such*"]
    names = [str(tmp_path / name) for name in ("b.png", "a.JPG", "b.png")]
    assert list(found(words, ["x y.png\n"])) == [*names, "x y.png", Broken("no such*", "no file matches this pattern")]
