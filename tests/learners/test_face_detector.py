"""BlazeFace learns a few pictures: the faces of drawn people, and the points that align their bodies."""

import keras
import numpy as np
import pytest

from tests.learners.test_detector import dataset, without_norms
from tfdl.core.bodies import BODIES
from tfdl.data.figures import figures
from tfdl.learners.supervised.face_detector import FaceDetector
from tfdl.models.pose.blaze_face import BlazeFaceConfig
from tfdl.models.pose.blaze_pose import ALIGNMENT, person_detector
from tfdl.ops.boxes import overlap
from tfdl.train.step import exact

SHAPE = (64, 64, 3)
SMALL = BlazeFaceConfig(blocks=((16, 1), (16, 2), (24, 2), (32, 2), (32, 1)), stem=16, kernel=3)


@pytest.fixture(scope="module")
def batch():
    return people()


def people():
    """Six figures with the box of the face, the middle of the hips and the top of the circle around the person."""
    images, points = figures({"train": 6}, size=SHAPE[0])["train"]
    names = BODIES["coco"].names
    head = points[:, [names.index(name) for name in ("nose", "left eye", "right eye", "left ear", "right ear")], :2]
    middle, radius = head.mean(1), np.ptp(head, axis=1).max(1)[:, None] * 0.7
    hips = points[:, [names.index("left hip"), names.index("right hip")], :2].mean(1)
    far = np.linalg.norm(points[..., :2] - hips[:, None], axis=-1).max(1)
    top = hips - [0, 1] * far[:, None]
    truth = {
        "boxes": np.concatenate([middle - radius, middle + radius], 1)[:, None].astype("float32"),
        "labels": np.zeros((6, 1), "int32"),
        "keypoints": np.stack([np.concatenate([p, np.ones((6, 1))], 1) for p in (hips, top)], 1)[:, None].astype(
            "float32"
        ),
    }
    truth["labels"][5] = -1  # one is not annotated
    return images.astype("float32") / 255, truth


def detector(seed=0):
    keras.utils.set_random_seed(seed)
    return FaceDetector(person_detector(SMALL, image_shape=SHAPE))


def test_it_learns_a_few_pictures_and_finds_people_with_their_points(batch):
    model = detector()
    images, truth = batch
    model.compile(keras.optimizers.Adam(5e-3), jit_compile=False)
    exact(model)
    history = model.fit(dataset(batch).repeat(10), epochs=15, verbose=0, shuffle=False).history["loss"]
    assert history[-1] < 0.2 * history[0], f"the loss went from {history[0]:.3f} to {history[-1]:.3f}"
    outputs = model(images, training=True)  # with the statistics of these pictures
    best = np.array(outputs["scores"])[..., 0].argmax(1)
    offsets = np.array(outputs["offsets"])[np.arange(6), best]
    middle, size = offsets[:, :2] + model.centers[best], offsets[:, 2:4]
    points = offsets[:, 4:].reshape(6, len(ALIGNMENT), 2) + model.centers[best][:, None]
    found = np.concatenate([middle - size / 2, middle + size / 2], axis=1).astype("float32")
    assert np.mean(overlap(found[:5], truth["boxes"][:5, 0])) > 0.5
    known = truth["keypoints"][:5, 0, :, :2]
    assert np.abs(points[:5] - known).mean() < 0.7 * np.abs(known - known.mean(0)).mean() + 2


def test_micro_batches_are_one_batch(batch):
    """Among them is one without a face."""
    results = []
    for accumulate in (1, 3):
        model = without_norms(detector())
        model.compile(keras.optimizers.SGD(1e-2, global_clipnorm=1.0), jit_compile=False)
        exact(model, accumulate=accumulate)
        losses = model.fit(dataset(batch, 5), epochs=1, verbose=0, shuffle=False).history["loss"]
        results.append(([np.array(w) for w in model.trainable_weights], losses))
    np.testing.assert_allclose(results[1][1], results[0][1], rtol=1e-4)
    for ours, theirs in zip(*(weights for weights, _ in results)):
        np.testing.assert_allclose(ours, theirs, atol=2e-6)


def test_saved_detector_is_one_again_and_its_answers_are_padded(batch, tmp_path):
    model = detector()
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
    assert isinstance(loaded, FaceDetector) and loaded.gain == model.gain
    first, second = (m.detect(batch[0], score_threshold=0.0, max_detections=7) for m in (model, loaded))
    assert {name: tuple(x.shape) for name, x in first.items()} == {
        "boxes": (6, 7, 4),
        "keypoints": (6, 7, 2, 2),
        "scores": (6, 7),
        "labels": (6, 7),
    }
    for name in first:
        np.testing.assert_allclose(first[name], second[name], atol=1e-3)
