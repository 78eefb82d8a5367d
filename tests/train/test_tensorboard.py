"""TensorBoard shows one run per training: grouped tags, the same under every strategy, and pictures now and then."""

import os
import re
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.hparams import plugin_data_pb2
from tensorboard.util import tensor_util

from tests import forked
from tfdl.core.batches import OUTSIDE
from tfdl.core.task import Task
from tfdl.figures import pictures
from tfdl.train.reports import tensorboard
from tfdl.train.reports.predictions import probabilities
from tfdl.train.reports.tensorboard import Clouds

PROGRAM = Path(__file__).with_name("resumable.py")
NAMES = ("cat", "dog", "owl")
LATE = {"examples_per_second", "gradient_norm", "learning_rate"}


def boards(folder):
    """Sub-folder -> its loaded events."""
    found = {}
    for path in sorted({file.parent for file in Path(folder).rglob("events.out.tfevents*")}):
        events = EventAccumulator(str(path), size_guidance={"tensors": 0})
        events.Reload()
        found[str(path.relative_to(folder))] = events
    return found


def board(folder):
    """The events of the only run in `folder`."""
    found = boards(folder)
    assert list(found) == ["."], "one run per training"
    return found["."]


def steps(events, tag):
    return [point.step for point in events.Tensors(tag)]


def values(events, tag):
    return [tensor_util.make_ndarray(point.tensor_proto) for point in events.Tensors(tag)]


# --- a whole run, on one device and on two ---------------------------------------------------------------------------


def trained(folder, **variables):
    done = forked.python(PROGRAM, "--epochs", "2", "--run.out", str(folder), env=os.environ | variables)
    assert done.returncode == 0, done.stderr[-3000:]
    return board(folder / "tb")


@pytest.fixture(scope="module")
def single(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("single") / "run")


def named(events):
    """Tags; those of weights lose the number that Keras appends to a layer's name."""
    return {re.sub(r"_\d+/", "/", tag) for tag in events.Tags()["tensors"]}


def test_tags_of_a_run(single):
    assert named(single) == {
        "train/accuracy",
        "train/loss",
        *(f"train/update/{name}" for name in LATE),
        "validation/accuracy",
        "validation/loss",
        "visuals/confusion_matrix",
        "visuals/predictions",
        "weights/batch_normalization/gamma",
        "weights/conv2d/kernel",
        "weights/dense/kernel",
        "keras",
        "custom_scalars__config__",
        "_hparams_/session_start_info",
        "_hparams_/session_end_info",
    }


def test_training_and_validation_are_the_first_groups_and_weights_the_last(single):
    groups = sorted({tag.split("/")[0] for tag in single.Tags()["tensors"] if "/" in tag and not tag.startswith("_")})
    assert groups == ["train", "validation", "visuals", "weights"]


def test_graphs_of_layers_and_of_operations_are_there(single):
    assert single.Graph().node, "no graph of operations"
    assert single.summary_metadata["keras"].plugin_data.plugin_name == "graph_keras_model"


def test_run_shows_the_values_of_its_training(single):
    learning_rates = values(single, "train/update/learning_rate")
    assert steps(single, "train/update/learning_rate")[-1] == 10
    assert learning_rates[-1] == pytest.approx(0.0, abs=1e-6), "the cosine ends after 10 updates"
    assert learning_rates[0] == pytest.approx(0.1 * (1 + np.cos(np.pi * 1 / 10)) / 2, rel=1e-5)
    assert all(value > 0 for value in values(single, "train/update/gradient_norm"))
    assert all(value > 0 for value in values(single, "train/update/examples_per_second"))


def test_hyperparameters_have_no_flags_that_say_where_to_run(single):
    flags = hyperparameters(single)
    assert flags["epochs"] == "2" and flags["dropout"] == 0.3
    assert not {"run.out", "run.resume", "run.smoke", "run.tracker", "run.strategy"} & set(flags)


def test_mirrored_run_has_the_same_tags(single, tmp_path):
    mirrored = trained(tmp_path / "run", TFDL_LOGICAL_CPUS="2", TFDL_STRATEGY="mirrored")
    assert named(mirrored) == named(single)


