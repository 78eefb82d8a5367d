"""DETR's learner learns, is the same with micro-batches, is saved, and answers without suppression."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.learners.test_detector import without_norms
from tfdl.data.detection import load
from tfdl.learners.supervised.set_detector import SetDetector
from tfdl.models.convnets.resnet import ResNetConfig
from tfdl.models.detection.detr import DETRConfig, detr
from tfdl.train.step import exact

SMALLEST = DETRConfig(
    backbone=ResNetConfig(blocks=(1,), channels=8),
    width=16,
    heads=2,
    encoder=1,
    decoder=2,
    inner=16,
    queries=7,
    dropout=0.0,
    pretrained=False,
)
SHAPE = (32, 32, 3)


@pytest.fixture(scope="module")
def batch():
    """Six pictures of shapes: images (6, 32, 32, 3) and their truth."""
    data = load("shapes", image_size=32, batch_size=6, limit=6)
    images, truth = next(iter(data.validation))
    return images.numpy(), {name: values.numpy() for name, values in truth.items()}


def detector():
    keras.utils.set_random_seed(0)
    return SetDetector(detr(SMALLEST, image_shape=SHAPE, num_classes=4))


def trained(batch, *, size, accumulate=1, epochs=2, rate=1e-3):
    model = without_norms(detector())
    model.compile(keras.optimizers.Adam(rate), jit_compile=False)
    exact(model, accumulate=accumulate)
    data = tf.data.Dataset.from_tensor_slices(batch).batch(size)
    history = model.fit(data, epochs=epochs, verbose=0, shuffle=False).history["loss"]
    return model, history


def test_micro_batches_are_one_batch(batch):
    """Pictures have different numbers of objects, whose share of the loss must not get lost."""
    (whole, losses), (parts, parts_losses) = (trained(batch, size=5, accumulate=k) for k in (1, 3))
    np.testing.assert_allclose(parts_losses, losses, rtol=1e-4)
    for ours, theirs in zip(parts.trainable_weights, whole.trainable_weights):
        np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_it_learns_a_few_pictures(batch):
    _, history = trained(batch, size=6, epochs=40, rate=5e-3)
    assert history[-1] < 0.5 * history[0], f"the loss went from {history[0]:.3f} to {history[-1]:.3f}"


def test_loss_counts_neither_padding_nor_crowds(batch):
    model, (images, truth) = detector(), batch
    outputs = model(images)
    assert float(model.compute_loss(images, truth, outputs)) > 0
    ignored = {**truth, "crowd": np.ones_like(truth["crowd"])}
    nothing = {**truth, "labels": np.full_like(truth["labels"], -1)}
    losses = [float(model.compute_loss(images, y, outputs)) for y in (ignored, nothing)]
    assert losses[0] == pytest.approx(losses[1]) and losses[0] > 0
    moved = {**truth, "boxes": np.where(truth["labels"][..., None] < 0, 9.0, truth["boxes"]).astype("float32")}
    assert float(model.compute_loss(images, moved, outputs)) == pytest.approx(
        float(model.compute_loss(images, truth, outputs))
    )


def test_saved_learner_is_one_again_and_nothing_is_suppressed(batch, tmp_path):
    model = detector()
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
    assert isinstance(loaded, SetDetector) and loaded.gains == model.gains
    outputs = model(batch[0])
    np.testing.assert_allclose(outputs["boxes"], loaded(batch[0])["boxes"], atol=1e-5)
    found = loaded.detect(batch[0], score_threshold=0.0, max_detections=9)
    best = 1 / (1 + np.exp(-np.array(outputs["scores"]).max(-1)))  # (6, 7)
    np.testing.assert_allclose(found["scores"][:, :7], -np.sort(-best), atol=1e-5)
    assert (np.array(found["labels"])[:, 7:] == -1).all() and (np.array(found["labels"])[:, :7] >= 0).all()
    row = np.argmax(best[2])
    np.testing.assert_allclose(found["boxes"][2, 0], outputs["boxes"][2, row], atol=1e-4)


def test_network_of_another_kind_is_refused():
    images = keras.Input((8, 8, 3))
    with pytest.raises(ValueError, match="SetDetector needs .* boxes, scores, logits, places"):
        SetDetector(keras.Model(images, keras.layers.Flatten()(images), name="plain"))
