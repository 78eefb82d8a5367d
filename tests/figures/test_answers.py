"""Drawings of answers show the photograph, every class and its probability; names of any kind do no harm."""

import numpy as np
import pytest

from tfdl.figures.answers import contact_sheet, labeled_picture
from tfdl.figures.style import png

PHOTO = np.random.default_rng(0).integers(0, 256, (30, 40, 3)).astype("uint8")
CLASSES = [("cat", 0.75), ("dog", 0.2), ("emu", 0.05)]


def texts(figure):
    return [text.get_text() for text in figure.axes[0].texts]


@pytest.mark.parametrize("image", [PHOTO, PHOTO / 255, PHOTO[:, :5], PHOTO[..., :1]])
def test_labeled_picture_has_a_bar_as_long_as_the_probability(image):
    figure = labeled_picture(image, CLASSES)
    (axes,) = figure.axes
    np.testing.assert_array_equal(
        np.asarray(axes.images[0].get_array()), image.squeeze(-1) if image.shape[-1] == 1 else image
    )
    left, right, bottom, top = axes.images[0].get_extent()
    assert (right - left) / (bottom - top) == pytest.approx(image.shape[1] / image.shape[0])
    assert texts(figure) == ["cat", "75.0 %", "dog", "20.0 %", "emu", "5.0 %"]
    widths = [patch.get_width() for patch in axes.patches]
    shares = [filled / track for track, filled in zip(widths[::2], widths[1::2])]
    assert shares == pytest.approx([share for _, share in CLASSES])


def test_nothing_is_drawn_outside_of_the_page():
    long = [("W" * 300, 1.0), ("i" * 300, 0.0), ("a name that is just long enough to fit", 0.0)]
    figure = labeled_picture(PHOTO, long)
    assert texts(figure)[-2] == long[-1][0] and texts(figure)[0].endswith("W…")
    figure.canvas.draw()
    page = figure.bbox
    for text in figure.axes[0].texts:
        box = text.get_window_extent()
        assert box.x0 >= page.x0 and box.x1 <= page.x1 + 1 and box.y0 >= page.y0


def test_contact_sheet_has_all_pictures_of_any_size():
    images = [PHOTO, PHOTO[:, :5], PHOTO[..., :1], PHOTO / 255, PHOTO]
    captions = [(f"class {i}", i / 4) for i in range(5)]
    figure = contact_sheet(images, captions, names=["x" * 99 + f"{i}.png" for i in range(5)], columns=2, title="five")
    assert len(figure.axes[0].images) == 5
    found = texts(figure)
    assert found[0] == "five" and "class 3" in found and "75.0 %" in found
    assert any(text.startswith("…") and text.endswith("4.png") for text in found)


def test_names_with_dollars_and_control_characters_can_be_drawn():
    assert png(labeled_picture(PHOTO, [("$x^{", 0.5), ("a\x1b\n\tb", 0.5)]), dpi=50)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: labeled_picture(PHOTO[..., 0], CLASSES), "the shape"),
        (lambda: labeled_picture(PHOTO, []), "no class"),
        (lambda: contact_sheet([], []), "0 images and 0 captions"),
        (lambda: contact_sheet([PHOTO], CLASSES), "1 images and 3 captions"),
    ],
)
def test_what_cannot_be_drawn_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
