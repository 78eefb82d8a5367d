"""Batches of one fixed shape, for devices that compile every shape anew (TPUs).

`require(replicas)` switches the rule on for this process; loaders then ask `batch_size`.  Training drops the incomplete
batch at an epoch's end (shuffling drops other samples each time); evaluation takes a batch that divides the split, or
nearly so.
"""

import warnings

_replicas = 0  # 0: batches may end with a smaller one


def require(replicas):
    """From now on batches are static and can be divided by `replicas`; 0 switches the rule off."""
    global _replicas
    _replicas = replicas


def is_required():
    return _replicas > 0


def training_steps(count, batch_size):
    """Batches in an epoch of `count` samples.

    Raises:
        ValueError: static batches are required and `batch_size` is more than `count`, or can't be divided.
    """
    if not is_required():
        return -(-count // batch_size)
    if batch_size % _replicas or batch_size > count:
        raise ValueError(
            f"A batch of {batch_size} of {count} samples can't be static on {_replicas} replicas; choose a multiple of"
            f" {_replicas} up to {count}."
        )
    return count // batch_size


def evaluation_batch(count, batch_size):
    """`batch_size`; where batches are static, the size from its half up to it that leaves the fewest samples out.

    Most often that is none; if it is not, a warning says how many.
    """
    if not is_required():
        return batch_size
    top = min(batch_size, count)
    sizes = range(top - top % _replicas, top // 2, -_replicas)
    size = min(sizes, key=lambda size: count % size, default=batch_size)
    if count % size:
        warnings.warn(
            f"Static batches of {size} leave the last {count % size} of {count} samples out of the evaluation.",
            stacklevel=3,
        )
    return size
