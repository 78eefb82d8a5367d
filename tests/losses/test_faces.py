"""BlazeFace's loss: the anchors around the middle of a face are to find it, and what they say of it is compared."""

import numpy as np
import pytest

from tfdl.losses.faces import CORE, chosen_anchors, face_terms
from tfdl.ops.faces import anchors, decode

SHAPE = (32, 48)
CENTERS = anchors(SHAPE)


@pytest.fixture
def truth():
    """Three pictures: two faces, a tiny one, nobody."""
    boxes = np.zeros((3, 2, 4), "float32")
    boxes[0] = [[4, 4, 20, 24], [28, 8, 44, 20]]
    boxes[1, 0] = [9, 9, 11, 11]
    labels = np.array([[0, 0], [0, -1], [-1, -1]], "int32")
    rng = np.random.default_rng(0)
    points = np.concatenate([rng.uniform(0, 30, (3, 2, 2, 2)), rng.random((3, 2, 2, 1)) < 0.6], -1).astype("float32")
    return {"boxes": boxes, "labels": labels, "keypoints": points}


def test_chosen_anchors_are_those_of_a_plain_loop(truth):
    chosen, face = (np.array(x) for x in chosen_anchors(CENTERS, truth["boxes"], truth["labels"]))
    for b in range(3):
        best = {}
        for m in np.flatnonzero(truth["labels"][b] >= 0):
            x1, y1, x2, y2 = truth["boxes"][b, m]
            away = [max(abs(x - (x1 + x2) / 2) / (x2 - x1), abs(y - (y1 + y2) / 2) / (y2 - y1)) for x, y in CENTERS]
            for n, d in enumerate(away):
                if (d <= CORE or d == min(away)) and d < best.get(n, (9e9, 0))[0]:
                    best[n] = d, m
        assert set(np.flatnonzero(chosen[b])) == set(best), b
        assert all(face[b, n] == m for n, (_, m) in best.items())
    assert chosen[1].any(), "a face smaller than the distance of anchors is found by the nearest"
    assert not chosen[2].any()


def right_answer(truth):
    """Offsets and logits (3, N, ...) that find every face exactly."""
    chosen, face = (np.array(x) for x in chosen_anchors(CENTERS, truth["boxes"], truth["labels"]))
    rows = np.arange(3)[:, None]
    boxes, points = truth["boxes"][rows, face], truth["keypoints"][rows, face]
    middle = (boxes[..., :2] + boxes[..., 2:]) / 2 - CENTERS
    to_points = (points[..., :2] - CENTERS[:, None]).reshape(3, len(CENTERS), -1)
    offsets = np.concatenate([middle, boxes[..., 2:] - boxes[..., :2], to_points], -1)
    return {"offsets": offsets, "scores": np.where(chosen, 20.0, -20.0)[..., None].astype("float32")}, chosen


def test_the_right_answer_has_no_loss(truth):
    outputs, chosen = right_answer(truth)
    (score, both), (place, number) = face_terms(outputs, truth, CENTERS)
    assert float(score) == pytest.approx(0, abs=1e-5) and float(place) == pytest.approx(0, abs=1e-4)
    assert float(number) == chosen.sum() and float(both) == chosen.sum() + 3
    corners = np.array(decode(outputs["offsets"], SHAPE))[0][chosen[0]]
    assert {tuple(np.round(row[:4], 3)) for row in corners} == {tuple(row) for row in truth["boxes"][0]}


def test_hidden_points_and_anchors_without_a_face_do_not_count(truth):
    outputs, chosen = right_answer(truth)
    face = np.array(chosen_anchors(CENTERS, truth["boxes"], truth["labels"])[1])
    hidden = truth["keypoints"][np.arange(3)[:, None], face][..., 2] == 0  # (3, N, 2)
    wrong = outputs["offsets"].copy()
    wrong[..., 4:] += 99 * np.repeat(hidden, 2, -1)
    wrong[~chosen] += 77
    assert float(face_terms({**outputs, "offsets": wrong}, truth, CENTERS)[1][0]) == pytest.approx(0, abs=1e-4)
    wrong[..., 0] += 8
    assert float(face_terms({**outputs, "offsets": wrong}, truth, CENTERS)[1][0]) > 1
    missed = {**outputs, "scores": -outputs["scores"]}
    assert float(face_terms(missed, truth, CENTERS)[0][0]) > 10
