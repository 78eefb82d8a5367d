"""The loss of SOLO: which cells are to find an object, and how wrong their classes and masks are.

Wang et al. 2019, arXiv:1912.04488, section 3.3.  An object of width w and height h, whose pixels have their mean at
(x, y), belongs to the levels whose scale has sqrt(w h), and there to the cells that touch the center region: the box
around (x, y) with the sides w/5 and h/5.  A cell that several claim takes the smallest.  With n_p such cells in a batch
of B pictures,

    L = 1/(n_p + B) sum over all cells of focal(class)  +  3/n_p sum over the n_p cells of 1 - D(m, q)          eq. 2

    D(m, q) = 2 sum m q / (sum m^2 + sum q^2)                                                                   eq. 5

over the pixels of the cell's mask m in [0, 1] and of the object's q: the part of each pixel that the object covers.
The paper divides the first sum by n_p too; the one for each picture lets those without objects teach, wherever they are
in the batch.  The products of all masks with all objects are one matrix product, so that no mask is picked out, and of
the decoupled head, m = row x column, only the factors are kept.

Shapes: B batch, N objects with padding, H W sides of the picture, h w of a level's masks, S cells of a level's rows and
columns, G cells of all levels, C classes.
"""

from keras import ops

from tfdl.core.batches import PADDING
from tfdl.losses.classification import sigmoid_focal
from tfdl.ops.boxes import lengths
from tfdl.ops.suppression import taken

CENTER = 0.2  # epsilon, part of an object's sides
NOBODY = -1  # owner of a cell that finds nothing
SMALLEST = 1e-6  # of a denominator


def covered(instances, count, stride):
    """How much of each pixel of a smaller map is of each object.

    Args:
        instances: (B, H, W) int, the row of the object that a pixel shows, -1 for none.
        count: N.
        stride: s, which divides H and W.

    Returns:
        (B, H/s, W/s, N) float32 in [0, 1].
    """
    parts = [instances[:, row::stride, column::stride] for row in range(stride) for column in range(stride)]
    return sum(ops.one_hot(part, count, dtype="float32") for part in parts) / stride**2


def centers_of(cover, stride):
    """The mean (x, y) of each object's pixels, and how many pixels it has.  (B, h, w, N) -> (B, N, 2), (B, N)"""
    pixels = ops.sum(cover, axis=(1, 2))  # (B, N), of the smaller map
    places = []
    for axis in (2, 1):
        along = (ops.arange(cover.shape[axis], dtype="float32") + 0.5) * stride
        places.append(ops.einsum("bsn,s->bn", ops.sum(cover, axis=3 - axis), along))
    return ops.stack(places, axis=-1) / ops.maximum(pixels, SMALLEST)[..., None], pixels * stride**2


def owners(centers, boxes, is_object, size, grids, scales):
    """The object that each cell is to find.

    Args:
        centers: (B, N, 2) x, y of the objects' masks; boxes: (B, N, 4) xyxy; is_object: (B, N) bool.
        size: (height, width) of the pictures.
        grids, scales: of the levels, see `GridCells`.

    Returns:
        a list with one (B, S^2) int32 for each level, -1 for cells that find nothing.
    """
    sides = ops.stack(lengths(boxes), axis=-1)  # (B, N, 2) width, height
    area = sides[..., 0] * sides[..., 1]
    count = boxes.shape[1]
    found = []
    for cells, (low, high) in zip(grids, scales):
        scale = ops.sqrt(area)
        here = ops.logical_and(is_object, ops.logical_and(scale >= low, scale <= high))  # (B, N)
        step = ops.convert_to_tensor([size[1] / cells, size[0] / cells], "float32")
        first, last = (ops.floor((centers + sign * CENTER / 2 * sides) / step) for sign in (-1, 1))  # (B, N, 2)
        place = ops.arange(cells, dtype="float32")
        touched = ops.logical_and(first[..., None] <= place, place <= last[..., None])  # (B, N, 2, S)
        touched = ops.logical_and(touched, here[..., None, None])
        both = ops.logical_and(touched[:, :, 1, :, None], touched[:, :, 0, None, :])  # (B, N, S, S): rows, columns
        claims = ops.where(ops.reshape(both, (-1, count, cells * cells)), area[..., None], float("inf"))
        smallest = ops.cast(ops.argmin(claims, axis=1), "int32")
        found.append(ops.where(ops.any(ops.isfinite(claims), axis=1), smallest, NOBODY))
    return found


def overlaps(factors, cover):
    """D of every mask of a level with every object.

    Args:
        factors: probabilities whose product the masks are: [masks (B, h, w, S^2)], or rows and columns, both
            (B, h, w, S).
        cover: (B, h, w, N) in [0, 1].

    Returns:
        (B, S^2, N) in [0, 1].
    """
    if len(factors) == 1:
        (masks,) = factors
        common = ops.einsum("bhwk,bhwn->bkn", masks, cover)
        squares = ops.sum(ops.square(masks), axis=(1, 2))  # (B, S^2)
    else:
        rows, columns = factors
        side, count = rows.shape[-1], cover.shape[-1]
        common = [ops.einsum("bhwj,bhwn->bjn", rows[..., i, None] * columns, cover) for i in range(side)]
        common = ops.reshape(ops.stack(common, axis=1), (-1, side * side, count))
        squares = ops.einsum("bhwi,bhwj->bij", ops.square(rows), ops.square(columns))
        squares = ops.reshape(squares, (-1, side * side))
    own = ops.sum(ops.square(cover), axis=(1, 2))  # (B, N)
    return 2.0 * common / ops.maximum(squares[..., None] + own[:, None], SMALLEST)


def grid_terms(scores, factors, boxes, labels, instances, size, grids, scales):
    """Numerators and denominators of L.

    Args:
        scores: (B, G, C) logits.
        factors: of each level, logits of the masks or of rows and columns, see `overlaps`.
        boxes: (B, N, 4) xyxy; labels: (B, N), -1 where padded; instances: (B, H, W), see `covered`.
        size, grids, scales: see `owners`.

    Returns:
        ((total, n_p + B), (total, n_p)): all (); L is the sum of the first quotient and three times the second.
    """
    height, count = size[0], labels.shape[1]
    strides = [height // level[0].shape[1] for level in factors]
    covers = {stride: covered(instances, count, stride) for stride in set(strides)}
    finest = min(strides)
    centers, pixels = centers_of(covers[finest], finest)
    is_object = ops.logical_and(ops.not_equal(labels, PADDING), pixels > 0)
    found = owners(centers, ops.cast(boxes, "float32"), is_object, size, grids, scales)

    wrong, number = 0.0, 0.0
    for level, stride, owner in zip(factors, strides, found):
        dice = overlaps([ops.sigmoid(ops.cast(x, "float32")) for x in level], covers[stride])  # (B, S^2, N)
        own = ops.one_hot(owner, count, dtype="float32")  # zeros for NOBODY
        wrong += ops.sum(own) - ops.sum(own * dice)
        number += ops.sum(own)

    owner = ops.concatenate(found, axis=1)  # (B, G)
    classes = ops.where(owner == NOBODY, PADDING, taken(labels, ops.maximum(owner, 0)))
    target = ops.one_hot(classes, scores.shape[-1], dtype="float32")
    crossed = ops.sum(sigmoid_focal(target, ops.cast(scores, "float32")))
    return (crossed, number + ops.cast(ops.shape(labels)[0], "float32")), (wrong, number)
