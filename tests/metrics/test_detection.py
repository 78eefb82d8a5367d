"""Mean average precision against pycocotools called by hand, and on cases whose value is known."""

import contextlib
import io
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from tfdl.metrics.detection import MeanAveragePrecision

LABELS = ("cat", "dog", "bird", "never seen")
SIDE = 200


def scene(seed, images=6, objects=8, found=20, classes=3):
    """Random pictures: padded objects, crowds, one picture without objects and one without detections."""
    rng = np.random.default_rng(seed)

    def boxes(count):
        low = rng.uniform(0, SIDE - 60, (images, count, 2))
        size = rng.choice([12, 40, 130], (images, count, 1)) * rng.uniform(0.8, 1.2, (images, count, 2))
        return np.concatenate([low, low + size], -1).astype("float32")

    truth = {"boxes": boxes(objects), "labels": rng.integers(-1, classes, (images, objects), "int32")}
    truth["crowd"] = rng.random((images, objects)) < 0.2
    chosen = rng.integers(0, objects, found)
    near = truth["boxes"][:, chosen] + rng.normal(0, 2, (images, found, 4))
    guesses = np.where(rng.random((images, found)) < 0.2, rng.integers(-1, classes), truth["labels"][:, chosen])
    detections = {
        "boxes": np.where(rng.random((images, found, 1)) < 0.7, near, boxes(found)).astype("float32"),
        "scores": rng.random((images, found), "float32"),
        "labels": guesses.astype("int32"),
    }
    truth["labels"][1], detections["labels"][2] = -1, -1
    return truth, detections


