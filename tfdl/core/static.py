"""Batches of one fixed shape, for devices that recompile for every new shape (TPUs).

`require(replicas)` turns static batches on for this process; the loaders then use `training_steps` and
`evaluation_batch`.  Training drops the incomplete batch at the end of an epoch (shuffling drops different samples each
time); evaluation uses a batch size that divides the split, or nearly does.
"""

import warnings

_replicas = 0  # 0: batches may end with a smaller one


def require(replicas):
    """Makes batches static and divisible by `replicas` from now on; 0 turns this off."""
    global _replicas
    _replicas = replicas


def is_required():
    return _replicas > 0


def training_steps(count, batch_size):
    """The number of batches in an epoch of `count` samples.

    Raises:
        ValueError: static batches are required and `batch_size` is larger than `count` or not divisible.
    """
    if not is_required():
        return -(-count // batch_size)
    if batch_size % _replicas or batch_size > count:
        raise ValueError(
            f"Batches of {batch_size} of {count} samples can't be static on {_replicas} replicas; choose a multiple of"
            f" {_replicas} up to {count}."
        )
    return count // batch_size


def evaluation_batch(count, batch_size):
    """`batch_size`; where batches are static, the size of more than half of it that leaves out the fewest samples.

    Usually none are left out; otherwise a warning says how many.
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
