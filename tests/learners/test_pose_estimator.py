"""Both estimators learn, are the same with micro-batches and replicas and after an interruption, and are saved."""

import dataclasses
import os
from pathlib import Path

import keras
import numpy as np
import pytest

from tests import forked
from tests.learners.test_detector import dataset, without_norms
from tfdl.data.keypoints import load
from tfdl.learners.supervised.landmark_estimator import LandmarkEstimator
from tfdl.learners.supervised.pose_estimator import PoseEstimator
from tfdl.ops.heatmaps import encode
from tfdl.session.run import Run
from tfdl.train.step import exact

SHAPE = (32, 32, 3)
KINDS = ("heatmaps", "landmarks")


@pytest.fixture(scope="module")
def batch():
    return hidden_points()


def hidden_points():
    """Six figures: images (6, 32, 32, 3) and their truth; of some, most points are hidden, of one all."""
    data = load("figures", image_size=32, batch_size=6, limit=6)
    images, truth = next(iter(data.validation))
    points = truth["keypoints"].numpy()
    points[1, :, 4:], points[3, :, ::2], points[5] = 0, 0, 0
    return images.numpy(), {"keypoints": points, "area": truth["area"].numpy()}


def estimator(kind, seed=0):
    """An estimator around three convolutions, which are traced in a moment."""
    keras.utils.set_random_seed(seed)
    images = keras.Input(SHAPE, name="images")
    x = keras.layers.Conv2D(8, 3, 2, padding="same", activation="relu")(images)
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.Conv2D(12, 3, 2, padding="same", activation="relu")(x)
    outputs = {"heatmaps": keras.layers.Conv2D(17, 3, padding="same")(x)}  # (B, 8, 8, 17)
    if kind == "heatmaps":
        return PoseEstimator(keras.Model(images, outputs, name="plain"), sigma=1.5)
    outputs["offsets"] = keras.layers.Conv2D(34, 3, padding="same")(x)
    x = keras.layers.Flatten()(x)
    outputs["keypoints"] = keras.layers.Reshape((17, 2))(keras.layers.Dense(34)(x))
    outputs["visibility"] = keras.layers.Reshape((17, 1))(keras.layers.Dense(17)(x))
    return LandmarkEstimator(keras.Model(images, outputs, name="plain"), sigma=1.5)


def trained(kind, batch, *, accumulate=1):
    """Weights after two epochs of an uneven last batch, and the losses."""
    model = without_norms(estimator(kind))
    model.compile(keras.optimizers.SGD(0.1, global_clipnorm=1.0), jit_compile=False)
    exact(model, accumulate=accumulate)
    history = model.fit(dataset(batch, 5), epochs=2, verbose=0, shuffle=False).history["loss"]
    return [np.array(w) for w in model.trainable_weights], history


