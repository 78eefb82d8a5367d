"""Grids of images show the images; predictions tell right from wrong by mark, frame and color."""

import numpy as np
import pytest
from matplotlib.colors import to_hex

from tfdl.figures.pictures import picture_grid, prediction_grid, prediction_groups
from tfdl.figures.style import COLORS, png

BLUE, ORANGE = COLORS[0].lower(), COLORS[1].lower()
NAMES = ("cat", "dog", "owl")


def random(*shape):
    return np.random.default_rng(0).random(shape)


def with_images(figure):
    return [axes for axes in figure.axes if axes.images]


@pytest.mark.parametrize("channels", [1, 3])
def test_grid_shows_every_image_once(channels):
    images = random(5, 8, 6, channels)
    panels = with_images(picture_grid(images, list("abcde"), columns=3))
    assert [axes.get_title() for axes in panels] == list("abcde")
    for axes, image in zip(panels, images):
        np.testing.assert_allclose(np.asarray(axes.images[0].get_array()).reshape(8, 6, channels), image)
        assert axes.images[0].get_clim() == (0, 1), "all images have one contrast"


def test_grid_has_a_title_above_all_images():
    assert picture_grid(random(2, 4, 4, 1), title="both").get_suptitle() == "both"


@pytest.fixture(scope="module")
def predictions():
    """Five images: the third is an owl to the classifier, and a dog in truth."""
    scores = np.eye(3)[[0, 1, 2, 0, 1]] * 0.8
    figure = prediction_grid(random(5, 8, 7, 3), np.array([0, 1, 1, 0, 1]), scores, NAMES, title="five")
    return figure, with_images(figure)


def test_prediction_says_class_and_probability_and_the_true_class_where_it_is_wrong(predictions):
    figure, panels = predictions
    titles = [axes.get_title() for axes in panels]
    assert titles == ["✓ cat 80%", "✓ dog 80%", "✗ owl 80%\ntrue: dog", "✓ cat 80%", "✓ dog 80%"]
    assert figure.get_suptitle() == "five"
    assert png(figure).startswith(b"\x89PNG")


def test_right_predictions_are_blue_with_a_thin_frame_and_wrong_ones_orange_with_a_thick_one(predictions):
    _, panels = predictions
    for i, axes in enumerate(panels):
        (frame,) = axes.patches
        expected = ORANGE if i == 2 else BLUE
        assert to_hex(axes.title.get_color()) == to_hex(frame.get_edgecolor()) == expected
    widths = [axes.patches[0].get_linewidth() for axes in panels]
    assert widths[2] > 2 * max(widths[:2] + widths[3:])


def test_frame_lies_around_the_image(predictions):
    _, panels = predictions
    frame = panels[0].patches[0]
    assert (*frame.get_xy(), frame.get_width(), frame.get_height()) == (-0.5, -0.5, 7, 8)


def test_images_of_predictions_are_those_given(predictions):
    _, panels = predictions
    np.testing.assert_allclose([np.asarray(axes.images[0].get_array()) for axes in panels], random(5, 8, 7, 3))


def test_groups_have_their_headings_and_their_images():
    scores = np.full((3, 3), 1 / 3)
    groups = {"first": (random(3, 4, 4, 1), [0, 1, 2], scores), "mistakes": (random(1, 4, 4, 1), [1], scores[:1])}
    figure = prediction_groups(groups, NAMES)
    assert [part.get_suptitle() for part in figure.subfigs] == ["first", "mistakes"]
    assert [len(with_images(part)) for part in figure.subfigs] == [3, 1]


def test_long_class_names_are_wrapped():
    scores = np.array([[1.0, 0.0]])
    names = ["a class with quite a long name", "b"]
    (axes,) = with_images(prediction_grid(random(1, 4, 4, 1), [1], scores, names))
    assert max(map(len, axes.get_title().split("\n"))) <= 18


@pytest.mark.parametrize("shape", [(8, 8, 1), (0, 8, 8, 1), (2, 8, 8, 2)])
def test_images_of_another_shape_are_refused(shape):
    with pytest.raises(ValueError, match=str(shape).replace("(", r"\(").replace(")", r"\)")):
        picture_grid(np.zeros(shape))


def test_number_of_titles_must_fit():
    with pytest.raises(ValueError, match="1 titles for 2 images"):
        picture_grid(np.zeros((2, 4, 4, 1)), ["a"])


def test_numbers_of_predictions_must_fit():
    with pytest.raises(ValueError, match=r"2 images, 1 true classes and scores of shape \(2, 3\)"):
        prediction_grid(np.zeros((2, 4, 4, 1)), [0], np.zeros((2, 3)), NAMES)
    with pytest.raises(ValueError, match="no images"):
        prediction_groups({}, NAMES)
