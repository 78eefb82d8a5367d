"""Grids of images show the images, and mark what a classifier gets wrong."""

import numpy as np
import pytest

from tfdl.figures.pictures import confusion_figure, picture_grid, prediction_grid


@pytest.mark.parametrize("channels", [1, 3])
def test_grid_shows_every_image_once(channels):
    images = np.random.default_rng(0).random((5, 8, 6, channels))
    panels = [axes for axes in picture_grid(images, list("abcde"), columns=3).axes if axes.images]
    assert [axes.get_title() for axes in panels] == list("abcde")
    np.testing.assert_allclose(np.asarray(panels[4].images[0].get_array()).reshape(8, 6, channels), images[4])


@pytest.mark.parametrize("channels", [1, 3])
def test_prediction_grid_marks_what_is_wrong(channels):
    images = np.random.default_rng(0).random((5, 8, 7, channels))
    scores = np.eye(3)[[0, 1, 2, 0, 1]] * 0.8
    figure = prediction_grid(images, np.array([0, 1, 1, 0, 1]), scores, ("cat", "dog", "owl"))
    titles = [axes.get_title() for axes in figure.axes if axes.images]
    assert titles == ["cat 80%", "dog 80%", "owl 80%\nis dog", "cat 80%", "dog 80%"]


def test_confusion_matrix_names_its_axes():
    axes = confusion_figure(np.array([[0.9, 0.1], [0.25, 0.75]]), ("cat", "dog")).axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted class", "true class")
    assert [t.get_text() for t in axes.texts] == [".90", ".10", ".25", ".75"]


@pytest.mark.parametrize("shape", [(8, 8, 1), (0, 8, 8, 1), (2, 8, 8, 2)])
def test_images_of_another_shape_are_refused(shape):
    with pytest.raises(ValueError, match=str(shape).replace("(", r"\(").replace(")", r"\)")):
        picture_grid(np.zeros(shape))


def test_number_of_titles_must_fit():
    with pytest.raises(ValueError, match="1 titles for 2 images"):
        picture_grid(np.zeros((2, 4, 4, 1)), ["a"])