@pytest.mark.parametrize("kind", KINDS)
def test_micro_batches_are_one_batch(kind, batch):
    """Among them is one without a visible point."""
    whole, losses = trained(kind, batch)
    parts, same = trained(kind, batch, accumulate=3)
    np.testing.assert_allclose(same, losses, rtol=1e-4)
    assert not np.allclose(losses[0], losses[1], rtol=1e-6)
    for ours, theirs in zip(parts, whole):
        np.testing.assert_allclose(ours, theirs, atol=2e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_points_that_are_hidden_do_not_count(kind, batch):
    model = estimator(kind)
    images, truth = batch
    outputs = {name: values.numpy() for name, values in model(images).items()}
    loss = float(model.compute_loss(images, truth, outputs))
    hidden = truth["keypoints"][:, 0, :, 2] == 0
    changed = {name: values.copy() for name, values in outputs.items()}
    changed["heatmaps"] = np.where(hidden[:, None, None], 9.0, outputs["heatmaps"])
    if kind == "landmarks":
        changed["keypoints"] = np.where(hidden[..., None], 1e3, outputs["keypoints"])
    assert float(model.compute_loss(images, truth, changed)) == pytest.approx(loss, rel=1e-6)
    changed["heatmaps"] = np.where(hidden[:, None, None], outputs["heatmaps"], 9.0)
    assert float(model.compute_loss(images, truth, changed)) > 2 * loss


@pytest.mark.parametrize("kind", KINDS)
def test_it_learns_a_few_pictures(kind, batch):
    model = estimator(kind)
    model.compile(keras.optimizers.Adam(0.01), jit_compile=False)
    exact(model)
    history = model.fit(dataset(batch), epochs=25, verbose=0, shuffle=False).history["loss"]
    assert history[-1] < 0.6 * history[0], f"the loss went from {history[0]:.4f} to {history[-1]:.4f}"


@pytest.mark.parametrize("kind", KINDS)
def test_saved_estimator_is_one_again(kind, batch, tmp_path):
    model = estimator(kind)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
    assert type(loaded) is type(model) and loaded.sigma == 1.5
    found = model.estimate(batch[0])
    assert found.shape == (6, 17, 3)
    np.testing.assert_allclose(loaded.estimate(batch[0]), found, atol=1e-3)


def test_estimate_decodes_the_maps():
    """A network whose heat maps are the pictures themselves."""
    points = np.array([[[9.0, 21, 1], [30, 12, 1], [25, 25, 1]]], "float32")
    images = keras.Input((10, 12, 3), name="images")
    plain = keras.Model(images, {"heatmaps": keras.layers.Rescaling(1.0)(images)})
    model = PoseEstimator(plain)
    assert model.stride == 1
    found = np.array(model.estimate(encode(points, (10, 12), stride=4)))
    np.testing.assert_allclose(4 * found[..., :2], points[..., :2], atol=0.05)


def test_networks_with_other_outputs_are_refused():
    message = "LandmarkEstimator needs .* keypoints, visibility, heatmaps, offsets; 'plain'"
    with pytest.raises(ValueError, match=message):
        LandmarkEstimator(estimator("heatmaps").network)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    run: Run = Run()


def run_of(kind, folder, epochs, resume=False):
    """The hash of the weights of a run of so many epochs in all."""
    config = Config(run=Run(out=str(folder), resume=resume))
    run = config.run.start(config, name="pose")
    data = load("figures", image_size=32, batch_size=5, limit=8, position=run.position)
    model = estimator(kind)
    model.compile(keras.optimizers.Adam(0.01))
    run.fit(model, data, epochs=epochs)
    run.finish(model, {})
    return run.weights_sha256


@pytest.mark.parametrize("kind", KINDS)
def test_resumed_run_ends_with_the_same_bits(kind, tmp_path, no_reports):
    whole = run_of(kind, tmp_path / "whole", epochs=2)
    part = run_of(kind, tmp_path / "part", epochs=1)
    assert part != whole == run_of(kind, tmp_path / "part", epochs=2, resume=True)


@pytest.mark.slow
def test_two_replicas_with_micro_batches_are_one_device(tmp_path):
    """Batches of 5 and 1: a replica has no visible point, or no picture at all.  So does the detector of faces."""
    program = Path(__file__).with_name("replicated_pose.py")
    environment = os.environ | {"TF_NUM_INTRAOP_THREADS": "1", "OMP_NUM_THREADS": "1", "TFDL_LOGICAL_CPUS": "2"}
    with open(tmp_path / "log", "w") as log:
        process = forked.start(program, tmp_path / "r.npz", env=environment, log=log)
    assert process.wait(timeout=500) == 0, (tmp_path / "log").read_text()[-3000:]
    found = dict(np.load(tmp_path / "r.npz"))
    for kind in (*KINDS, "faces"):
        np.testing.assert_allclose(found[f"{kind}/two/losses"], found[f"{kind}/one/losses"], rtol=1e-4)
        names = [name.split("/")[2] for name in found if name.startswith(f"{kind}/one/weight")]
        assert len(names) > 5
        for name in names:
            np.testing.assert_allclose(found[f"{kind}/two/{name}"], found[f"{kind}/one/{name}"], atol=2e-6)
