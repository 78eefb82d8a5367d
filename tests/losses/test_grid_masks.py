"""SOLO's assignment and loss against loops over objects and cells, and what must hold for any picture."""

import numpy as np
import pytest
import tensorflow as tf

from tfdl.losses.grid_masks import centers_of, covered, grid_terms, overlaps, owners

SIZE, GRIDS, SCALES = (32, 48), (6, 4), ((1, 14), (10, 99))


def scene(seed, count=5, padding=2):
    """Boxes (1, N, 4), labels (1, N) and instances (1, H, W) of rectangles over each other; padding comes last."""
    rng = np.random.default_rng(seed)
    height, width = SIZE
    instances = np.full((1, height, width), -1)
    for n in range(count):
        h, w = rng.integers(5, 20, 2)
        y, x = rng.integers(0, height - h), rng.integers(0, width - w)
        instances[0, y : y + h, x : x + w] = n
    boxes, labels = np.zeros((1, count + padding, 4), "float32"), np.full((1, count + padding), -1, "int32")
    for n in range(count):
        rows, columns = np.nonzero(instances[0] == n)
        if len(rows):
            boxes[0, n] = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
            labels[0, n] = rng.integers(3)
    return boxes, labels, instances.astype("int32")


def plain_owners(boxes, labels, instances, grids=GRIDS, scales=SCALES):
    """One picture, object by object and cell by cell: a list of (S, S)."""
    found = []
    for cells, (low, high) in zip(grids, scales):
        owner, smallest = np.full((cells, cells), -1), np.full((cells, cells), np.inf)
        for n, (x1, y1, x2, y2) in enumerate(boxes):
            w, h = x2 - x1, y2 - y1
            if labels[n] < 0 or not low <= np.sqrt(w * h) <= high:
                continue
            rows, columns = np.nonzero(instances == n)
            cy, cx = rows.mean() + 0.5, columns.mean() + 0.5
            for i in range(cells):
                for j in range(cells):
                    top, left = i * SIZE[0] / cells, j * SIZE[1] / cells
                    bottom, right = top + SIZE[0] / cells, left + SIZE[1] / cells
                    touches = cx - 0.1 * w < right and cx + 0.1 * w >= left
                    touches &= cy - 0.1 * h < bottom and cy + 0.1 * h >= top
                    if touches and w * h < smallest[i, j]:
                        owner[i, j], smallest[i, j] = n, w * h
        found.append(owner)
    return found


@pytest.mark.parametrize("seed", range(4))
def test_cells_have_the_owners_of_the_loop(seed):
    boxes, labels, instances = scene(seed)
    cover = covered(instances, labels.shape[1], 1)
    centers, pixels = centers_of(cover, 1)
    np.testing.assert_array_equal(pixels[0], [(instances == n).sum() for n in range(labels.shape[1])])
    found = owners(centers, boxes, labels >= 0, SIZE, GRIDS, SCALES)
    for ours, expected in zip(found, plain_owners(boxes[0], labels[0], instances[0])):
        np.testing.assert_array_equal(np.array(ours)[0].reshape(expected.shape), expected)
    assert sum((np.array(owner) >= 0).sum() for owner in found) > 3


def test_cover_is_the_share_of_each_pixel():
    instances = np.full((1, 4, 6), -1)
    instances[0, :3, :3], instances[0, 2:, 4:] = 0, 1
    cover = np.array(covered(instances, 3, 2))
    np.testing.assert_allclose(cover[0, :, :, 0], [[1, 0.5, 0], [0.5, 0.25, 0]])
    np.testing.assert_allclose(cover[0, :, :, 1], [[0, 0, 0], [0, 0, 1]])
    assert not cover[..., 2].any()
    centers, pixels = centers_of(covered(instances, 3, 1), 1)
    np.testing.assert_allclose(centers[0, :2], [[1.5, 1.5], [5, 3]])
    np.testing.assert_array_equal(pixels, [[9, 4, 0]])


@pytest.mark.parametrize("decoupled", [False, True])
def test_overlap_is_dice_of_every_pair(decoupled):
    rng = np.random.default_rng(0)
    cover = rng.random((2, 4, 6, 3), "float32")
    counts = (2, 2) if decoupled else (4,)
    factors = [rng.random((2, 4, 6, n), "float32") for n in counts]
    masks = factors[0]
    if decoupled:
        masks = np.stack([factors[0][..., i] * factors[1][..., j] for i in range(2) for j in range(2)], -1)
    found = np.array(overlaps(factors, cover))
    assert found.shape == (2, 4, 3)
    for b, k, n in np.ndindex(found.shape):
        m, q = masks[b, ..., k], cover[b, ..., n]
        assert found[b, k, n] == pytest.approx(2 * (m * q).sum() / ((m**2).sum() + (q**2).sum()), rel=1e-5)


