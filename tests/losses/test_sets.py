"""Cost and loss of DETR against plain loops over objects and queries, and scipy's own optimum."""

import numpy as np
import pytest

from tests.ops.test_boxes import plain_overlap
from tfdl.losses.sets import matching_cost, set_terms
from tfdl.ops.matching import match

B, L, Q, N, C = 3, 2, 5, 4, 3
GAINS = (1.0, 5.0, 2.0)


def scene(seed=0):
    """Outputs, and objects with padding: logits, places, true places, true labels."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (B, L, Q, C + 1)).astype("float32")
    places = rng.uniform(0.2, 0.5, (B, L, Q, 4)).astype("float32")
    truth = rng.uniform(0.2, 0.5, (B, N, 4)).astype("float32")
    labels = rng.integers(0, C, (B, N)).astype("int32")
    labels[0, 2:] = labels[1] = -1
    return logits, places, truth, labels


def corners(place):
    x, y, w, h = place
    return np.array([x - w / 2, y - h / 2, x + w / 2, y + h / 2])


def softmax(x):
    odds = np.exp(x - x.max())
    return odds / odds.sum()


def plain_cost(logits, place, true_place, label):
    giou = plain_overlap(corners(place), corners(true_place), "giou")
    return -softmax(logits)[label] + 5 * np.abs(place - true_place).sum() - 2 * giou


def test_cost_is_that_of_every_pair():
    logits, places, truth, labels = scene()
    cost = np.array(matching_cost(logits, places, truth, labels))
    assert cost.shape == (B, L, Q, N)
    for b, layer, q, n in np.ndindex(B, L, Q, N):
        if labels[b, n] >= 0:
            expected = plain_cost(logits[b, layer, q], places[b, layer, q], truth[b, n], labels[b, n])
            assert cost[b, layer, q, n] == pytest.approx(expected, abs=1e-5)


def test_loss_is_that_of_plain_loops():
    logits, places, truth, labels = scene()
    here = np.broadcast_to((labels >= 0)[:, None], (B, L, N))
    matches = match(np.array(matching_cost(logits, places, truth, labels)), here)
    of_classes, of_boxes = 0.0, 0.0
    weights = np.zeros(L)
    for b, layer in np.ndindex(B, L):
        owner = {matches[b, layer, n]: n for n in range(N) if labels[b, n] >= 0}
        for q in range(Q):
            label = labels[b, owner[q]] if q in owner else C
            weight = 1.0 if q in owner else 0.1
            weights[layer] += weight
            of_classes -= weight * np.log(softmax(logits[b, layer, q])[label])
            if q in owner:
                place, true = places[b, layer, q], truth[b, owner[q]]
                giou = plain_overlap(corners(place), corners(true), "giou")
                of_boxes += 5 * np.abs(place - true).sum() + 2 * (1 - giou)
    (class_total, total_weight), (box_total, number) = set_terms(logits, places, truth, labels, matches)
    assert float(class_total) == pytest.approx(of_classes, rel=1e-5)
    assert float(box_total) == pytest.approx(of_boxes, rel=1e-5)
    assert float(number) == (labels >= 0).sum()
    np.testing.assert_allclose(weights, float(total_weight), rtol=1e-6)


def test_order_of_objects_makes_no_difference():
    logits, places, truth, labels = scene(1)
    order = [2, 0, 3, 1]
    found = []
    for boxes, names in ((truth, labels), (truth[:, order], labels[:, order])):
        here = np.broadcast_to((names >= 0)[:, None], (B, L, N))
        matches = match(np.array(matching_cost(logits, places, boxes, names)), here)
        found.append(np.array(set_terms(logits, places, boxes, names, matches)))
    np.testing.assert_allclose(found[0], found[1], rtol=1e-5)


def test_perfect_answers_cost_nothing_and_a_second_query_for_an_object_does():
    labels = np.array([[1, 0]], "int32")
    truth = np.array([[[0.3, 0.4, 0.2, 0.3], [0.6, 0.5, 0.4, 0.2]]], "float32")
    places = truth[:, None, [1, 0, 1]]  # queries 0 and 2 find object 1
    logits = np.full((1, 1, 3, 3), -30.0, "float32")
    logits[0, 0, [0, 1, 2], [0, 1, 2]] = 30.0  # and query 2 says that it has none
    here = np.array([[[True, True]]])
    for doubled in (False, True):
        if doubled:
            logits[0, 0, 2] = [30.0, -30.0, -30.0]
        matches = match(np.array(matching_cost(logits, places, truth, labels)), here)
        (of_classes, _), (of_boxes, _) = set_terms(logits, places, truth, labels, matches)
        assert float(of_boxes) == pytest.approx(0.0, abs=1e-5)
        assert float(of_classes) == pytest.approx(0.1 * 60 if doubled else 0.0, abs=1e-3)
