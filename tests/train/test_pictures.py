"""A training leaves curves, and of a classifier its confusion matrix and predictions, right to the last number."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tfdl.train.reports import pictures
from tfdl.train.reports.pictures import training_pictures
from tfdl.train.reports.predictions import predict

NAMES = ("cat", "dog", "owl")
HISTORY = [{"epoch": i, "loss": 2.0 - i, "val_loss": 2.5 - i} for i in range(2)]
# True and predicted class of nine images; the confidence of each prediction falls from one to the next.
TRUTH = np.array([0, 0, 0, 1, 1, 2, 2, 2, 2])
GUESSES = np.array([0, 0, 1, 1, 0, 2, 2, 2, 1])
COUNTS = [[2, 1, 0], [1, 1, 0], [0, 1, 3]]
MISTAKES = [2, 4, 8]


def labeled(labels=TRUTH):
    """Images of 2 x 2 pixels, whose first pixel is the class that `model` predicts and whose second how surely."""
    images = np.zeros((len(GUESSES), 2, 2, 1), "float32")
    images[:, 0, 0, 0], images[:, 0, 1, 0] = GUESSES / 2, np.linspace(1.0, 0.5, len(GUESSES))
    dataset = tf.data.Dataset.from_tensor_slices((images, labels)).batch(4)
    return SimpleNamespace(validation=dataset, labels=NAMES), images


class Known(keras.Model):
    """Reads class and confidence from the image: logits (B, 3)."""

    def call(self, images, training=False):
        if training:
            raise ValueError("pictures are drawn in inference mode")
        pixels = keras.ops.reshape(images, (-1, 4))
        chosen = keras.ops.one_hot(keras.ops.cast(keras.ops.round(2 * pixels[:, 0]), "int32"), 3)
        return 5.0 * chosen * pixels[:, 1:2]


@pytest.mark.parametrize(
    "labels", [TRUTH, TRUTH[:, None], np.eye(3, dtype="float32")[TRUTH]], ids=["numbers", "column", "one_hot"]
)
def test_counts_of_a_known_model_have_true_classes_in_rows(labels):
    found = predict(Known(), labeled(labels)[0])
    np.testing.assert_array_equal(found.counts(3), COUNTS)
    assert found.accuracy == pytest.approx(6 / 9)


def test_first_images_and_most_confident_mistakes_are_kept():
    data, images = labeled()
    found = predict(Known(), data, first=5, mistakes=2)
    np.testing.assert_array_equal(found.first.images, images[:5])
    np.testing.assert_array_equal(found.first.truth, TRUTH[:5])
    np.testing.assert_array_equal(found.mistakes.images, images[MISTAKES[:2]])
    np.testing.assert_array_equal(found.mistakes.truth, TRUTH[MISTAKES[:2]])
    assert (found.mistakes.scores.argmax(-1) == GUESSES[MISTAKES[:2]]).all()
    np.testing.assert_allclose(found.first.scores.sum(-1), 1, rtol=1e-5)


@pytest.fixture
def unwritten(monkeypatch):
    """Figures are drawn, but take no time to become files."""
    content = tf.io.encode_png(np.zeros((620, 820, 4), "uint8")).numpy()
    monkeypatch.setattr(pictures, "write_png", lambda figure, path: content)


@pytest.fixture
def drawn(monkeypatch):
    """What goes into the figures: name -> arguments."""
    seen = {}
    for name in ("training_curves", "confusion_matrix", "prediction_groups"):
        original = getattr(pictures, name)

        def spy(*arguments, name=name, original=original, **words):
            seen[name] = (arguments, words)
            return original(*arguments, **words)

        monkeypatch.setattr(pictures, name, spy)
    return seen


def test_classifier_leaves_three_pictures_with_titles(tmp_path, drawn):
    data, _ = labeled()
    paths = training_pictures(Known(), data, HISTORY, tmp_path, title="known on nothing", best_epoch=1)
    assert paths == [tmp_path / "figures" / f"{name}.png" for name in ("curves", "confusion_matrix", "predictions")]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in paths)
    assert drawn["training_curves"] == ((HISTORY,), {"best_epoch": 1, "title": "known on nothing: training"})
    (counts, names), words = drawn["confusion_matrix"]
    np.testing.assert_array_equal(counts, COUNTS)
    assert tuple(names) == NAMES
    assert words["title"] == "known on nothing: 9 validation examples, accuracy 66.7%"
    (groups, names), words = drawn["prediction_groups"]
    assert [(name, len(images)) for name, (images, _, _) in groups.items()] == [
        ("the first validation images", 8),
        ("the most confident mistakes", 3),
    ]
    assert words["title"] == "known on nothing: predictions"


def test_validation_images_are_read_once(tmp_path, unwritten):
    data, _ = labeled()
    reads = []
    batches = list(data.validation)

    class Counted:
        def __iter__(self):
            reads.append(True)
            return iter(batches)

    data.validation = Counted()
    training_pictures(Known(), data, HISTORY, tmp_path)
    assert len(reads) == 1


def test_board_shows_the_matrix_at_the_last_epoch(tmp_path, unwritten):
    data, _ = labeled()
    training_pictures(Known(), data, HISTORY, tmp_path, board=tmp_path / "tb")
    events = EventAccumulator(str(tmp_path / "tb"), size_guidance={"tensors": 0})
    events.Reload()
    assert events.Tags()["tensors"] == ["visuals/confusion_matrix"]
    (point,) = events.Tensors("visuals/confusion_matrix")
    assert point.step == 1
    width, height, png = point.tensor_proto.string_val
    assert (int(width), int(height)) == (410, 310) and png.startswith(b"\x89PNG")


def test_without_classes_or_without_class_scores_there_are_only_curves(tmp_path, unwritten):
    data, _ = labeled()
    everything = keras.Sequential([keras.Input((2, 2, 1)), keras.layers.Conv2D(3, 1)])  # outputs (B, 2, 2, 3)
    for name, model, labels in (("none", Known(), None), ("maps", everything, NAMES)):
        data.labels = labels
        paths = training_pictures(model, data, HISTORY, tmp_path / name)
        assert [path.name for path in paths] == ["curves.png"]


def test_inputs_that_are_no_pictures_get_a_matrix_without_predictions(tmp_path, unwritten):
    features = np.eye(3, dtype="float32")[GUESSES]
    validation = tf.data.Dataset.from_tensor_slices((features, TRUTH)).batch(4)
    data = SimpleNamespace(validation=validation, labels=NAMES)
    same = keras.Sequential([keras.Input((3,)), keras.layers.Activation("linear")])
    paths = training_pictures(same, data, HISTORY, tmp_path)
    assert [path.name for path in paths] == ["curves.png", "confusion_matrix.png"]


def test_model_with_more_outputs_than_labels_names_them_by_number(tmp_path, drawn, unwritten):
    data, _ = labeled()
    data.labels = NAMES[:2]
    training_pictures(Known(), data, HISTORY, tmp_path)
    assert drawn["confusion_matrix"][0][1] == ["cat", "dog", "class 2"]


def test_perfect_classifier_shows_no_mistakes(tmp_path, drawn, unwritten):
    data, _ = labeled(GUESSES)
    training_pictures(Known(), data, HISTORY, tmp_path)
    assert list(drawn["prediction_groups"][0][0]) == ["the first validation images"]
