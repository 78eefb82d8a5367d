"""The figures show the numbers that they were given, and refuse what cannot be drawn."""

import numpy as np
import pytest

from tfdl.figures import linear_maps

MAP = np.array([[2.0, 1.0], [0.0, 0.5]])


def arrow_tips(axes):
    return np.array([text.xy for text in axes.texts])


def test_plane_map_draws_singular_vectors_before_and_half_axes_after():
    u, values, vt = np.linalg.svd(MAP)
    before, after = linear_maps.plane_map(MAP, (u, values, vt), title="a map").axes
    np.testing.assert_allclose(arrow_tips(before), vt)
    np.testing.assert_allclose(arrow_tips(after), (MAP @ vt.T).T, atol=1e-12)
    assert before.get_xlim() == after.get_xlim(), "one scale for both, or the stretching can't be seen"
    assert f"{values[0]:.2f}" in after.get_legend().get_texts()[0].get_text()


def test_plane_map_shows_all_of_the_grid_and_an_ellipse():
    _, after = linear_maps.plane_map(MAP, np.linalg.svd(MAP)).axes
    points = np.concatenate([line.get_xydata() for line in after.get_lines() if len(line.get_xydata())])
    assert np.abs(points).max() < after.get_xlim()[1]
    curve = next(line.get_xydata() for line in after.get_lines() if len(line.get_xydata()) > 100)
    np.testing.assert_allclose(np.linalg.norm(np.linalg.solve(MAP, curve.T), axis=0), 1)


def test_spectrum_draws_each_share_and_their_sum_and_marks_half_and_nine_tenths():
    axes = linear_maps.spectrum([0.4, 0.3, 0.15, 0.1]).axes[0]
    np.testing.assert_allclose([bar.get_height() for bar in axes.patches], [40, 30, 15, 10])
    np.testing.assert_allclose(axes.get_lines()[0].get_ydata(), [40, 70, 85, 95])
    assert [text.get_text() for text in axes.texts] == ["50 % with 2", "90 % with 4"]
    assert "%" in axes.get_ylabel()


def test_component_grid_draws_zero_as_middle_gray():
    components = np.array([[[0.0, 2.0, -1.0]], [[0.0, 0.0, 0.0]]])
    first, second = (axes.images[0] for axes in linear_maps.component_grid(components, [0.6, 0.3, 0.1]).axes)
    np.testing.assert_allclose(first.get_array(), [[0.5, 1.0, 0.25]])
    np.testing.assert_allclose(second.get_array(), [[0.5, 0.5, 0.5]])
    assert (first.axes.get_title(), second.axes.get_title()) == ("60.0%", "30.0%")


def test_picture_rows_has_one_named_row_for_each_set():
    rows = {"original": np.zeros((3, 4, 5)), "2 components": np.ones((3, 4, 5))}
    panels = linear_maps.picture_rows(rows).axes
    assert len(panels) == 6
    assert (panels[0].get_ylabel(), panels[3].get_ylabel()) == ("original", "2 components")
    assert (panels[4].images[0].get_array() == 1).all()


def test_rank_grid_says_what_each_rank_costs_and_how_good_it_is():
    image = np.random.default_rng(0).random((4, 6, 3))
    figure = linear_maps.rank_grid(image, [image, image], (1, 12), psnr=[9.87, 30], savings=[20, 2.5])
    assert [axes.get_title() for axes in figure.axes] == [
        "original", "rank 1: 5.0% of the numbers, 9.9 dB", "rank 12: 40.0% of the numbers, 30.0 dB"]  # fmt: skip


def test_power_curves_draw_theory_beside_what_happened():
    steps = np.arange(1, 31)
    axes = linear_maps.power_curves(4 + 0.5 ** (2 * steps), 8 * 0.5**steps, [4, -2, 1]).axes[0]
    residual, theory, value, square = axes.get_lines()
    np.testing.assert_allclose(residual.get_ydata(), 2 * 0.5**steps)
    np.testing.assert_allclose(theory.get_ydata(), residual.get_ydata())
    assert len(value.get_ydata()) < 30, "what is below rounding is not drawn"
    np.testing.assert_allclose(square.get_ydata()[:20], value.get_ydata()[:20], rtol=1e-3)
    assert "0.500" in theory.get_label() and "0.250" in square.get_label()


def test_scatter_tells_classes_apart_by_marker_and_name():
    points = np.random.default_rng(0).normal(size=(60, 2))
    labels = np.arange(60) % 10
    axes = linear_maps.scatter(points, labels, "abcdefghij").axes[0]
    assert len({str(drawn.get_paths()[0].vertices.tolist()) for drawn in axes.collections}) == 10
    np.testing.assert_allclose(axes.collections[3].get_offsets(), points[labels == 3])
    assert [text.get_text() for text in axes.texts] == list("abcdefghij")
    np.testing.assert_allclose(arrow_tips(axes)[3], np.median(points[labels == 3], 0))
    assert len(linear_maps.scatter(points[:5], labels[:5] * 0, "ab").axes[0].collections) == 1, "an absent class"


@pytest.mark.parametrize(
    "draw, message",
    [
        (lambda: linear_maps.plane_map(np.eye(3), np.linalg.svd(np.eye(3))), r"\(3, 3\)"),
        (lambda: linear_maps.spectrum([0.8, 0.3]), "sum 1.1"),
        (lambda: linear_maps.spectrum([[0.5]]), r"\(1, 1\)"),
        (lambda: linear_maps.component_grid(np.zeros((3, 4)), [1, 0, 0]), r"\(3, 4\)"),
        (lambda: linear_maps.component_grid(np.zeros((3, 4, 4)), [1]), "1 fractions"),
        (lambda: linear_maps.picture_rows({}), r"\[\]"),
        (lambda: linear_maps.picture_rows({"a": np.zeros((1, 2, 3)), "b": np.zeros((2, 2, 3))}), r"\(2, 2, 3\)"),
        (lambda: linear_maps.rank_grid(np.zeros((4, 6, 3)), [], [1], [2], [3]), r"\[0, 1, 1, 1\]"),
        (lambda: linear_maps.power_curves(np.ones(3), np.ones(4), [2, 1]), r"\(3,\) and \(4,\)"),
        (lambda: linear_maps.power_curves(np.ones(3), np.ones(3), [2, 0]), "2 and 0 have none"),
        (lambda: linear_maps.scatter(np.zeros((4, 3)), np.zeros(4), "a"), r"\(4, 3\) and \(4,\)"),
    ],
)
def test_what_cannot_be_drawn_is_refused(draw, message):
    with pytest.raises(ValueError, match=message):
        draw()