def by_hand(truth, detections, folder):
    """The twelve numbers from two JSON files, as COCO's own example does it; numbers of classes have gaps."""
    rows = {"images": [], "annotations": [], "categories": [{"id": 7 * i + 5, "name": n} for i, n in enumerate(LABELS)]}
    found = []
    for image, (labels, boxes, crowds) in enumerate(zip(truth["labels"], truth["boxes"], truth["crowd"])):
        rows["images"].append({"id": 100 - image, "width": SIDE, "height": SIDE})
        for label, (x1, y1, x2, y2), crowd in zip(labels, boxes.tolist(), crowds):
            if label >= 0:
                size = [x1, y1, x2 - x1, y2 - y1]
                rows["annotations"].append(
                    {
                        "id": 1000 + len(rows["annotations"]),
                        "image_id": 100 - image,
                        "category_id": 7 * int(label) + 5,
                        "bbox": size,
                        "area": size[2] * size[3],
                        "iscrowd": int(crowd),
                    }
                )
    for image, (labels, boxes, scores) in enumerate(zip(*(detections[k] for k in ("labels", "boxes", "scores")))):
        for label, (x1, y1, x2, y2), score in zip(labels, boxes.tolist(), scores.tolist()):
            if label >= 0:
                box = [x1, y1, x2 - x1, y2 - y1]
                found.append({"image_id": 100 - image, "category_id": 7 * int(label) + 5, "bbox": box, "score": score})
    (folder / "truth.json").write_text(json.dumps(rows))
    (folder / "found.json").write_text(json.dumps(found))
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(folder / "truth.json"))
        evaluation = COCOeval(coco, coco.loadRes(str(folder / "found.json")), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation


@pytest.mark.parametrize("seed", range(3))
def test_numbers_are_those_of_a_direct_call_on_random_pictures(seed, tmp_path):
    truth, detections = scene(seed)
    metric = MeanAveragePrecision(LABELS)
    for part in (slice(0, 4), slice(4, 6)):
        metric.update_state(*({name: values[part] for name, values in side.items()} for side in (truth, detections)))
    expected = by_hand(truth, detections, tmp_path)
    found = metric.result()
    names = ("map", "map50", "map75", "map_small", "map_medium", "map_large")
    assert found["map50"] > 0.1
    np.testing.assert_allclose([found[name] for name in names], expected.stats[:6], atol=1e-6)
    np.testing.assert_allclose(found["mar100"], expected.stats[8], atol=1e-6)
    precision = expected.eval["precision"][:, :, :, 0, 2]
    for number, label in enumerate(LABELS[:3]):
        np.testing.assert_allclose(metric.per_class()[label]["map"], precision[:, :, number].mean(), atol=1e-6)
        np.testing.assert_allclose(metric.curves()[label][1], precision[0, :, number], atol=1e-6)
    assert "never seen" not in metric.per_class()


def with_masks(truth, detections, seed):
    """Instances drawn from the boxes, discs inside of them, and masks of noise and discs."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:SIDE, :SIDE] + 0.5

    def disc(box):
        x1, y1, x2, y2 = box
        return ((x - (x1 + x2) / 2) / (x2 - x1)) ** 2 + ((y - (y1 + y2) / 2) / (y2 - y1)) ** 2 < 0.25

    instances = np.full((len(truth["labels"]), SIDE, SIDE), -1, "int32")
    for picture, place in np.ndindex(truth["labels"].shape):
        if truth["labels"][picture, place] >= 0:
            instances[picture][disc(truth["boxes"][picture, place])] = place
    masks = np.stack([[disc(box) for box in boxes] for boxes in detections["boxes"]]).astype("float32")
    masks = np.clip(masks + rng.normal(0, 0.2, masks.shape), 0, 1).astype("float32")
    return truth | {"instances": instances}, detections | {"masks": masks}


def masks_by_hand(truth, detections):
    """COCO's numbers of masks; ids and the order of rows are others than ours."""
    rows = {"info": {}, "images": [], "annotations": [], "categories": [{"id": i} for i in range(len(LABELS))]}
    found = []
    for image, (labels, crowds, shown) in enumerate(zip(truth["labels"], truth["crowd"], truth["instances"])):
        rows["images"].append({"id": 50 + image, "width": SIDE, "height": SIDE})
        for place in np.flatnonzero(labels >= 0):
            coded = coco_mask.encode(np.asfortranarray(shown == place, "uint8"))
            row = {"id": 1 + len(rows["annotations"]), "image_id": 50 + image, "category_id": int(labels[place])}
            row |= {"segmentation": coded, "area": int(np.sum(shown == place)), "iscrowd": int(crowds[place])}
            rows["annotations"].append(row)
        for place in np.flatnonzero(detections["labels"][image] >= 0):
            coded = coco_mask.encode(np.asfortranarray(detections["masks"][image, place] > 0.5, "uint8"))
            row = {"image_id": 50 + image, "category_id": int(detections["labels"][image, place])}
            found.append(row | {"segmentation": coded, "score": float(detections["scores"][image, place])})
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = rows
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(found), "segm")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.stats


@pytest.mark.parametrize("seed", range(2))
def test_numbers_of_masks_are_those_of_a_direct_call(seed):
    """With crowds, a picture without objects and one without detections."""
    plain = scene(seed, found=12)
    truth, detections = with_masks(*plain, seed)
    metric, of_boxes = MeanAveragePrecision(LABELS), MeanAveragePrecision(LABELS)
    for part in (slice(0, 4), slice(4, 6)):
        metric.update_state(*({name: values[part] for name, values in side.items()} for side in (truth, detections)))
    of_boxes.update_state(*plain)
    found = metric.result()
    names = ("mask_map", "mask_map50", "mask_map75")
    np.testing.assert_allclose([found.pop(name) for name in names], masks_by_hand(truth, detections)[:3], atol=1e-6)
    assert metric.result()["mask_map50"] > 0.03
    assert found == of_boxes.result(), "masks change nothing about boxes"


def test_masks_that_cannot_be_compared_are_refused():
    truth, detections = with_masks(*scene(0, images=3), 0)
    metric = MeanAveragePrecision(LABELS)
    with pytest.raises(ValueError, match=r"Masks have \[28, 28\] pixels, the pictures \[200, 200\]; paste them"):
        metric.update_state(truth, detections | {"masks": detections["masks"][..., :28, :28]})
    metric.update_state(truth, detections)
    with pytest.raises(ValueError, match="Some batches have masks and some have none"):
        metric.update_state({k: v for k, v in truth.items() if k != "instances"}, detections)


