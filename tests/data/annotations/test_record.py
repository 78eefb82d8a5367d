"""Records: boxes turn with their pictures."""

from collections import Counter

import numpy as np
import pytest
from PIL import Image

from tests.data.annotations.written import SIZE
from tfdl.core import pictures
from tfdl.data.annotations.record import ORIENTATION, Annotation, record_of, turned


@pytest.mark.parametrize("orientation", range(1, 9))
def test_boxes_turn_with_their_pictures(orientation, tmp_path):
    """A bright rectangle, saved with an EXIF orientation, lies in the box that the reader gives."""
    pixels = np.zeros((*SIZE, 3), "uint8")
    pixels[8:24, 32:48] = 255
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    Image.fromarray(pixels).save(tmp_path / "a.jpg", exif=exif, quality=95)
    (box,) = turned(np.array([[32.0, 8, 48, 24]]), orientation, SIZE)
    record = record_of(
        "a", str(tmp_path / "a.jpg"), [Annotation([32, 8, 48, 24], 0, "a")], stored=SIZE, notes=Counter()
    )
    upright = pictures.read(str(tmp_path / "a.jpg"), (*record.size, 3)).numpy()[..., 0] > 128
    y, x = np.nonzero(upright)
    seen = [x.min(), y.min(), x.max() + 1, y.max() + 1]
    np.testing.assert_allclose(box, seen, atol=1)
    if orientation > 4 or orientation == 1:  # the sides tell that the boxes are of the stored pixels
        np.testing.assert_allclose(record.boxes[0], seen, atol=1)
