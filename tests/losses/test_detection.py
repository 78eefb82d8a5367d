"""Assignment and loss of detectors against plain loops over points, and what must hold for any objects."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.ops.test_boxes import plain_overlap
from tfdl.losses.detection import detection_terms, distribution_focal_loss, task_aligned
from tfdl.ops.boxes import grid_points

CLASSES, BINS, SIZE, STRIDES = 3, 8, (48, 64), (8, 16)
POINTS, STEPS = grid_points(SIZE, STRIDES)
COUNT = len(POINTS)


def scene(seed=0, batch=2, objects=4):
    """Outputs of a network that is half right, and objects with padding."""
    rng = np.random.default_rng(seed)
    low = rng.uniform(0, 30, (batch, objects, 2))
    boxes = np.concatenate([low, low + rng.uniform(8, 25, (batch, objects, 2))], -1).astype("float32")
    labels = rng.integers(0, CLASSES, (batch, objects)).astype("int32")
    labels[0, -1], boxes[0, -1] = -1, 0
    sides = rng.uniform(2, 20, (batch, COUNT, 4)).astype("float32")
    predicted = np.concatenate([POINTS - sides[..., :2], POINTS + sides[..., 2:]], -1).astype("float32")
    outputs = {
        "boxes": predicted,
        "scores": rng.normal(0, 2, (batch, COUNT, CLASSES)).astype("float32"),
        "distances": rng.normal(0, 1, (batch, COUNT, 4 * BINS)).astype("float32"),
    }
    return outputs, boxes, labels


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def assigned_by_loops(scores, boxes, true_boxes, true_labels, nearest=10, alpha=0.5, beta=6.0):
    """One picture, as section 3.2 says it."""
    objects = [n for n in range(len(true_labels)) if true_labels[n] >= 0]
    iou = {(n, a): plain_overlap(true_boxes[n], boxes[a], "iou") for n in objects for a in range(COUNT)}
    fit, wanted = {}, {a: [] for a in range(COUNT)}
    for n in objects:
        x1, y1, x2, y2 = true_boxes[n]
        inside = [a for a, (x, y) in enumerate(POINTS) if x1 < x < x2 and y1 < y < y2]
        for a in inside:
            fit[n, a] = scores[a, true_labels[n]] ** alpha * iou[n, a] ** beta
        for a in sorted(inside, key=lambda a, n=n: -fit[n, a])[:nearest]:
            if fit[n, a] > 1e-9:
                wanted[a].append(n)
    owner = {a: max(some, key=lambda n, a=a: iou[n, a]) for a, some in wanted.items() if some}
    target = np.zeros((COUNT, CLASSES))
    for n in objects:
        own = [a for a in owner if owner[a] == n]
        for a in own:
            best_fit, best_iou = max(fit[n, b] for b in own), max(iou[n, b] for b in own)
            target[a, true_labels[n]] = fit[n, a] / best_fit * best_iou
    return owner, target


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("nearest", [3, 10])
def test_assignment_is_that_of_the_paper_point_by_point(seed, nearest):
    outputs, boxes, labels = scene(seed)
    scores = sigmoid(outputs["scores"])
    found = task_aligned(scores, outputs["boxes"], POINTS, boxes, labels, nearest=nearest)
    for b in range(2):
        owner, target = assigned_by_loops(scores[b], outputs["boxes"][b], boxes[b], labels[b], nearest)
        assert len(owner) > 3
        np.testing.assert_array_equal(np.flatnonzero(found["chosen"][b]), sorted(owner))
        np.testing.assert_allclose(found["scores"][b], target, rtol=1e-4, atol=1e-6)
        for a, n in owner.items():
            np.testing.assert_array_equal(found["boxes"][b, a], boxes[b, n])


def test_perfect_outputs_are_assigned_scores_of_1():
    _, boxes, labels = scene(1, batch=1, objects=1)
    scores = np.full((1, COUNT, CLASSES), 0.9, "float32")
    found = task_aligned(scores, np.tile(boxes, (1, COUNT, 1)), POINTS, boxes, labels)
    chosen = np.array(found["chosen"][0])
    np.testing.assert_allclose(np.array(found["scores"])[0, chosen, labels[0, 0]], 1, rtol=1e-5)


def test_pictures_without_objects_have_no_targets():
    outputs, boxes, labels = scene()
    nothing = np.full_like(labels, -1)
    found = task_aligned(sigmoid(outputs["scores"]), outputs["boxes"], POINTS, boxes, nothing)
    assert not np.any(found["chosen"]) and not np.any(found["scores"])
    total, number = detection_terms(outputs, found, POINTS, STEPS)
    assert float(number) == 2 and np.isfinite(float(total)) and float(total) > 0


def test_padding_and_the_order_of_objects_change_nothing():
    outputs, boxes, labels = scene(2)
    order = np.array([2, 0, 3, 1])
    padded = np.concatenate([boxes[:, order], np.zeros((2, 3, 4), "float32")], 1)
    more = np.concatenate([labels[:, order], np.full((2, 3), -1, "int32")], 1)
    first = task_aligned(sigmoid(outputs["scores"]), outputs["boxes"], POINTS, boxes, labels)
    again = task_aligned(sigmoid(outputs["scores"]), outputs["boxes"], POINTS, padded, more)
    np.testing.assert_array_equal(first["chosen"], again["chosen"])
    np.testing.assert_allclose(first["scores"], again["scores"], atol=1e-6)


def test_focal_loss_of_a_distribution_is_eq_6():
    logits = np.random.default_rng(0).normal(size=(5, BINS)).astype("float32")
    distances = np.array([0.0, 2.25, 6.9, 3.0, 99.0], "float32")
    p = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    expected = []
    for row, y in zip(p, np.minimum(distances, BINS - 1.001)):
        i = int(y)
        expected.append(-(i + 1 - y) * np.log(row[i]) - (y - i) * np.log(row[i + 1]))
    np.testing.assert_allclose(distribution_focal_loss(distances, logits), expected, rtol=1e-4)


def test_it_is_least_where_the_mean_is_the_distance():
    """The minimum over all distributions puts 1 - part and part on the two bins around it."""
    logits = tf.Variable(np.zeros((1, BINS), "float32"))
    optimizer = keras.optimizers.Adam(0.3)
    for _ in range(200):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(distribution_focal_loss(np.array([2.25], "float32"), logits))
        optimizer.apply([tape.gradient(loss, logits)], [logits])
    np.testing.assert_allclose(tf.nn.softmax(logits)[0, 2:4], [0.75, 0.25], atol=0.02)


def test_loss_is_the_sum_of_its_terms():
    outputs, boxes, labels = scene(3)
    target = task_aligned(sigmoid(outputs["scores"]), outputs["boxes"], POINTS, boxes, labels)
    target = {name: np.array(values) for name, values in target.items()}
    p, q = sigmoid(outputs["scores"].astype("float64")), target["scores"]
    crossed = -(q * np.log(p) + (1 - q) * np.log(1 - p)).sum()
    box = distance = 0.0
    for b, a in zip(*np.nonzero(target["chosen"])):
        weight = q[b, a].sum()
        box += weight * (1 - plain_overlap(outputs["boxes"][b, a], target["boxes"][b, a], "ciou"))
        x1, y1, x2, y2 = target["boxes"][b, a]
        (x, y), s = POINTS[a], STEPS[a, 0]
        sides = np.array([x - x1, y - y1, x2 - x, y2 - y], "float32") / s
        logits = outputs["distances"][b, a].reshape(4, BINS)
        distance += weight * np.mean(np.array(distribution_focal_loss(sides, logits)))
    total, number = detection_terms(outputs, target, POINTS, STEPS, gains=(7.5, 0.5, 1.5))
    np.testing.assert_allclose(float(number), q.sum() + 2, rtol=1e-5)
    np.testing.assert_allclose(float(total), 7.5 * box + 0.5 * crossed + 1.5 * distance, rtol=1e-4)


def test_gradients_are_finite_even_for_outputs_far_off():
    outputs, boxes, labels = scene(4)
    outputs["scores"][0] = 80.0
    outputs["boxes"][1, ::2] = outputs["boxes"][1, ::2, :2].repeat(2, -1)  # points
    variables = {name: tf.Variable(values) for name, values in outputs.items()}
    with tf.GradientTape() as tape:
        target = task_aligned(tf.sigmoid(variables["scores"]), variables["boxes"], POINTS, boxes, labels)
        total, number = detection_terms(variables, target, POINTS, STEPS)
        loss = total / number
    for gradient in tape.gradient(loss, list(variables.values())):
        assert np.isfinite(gradient).all() and np.abs(gradient).max() > 0
