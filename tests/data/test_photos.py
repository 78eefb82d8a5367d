"""A photograph keeps its proportions and loses its rims."""

import numpy as np
import pytest
import tensorflow as tf

from tfdl.data.photos import read_photo


def test_middle_of_a_wide_photo_is_cut_out_and_not_squeezed(tmp_path):
    pixels = np.zeros((20, 50, 3), "uint8")
    pixels[:, 15:35] = (255, 51, 0)  # the middle square
    file = tmp_path / "wide.png"
    file.write_bytes(tf.io.encode_png(pixels).numpy())
    np.testing.assert_allclose(read_photo(file, (20, 20, 3)), np.broadcast_to([1, 0.2, 0], (20, 20, 3)), atol=1e-6)
    tall = read_photo(file, (8, 4, 1))
    assert tall.shape == (8, 4, 1) and tall.dtype == np.float32 and 0.3 < tall.min() == tall.max() < 0.6


def test_embedded_photo_needs_no_file():
    photo = read_photo("embedded", (64, 96, 3))
    assert photo.shape == (64, 96, 3) and 0 <= photo.min() < 0.1 and 0.9 < photo.max() <= 1


def test_what_is_no_photo_is_one_sentence(tmp_path):
    with pytest.raises(FileNotFoundError, match="no photograph .*missing.png"):
        read_photo(tmp_path / "missing.png", (8, 8, 3))
    (tmp_path / "text.png").write_text("hello")
    with pytest.raises(ValueError, match="text.png cannot be read as an image"):
        read_photo(tmp_path / "text.png", (8, 8, 3))
    with pytest.raises(ValueError, match=r"\(8, 8, 2\)"):
        read_photo("embedded", (8, 8, 2))
