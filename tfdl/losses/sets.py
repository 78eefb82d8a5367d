"""The loss of DETR: objects and queries are matched one to one, then every query learns its object, or none.

Carion et al. 2020, arXiv:2005.12872, section 3.1.  Query i says the probabilities p_i of the classes and of "no
object", and the box b_i; object n has the class c_n and the box b_n.  Matched are the pairs (sigma(n), n) with the
smallest sum of

    -p_sigma(n)(c_n) + 5 |b_n - b_sigma(n)|_1 - 2 GIoU(b_n, b_sigma(n))                         eq. 1, without constants

L1 distances are of (x, y, w, h) in parts of the picture.  With the weight w_i = 1 of queries that have an object, and
0.1 of the others, which are many, W their sum, and n_o objects in the batch:

    L = sum over layers of the decoder of
        1/W sum over i of -w_i log p_i(c_i)  +  1/n_o sum over n of 5 |b_n - b_sigma(n)|_1 + 2 (1 - GIoU)         eq. 2

Each layer has its own matching.  The weights are those of section A.4.
Shapes: B batch, L layers, Q queries, N objects with padding, C classes.
"""

from keras import ops

from tfdl.core.batches import PADDING
from tfdl.ops.boxes import overlap, to_corners


def matching_cost(logits, places, true_places, true_labels, *, gains=(1.0, 5.0, 2.0)):
    """What the matching sums, for every pair.

    Args:
        logits: (B, L, Q, C + 1); places: (B, L, Q, 4) cxcywh in parts of the picture.
        true_places: (B, N, 4) likewise; true_labels: (B, N), -1 where padded.
        gains: of the class, the L1 distance and GIoU.

    Returns:
        (B, L, Q, N) float32.
    """
    of_class, of_distance, of_overlap = gains
    probabilities = ops.softmax(ops.cast(logits, "float32"))
    one_hot = ops.one_hot(ops.maximum(true_labels, 0), logits.shape[-1], dtype="float32")  # (B, N, C + 1)
    of_true = ops.einsum("blqc,bnc->blqn", probabilities, one_hot)
    places, true_places = ops.cast(places, "float32")[:, :, :, None], true_places[:, None, None]
    distance = ops.sum(ops.abs(places - true_places), axis=-1)
    giou = overlap(to_corners(places, "cxcywh"), to_corners(true_places, "cxcywh"), "giou")
    return -of_class * of_true + of_distance * distance - of_overlap * giou


def set_terms(logits, places, true_places, true_labels, matches, *, gains=(1.0, 5.0, 2.0), nothing=0.1):
    """Numerators and denominators of L.

    Args:
        matches: (B, L, N), the query of each object, or -1.
        nothing: w of queries without an object.
        Others as of `matching_cost`.

    Returns:
        ((total, W), (total, n_o)): sums over the batch, all (); L is the sum of both quotients.
    """
    of_class, of_distance, of_overlap = gains
    queries, outputs = logits.shape[-2:]
    chosen = ops.one_hot(matches, queries, dtype="float32")  # (B, L, N, Q); zeros for -1
    is_matched = ops.sum(chosen, axis=-2)  # (B, L, Q)
    labels = ops.cast(ops.maximum(true_labels, 0), "float32")
    target = ops.einsum("blnq,bn->blq", chosen, labels) + (1.0 - is_matched) * (outputs - 1)
    log_p = ops.log_softmax(ops.cast(logits, "float32"), axis=-1)
    crossed = -ops.sum(ops.one_hot(ops.cast(target, "int32"), outputs, dtype="float32") * log_p, axis=-1)
    weights = is_matched + nothing * (1.0 - is_matched)  # (B, L, Q)

    mine = ops.einsum("blnq,blqd->blnd", chosen, ops.cast(places, "float32"))  # (B, L, N, 4)
    true_places = true_places[:, None]
    distance = ops.sum(ops.abs(mine - true_places), axis=-1)
    giou = overlap(to_corners(mine, "cxcywh"), to_corners(true_places, "cxcywh"), "giou")
    per_object = of_distance * distance + of_overlap * (1.0 - giou)
    has_query = ops.sum(chosen, axis=-1)  # (B, L, N)
    of_boxes = ops.sum(ops.where(has_query > 0, per_object, 0.0))
    number = ops.sum(ops.cast(ops.not_equal(true_labels, PADDING), "float32"))
    return (of_class * ops.sum(weights * crossed), ops.sum(weights[:, 0])), (of_boxes, number)
