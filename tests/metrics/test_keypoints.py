"""Errors of key points are those of plain loops, and average precision is pycocotools' own to the last digit."""

import contextlib
import io

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from tfdl.core.bodies import BODIES
from tfdl.metrics.keypoints import KeypointPrecision, PointErrors, lengths, oks

COCO_BODY = BODIES["coco"]


def people(pictures, objects, seed=0):
    """Random key points (B, N, 17, 3), some not visible, one picture without anybody, and areas (B, N)."""
    rng = np.random.default_rng(seed)
    size = rng.uniform(30, 200, (pictures, objects, 1, 1))
    corner = rng.uniform(0, 300, (pictures, objects, 1, 2))
    visible = rng.random((pictures, objects, 17, 1)) < 0.8
    truth = np.concatenate([corner + size * rng.random((pictures, objects, 17, 2)), visible], -1)
    truth[0] = 0
    if objects > 1:
        truth[1:, -1] = 0
    return truth.astype("float32"), (0.5 * size[..., 0, 0] ** 2).astype("float32")


def guesses(truth, seed=1):
    """Answers near some of the people, and others nowhere near: (B, D, 17, 3), scores (B, D) with padding."""
    rng = np.random.default_rng(seed)
    near = truth + rng.normal(0, 6, truth.shape) * rng.uniform(0, 3, (*truth.shape[:2], 1, 1))
    found = np.concatenate([near, rng.uniform(0, 300, near[:, :1].shape)], 1)
    scores = rng.random(found.shape[:2])
    scores[rng.random(scores.shape) < 0.2] = -np.inf
    return found.astype("float32"), scores.astype("float32")


def test_average_precision_is_that_of_a_direct_call():
    truth, area = people(12, 4)
    found, scores = guesses(truth)
    metric = KeypointPrecision(COCO_BODY.sigmas)
    for part in (slice(0, 5), slice(5, 12)):
        metric.update_state(truth[part], area[part], found[part], scores[part])
    annotations, results = [], []
    for b in range(12):
        for n in range(4):
            v = truth[b, n, :, 2] > 0
            if v.any():
                points = np.concatenate([truth[b, n, :, :2], 2 * v[:, None]], 1) * v[:, None]
                low, high = truth[b, n, v, :2].min(0), truth[b, n, v, :2].max(0)
                row = {"id": len(annotations) + 1, "image_id": b, "category_id": 1, "iscrowd": 0}
                row |= {"keypoints": points.ravel().tolist(), "num_keypoints": int(v.sum())}
                row |= {"area": float(area[b, n]), "bbox": [*map(float, low), *map(float, high - low)]}
                annotations.append(row)
        for d in np.flatnonzero(np.isfinite(scores[b])):
            points = np.concatenate([found[b, d, :, :2], np.ones((17, 1))], 1)
            row = {"image_id": b, "category_id": 1, "keypoints": points.ravel().tolist()}
            results.append(row | {"score": float(scores[b, d])})
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        images = [{"id": b} for b in range(12)]
        coco.dataset = {"info": {}, "images": images, "annotations": annotations}
        coco.dataset["categories"] = [{"id": 1, "name": "person"}]
        coco.createIndex()
        direct = COCOeval(coco, coco.loadRes(results), "keypoints")
        direct.evaluate(), direct.accumulate(), direct.summarize()
    ours = metric.evaluation()
    np.testing.assert_allclose(ours.stats, direct.stats, atol=1e-6)
    assert 0.05 < metric.result()["oks_ap50"] < 0.95, "a comparison of trivial numbers shows nothing"


def test_oks_is_that_of_pycocotools():
    truth, area = people(4, 2, seed=3)
    found = guesses(truth)[0][:, :2]
    metric = KeypointPrecision(COCO_BODY.sigmas)
    metric.update_state(truth[1:, :1], area[1:, :1], found[1:, :1], np.ones((3, 1), "float32"))
    theirs = [float(table[0, 0]) for table in metric.evaluation().ious.values()]
    np.testing.assert_allclose(oks(truth[1:, 0], found[1:, 0], area[1:, 0], COCO_BODY.sigmas), theirs, rtol=1e-6)
    assert oks(truth[0, 0], found[0, 0], 1.0, COCO_BODY.sigmas) == 0, "nobody is there"


