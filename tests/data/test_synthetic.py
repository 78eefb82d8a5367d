import numpy as np
import pytest
import tensorflow as tf
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

from tfdl.core.batches import CONTRACTS, check
from tfdl.data.synthetic import synthetic
from tfdl.ops.boxes_3d import contains

SMALL = {
    "classification": {"image_shape": (9, 11, 1), "num_classes": 7},
    "detection": {"image_shape": (16, 18, 3), "masks": True},
    "few_shot": {"image_shape": (9, 11, 3), "ways": 2, "shots": 3, "queries": 5},
    "points": {"points": 13, "features": 2},
    "point_segmentation": {"points": 13, "features": 1},
}


def arrays(task, **arguments):
    """All batches of a task as one: (x, y) of arrays, y None where there is none."""
    rows = list(synthetic(task, **arguments).as_numpy_iterator())
    joined = tf.nest.map_structure(lambda *values: np.concatenate(values), *rows)
    return joined if CONTRACTS[task].y else (joined, None)


@pytest.mark.parametrize("task", CONTRACTS)
def test_every_contract_has_a_set_that_keeps_it(task):
    batches = list(synthetic(task, batch_size=3, batches=4, seed=2, **SMALL.get(task, {})))
    assert len(batches) == 4
    for batch in batches:
        check(task, *(batch if CONTRACTS[task].y else (batch,)))