def outputs_of(rng, decoupled, classes=3):
    scores = rng.normal(-2, 1, (1, sum(side**2 for side in GRIDS), classes)).astype("float32")
    sizes = ((16, 24), (8, 12))
    counts = [(side, side) if decoupled else (side**2,) for side in GRIDS]
    return scores, [
        [rng.normal(0, 2, (1, *size, n)).astype("float32") for n in numbers] for size, numbers in zip(sizes, counts)
    ]


@pytest.mark.parametrize("decoupled", [False, True])
def test_loss_is_that_of_the_loop(decoupled):
    rng = np.random.default_rng(1)
    boxes, labels, instances = scene(2)
    scores, factors = outputs_of(rng, decoupled)
    (crossed, some), (wrong, number) = grid_terms(scores, factors, boxes, labels, instances, SIZE, GRIDS, SCALES)

    target, expected, positives, start = np.zeros(scores.shape[1:]), 0.0, 0, 0
    for side, level, owner in zip(GRIDS, factors, plain_owners(boxes[0], labels[0], instances[0])):
        stride = SIZE[0] // level[0].shape[1]
        cover = np.array(covered(instances, labels.shape[1], stride))[0]
        parts = [1 / (1 + np.exp(-x[0])) for x in level]
        for i, j in np.ndindex(side, side):
            n = owner[i, j]
            if n < 0:
                continue
            m = parts[0][..., i] * parts[1][..., j] if decoupled else parts[0][..., i * side + j]
            q = cover[..., n]
            expected += 1 - 2 * (m * q).sum() / ((m**2).sum() + (q**2).sum())
            positives += 1
            target[start + i * side + j, labels[0, n]] = 1
        start += side**2
    p = 1 / (1 + np.exp(-scores[0]))
    focal = -0.25 * target * (1 - p) ** 2 * np.log(p) - 0.75 * (1 - target) * p**2 * np.log(1 - p)
    assert (float(number), float(some)) == (positives, positives + 1) and positives > 3
    assert float(wrong) == pytest.approx(expected, rel=1e-4)
    assert float(crossed) == pytest.approx(focal.sum(), rel=1e-4)


def test_right_masks_cost_nothing_and_padding_never_counts():
    boxes, labels, instances = scene(0)
    scores, factors = outputs_of(np.random.default_rng(0), False)
    for level, owner in zip(factors, plain_owners(boxes[0], labels[0], instances[0])):
        cover = np.array(covered(instances, labels.shape[1], SIZE[0] // level[0].shape[1]))[0]
        for cell, n in enumerate(owner.ravel()):
            if n >= 0:
                level[0][0, ..., cell] = np.log((cover[..., n] + 1e-6) / (1 - cover[..., n] + 1e-6))
    terms = grid_terms(scores, factors, boxes, labels, instances, SIZE, GRIDS, SCALES)
    assert float(terms[1][0]) == pytest.approx(0, abs=1e-3)
    moved = np.where(labels[..., None] < 0, 7.0, boxes)
    again = grid_terms(scores, factors, moved, labels, instances, SIZE, GRIDS, SCALES)
    np.testing.assert_allclose(again, terms)
    nothing = grid_terms(scores, factors, boxes, np.full_like(labels, -1), instances, SIZE, GRIDS, SCALES)
    assert float(nothing[1][1]) == 0 and float(nothing[0][1]) == 1 and np.isfinite(float(nothing[0][0]))


def test_gradient_is_finite_where_nothing_is_seen():
    """An object without a visible pixel, masks of zeros."""
    boxes, labels, _ = scene(0)
    scores, factors = outputs_of(np.random.default_rng(0), False)
    instances = np.full((1, *SIZE), -1, "int32")
    values = [tf.constant(level[0] - 1e3) for level in factors]
    with tf.GradientTape() as tape:
        tape.watch(values)
        terms = grid_terms(scores, [[x] for x in values], boxes, labels, instances, SIZE, GRIDS, SCALES)
        total = terms[0][0] + terms[1][0]
    gradients = tape.gradient(total, values)
    assert float(terms[1][1]) == 0 and all(g is None or np.isfinite(g).all() for g in gradients)
