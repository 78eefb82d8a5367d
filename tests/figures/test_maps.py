"""Heat maps lie over their own image, feature maps are in order of variance, pictures have one scale."""

import numpy as np
import pytest

from tfdl.figures.maps import feature_rows, overlays, to_scale


def random(*shape, seed=0):
    return np.random.default_rng(seed).random(shape)


@pytest.mark.parametrize("channels", [1, 3])
def test_every_map_lies_over_its_image_in_gray(channels):
    images, maps = random(2, 8, 6, channels), {"one": random(2, 4, 3), "two": random(2, 8, 6) - 0.5}
    panels = overlays(images, maps, ["cat 98%", "dog 2%"]).axes[:6]  # the last is the color bar
    assert [panel.get_title() for panel in panels] == ["image", "one", "two", "", "", ""]
    assert [panels[i].texts[0].get_text() for i in (0, 3)] == ["cat 98%", "dog 2%"]
    plain, heat = panels[5].images
    expected = images[1] @ [0.299, 0.587, 0.114] if channels == 3 else images[1, ..., 0]
    np.testing.assert_allclose(plain.get_array(), expected)
    np.testing.assert_allclose(heat.get_array(), np.maximum(maps["two"][1], 0) / maps["two"][1].max())
    low, high = maps["one"][1].min(), maps["one"][1].max()
    np.testing.assert_allclose(panels[4].images[1].get_array(), (maps["one"][1] - low) / (high - low))
    assert tuple(heat.get_extent()) == tuple(plain.get_extent()), "stretched over the whole image"


def test_titles_stand_above_the_whole_figure():
    images = random(1, 4, 4, 1)
    figures = (
        overlays(images, {"one": random(1, 2, 2)}, ["a"], title="where"),
        feature_rows(images[0], {"one": random(2, 2, 3)}, title="maps"),
        to_scale({"one": random(4, 4, 1)}, title="sizes"),
    )
    assert [figure.get_suptitle() for figure in figures] == ["where", "maps", "sizes"]


def test_map_of_zeros_is_dark_and_no_division_by_zero():
    heat = overlays(random(1, 4, 4, 1), {"nothing": np.zeros((1, 2, 2))}, ["a"]).axes[1].images[1]
    assert (np.asarray(heat.get_array()) == 0).all()


def test_channels_that_vary_most_come_first():
    maps = random(5, 4, 3) * [1.0, 9.0, 4.0]
    figure = feature_rows(random(10, 8, 3), {"stem": maps, "deep": random(2, 2, 7)}, columns=4)
    drawn = [panel.images[0].get_array() for panel in figure.axes if panel.images]
    assert len(drawn) == 1 + 3 + 4
    for shown, channel in zip(drawn[1:4], (1, 2, 0)):
        np.testing.assert_allclose(shown, maps[..., channel], rtol=1e-6)
    texts = [text.get_text() for panel in figure.axes for text in panel.texts]
    assert texts == ["image", "stem\n5 x 4 x 3", "deep\n2 x 2 x 7"]


def test_pictures_of_different_sizes_have_one_scale():
    figure = to_scale({"large": random(8, 6, 1), "small": random(4, 3, 3)})
    large, small = figure.axes
    assert large.get_xlim() == small.get_xlim() == (-0.5, 5.5)
    assert large.get_ylim() == small.get_ylim() == (7.5, -0.5)
    assert small.get_title() == "small\n4 x 3"
    assert tuple(small.images[0].get_extent()) == (1.0, 4.0, 5.5, 1.5), "in the middle, 3 wide and 4 high"
    assert not large.patches
    (frame,) = small.patches
    assert (frame.get_width(), frame.get_height()) == (6, 8), "the frame of the largest shows what is missing"


@pytest.mark.parametrize("draw, word", [
    (lambda: overlays(random(4, 4, 1), {"a": random(1, 2, 2)}, ["a"]), r"\(4, 4, 1\)"),
    (lambda: overlays(random(1, 4, 4, 1), {}, ["a"]), "0 maps"),
    (lambda: overlays(random(2, 4, 4, 1), {"a": random(1, 2, 2)}, ["a", "b"]), "2 images, 2 titles.*'a': 1"),
    (lambda: overlays(random(2, 4, 4, 1), {"a": random(2, 2, 2)}, ["a"]), "2 images, 1 titles"),
    (lambda: feature_rows(random(4, 4, 2), {"a": random(2, 2, 2)}), r"\(4, 4, 2\)"),
    (lambda: feature_rows(random(4, 4, 3), {"a": random(2, 2)}), r"'a': \(2, 2\)"),
    (lambda: to_scale({"a": random(4, 4)}), r"'a': \(4, 4\)"),
    (lambda: to_scale({}), "pictures"),
])  # fmt: skip
def test_what_cannot_be_drawn_is_refused(draw, word):
    with pytest.raises(ValueError, match=word):
        draw()