@pytest.mark.parametrize("task", CONTRACTS)
def test_seed_decides_and_batches_differ(task):
    first, again, other = (
        [tf.nest.flatten(batch) for batch in synthetic(task, batch_size=2, batches=2, seed=seed)] for seed in (1, 1, 2)
    )
    equal = [np.array_equal(a, b) for x, y in zip(first, again, strict=True) for a, b in zip(x, y, strict=True)]
    assert all(equal)
    assert not all(np.array_equal(a, b) for a, b in zip(first[0], other[0], strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(first[0], first[1], strict=True))


def test_errors_name_the_choices():
    with pytest.raises(ValueError, match=r"'sound'.*classification"):
        synthetic("sound")
    with pytest.raises(ValueError, match="no width; it has image_shape, num_classes"):
        synthetic("classification", width=3)
    with pytest.raises(ValueError, match="batch_size is 0"):
        synthetic("classification", batch_size=0)


def test_objects_and_only_objects_are_bright():
    images, y = arrays("detection", batch_size=8, batches=2, image_shape=(20, 30, 1), num_classes=9, masks=True)
    bright = images[..., 0] > 0.2
    np.testing.assert_array_equal(bright, y["instances"] >= 0)
    left, _, right, bottom = np.moveaxis(y["boxes"], -1, 0)
    real = y["labels"] >= 0
    assert (right - left >= 5)[real].all() and (right <= 30).all() and (bottom <= 20).all() and (left >= 0).all()
    assert (y["boxes"][~real] == 0).all() and real.any() and not real.all()


def test_a_lone_mask_touches_every_side_of_its_box():
    _, y = arrays("detection", batch_size=16, batches=1, image_shape=(20, 30, 1), num_classes=5, objects=1, masks=True)
    for instances, box in zip(y["instances"], y["boxes"][:, 0], strict=True):
        rows, columns = np.nonzero(instances == 0)
        np.testing.assert_array_equal(box, (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1))


def test_boxes_in_space_hold_their_points():
    points, y = arrays("point_detection", batch_size=6, batches=2, objects=2)
    real = y["labels"] >= 0
    inside = np.stack([contains(box, cloud[:, :3]) for box, cloud in zip(y["boxes"], points)])  # (B, N, P)
    assert (inside.sum(-1)[real] >= 60).all() and real.any() and not real.all()
    np.testing.assert_array_equal(y["boxes"][real][:, 5], 1 + y["labels"][real])


def test_forms_can_be_told_apart_wherever_they_are():
    images, y = arrays("detection", batch_size=64, batches=5, image_shape=(24, 24, 1), num_classes=7, objects=1)
    crops = []
    for image, box in zip(images[..., 0], y["boxes"][:, 0].astype(int), strict=True):
        left, top, right, bottom = box
        crops.append(tf.image.resize(image[top:bottom, left:right, None], (12, 12)).numpy().ravel())
    crops, labels = np.stack(crops), y["labels"][:, 0]
    model = KNeighborsClassifier(1).fit(crops[:256], labels[:256])
    assert model.score(crops[256:], labels[256:]) > 0.95


def test_segmentation_can_be_read_from_the_brightness_of_the_form():
    images, masks = arrays("segmentation", batch_size=8, image_shape=(15, 17, 1), num_classes=2)
    inside = masks != 255
    np.testing.assert_array_equal(inside.sum((1, 2)), 13 * 15)
    np.testing.assert_array_equal(images[..., 0][inside] > 0.2, masks[inside] == 1)


def test_keypoints_are_those_of_the_box():
    images, truth = arrays("keypoints", batch_size=4, image_shape=(20, 30, 1), objects=2, points=4)
    points = truth["keypoints"]
    for image, (center, left, top, right) in zip(images[..., 0], points[:, 0], strict=True):
        np.testing.assert_allclose(center[0], (left[0] + right[0]) / 2)
        assert top[1] < left[1] == right[1] == center[1]
        assert (image[:, int(left[0])] > 0.2).any()
        assert center[2] == 1
    assert (points[points[..., 2] == 0] == 0).all()


def test_surfaces_can_be_told_apart_from_simple_statistics():
    clouds, labels = arrays("points", batch_size=64, batches=4)
    radii = np.linalg.norm(clouds, axis=-1)
    features = np.concatenate([clouds.std(1), radii.mean(1, keepdims=True), radii.std(1, keepdims=True)], 1)
    assert (
        LogisticRegression(C=100, max_iter=1000).fit(features[:192], labels[:192]).score(features[192:], labels[192:])
        > 0.95
    )


def test_points_are_labelled_by_height():
    clouds, labels = arrays("point_segmentation", points=20, num_classes=4)
    low, high = labels[..., :-1] / 2 - 1, labels[..., :-1] / 2 - 0.5
    assert ((low <= clouds[:, :-1, 2]) & (clouds[:, :-1, 2] <= high + 1e-6)).all()
    assert (labels[:, -1] == -1).all()


def test_next_token_is_one_higher():
    tokens, targets = arrays("language_model", length=9, vocabulary=5)
    used = tokens > 0
    np.testing.assert_array_equal(targets, np.where(used, tokens % 4 + 1, -1))
    assert not used.all() and used[:, 0].all()


def test_target_repeats_the_source():
    x, target_out = arrays("sequence_to_sequence", length=6, vocabulary=9)
    for source, target_in, out in zip(x["source"], x["target_in"], target_out, strict=True):
        words = source[source > 0]
        np.testing.assert_array_equal(target_in[target_in > 0], [1, *words])
        np.testing.assert_array_equal(out, [*words, 2, *[-1] * (6 - len(words))])


def test_every_length_and_every_number_of_objects_occurs():
    tokens, _ = arrays("language_model", batch_size=200, length=9)
    assert set((tokens > 0).sum(1)) == {5, 6, 7, 8, 9}
    x, _ = arrays("sequence_to_sequence", batch_size=200, length=6)
    assert set((x["source"] > 0).sum(1)) == {3, 4, 5, 6}
    _, y = arrays("detection", batch_size=100, image_shape=(10, 10, 1), objects=3)
    assert set((y["labels"] >= 0).sum(1)) == {1, 2, 3} and set(np.unique(y["labels"])) == {-1, 0, 1, 2}
    x, labels = next(iter(synthetic("graph_classification", batch_size=200, nodes=6).as_numpy_iterator()))
    assert set(np.bincount(x["graphs"][x["node_mask"]])) == {4, 5, 6} and set(labels) == {0, 1}


def test_caption_names_the_form():
    x, _ = arrays("image_text", batch_size=32, seed=5, image_shape=(24, 24, 1))
    images, labels = arrays("classification", batch_size=32, seed=5, image_shape=(24, 24, 1))
    np.testing.assert_array_equal(x["images"], images)
    np.testing.assert_array_equal(x["tokens"][:, 1], 3 + labels)


def test_neighbors_help_to_classify_nodes():
    x, labels = next(iter(synthetic("graph", nodes=400, edges=3000).as_numpy_iterator()))
    real, edges = x["node_mask"], x["edges"][x["edge_mask"]]
    assert (labels[edges[:, 0]] == labels[edges[:, 1]]).mean() > 0.8
    mean = np.zeros_like(x["nodes"])
    np.add.at(mean, edges[:, 0], x["nodes"][edges[:, 1]])
    alone, together = (
        LogisticRegression(max_iter=500).fit(f[real][:180], labels[real][:180]).score(f[real][180:], labels[real][180:])
        for f in (x["nodes"], mean)
    )
    assert together > 0.9 > alone
    assert (labels[~real] == -1).all()


def test_rings_and_stars_differ_in_degree():
    x, labels = next(iter(synthetic("graph_classification", batch_size=20).as_numpy_iterator()))
    degrees = np.bincount(x["edges"][x["edge_mask"]][:, 0], minlength=len(x["nodes"]))
    for graph, label in enumerate(labels):
        own = degrees[(x["graphs"] == graph) & x["node_mask"]]
        assert (set(own) == {2}) == (label == 0) and own.min() >= 1


def test_queries_look_like_the_support_of_their_class():
    x, y = arrays("few_shot", batch_size=40, batches=1, image_shape=(12, 12, 1), ways=2, shots=6, queries=6)
    right = 0
    for support, labels, query, wanted in zip(x["support"], x["support_labels"], x["query"], y, strict=True):
        summary = [np.stack([np.sort(i.ravel())[-16:] for i in side]) for side in (support, query)]
        right += (KNeighborsClassifier(3).fit(summary[0], labels).predict(summary[1]) == wanted).mean()
    assert right / 40 > 0.6