# --- the callbacks by themselves --------------------------------------------------------------------------------------


def tiny_data():
    """Images whose class is their brightness: the split of training, then one of 18 images, 6 a class."""
    images = np.repeat(np.float32([0.0, 0.5, 1.0]), 6)[:, None, None, None] * np.ones((1, 4, 4, 1), "float32")
    labels = np.repeat(np.arange(3), 6)
    dataset = tf.data.Dataset.from_tensor_slices((images, labels)).batch(5)
    return SimpleNamespace(train=dataset, validation=dataset, labels=NAMES, counts={"train": 18})


def tiny_model():
    model = keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Flatten(), keras.layers.Dense(3, name="head")])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss, metrics=["accuracy"], jit_compile=False)
    return model


def fit(folder, *, epochs=6, callbacks=(), flags=None, data=None, **options):
    """Keras's history of a tiny training with all callbacks."""
    data = data or tiny_data()
    ours = tensorboard.tensorboard_callbacks(folder, data, epochs=epochs, flags=flags or {}, **options)
    callbacks = [*callbacks, *ours]
    words = {"epochs": epochs, "callbacks": callbacks, "shuffle": False, "verbose": 0}
    return tiny_model().fit(data.train, validation_data=data.validation, **words)


@pytest.fixture(scope="module")
def six_epochs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("six")
    drawn = []
    original = pictures.prediction_grid

    def spy(*arguments, **words):
        drawn.append(words["title"])
        return original(*arguments, **words)

    tensorboard.prediction_grid = spy
    try:
        history = fit(folder, flags={"epochs": 12, "rate": 0.001, "flag": True, "sizes": (1, 2), "name": "x"})
    finally:
        tensorboard.prediction_grid = original
    return board(folder), history.history, drawn


def test_scalars_are_those_of_keras_history_at_their_epochs(six_epochs):
    events, history, _ = six_epochs
    for name, expected in history.items():
        tag = tensorboard.scalar_tag(name)
        assert steps(events, tag) == [0, 1, 2, 3, 4, 5]
        np.testing.assert_allclose(values(events, tag), expected, rtol=1e-6)
    assert set(history) == {"loss", "accuracy", "val_loss", "val_accuracy"}


def test_pictures_and_histograms_come_about_three_times_and_at_the_last_epoch(six_epochs):
    events, _, titles = six_epochs
    assert steps(events, "visuals/predictions") == [0, 2, 4, 5]
    assert steps(events, "weights/head/kernel") == [0, 2, 4, 5]
    assert titles == [f"validation, epoch {epoch}" for epoch in (1, 3, 5, 6)]


def test_training_that_stops_early_still_shows_its_last_epoch(tmp_path):
    class Stop(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = epoch == 3

    fit(tmp_path, callbacks=[Stop()])
    assert steps(board(tmp_path), "visuals/predictions") == [0, 2, 3]
    assert steps(board(tmp_path), "weights/head/kernel") == [0, 2, 3]


def hyperparameters(events):
    content = events.summary_metadata["_hparams_/session_start_info"].plugin_data.content
    found = plugin_data_pb2.HParamsPluginData.FromString(content).session_start_info.hparams
    return {name: getattr(value, value.WhichOneof("kind")) for name, value in found.items()}


def test_whole_numbers_are_shown_without_decimals(six_epochs):
    expected = {"epochs": "12", "rate": 0.001, "flag": True, "sizes": "(1, 2)", "name": "x"}
    assert hyperparameters(six_epochs[0]) == expected


def test_training_and_validation_share_a_chart(six_epochs):
    layout = layout_pb2.Layout.FromString(values(six_epochs[0], "custom_scalars__config__")[0].item())
    charts = {chart.title: list(chart.multiline.tag) for chart in layout.category[0].chart}
    assert charts == {name: [f"^train/{name}$", f"^validation/{name}$"] for name in ("accuracy", "loss")}


def test_pictures_can_be_left_out_and_need_classes(tmp_path):
    fit(tmp_path / "off", epochs=1, pictures=False)
    data = tiny_data()
    data.labels = None
    fit(tmp_path / "no_classes", epochs=1, data=data)
    for name in ("off", "no_classes"):
        assert not [tag for tag in board(tmp_path / name).Tags()["tensors"] if tag.startswith("visuals")]


def test_profile_is_written_on_request(tmp_path, monkeypatch):
    monkeypatch.setenv("TFDL_PROFILE", "2,3")
    fit(tmp_path, epochs=1)
    assert list(tmp_path.rglob("*.xplane.pb"))


@pytest.mark.parametrize("text, expected", [("0", None), ("", None), ("10,20", (10, 20)), ("7", (7, 7))])
def test_profile_range_is_read(text, expected):
    assert tensorboard.profile_range(text) == expected


@pytest.mark.parametrize("text", ["now", "1,2,3", "5,2", "-1"])
def test_wrong_profile_range_is_one_sentence(text, monkeypatch, tmp_path):
    monkeypatch.setenv("TFDL_PROFILE", text)
    with pytest.raises(ValueError, match=f"TFDL_PROFILE='{text}' should be two batch numbers such as 10,20"):
        tensorboard.tensorboard_callbacks(tmp_path, None, epochs=1, flags={})


# --- probabilities ----------------------------------------------------------------------------------------------------


def ending_in(activation):
    return keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, activation=activation)])


