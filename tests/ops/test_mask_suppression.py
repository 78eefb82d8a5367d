"""SOLO's inference against the papers' own steps, one picture and one mask after the other, in NumPy."""

import numpy as np
import pytest

from tfdl.ops.mask_suppression import boxes_of, grid_objects, lowered_scores, masks_of


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def enlarged(x, factor):
    """Bilinear with half-pixel centers; (h, w) -> (f h, f w)."""
    for axis in (0, 1):
        size = x.shape[axis]
        place = np.clip((np.arange(size * factor) + 0.5) / factor - 0.5, 0, size - 1)
        low = np.floor(place).astype(int)
        part = (place - low).reshape([-1 if a == axis else 1 for a in (0, 1)])
        x = (1 - part) * x.take(low, axis) + part * x.take(np.minimum(low + 1, size - 1), axis)
    return x


def matrix_suppression(masks, scores, labels, sigma=0.5):
    """The program of SOLOv2's Fig. 4, sorted and element by element."""
    order = np.argsort(-scores, kind="stable")
    count = len(scores)
    iou = np.zeros((count, count))
    for i, a in enumerate(order):
        for j, b in enumerate(order[:i]):
            if labels[a] == labels[b]:
                iou[j, i] = np.sum(masks[a] & masks[b]) / np.sum(masks[a] | masks[b])
    lowered = np.zeros(count)
    for i, a in enumerate(order):
        factors = [1.0]
        for j in range(i):
            if labels[order[j]] == labels[a]:
                factors.append(np.exp(-(iou[j, i] ** 2 - iou[:, j].max() ** 2) / sigma))
        lowered[a] = scores[a] * min(factors)
    return lowered


def plain_objects(scores, masks, stride, threshold=0.1, lowest=0.05):
    """One picture: cells' scores (G, C), masks (G, h, w) -> [(score, label, cell, box)], the best first."""
    pairs = [(p, cell, label) for cell, row in enumerate(sigmoid(scores)) for label, p in enumerate(row)]
    pairs = [pair for pair in pairs if pair[0] > threshold and (masks[pair[1]] > 0.5).any()]
    if not pairs:
        return []
    binary = np.stack([masks[cell] > 0.5 for _, cell, _ in pairs])
    sure = np.array([p * masks[cell][mask].mean() for (p, cell, _), mask in zip(pairs, binary)])
    lowered = matrix_suppression(binary, sure, [label for *_, label in pairs])
    found = []
    for value, (_, cell, label), mask in zip(lowered, pairs, binary):
        if value >= lowest:
            rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
            box = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
            found.append((value, label, cell, stride * np.array(box)))
    return sorted(found, key=lambda row: -row[0])


def blobs(rng, count, height, width):
    """Logits (count, h, w) of discs that overlap a lot."""
    y, x = np.mgrid[:height, :width]
    centers, radius = rng.uniform(0.2, 0.8, (count, 2)) * [height, width], rng.uniform(1.5, 4, count)
    distance = np.hypot(y - centers[:, :1, None], x - centers[:, 1:, None])
    return (2 * (radius[:, None, None] - distance)).astype("float32")


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("decoupled", [False, True])
def test_objects_are_those_of_the_papers_steps(seed, decoupled):
    rng = np.random.default_rng(seed)
    sides, sizes = (3, 2), ((8, 12), (4, 6))
    scores = rng.normal(-1.5, 2, (2, 13, 3)).astype("float32")
    factors, masks = [], [[], []]
    for side, (height, width) in zip(sides, sizes):
        counts = (side, side) if decoupled else (side**2,)
        level = [np.stack([blobs(rng, n, height, width) for _ in range(2)]) for n in counts]  # (B, n, h, w)
        factors.append([x.transpose(0, 2, 3, 1) for x in level])
        for image in range(2):
            parts = [[sigmoid(enlarged(x, 8 // height)) for x in part[image]] for part in level]
            if decoupled:
                masks[image] += [row * column for row in parts[0] for column in parts[1]]
            else:
                masks[image] += parts[0]
    found = {name: np.array(x) for name, x in grid_objects(scores, factors, 4, max_detections=30).items()}
    for image in range(2):
        expected = plain_objects(scores[image], np.array(masks[image]), 4)
        count = len(expected)
        assert 5 < count < 30
        np.testing.assert_allclose(found["scores"][image, :count], [row[0] for row in expected], atol=1e-5)
        assert found["labels"][image].tolist() == [row[1] for row in expected] + [-1] * (30 - count)
        np.testing.assert_allclose(found["boxes"][image, :count], [row[3] for row in expected])
        for mask, row in zip(found["masks"][image], expected):
            np.testing.assert_allclose(mask, masks[image][row[2]], atol=1e-5)
        for name in ("scores", "boxes", "masks"):
            assert not found[name][image, count:].any()


def test_suppression_of_equal_masks_leaves_one_a_class():
    """Gaussian decay, as in Fig. 4: the same mask again, of the same class, falls by exp(-1 / sigma)."""
    masks = np.zeros((1, 3, 4, 4), "float32")
    masks[0, :, 1:3, 1:3] = 1
    lowered = np.array(lowered_scores(masks, np.array([[0.6, 0.9, 0.5]], "float32"), np.array([[0, 0, 1]])))
    np.testing.assert_allclose(lowered, [[0.6 * np.exp(-2), 0.9, 0.5]], rtol=1e-5)


def test_more_detections_than_candidates_are_padded():
    scores = np.full((1, 4, 1), 3.0, "float32")
    factors = [[np.full((1, 4, 4, 4), 2.0, "float32")]]
    found = grid_objects(scores, factors, 2, max_detections=9, candidates=3)
    assert found["masks"].shape == (1, 9, 4, 4) and np.array(found["labels"])[0, 3:].tolist() == [-1] * 6
    np.testing.assert_allclose(found["boxes"][0, 0], [0, 0, 8, 8])
    assert not np.array(found["boxes"])[0, 3:].any()


def test_cells_are_numbered_row_by_row():
    """Cell 3 of 2 x 2 is row 1, column 1; cell 1 is row 0, column 1."""
    rows, columns = np.zeros((2, 1, 1, 1, 2), "float32")
    rows[..., 1], columns[..., 1] = 5.0, 7.0
    found = np.array(masks_of([[rows, columns]], np.array([[1, 2, 3]])))[0, :, 0, 0]
    np.testing.assert_allclose(found, [0.5 * sigmoid(7), sigmoid(5) * 0.5, sigmoid(5) * sigmoid(7)], rtol=1e-6)


def test_box_is_that_of_the_pixels():
    masks = np.zeros((1, 2, 6, 8), "float32")
    masks[0, 0, 2:4, 1:7] = 0.9
    masks[0, 0, 5, 7] = 0.4
    np.testing.assert_array_equal(boxes_of(masks, 2), [[[2, 4, 14, 8], [0, 0, 0, 0]]])
