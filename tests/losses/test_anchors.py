"""The ratio rule and the loss of anchors against plain loops over objects, cells and anchors."""

import numpy as np
import pytest
import tensorflow as tf

from tests.losses.test_detection import sigmoid
from tests.ops.test_boxes import plain_overlap
from tfdl.losses.anchors import BALANCE, RATIO, anchor_terms, fitting_anchors

GRIDS = [((6, 8), 8, ((6, 9), (14, 10))), ((3, 4), 16, ((20, 22), (40, 30)))]
COUNT = sum(rows * columns * len(anchors) for (rows, columns), _, anchors in GRIDS)
CLASSES = 3


def scene(seed=0, batch=2, objects=4):
    rng = np.random.default_rng(seed)
    low = rng.uniform(0, 30, (batch, objects, 2))
    boxes = np.concatenate([low, low + rng.uniform(4, 30, (batch, objects, 2))], -1).astype("float32")
    labels = rng.integers(0, CLASSES, (batch, objects)).astype("int32")
    labels[0, -1], boxes[0, -1] = -1, 0
    corner = rng.uniform(0, 40, (batch, COUNT, 2))
    outputs = {
        "boxes": np.concatenate([corner, corner + rng.uniform(3, 30, (batch, COUNT, 2))], -1).astype("float32"),
        "objectness": rng.normal(0, 2, (batch, COUNT, 1)).astype("float32"),
        "classes": rng.normal(0, 2, (batch, COUNT, CLASSES)).astype("float32"),
    }
    return outputs, boxes, labels


def pairs_by_loops(boxes, labels, grid):
    """[(object, anchor, row, column)] of one picture and one map."""
    (rows, columns), stride, anchors = grid
    found = []
    for n, (x1, y1, x2, y2) in enumerate(boxes):
        if labels[n] < 0:
            continue
        x, y, w, h = (x1 + x2) / 2 / stride, (y1 + y2) / 2 / stride, x2 - x1, y2 - y1
        column, row = int(x), int(y)
        cells = [(row, column)]
        cells.append((row, column - 1) if x - column < 0.5 else (row, column + 1))
        cells.append((row - 1, column) if y - row < 0.5 else (row + 1, column))
        for m, (a_w, a_h) in enumerate(anchors):
            if max(w / a_w, a_w / w, h / a_h, a_h / h) < RATIO:
                found += [(n, m, r, c) for r, c in cells if 0 <= r < rows and 0 <= c < columns]
    return found


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("level", range(2))
def test_pairs_are_those_of_the_loops(seed, level):
    _, boxes, labels = scene(seed)
    (rows, columns), stride, anchors = GRIDS[level]
    index, is_pair = map(np.array, fitting_anchors(boxes, labels, (rows, columns), stride, anchors))
    for b in range(2):
        expected = pairs_by_loops(boxes[b], labels[b], GRIDS[level])
        found = [
            (n, m, index[b, n, m, k] // len(anchors) // columns, index[b, n, m, k] // len(anchors) % columns)
            for n, m, k in zip(*np.nonzero(is_pair[b]))
        ]
        assert sorted(found) == sorted(expected) and len(found) > 5
        assert all(index[b, n, m, k] % len(anchors) == m for n, m, k in np.ndindex(is_pair[b].shape))


def test_loss_is_the_sum_over_pairs_and_cells():
    outputs, boxes, labels = scene(3)
    terms = [(float(total), float(number)) for total, number in anchor_terms(outputs, boxes, labels, GRIDS)]
    start = 0
    for level, grid in enumerate(GRIDS):
        (rows, columns), _, anchors = grid
        size = rows * columns * len(anchors)
        box = crossed = objects = 0.0
        number = 0
        for b in range(2):
            target = np.zeros(size)
            for n, m, r, c in pairs_by_loops(boxes[b], labels[b], grid):
                place = (r * columns + c) * len(anchors) + m
                ciou = plain_overlap(outputs["boxes"][b, start + place], boxes[b, n], "ciou")
                p = sigmoid(outputs["classes"][b, start + place].astype("float64"))
                q = np.arange(CLASSES) == labels[b, n]
                box += 1 - ciou
                crossed += -(q * np.log(p) + (1 - q) * np.log(1 - p)).mean()
                target[place] = max(target[place], ciou)
                number += 1
            p = sigmoid(outputs["objectness"][b, start : start + size, 0].astype("float64"))
            objects += -(target * np.log(p) + (1 - target) * np.log(1 - p)).sum()
        start += size
        np.testing.assert_allclose(terms[2 * level], (0.05 * box + 0.5 * crossed, number), rtol=1e-4)
        np.testing.assert_allclose(terms[2 * level + 1], (BALANCE[level] * objects, 2 * size), rtol=1e-4)


def test_gradients_are_finite_and_pictures_without_objects_teach_that_there_is_nothing():
    outputs, boxes, labels = scene(4)
    variables = {name: tf.Variable(values) for name, values in outputs.items()}
    nothing = np.full_like(labels, -1)
    with tf.GradientTape(persistent=True) as tape:
        loss = sum(total / tf.maximum(number, 1.0) for total, number in anchor_terms(variables, boxes, labels, GRIDS))
        empty = sum(total for total, _ in anchor_terms(variables, boxes, nothing, GRIDS))
    for variable in variables.values():
        gradient = tape.gradient(loss, variable)
        assert np.isfinite(gradient).all() and np.abs(gradient).max() > 0
    assert (tape.gradient(empty, variables["objectness"]).numpy() > 0).all()
    assert not np.any(tape.gradient(empty, variables["boxes"]))
