"""Average precision in space against a direct computation, and on cases whose value is known."""

import numpy as np
import pytest

from tests.ops.test_boxes_3d import reference
from tfdl.metrics.detection_3d import AveragePrecision3D, average_precision


def scene(seed, clouds=4, objects=5, found=9):
    """Random clouds: padded and ignored objects, one cloud without objects and one without detections."""
    rng = np.random.default_rng(seed)
    places = rng.uniform(0, 30, (clouds, objects, 3)) * [1, 1, 0.02]
    sizes = np.array([3.9, 1.6, 1.5]) * rng.uniform(0.9, 1.1, (clouds, objects, 3))
    boxes = np.concatenate([places, sizes, rng.uniform(-3, 3, (clouds, objects, 1))], -1).astype("float32")
    truth = {"boxes": boxes, "labels": rng.integers(-1, 1, (clouds, objects), "int32")}
    truth["ignored"] = rng.random((clouds, objects)) < 0.2
    near = boxes[:, rng.integers(0, objects, found)]
    near = near + rng.normal(0, 0.15, near.shape) * [1, 1, 1, 1, 1, 1, 0.5]
    detections = {
        "boxes": near.astype("float32"),
        "scores": rng.random((clouds, found), "float32"),
        "labels": rng.integers(-1, 1, (clouds, found), "int32") | (rng.random((clouds, found)) < 0.3),
    }
    detections["labels"] = np.where(rng.random((clouds, found)) < 0.8, 0, -1).astype("int32")
    truth["labels"][1], detections["labels"][2] = -1, -1
    return truth, detections


def direct(truth, detections, kind, threshold):
    """The same by loops, with polygons cut by hand."""
    rows = [
        (float(detections["scores"][cloud, place]), cloud, place)
        for cloud, place in zip(*np.nonzero(detections["labels"] >= 0))
    ]
    total = int(((truth["labels"] >= 0) & ~truth["ignored"]).sum())
    taken, verdicts = set(), []
    for _, cloud, place in sorted(rows, reverse=True):
        best, owner, excused = 0.0, None, False
        for other in np.flatnonzero(truth["labels"][cloud] >= 0):
            iou = reference(detections["boxes"][cloud, place], truth["boxes"][cloud, other])[kind]
            if truth["ignored"][cloud, other]:
                excused = excused or iou >= threshold
            elif (cloud, other) not in taken and iou > best:
                best, owner = iou, (cloud, other)
        if best >= threshold:
            taken.add(owner)
            verdicts.append(True)
        elif not excused:
            verdicts.append(False)
    points = [(sum(verdicts[:k]) / total, sum(verdicts[:k]) / k) for k in range(1, len(verdicts) + 1)]
    return sum(max([p for r, p in points if r >= at / 40 - 1e-9], default=0.0) for at in range(1, 41)) / 40


@pytest.mark.parametrize("seed", range(3))
def test_numbers_are_those_of_loops_over_polygons(seed):
    truth, detections = scene(seed)
    metric = AveragePrecision3D(0.6)
    for row in range(4):  # one cloud after the other
        metric.update_state(*({k: v[row : row + 1] for k, v in side.items()} for side in (truth, detections)))
    result = metric.result()
    assert result["bev_ap"] == pytest.approx(direct(truth, detections, 0, 0.6), abs=1e-9)
    assert result["ap_3d"] == pytest.approx(direct(truth, detections, 1, 0.6), abs=1e-9)
    assert result["bev_ap50"] == pytest.approx(direct(truth, detections, 0, 0.5), abs=1e-9)
    assert 0 < result["bev_ap"] < 1


def test_perfect_and_absent_answers():
    truth, _ = scene(0)
    perfect = {"boxes": truth["boxes"], "scores": np.ones(truth["labels"].shape), "labels": truth["labels"]}
    metric = AveragePrecision3D(0.5)
    metric.update_state(truth, perfect)
    assert metric.result() == {"bev_ap": 1.0, "ap_3d": 1.0, "bev_ap50": 1.0, "ap_3d_50": 1.0}
    metric.reset_state()
    metric.update_state(truth, perfect | {"labels": np.full_like(truth["labels"], -1)})
    assert set(metric.result().values()) == {0.0}
    metric.reset_state()
    metric.update_state(truth | {"labels": np.full_like(truth["labels"], -1)}, perfect)
    assert metric.result() == {}


def test_a_second_detection_of_an_object_is_wrong_and_one_of_an_ignored_object_does_not_count():
    box = np.array([[[5, 0, 0, 4, 2, 1.5, 0.3]]], "float32")
    truth = {"boxes": np.concatenate([box, box + [[[9] + [0] * 6]]], 1), "labels": np.zeros((1, 2), int)}
    truth["ignored"] = np.array([[False, True]])
    found = {
        "boxes": truth["boxes"][:, [1, 0, 0]],
        "scores": np.array([[0.9, 0.8, 0.7]]),
        "labels": np.zeros((1, 3), int),
    }
    metric = AveragePrecision3D()
    metric.update_state(truth, found)
    recall, precision = metric.curve()
    assert recall.tolist() == [1, 1] and precision.tolist() == [1, 0.5]


def test_interpolation_takes_forty_recalls():
    assert average_precision(np.array([0.5, 0.5, 1.0]), np.array([1.0, 0.5, 2 / 3])) == pytest.approx(
        (20 + 20 * 2 / 3) / 40
    )
    assert average_precision(np.array([0.5]), np.array([1.0])) == pytest.approx(0.5)
    assert average_precision(np.array([]), np.array([])) == 0


def test_mistakes_are_named():
    truth, detections = scene(0)
    with pytest.raises(ValueError, match="call update_state first"):
        AveragePrecision3D().result()
    with pytest.raises(ValueError, match="4 clouds, and 3 answers"):
        AveragePrecision3D().update_state(truth, {k: v[:3] for k, v in detections.items()})
    with pytest.raises(ValueError, match="not finite"):
        AveragePrecision3D().update_state(truth, detections | {"boxes": detections["boxes"] * np.nan})
    with pytest.raises(ValueError, match=r"threshold is 1\.5"):
        AveragePrecision3D(1.5)
