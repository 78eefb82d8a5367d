"""Curves of a training show every epoch and mark the best; a confusion matrix shows fractions of the true class."""

import numpy as np
import pytest

from tfdl.figures.style import png
from tfdl.figures.training import confusion_matrix, training_curves

HISTORY = [
    {"epoch": i, "updates": 9, "loss": a, "val_loss": b, "accuracy": c, "val_accuracy": d, "learning_rate": 0.1}
    for i, (a, b, c, d) in enumerate([(2.0, 2.1, 0.3, 0.2), (1.0, 1.4, 0.6, 0.5), (0.5, 1.6, 0.9, 0.6)])
]
COUNTS = np.array([[9, 1], [10, 30]])


def lines(axes):
    return {line.get_label(): line for line in axes.lines}


def test_loss_and_accuracy_have_a_panel_each_with_training_and_validation():
    figure = training_curves(HISTORY, title="digits")
    loss, accuracy = figure.axes
    assert loss.get_title().startswith("loss") and accuracy.get_title().startswith("accuracy")
    assert figure.get_suptitle() == "digits"
    for axes, key in ((loss, "loss"), (accuracy, "accuracy")):
        for name, part in (("training", key), ("validation", f"val_{key}")):
            line = lines(axes)[name]
            np.testing.assert_array_equal(line.get_xdata(), [1, 2, 3])
            np.testing.assert_array_equal(line.get_ydata(), [row[part] for row in HISTORY])
        assert lines(axes)["training"].get_linestyle() != lines(axes)["validation"].get_linestyle()
        assert axes.get_xlabel() == "epoch" and axes.get_ylabel()
    assert png(figure).startswith(b"\x89PNG")


@pytest.mark.parametrize("best, epoch, loss, accuracy", [(None, 2, "1.4", "0.5"), (2, 3, "1.6", "0.6")])
def test_best_epoch_is_the_one_given_or_that_of_the_lowest_validation_loss(best, epoch, loss, accuracy):
    for axes, value in zip(training_curves(HISTORY, best_epoch=best).axes, (loss, accuracy)):
        line = next(line for name, line in lines(axes).items() if name.startswith("best epoch"))
        assert list(line.get_xdata()) == [epoch, epoch]
        assert axes.get_title().endswith(f"validation {value} at epoch {epoch}")


def test_history_of_a_resumed_run_keeps_its_numbers_of_epochs():
    later = [row | {"epoch": row["epoch"] + 5} for row in HISTORY]
    np.testing.assert_array_equal(lines(training_curves(later).axes[0])["training"].get_xdata(), [6, 7, 8])


def test_training_without_validation_or_metrics_still_has_its_loss():
    figure = training_curves([{"loss": 2.0}, {"loss": 1.0}])
    assert len(figure.axes) == 1 and set(lines(figure.axes[0])) == {"training"}


def test_history_without_epochs_or_with_a_loss_that_is_nowhere_finite_is_refused():
    with pytest.raises(ValueError, match="no epoch"):
        training_curves([])
    with pytest.raises(ValueError, match="'loss'"):
        training_curves([{"loss": np.nan}])


def test_matrix_shows_fractions_of_the_true_class_with_percent_and_count():
    figure = confusion_matrix(COUNTS, ("cat", "dog"), title="pets")
    axes, bar = figure.axes
    np.testing.assert_allclose(axes.images[0].get_array(), [[0.9, 0.1], [0.25, 0.75]])
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted class", "true class (examples)")
    assert [t.get_text() for t in axes.texts] == ["90%", "9", "10%", "1", "25%", "10", "75%", "30"]
    assert [t.get_position() for t in axes.texts[2:4]] == [(1, -0.14), (1, 0.26)], "row 0, column 1"
    assert [t.get_text() for t in axes.get_yticklabels()] == ["cat (10)", "dog (40)"]
    assert [t.get_text() for t in axes.get_xticklabels()] == ["cat", "dog"]
    assert axes.get_title() == "pets" and "true class" in bar.get_ylabel()


def test_numbers_are_readable_on_their_cell():
    axes = confusion_matrix(np.array([[99, 1], [0, 5]]), "ab").axes[0]
    colors = {text.get_text(): text.get_color() for text in axes.texts}
    assert colors["99%"] == "white" and colors["1%"] == "black"


def test_class_without_examples_is_an_empty_row():
    axes = confusion_matrix(np.array([[0, 0], [1, 3]]), "ab").axes[0]
    np.testing.assert_allclose(axes.images[0].get_array(), [[0, 0], [0.25, 0.75]])
    assert all(text.get_position()[1] > 0.5 for text in axes.texts)


@pytest.mark.parametrize("classes, texts, names", [(12, 24, 12), (20, 20, 20), (21, 0, 21), (40, 0, 40), (100, 0, 34)])
def test_large_matrices_leave_out_counts_then_numbers_then_names(classes, texts, names):
    labels = [f"class {i}" for i in range(classes)]
    axes = confusion_matrix(np.eye(classes, dtype=int) * 7, labels).axes[0]
    assert len(axes.texts) == texts
    for ticks, labeled in ((axes.get_xticks(), axes.get_xticklabels()), (axes.get_yticks(), axes.get_yticklabels())):
        assert len(ticks) == names
        assert labeled[1].get_text().startswith(labels[int(ticks[1])])
    assert max(axes.figure.get_size_inches()) < 13


@pytest.mark.parametrize("counts, names", [(np.ones((2, 3)), "ab"), (np.ones((2, 2)), "abc"), (-np.eye(2), "ab")])
def test_what_is_no_confusion_matrix_is_refused(counts, names):
    with pytest.raises(ValueError, match=f"{len(names)} names"):
        confusion_matrix(counts, names)


@pytest.mark.parametrize("more", [{}, {"accuracy": 0.5, "val_accuracy": 0.5}], ids=["one panel", "two"])
def test_legend_of_curves_lies_inside_the_figure(more):
    figure = training_curves([{"loss": 2.0, "val_loss": 1.9, **more}], title="t", best_epoch=0)
    figure.draw_without_rendering()
    legend = figure.legends[0].get_window_extent()
    assert 0 <= legend.x0 < legend.x1 <= figure.bbox.width
