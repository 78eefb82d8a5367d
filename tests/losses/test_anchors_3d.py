"""Anchors in space: who is to find what, and eq. 2 by hand."""

import math

import numpy as np

from tfdl.losses.anchors_3d import anchor_terms, assign, smooth_l1

CAR = (3.9, 1.6, 1.56)
ANCHORS = np.array([(x, y, -1, *CAR, yaw) for x in (0, 4, 8) for y in (0, 4) for yaw in (0, math.pi / 2)], "float32")
TRUTH = {
    "boxes": np.array([[(0.1, 0, -1, *CAR, 0.05), (6, 2, -1, *CAR, 0.8), (0,) * 7], [(0,) * 7] * 3], "float32"),
    "labels": np.array([[0, 0, -1], [-1, -1, -1]], "int32"),
}


def outputs(seed=0):
    rng = np.random.default_rng(seed)
    return {
        "scores": rng.normal(size=(2, 12, 1)).astype("float32"),
        "offsets": rng.normal(size=(2, 12, 7)).astype("float32"),
    }


def test_every_object_has_an_anchor_and_padding_has_none():
    target = {name: np.array(x) for name, x in assign(ANCHORS, TRUTH["boxes"], TRUTH["labels"]).items()}
    assert target["positive"][0, 0], "an IoU of more than 0.6"
    best = np.flatnonzero(target["positive"][0])
    assert len(best) == 2 and set(best) - {0}, "the second object overlaps little, but has its best anchor"
    np.testing.assert_array_equal(target["boxes"][0, best[0]], TRUTH["boxes"][0, 0])
    np.testing.assert_array_equal(target["boxes"][0, best[1]], TRUTH["boxes"][0, 1])
    assert not target["positive"][1].any() and target["negative"][1].all()
    assert not (target["positive"] & target["negative"]).any()


def test_anchors_in_between_are_left_alone():
    shifted = ANCHORS[:1] + np.array([[1.1, 0, 0, 0, 0, 0, 0]], "float32")  # an IoU of 0.56
    anchors = np.concatenate([ANCHORS[:1], shifted, ANCHORS[4:]])
    boxes = ANCHORS[None, :1]
    target = assign(anchors, boxes, np.zeros((1, 1), "int32"))
    assert np.array(target["positive"])[0, :2].tolist() == [True, False]
    assert np.array(target["negative"])[0, :2].tolist() == [False, False]
    eager = assign(anchors, boxes, np.zeros((1, 1), "int32"), positive=0.5, negative=0.4)
    assert np.array(eager["positive"])[0, :2].tolist() == [True, True]


def test_object_whose_best_anchor_fits_another_better_keeps_it():
    boxes = np.array([[(0.2, 0, -1, *CAR, 0), (1.0, 0.3, -1, *CAR, 0)]], "float32")
    target = assign(ANCHORS[:1], boxes, np.zeros((1, 2), "int32"))
    assert np.array(target["positive"]).all()


def test_terms_are_eq_2():
    target = assign(ANCHORS, TRUTH["boxes"], TRUTH["labels"])
    positive, negative = (np.array(target[name]) for name in ("positive", "negative"))
    made = outputs()
    p = 1 / (1 + np.exp(-made["scores"][..., 0].astype("float64")))
    wrong = 0.0
    for row, place in zip(*np.nonzero(positive)):
        anchor, box = ANCHORS[place].astype("float64"), np.array(target["boxes"])[row, place].astype("float64")
        d = math.hypot(anchor[3], anchor[4])
        angle = (box[6] - anchor[6] + math.pi / 2) % math.pi - math.pi / 2
        u = [*(box[:2] - anchor[:2]) / d, (box[2] - anchor[2]) / anchor[5], *np.log(box[3:6] / anchor[3:6]), angle]
        away = np.abs(made["offsets"][row, place] - u)
        wrong += np.where(away < 1, away**2 / 2, away - 0.5).sum()
    expected = 1.5 * -np.log(p[positive]).sum() / positive.sum() + wrong / positive.sum()
    expected += -np.log(1 - p[negative]).sum() / negative.sum()
    terms = anchor_terms(made, target, ANCHORS)
    assert [int(number) for _, number in terms] == [positive.sum(), negative.sum()]
    np.testing.assert_allclose(sum(float(total) / float(number) for total, number in terms), expected, rtol=1e-5)


def test_batch_without_objects_has_finite_terms():
    target = assign(ANCHORS, TRUTH["boxes"][1:], TRUTH["labels"][1:])
    terms = anchor_terms({name: x[1:] for name, x in outputs().items()}, target, ANCHORS)
    assert float(terms[0][0]) == float(terms[0][1]) == 0 and np.isfinite(float(terms[1][0]))


def test_smooth_l1_is_smooth():
    np.testing.assert_allclose(smooth_l1(np.array([0.0, 0.5, 1.0, -3.0], "float32")), [0, 0.125, 0.5, 2.5])