def perfect(truth):
    scores = np.where(truth["labels"] >= 0, 0.9, 0).astype("float32")
    return {"boxes": truth["boxes"], "scores": scores, "labels": truth["labels"]}


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**16))
def test_perfect_answers_have_1_and_the_order_of_pictures_does_not_matter(seed):
    truth, detections = scene(seed)
    truth = {name: truth[name] for name in ("boxes", "labels")}
    metric = MeanAveragePrecision(LABELS)
    metric.update_state(truth, perfect(truth))
    assert metric.result()["map"] == pytest.approx(1)
    results = []
    for order in (np.arange(6), np.random.default_rng(seed).permutation(6)):
        metric.reset_state()
        metric.update_state(*({name: values[order] for name, values in side.items()} for side in (truth, detections)))
        results.append(metric.result())
    assert results[0] == pytest.approx(results[1])


def test_half_of_the_objects_found_is_half_the_precision():
    """Ranked detections: right, wrong, right of 4 objects; AP = (26 * 1 + 25 * 2/3) / 101 by hand."""
    boxes = np.array([[[0, 0, 50, 50], [60, 0, 110, 50], [0, 60, 50, 110], [60, 60, 110, 110]]], "float32")
    truth = {"boxes": boxes, "labels": np.zeros((1, 4), "int32")}
    detections = {
        "boxes": np.array([[[0, 0, 50, 50], [130, 130, 180, 180], [60, 0, 110, 50]]], "float32"),
        "scores": np.array([[0.9, 0.8, 0.7]], "float32"),
        "labels": np.zeros((1, 3), "int32"),
    }
    metric = MeanAveragePrecision(["thing"])
    metric.update_state(truth, detections)
    assert metric.result()["map50"] == pytest.approx((26 + 25 * 2 / 3) / 101)


def test_what_is_found_in_an_ignored_region_is_neither_right_nor_wrong():
    truth = {
        "boxes": np.array([[[0, 0, 50, 50], [60, 60, 160, 160]]], "float32"),
        "labels": np.zeros((1, 2), "int32"),
        "crowd": np.array([[False, True]]),
    }
    detections = {
        "boxes": np.array([[[60, 60, 90, 90], [100, 100, 150, 150], [0, 0, 50, 50]]], "float32"),
        "scores": np.array([[0.9, 0.8, 0.7]], "float32"),
        "labels": np.zeros((1, 3), "int32"),
    }
    metric = MeanAveragePrecision(["thing"])
    metric.update_state(truth, detections)
    assert metric.result()["map"] == pytest.approx(1)
    metric.reset_state()
    metric.update_state({**truth, "crowd": np.zeros((1, 2), bool)}, detections)
    assert metric.result()["map"] < 0.5


def test_nothing_found_is_0_and_no_object_has_no_number():
    truth, detections = scene(0)
    nothing = {**detections, "labels": np.full_like(detections["labels"], -1)}
    metric = MeanAveragePrecision(LABELS)
    metric.update_state(truth, nothing)
    assert metric.result()["map"] == 0
    metric.reset_state()
    metric.update_state({**truth, "labels": np.full_like(truth["labels"], -1)}, nothing)
    assert metric.result() == {} and metric.per_class() == {}


def test_mistakes_are_said_in_one_sentence():
    truth, detections = scene(0)
    metric = MeanAveragePrecision(LABELS)
    with pytest.raises(ValueError, match="no pictures to evaluate"):
        metric.result()
    with pytest.raises(ValueError, match="detections have the class 9; the classes are 0 to 3"):
        metric.update_state(truth, {**detections, "labels": np.full_like(detections["labels"], 9)})
    detections["boxes"][0, np.flatnonzero(detections["labels"][0] >= 0)[0]] = np.nan
    with pytest.raises(ValueError, match="boxes that are not finite"):
        metric.update_state(truth, detections)
    with pytest.raises(ValueError, match="labels is empty"):
        MeanAveragePrecision(())
