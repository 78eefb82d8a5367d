"""Suppression against plain loops over boxes, and what must hold for any boxes."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.ops.test_boxes import plain_overlap
from tfdl.ops.suppression import matrix_nms, non_max_suppression

FIELDS = ("boxes", "scores", "labels", "index")


def crowd(seed, images=2, count=24, classes=3):
    """Boxes (B, N, 4) that overlap a lot, and scores (B, N, C)."""
    rng = np.random.default_rng(seed)
    low = rng.uniform(0, 20, (images, count, 2))
    boxes = np.concatenate([low, low + rng.uniform(5, 25, (images, count, 2))], -1).astype("float32")
    return boxes, rng.random((images, count, classes), "float32")


def greedy_loop(boxes, scores, iou, threshold, most, aware):
    """One image, box by box: [(index, label, score)]."""
    pairs = [(scores[i, c], i, c) for i in range(len(boxes)) for c in range(scores.shape[1])]
    kept = []
    for score, i, c in sorted(pairs, key=lambda pair: (-pair[0], pair[1], pair[2])):
        rivals = [j for _, j, d in kept if d == c or not aware]
        if score >= threshold and all(plain_overlap(boxes[i], boxes[j], "iou") <= iou for j in rivals):
            kept.append((score, i, c))
    return kept[:most]


def matrix_loop(boxes, scores, sigma):
    """One image of one class: the lowered scores in the order of the scores."""
    order = np.argsort(-scores, kind="stable")
    found = []
    for place, i in enumerate(order):
        factor = 1.0
        for before, j in enumerate(order[:place]):
            iou = plain_overlap(boxes[i], boxes[j], "iou")
            own = max((plain_overlap(boxes[j], boxes[k], "iou") for k in order[:before]), default=0.0)
            here = (1 - iou) / (1 - own) if sigma is None else np.exp(-(iou**2) / sigma) / np.exp(-(own**2) / sigma)
            factor = min(factor, here)
        found.append((scores[i] * factor, i))
    return found


@pytest.mark.parametrize("aware", [True, False])
@pytest.mark.parametrize("seed", range(4))
def test_greedy_suppression_is_the_loop_over_boxes(seed, aware):
    boxes, scores = crowd(seed)
    found = non_max_suppression(
        boxes, scores, iou_threshold=0.4, score_threshold=0.2, max_detections=45, class_aware=aware
    )
    for image in range(len(boxes)):
        expected = greedy_loop(boxes[image], scores[image], 0.4, 0.2, 45, aware)
        count = len(expected)
        assert 3 < count < 45
        np.testing.assert_array_equal(np.array(found["index"][image][:count]), [i for _, i, _ in expected])
        np.testing.assert_array_equal(np.array(found["labels"][image][:count]), [c for _, _, c in expected])
        np.testing.assert_allclose(found["scores"][image][:count], [s for s, _, _ in expected])
        np.testing.assert_allclose(found["boxes"][image][:count], boxes[image][[i for _, i, _ in expected]])
        assert (np.array(found["labels"][image][count:]) == -1).all()


def test_greedy_suppression_agrees_with_tensorflow():
    boxes, scores = crowd(9, images=1, count=200, classes=1)
    found = non_max_suppression(boxes, scores, iou_threshold=0.3, score_threshold=0.1, max_detections=200)
    yxyx = boxes[0][:, [1, 0, 3, 2]]
    expected = tf.image.non_max_suppression(yxyx, scores[0, :, 0], 200, 0.3, 0.1).numpy()
    np.testing.assert_array_equal(np.array(found["index"][0])[: len(expected)], expected)
    assert np.array(found["index"][0])[len(expected)] == -1


def test_a_chain_of_boxes_is_resolved_as_one_after_the_other():
    """Each overlaps with the next only: the first suppresses the second, which then no longer suppresses the third."""
    left = 5.0 * np.arange(31)
    boxes = np.stack([left, 0 * left, left + 10, 0 * left + 10], -1)[None].astype("float32")  # IoU 1/3 of neighbors
    scores = np.linspace(0.9, 0.6, 31, dtype="float32")[None, :, None]
    found = non_max_suppression(boxes, scores, iou_threshold=0.3, max_detections=31)
    np.testing.assert_array_equal(np.array(found["index"][0])[:16], np.arange(0, 31, 2))
    assert (np.array(found["index"][0])[16:] == -1).all()


@pytest.mark.parametrize("sigma", [None, 0.5])
def test_matrix_suppression_is_the_loop_of_the_paper(sigma):
    boxes, scores = crowd(2, images=1, classes=1)
    found = matrix_nms(boxes, scores, sigma=sigma, score_threshold=0.0, max_detections=24)
    expected = sorted(matrix_loop(boxes[0], scores[0, :, 0], sigma), reverse=True)
    np.testing.assert_allclose(found["scores"][0], [score for score, _ in expected], atol=1e-5)
    sure = [score > 1e-4 for score, _ in expected]  # equal zeros may come in any order
    np.testing.assert_array_equal(np.array(found["index"][0])[sure], [i for s, i in expected if s > 1e-4])


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**16), st.floats(0.05, 0.9), st.floats(0.0, 0.9))
def test_kept_boxes_do_not_overlap_and_suppressed_ones_have_a_reason(seed, iou, threshold):
    boxes, scores = crowd(seed, images=1, count=15, classes=2)
    found = {
        name: np.array(values[0])
        for name, values in non_max_suppression(
            boxes, scores, iou_threshold=iou, score_threshold=threshold, max_detections=30
        ).items()
    }
    kept = [(i, c) for i, c in zip(found["index"], found["labels"]) if c >= 0]
    assert len(set(kept)) == len(kept)
    assert (np.diff(found["scores"]) <= 0).all()
    for i in range(15):
        for c in range(2):
            rivals = [j for j, d in kept if d == c and scores[0, j, c] >= scores[0, i, c] and j != i]
            overlaps = [plain_overlap(boxes[0, i], boxes[0, j], "iou") for j in rivals]
            if (i, c) in kept:
                assert max(overlaps, default=0) <= iou + 1e-5 and scores[0, i, c] >= threshold
            else:
                assert max(overlaps, default=0) >= iou - 1e-5 or scores[0, i, c] < threshold


def test_fewer_candidates_than_detections_are_padded():
    boxes, scores = crowd(0, count=2, classes=1)
    for function in (non_max_suppression, matrix_nms):
        found = function(boxes, scores, max_detections=7)
        assert {name: tuple(found[name].shape) for name in FIELDS} == {
            "boxes": (2, 7, 4),
            "scores": (2, 7),
            "labels": (2, 7),
            "index": (2, 7),
        }
        assert (np.array(found["labels"])[:, 2:] == -1).all() and (np.array(found["boxes"])[:, 2:] == 0).all()


def test_images_of_a_batch_do_not_see_each_other():
    boxes, scores = crowd(5, images=3)
    together = non_max_suppression(boxes, scores)
    alone = non_max_suppression(boxes[1:2], scores[1:2])
    for name in FIELDS:
        np.testing.assert_array_equal(together[name][1], alone[name][0])


def test_batch_may_be_unknown_in_a_graph():
    boxes, scores = crowd(1)
    spec = [tf.TensorSpec((None, *x.shape[1:])) for x in (boxes, scores)]
    traced = tf.function(non_max_suppression, input_signature=spec, autograph=False)
    for name, values in traced(boxes, scores).items():
        np.testing.assert_array_equal(values, non_max_suppression(boxes, scores)[name])


def test_numbers_out_of_range_are_refused():
    boxes, scores = crowd(0)
    with pytest.raises(ValueError, match=r"iou_threshold is 1.5; give a number in \[0, 1\]"):
        non_max_suppression(boxes, scores, iou_threshold=1.5)
    with pytest.raises(ValueError, match="max_detections is 0; give 1 or more"):
        non_max_suppression(boxes, scores, max_detections=0)
    with pytest.raises(ValueError, match="sigma is -1"):
        matrix_nms(boxes, scores, sigma=-1)