def test_probabilities_stay_as_they_are_and_logits_become_probabilities():
    given = np.float32([[0.7, 0.2, 0.1], [0.0, 1.0, 0.0]])
    np.testing.assert_array_equal(probabilities(None, given), given)
    np.testing.assert_allclose(probabilities(None, np.log(given[:1]) + 3), given[:1], rtol=1e-5)


@pytest.mark.parametrize("activation", ["sigmoid", None])
def test_one_output_is_the_second_of_two_classes(activation):
    second = np.float32([[0.9], [0.25]])
    outputs = second if activation else np.log(second / (1 - second))
    found = probabilities(ending_in(activation), outputs)
    np.testing.assert_allclose(found, np.concatenate([1 - second, second], axis=1), rtol=1e-5)


def test_outputs_of_a_detector_are_no_probabilities():
    assert probabilities(None, np.zeros((2, 3, 4))) is None
    assert probabilities(None, {"boxes": np.zeros((2, 4))}) is None


class Turned:
    """Says the class of a cloud, of its points, or which boxes are in it."""

    def __init__(self, kind):
        self.kind = kind

    def __call__(self, points, training):
        shape = points.shape[:2] if self.kind == "point_segmentation" else points.shape[:1]
        return np.eye(3)[np.broadcast_to(np.arange(shape[-1]) % 3, shape)]

    def detect(self, points):
        boxes = np.tile(np.array([0, 0, 0, 1, 1, 1, 0.0]), (len(points), 2, 1))
        return {"boxes": boxes, "scores": np.tile([0.9, 0.1], (len(points), 1))}


@pytest.mark.parametrize("kind", ["point_classification", "point_segmentation", "point_detection"])
def test_clouds_can_be_turned(kind, tmp_path):
    points = np.random.default_rng(0).uniform(-1, 1, (5, 12, 3)).astype("float32")
    points[0, 9:] = OUTSIDE
    labels = np.zeros((5, 12), "int32")
    validation = tf.data.Dataset.from_tensor_slices((points, labels)).batch(5)
    task = Task(kind=kind, points=12)
    writer = tf.summary.create_file_writer(str(tmp_path))
    callback = Clouds(writer, SimpleNamespace(validation=validation, task=task), every=1)
    callback.set_model(Turned(kind))
    callback.draw(3)
    writer.close()
    events = board(tmp_path)
    tags = [tag for tag in events.Tags()["tensors"] if tag.startswith("clouds/validation")]
    places = next(values(events, tag)[0] for tag in tags if values(events, tag)[0].dtype == np.float32)
    assert len(tags) == 2 and np.abs(places).max() <= 1, "places without those outside, and colors"
    np.testing.assert_array_equal(places[1], points[1])
    colors = callback.colors()
    assert colors.shape == (4, 12, 3)
    assert len(np.unique(colors.reshape(-1, 3), axis=0)) == (2 if kind == "point_detection" else 3)