def test_errors_are_those_of_a_plain_loop():
    truth, _ = people(6, 1)
    truth[1:, 0, 5:13, 2] = 1
    truth[4, 0, 11, 2] = 0
    found = guesses(truth)[0][:, 0]
    errors = PointErrors(COCO_BODY.ends)
    errors.update_state(truth[:3, 0], found[:3])
    errors.update_state(truth[3:, 0], found[3:])
    means, right, count = [], 0, 0
    for own, other in zip(truth[:, 0].astype("float64"), found):
        if not (own[[5, 6, 11, 12], 2] > 0).all():
            continue
        length = np.hypot(*((own[5] + own[6]) / 2 - (own[11] + own[12]) / 2)[:2])
        d = [np.hypot(*(a[:2] - b[:2])) / length for a, b in zip(own, other) if a[2] > 0]
        means.append(np.mean(d))
        right, count = right + sum(x < 0.2 for x in d), count + len(d)
    assert 1 < len(means) < 6
    assert errors.result() == pytest.approx({"nme": np.mean(means), "pck": right / count})
    assert np.isfinite(errors.per_picture()).sum() == len(means)
    nme, pck = errors.per_point()
    assert nme.shape == pck.shape == (17,) and np.nanmax(pck) <= 1


def test_right_answers_have_no_error_and_far_ones_are_wrong():
    truth, _ = people(4, 1)
    truth = truth[1:, 0]
    truth[..., 2] = 1
    for shift, expected in ((0.0, {"nme": 0.0, "pck": 1.0}), (1e6, None)):
        errors = PointErrors(COCO_BODY.ends)
        errors.update_state(truth, truth[..., :2] + shift)
        if expected:
            assert errors.result() == pytest.approx(expected)
        else:
            assert errors.result()["pck"] == 0 and errors.result()["nme"] > 1e3
    assert PointErrors(COCO_BODY.ends).result() == {}


def test_a_length_needs_both_ends():
    points = np.zeros((2, 4, 3), "float32")
    points[:, 2:, 0], points[:, :, 2] = 10, 1
    points[1, 3, 2] = 0
    np.testing.assert_array_equal(lengths(points, ((0, 1), (2, 3))), [10, np.nan])


def test_a_length_without_ends_is_the_longer_side_of_the_box():
    points = np.array([[[1, 2, 1], [4, 9, 1], [50, 50, 0]], [[0, 0, 0]] * 3, [[5, 5, 1]] + [[0, 0, 0]] * 2], "float32")
    np.testing.assert_array_equal(lengths(points, ()), [7, np.nan, np.nan])


def test_wrong_arguments_are_refused():
    errors = PointErrors(COCO_BODY.ends)
    with pytest.raises(ValueError, match=r"\(2, 17, 3\) key points, and answers of \(2, 16, 2\)"):
        errors.update_state(np.zeros((2, 17, 3)), np.zeros((2, 16, 2)))
    with pytest.raises(ValueError, match="not all finite"):
        errors.update_state(np.zeros((1, 17, 3)), np.full((1, 17, 2), np.nan))
    with pytest.raises(ValueError, match="no pictures to measure"):
        errors.per_point()
    with pytest.raises(ValueError, match="threshold is 0"):
        PointErrors(COCO_BODY.ends, threshold=0)
    with pytest.raises(ValueError, match=r"sigmas is \(\)"):
        KeypointPrecision(())
    precision = KeypointPrecision(COCO_BODY.sigmas)
    with pytest.raises(ValueError, match="17 sigmas for key points"):
        precision.update_state(np.zeros((1, 1, 5, 3)), np.ones((1, 1)), np.zeros((1, 1, 5, 3)), np.ones((1, 1)))
    with pytest.raises(ValueError, match="no pictures with answers"):
        precision.evaluation()
