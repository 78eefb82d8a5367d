"""Gradient accumulation: K micro-batches stand for one large batch.

Each replica cuts its part of the batch into K pieces, and the step (`train/step.py`) sums their gradients, weighted by
their sizes, before the one update: K pieces of B/K samples end with the weights that one batch of B gives.  Schedules,
EMA and `optimizer.iterations` therefore count updates, never pieces.  What does change is BatchNorm, which normalises
each piece by its own statistics.
"""

import tensorflow as tf


def micro_batches(data, pieces):
    """Cuts a structure of tensors (B, ...) into `pieces` of the same structure; the last may be smaller or empty."""
    if pieces == 1:
        return [data]
    return [
        tf.nest.map_structure(lambda t, i=i: None if t is None else t[i::pieces], data)  # (ceil((B - i) / K), ...)
        for i in range(pieces)
    ]
