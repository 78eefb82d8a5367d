"""Faster and Mask R-CNN learn, are the same with micro-batches, are saved, and find and draw what they were taught."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.learners.test_detector import check_replicas, without_norms
from tests.learners.test_grid_segmenter import run_of
from tfdl.data import detection
from tfdl.data.detection import load
from tfdl.learners.supervised.two_stage_detector import TwoStageDetector
from tfdl.models.convnets.resnet import ResNetConfig
from tfdl.models.detection.faster_rcnn import FasterRCNNConfig, faster_rcnn
from tfdl.models.detection.mask_rcnn import mask_rcnn
from tfdl.train.step import exact

SMALLEST = FasterRCNNConfig(
    backbone=ResNetConfig(blocks=(1, 1, 1, 1), channels=8),
    channels=8,
    inner=16,
    anchors=(6.0, 12.0, 24.0, 32.0, 32.0),
    candidates=20,
    proposals=10,
    pretrained=False,
)
SHAPE = (32, 32, 3)


@pytest.fixture(scope="module")
def batch():
    """Six pictures of shapes: images (6, 32, 32, 3) and their truth."""
    data = load("shapes", image_size=32, batch_size=6, limit=6, masks=True)
    images, truth = next(iter(data.validation))
    return images.numpy(), {name: values.numpy() for name, values in truth.items()}


def detector(build=mask_rcnn, **options):
    keras.utils.set_random_seed(0)
    network = build(SMALLEST, image_shape=SHAPE, num_classes=4)
    return TwoStageDetector(network, **{"anchors": 24, "regions": 12, **options})


def trained(batch, *, size, accumulate=1, epochs=2, rate=1e-3, build=mask_rcnn, norms=False):
    model = detector(build) if norms else without_norms(detector(build))
    model.compile(keras.optimizers.Adam(rate), jit_compile=False)
    exact(model, accumulate=accumulate)
    data = tf.data.Dataset.from_tensor_slices(batch).batch(size)
    history = model.fit(data, epochs=epochs, verbose=0, shuffle=False).history["loss"]
    return model, history


@pytest.mark.slow
def test_micro_batches_are_one_batch(batch):
    """They draw the same anchors and regions, and pictures without objects keep their share of the loss."""
    (whole, losses), (parts, parts_losses) = (trained(batch, size=5, accumulate=k) for k in (1, 2))
    np.testing.assert_allclose(parts_losses, losses, rtol=1e-4)
    for ours, theirs in zip(parts.trainable_weights, whole.trainable_weights):
        np.testing.assert_allclose(ours, theirs, atol=1e-4)


@pytest.mark.parametrize("build", [faster_rcnn, mask_rcnn], ids=lambda build: build.__name__)
def test_it_learns_a_few_pictures(batch, build):
    model, history = trained(batch, size=6, epochs=40, rate=5e-3, build=build, norms=True)
    assert history[-1] < 0.6 * history[0], f"the loss went from {history[0]:.3f} to {history[-1]:.3f}"
    found = model.detect(batch[0])
    assert ("masks" in found) == (build is mask_rcnn)


def test_every_update_draws_others_and_a_resumed_one_the_same(batch):
    model, (images, truth) = detector(regions=6, anchors=6), batch
    model.compile(keras.optimizers.SGD(0.0), jit_compile=False)
    outputs = model(images)
    losses = []
    for update in (0, 1, 2, 1):
        model.optimizer.iterations.assign(update)
        losses.append(float(model.compute_loss(images, truth, outputs)))
    assert losses[1] == losses[3] and len(set(losses)) == 3
    other = detector(regions=6, anchors=6, seed=1)
    assert float(other.compute_loss(images, truth, outputs)) != losses[0]


def test_loss_counts_neither_padding_nor_crowds(batch):
    model, (images, truth) = detector(), batch
    outputs = model(images)
    assert float(model.compute_loss(images, truth, outputs)) > 0
    ignored = {**truth, "crowd": np.ones_like(truth["crowd"])}
    nothing = {**truth, "labels": np.full_like(truth["labels"], -1), "boxes": 0 * truth["boxes"]}
    losses = [float(model.compute_loss(images, y, outputs)) for y in (nothing, ignored)]
    assert all(np.isfinite(losses)) and min(losses) > 0
    outputs = {**outputs, "objectness": outputs["objectness"] - 30.0}
    assert float(model.compute_loss(images, nothing, outputs)) < losses[0], "nothing is to be found"


def test_every_weight_learns(batch):
    model, (images, truth) = detector(), batch
    with tf.GradientTape() as tape:
        loss = model.compute_loss(images, truth, model(images, training=True))
    for weight, gradient in zip(
        model.trainable_weights, tape.gradient(loss, [w.value for w in model.trainable_weights])
    ):
        assert gradient is not None and np.isfinite(gradient).all(), weight.path


def test_saved_learner_is_one_again(batch, tmp_path):
    model = detector()
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
    assert isinstance(loaded, TwoStageDetector) and (loaded.anchors, loaded.regions) == (24, 12)
    first, second = (m(batch[0]) for m in (model, loaded))
    for name in ("objectness", "logits", "masks"):
        np.testing.assert_allclose(first[name], second[name], atol=1e-4)


def test_masks_lie_in_their_boxes(batch):
    model = detector()
    found = {name: np.array(x) for name, x in model.detect(batch[0]).items()}
    assert found["masks"].shape == (6, 100, 32, 32) and (np.diff(found["scores"]) <= 0).all()
    y, x = np.mgrid[:32, :32]
    for picture, place in np.argwhere(found["labels"] >= 0)[:20]:
        x1, y1, x2, y2 = found["boxes"][picture, place]
        outside = (x < x1 - 2) | (x > x2 + 2) | (y < y1 - 2) | (y > y2 + 2)
        assert not found["masks"][picture, place][outside].any()
    assert (np.array(model.detect(batch[0], score_threshold=1.0)["labels"]) == -1).all()


def test_masks_without_instances_are_refused(batch):
    model, (images, truth) = detector(), batch
    with pytest.raises(ValueError, match="Masks are learned from instances; load the data with masks=True"):
        model.compute_loss(images, {k: v for k, v in truth.items() if k != "instances"}, model(images))
    pictures = keras.Input((8, 8, 3))
    plain = keras.Model(pictures, keras.layers.Flatten()(pictures))
    with pytest.raises(ValueError, match="TwoStageDetector needs a network with the outputs objectness"):
        TwoStageDetector(plain)


@pytest.mark.slow
def test_two_replicas_with_micro_batches_are_one_device(tmp_path):
    """They draw the same anchors and regions in each picture, whichever replica it is on."""
    check_replicas("two_stage_detector", tmp_path)


@pytest.mark.slow
def test_resumed_run_ends_with_the_same_bits(tmp_path, monkeypatch, no_reports):
    """What is drawn depends on the number of the update, which goes on."""
    monkeypatch.setattr(detection, "SHAPE_COUNTS", {"train": 12, "validation": 4, "test": 4})
    whole, losses = run_of(tmp_path / "whole", epochs=3, build=detector)
    part, _ = run_of(tmp_path / "part", epochs=2, build=detector)
    again, resumed = run_of(tmp_path / "part", epochs=3, resume=True, build=detector)
    assert part != whole == again and resumed == losses
