"""SOLO's learner learns, is the same with micro-batches, on two devices and resumed, is saved, and finds masks."""

from dataclasses import dataclass, replace

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.learners.test_detector import check_replicas, without_norms
from tfdl.data import detection
from tfdl.data.detection import load
from tfdl.data.detection_augment import random_flip
from tfdl.learners.supervised.grid_segmenter import GridSegmenter
from tfdl.metrics.detection import mean_average_precision
from tfdl.models.convnets.resnet import ResNetConfig
from tfdl.models.segmentation.solo import VARIANTS, solo
from tfdl.session.run import Run
from tfdl.train.step import exact

SHAPE = (32, 32, 3)
SMALLEST = replace(
    VARIANTS["nano"],
    backbone=ResNetConfig(blocks=(1, 1), channels=8),
    strides=(4, 8),
    scales=((1, 12), (8, 99)),
)


@pytest.fixture(scope="module")
def batch():
    """Six pictures of shapes: images (6, 32, 32, 3) and their truth."""
    data = load("shapes", image_size=32, batch_size=6, limit=6, masks=True)
    images, truth = next(iter(data.validation))
    return images.numpy(), {name: values.numpy() for name, values in truth.items()}


def segmenter(decoupled=False):
    keras.utils.set_random_seed(0)
    return GridSegmenter(solo(replace(SMALLEST, decoupled=decoupled), image_shape=SHAPE, num_classes=4))


def trained(batch, *, size, accumulate=1, epochs=2, rate=1e-3, decoupled=False):
    model = without_norms(segmenter(decoupled))
    model.compile(keras.optimizers.Adam(rate), jit_compile=False)
    exact(model, accumulate=accumulate)
    data = tf.data.Dataset.from_tensor_slices(batch).batch(size)
    history = model.fit(data, epochs=epochs, verbose=0, shuffle=False).history["loss"]
    return model, history


def test_micro_batches_are_one_batch(batch):
    """Pictures have different numbers of positive cells, some none, whose share of the loss must not get lost."""
    assert (batch[1]["labels"] < 0).all(1).any() and len(set((batch[1]["labels"] >= 0).sum(1))) > 2
    (whole, losses), (parts, parts_losses) = (trained(batch, size=5, accumulate=k) for k in (1, 3))
    np.testing.assert_allclose(parts_losses, losses, rtol=1e-4)
    for ours, theirs in zip(parts.trainable_weights, whole.trainable_weights):
        np.testing.assert_allclose(ours, theirs, atol=1e-4)


@pytest.mark.parametrize("decoupled", [False, True])
def test_it_learns_a_few_pictures(batch, decoupled):
    model, history = trained(batch, size=6, epochs=80, rate=1e-2, decoupled=decoupled)
    assert history[-1] < 0.5 * history[0], f"the loss went from {history[0]:.3f} to {history[-1]:.3f}"
    data = tf.data.Dataset.from_tensor_slices(batch).batch(3)
    numbers = mean_average_precision(model, data, ("a", "b", "c", "d")).result()
    assert numbers["mask_map50"] > 0.3 and numbers["map50"] > 0.3


def test_loss_counts_neither_padding_nor_crowds(batch):
    model, (images, truth) = segmenter(), batch
    outputs = model(images)
    whole = float(model.compute_loss(images, truth, outputs))
    ignored = {**truth, "crowd": np.ones_like(truth["crowd"])}
    nothing = {**truth, "labels": np.full_like(truth["labels"], -1)}
    losses = [float(model.compute_loss(images, y, outputs)) for y in (ignored, nothing)]
    assert losses[0] == pytest.approx(losses[1]) and 0 < losses[0] < whole
    moved = {**truth, "boxes": np.where(truth["labels"][..., None] < 0, 9.0, truth["boxes"]).astype("float32")}
    assert float(model.compute_loss(images, moved, outputs)) == pytest.approx(whole)
    with pytest.raises(ValueError, match="no instances; load the data with masks=True"):
        model.compute_loss(images, {name: truth[name] for name in ("boxes", "labels")}, outputs)


def test_saved_learner_is_one_again_and_its_masks_have_the_pictures_size(batch, tmp_path):
    model, _ = trained(batch, size=6, epochs=30, rate=1e-2)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
    assert isinstance(loaded, GridSegmenter) and loaded.mask_gain == 3.0
    found, again = ({name: np.array(x) for name, x in m.detect(batch[0]).items()} for m in (model, loaded))
    for name, values in found.items():
        np.testing.assert_allclose(again[name], values, atol=1e-5)
    assert found["masks"].shape == (6, 100, 32, 32) and (found["labels"] >= 0).sum() > 3
    for row, column in np.argwhere(found["labels"] >= 0):
        rows, columns = np.nonzero(found["masks"][row, column] > 0.5)
        box = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        np.testing.assert_array_equal(found["boxes"][row, column], box)


def test_network_of_another_kind_is_refused():
    images = keras.Input((8, 8, 3))
    with pytest.raises(ValueError, match="GridSegmenter needs .* scores, found_boxes"):
        GridSegmenter(keras.Model(images, keras.layers.Flatten()(images), name="plain"))


@pytest.mark.slow
def test_two_replicas_with_micro_batches_are_one_device(tmp_path):
    """Batches of 5 and 1: a replica has pictures without objects, or no picture at all."""
    check_replicas("grid_segmenter", tmp_path)


@dataclass(frozen=True, kw_only=True)
class Config:
    run: Run = Run()


def run_of(folder, epochs, resume=False, build=segmenter):
    """SHA-256 of the weights, and losses, of a run of so many epochs in all."""
    run = Config(run=Run(out=str(folder), resume=resume)).run.start(Config(), name="segmented")
    data = load("shapes", image_size=32, batch_size=5, masks=True, augment=random_flip(), run=run)
    model = build()
    model.compile(keras.optimizers.Adam(1e-3))
    history = run.fit(model, data, epochs=epochs, monitor="val_loss")
    run.finish(model, {})
    return run.weights_sha256, [row["loss"] for row in history]


@pytest.mark.slow
def test_resumed_run_ends_with_the_same_bits(tmp_path, monkeypatch, no_reports):
    monkeypatch.setattr(detection, "SHAPE_COUNTS", {"train": 12, "validation": 4, "test": 4})
    whole, losses = run_of(tmp_path / "whole", epochs=3)
    part, _ = run_of(tmp_path / "part", epochs=2)
    again, resumed = run_of(tmp_path / "part", epochs=3, resume=True)
    assert part != whole == again and resumed == losses
