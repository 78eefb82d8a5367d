"""The detector in space learns, is the same on replicas and with micro-batches, resumes, and is saved."""

import dataclasses
import os
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests import forked
from tests.learners.test_detector import dataset, without_norms
from tfdl.data.scene_augment import random_objects
from tfdl.data.scenes_3d import SCENE_COUNTS, load
from tfdl.learners.supervised.voxel_detector import VoxelDetector
from tfdl.models.three_d.voxelnet import voxelnet
from tfdl.ops.boxes_3d import pairwise_bev_iou
from tfdl.session.run import Run
from tfdl.train.step import exact

POINTS = 60


def scenes():
    """Six clouds, drawn around their cars; some have none: points (6, P, 4) and their truth."""
    rng = np.random.default_rng(0)
    boxes, labels = np.zeros((6, 2, 7), "float32"), np.full((6, 2), -1, "int32")
    for row, count in enumerate((1, 0, 2, 1, 0, 2)):
        for place in range(count):
            boxes[row, place] = [rng.uniform(1, 5), 3.5 * place - 1.7, -0.95, 3.9, 1.6, 1.56, rng.uniform(-0.3, 0.3)]
            labels[row, place] = 0
    points = rng.uniform([0, -3.2, -2, 0], [6.4, 3.2, -1.6, 1], (6, POINTS, 4))
    for row in range(6):
        for place in np.flatnonzero(labels[row] == 0):
            own = slice(20 * place, 20 * place + 20)
            points[row, own, :3] = boxes[row, place, :3] + rng.uniform(-0.5, 0.5, (20, 3)) * boxes[row, place, 3:6]
    return points.astype("float32"), {"boxes": boxes, "labels": labels}


def detector(seed=0):
    keras.utils.set_random_seed(seed)
    return VoxelDetector(voxelnet("nano", points=POINTS))


def trained(*, accumulate=1, strategy=None, norms=False):
    """Weights after two epochs of an uneven last batch, and the losses; with `norms`, normalization learns too."""
    with (strategy or tf.distribute.get_strategy()).scope():
        model = detector() if norms else without_norms(detector())
        model.compile(keras.optimizers.SGD(1e-3, global_clipnorm=1.0), jit_compile=False)
    exact(model, accumulate=accumulate)
    history = model.fit(dataset(scenes(), 5), epochs=2, verbose=0, shuffle=False).history["loss"]
    return [np.array(w) for w in model.trainable_weights], history


def test_micro_batches_are_one_batch():
    """Among them are clouds without cars, whose negative anchors must not get lost."""
    expected, losses = trained()
    weights, again = trained(accumulate=3)
    np.testing.assert_allclose(again, losses, rtol=1e-4)
    for ours, theirs in zip(weights, expected):
        np.testing.assert_allclose(ours, theirs, atol=2e-6)


def test_ignored_objects_are_left_alone():
    """What the network says at their places, right or wrong, changes nothing."""
    model, (points, truth) = detector(), scenes()
    ignored = {**truth, "ignored": np.ones(truth["labels"].shape, bool)}
    outputs = {name: np.array(values) for name, values in model(points).items()}
    at = np.array(pairwise_bev_iou(truth["boxes"], model.anchors)).max(1) >= model.negative  # (B, A)
    assert at.sum() > 5
    sure = outputs | {"scores": outputs["scores"] + 5.0 * at[..., None].astype("float32")}
    losses = [[float(model.compute_loss(points, y, out)) for out in (outputs, sure)] for y in (truth, ignored)]
    assert losses[1][0] == pytest.approx(losses[1][1], rel=1e-6)
    assert losses[0][0] != pytest.approx(losses[0][1], rel=1e-3) and losses[0][0] != pytest.approx(
        losses[1][0], rel=1e-3
    )


def test_it_learns_a_few_clouds_and_is_saved(tmp_path):
    keras.utils.set_random_seed(0)
    points, truth = scenes()
    model = detector()
    model.compile(keras.optimizers.Adam(0.02), jit_compile=False)
    history = exact(model).fit(dataset((points, truth)), epochs=40, verbose=0, shuffle=False).history["loss"]
    assert history[-1] < 0.5 * history[0], f"the loss went from {history[0]:.3f} to {history[-1]:.3f}"
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
    assert isinstance(loaded, VoxelDetector) and loaded.positive == model.positive
    found = [one.detect(points, score_threshold=0.0, max_detections=7) for one in (model, loaded)]
    assert {name: tuple(x.shape) for name, x in found[0].items()} == {
        "boxes": (6, 7, 7),
        "scores": (6, 7),
        "labels": (6, 7),
        "index": (6, 7),
    }
    np.testing.assert_allclose(found[0]["boxes"], found[1]["boxes"], atol=1e-4)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    run: Run = Run()


@pytest.mark.slow
@pytest.mark.usefixtures("no_reports")
def test_a_resumed_run_ends_bit_equal(tmp_path, monkeypatch):
    for split, count in {"train": 6, "validation": 2, "test": 2}.items():
        monkeypatch.setitem(SCENE_COUNTS, split, count)

    def run(folder, epochs, resume=False):
        config = Config(run=Run(out=str(tmp_path / folder), resume=resume))
        run = config.run.start(config, name="scenes")
        data = load(points=256, batch_size=3, augment=random_objects(), run=run)
        model = VoxelDetector(voxelnet("nano", points=256))
        model.compile(keras.optimizers.Adam(1e-3), jit_compile=False)
        run.fit(model, data, epochs=epochs)
        run.finish(model, {})
        return run.weights_sha256

    whole = run("whole", 2)
    run("parts", 1)
    assert run("parts", 2, resume=True) == whole


def test_networks_and_thresholds_that_do_not_fit_are_refused():
    points = keras.Input((8, 4))
    with pytest.raises(ValueError, match=r"outputs boxes, scores, offsets; .plain. has one without"):
        VoxelDetector(keras.Model(points, keras.layers.Flatten()(points), name="plain"))
    with pytest.raises(ValueError, match=r"negative is 0.7 and positive 0.6"):
        VoxelDetector(voxelnet("nano", points=8), negative=0.7)


@pytest.mark.slow
def test_two_replicas_with_micro_batches_are_one_device(tmp_path):
    """Batches of 5 and 1: a replica has clouds without cars, or no cloud at all; and statistics of the points that are
    there are those of both replicas."""
    program = Path(__file__).with_name("replicated_voxel_detector.py")
    environment = os.environ | {"TF_NUM_INTRAOP_THREADS": "1", "OMP_NUM_THREADS": "1", "TFDL_LOGICAL_CPUS": "2"}
    with open(tmp_path / "log", "w") as log:
        process = forked.start(program, tmp_path / "r.npz", env=environment, log=log)
    assert process.wait(timeout=500) == 0, (tmp_path / "log").read_text()[-3000:]
    found = dict(np.load(tmp_path / "r.npz"))
    for ours, theirs in (("two", "one"), ("synced", "alone")):
        np.testing.assert_allclose(found[f"{ours}/losses"], found[f"{theirs}/losses"], rtol=1e-4)
        names = [name.removeprefix(f"{theirs}/") for name in found if name.startswith(f"{theirs}/weight")]
        assert len(names) > 15
        for name in names:
            np.testing.assert_allclose(found[f"{ours}/{name}"], found[f"{theirs}/{name}"], atol=5e-6)
