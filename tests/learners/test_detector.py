"""The detector learns, is the same on replicas and with micro-batches, is saved, and finds what it was taught."""

import os
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests import forked
from tfdl.data.detection import load
from tfdl.learners.supervised.detector import Detector
from tfdl.models.detection.yolo_v8 import YOLOv8Config, yolo_v8
from tfdl.train.step import exact

SMALLEST = YOLOv8Config(depth=0.1, width=1 / 32, most=128)
SHAPE = (32, 32, 3)


@pytest.fixture(scope="module")
def batch():
    """Six pictures of shapes: images (6, 32, 32, 3) and their truth."""
    data = load("shapes", image_size=32, batch_size=6, limit=6)
    images, truth = next(iter(data.validation))
    return images.numpy(), {name: values.numpy() for name, values in truth.items()}


def detector(seed=0):
    keras.utils.set_random_seed(seed)
    return Detector(yolo_v8(SMALLEST, image_shape=SHAPE, num_classes=4))


def dataset(batch, size=6):
    return tf.data.Dataset.from_tensor_slices(batch).batch(size)


def without_norms(model):
    """Normalization by constants: micro-batches otherwise have statistics of their own."""
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = False
    return model


def trained(batch, *, accumulate=1, strategy=None):
    """Weights after two epochs of an uneven last batch, and the losses."""
    with (strategy or tf.distribute.get_strategy()).scope():
        model = without_norms(detector())
        model.compile(keras.optimizers.SGD(1e-3, global_clipnorm=1.0), jit_compile=False)
    exact(model, accumulate=accumulate)
    history = model.fit(dataset(batch, 5), epochs=2, verbose=0, shuffle=False).history["loss"]
    return [np.array(w) for w in model.trainable_weights], history


@pytest.fixture(scope="module")
def whole(batch):
    return trained(batch)


@pytest.mark.parametrize("accumulate", [3])
def test_micro_batches_are_one_batch(batch, whole, accumulate):
    """Among them are pictures without objects, whose share of the loss must not get lost."""
    counts = (batch[1]["labels"] >= 0).sum(1)
    assert counts.min() == 0 or counts.std() > 0
    weights, losses = trained(batch, accumulate=accumulate)
    np.testing.assert_allclose(losses, whole[1], rtol=1e-4)
    for ours, theirs in zip(weights, whole[0]):
        np.testing.assert_allclose(ours, theirs, atol=2e-6)


def test_loss_of_a_batch_is_that_of_its_parts_divided_by_all_targets(batch):
    model = detector()
    images, truth = batch
    outputs = model(images)
    assert float(model.compute_loss(images, truth, outputs)) > 0
    ignored = {**truth, "crowd": np.ones_like(truth["crowd"])}
    nothing = {**truth, "labels": np.full_like(truth["labels"], -1)}
    losses = [float(model.compute_loss(images, y, outputs)) for y in (ignored, nothing)]
    assert losses[0] == pytest.approx(losses[1]) and losses[0] > 0


def test_it_learns_a_few_pictures_and_finds_their_objects(batch):
    keras.utils.set_random_seed(0)
    images, truth = batch
    model = Detector(yolo_v8(YOLOv8Config(depth=0.1, width=1 / 16, most=128), image_shape=SHAPE, num_classes=4))
    model.compile(keras.optimizers.Adam(5e-3), jit_compile=False)
    exact(model)
    history = model.fit(dataset(batch), epochs=25, verbose=0, shuffle=False).history["loss"]
    assert history[-1] < 0.6 * history[0], f"the loss went from {history[0]:.3f} to {history[-1]:.3f}"


def test_saved_detector_is_one_again(batch, tmp_path):
    model = detector()
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
    assert isinstance(loaded, Detector) and loaded.gains == model.gains
    first, second = (m(batch[0]) for m in (model, loaded))
    for name in first:
        np.testing.assert_allclose(first[name], second[name], atol=1e-5)


def test_answers_are_padded_and_sorted(batch):
    found = detector().detect(batch[0], score_threshold=0.0, max_detections=7)
    assert {name: tuple(x.shape) for name, x in found.items() if name != "index"} == {
        "boxes": (6, 7, 4),
        "scores": (6, 7),
        "labels": (6, 7),
    }
    assert (np.diff(np.array(found["scores"])) <= 0).all()


def test_network_that_is_no_detector_is_refused():
    images = keras.Input((8, 8, 3))
    with pytest.raises(ValueError, match="outputs boxes, scores, distances; .plain. has one without"):
        Detector(keras.Model(images, keras.layers.Flatten()(images), name="plain"))


@pytest.mark.slow
def test_two_replicas_with_micro_batches_are_one_device(tmp_path):
    """Batches of 5 and 1: a replica has pictures without objects, or no picture at all."""
    check_replicas("detector", tmp_path)


def check_replicas(kind, tmp_path):
    """Trains it as `replicated_detector.py` does, and compares losses and weights."""
    program = Path(__file__).with_name("replicated_detector.py")
    environment = os.environ | {"TF_NUM_INTRAOP_THREADS": "1", "OMP_NUM_THREADS": "1", "TFDL_LOGICAL_CPUS": "2"}
    with open(tmp_path / "log", "w") as log:
        process = forked.start(program, kind, tmp_path / "r.npz", env=environment, log=log)
    assert process.wait(timeout=500) == 0, (tmp_path / "log").read_text()[-3000:]
    found = dict(np.load(tmp_path / "r.npz"))
    np.testing.assert_allclose(found["two/losses"], found["one/losses"], rtol=1e-4)
    names = [name.removeprefix("one/") for name in found if name.startswith("one/weight")]
    assert len(names) > 20
    for name in names:
        np.testing.assert_allclose(found[f"two/{name}"], found[f"one/{name}"], atol=2e-6)
