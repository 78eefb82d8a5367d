"""Where a token stands, as numbers: sine waves, rotations and buckets of distances.

Papers: sine waves: Vaswani et al. 2017, arXiv:1706.03762, section 3.5; of maps: Carion et al. 2020, arXiv:2005.12872,
appendix A.4; rotations: Su et al. 2021, arXiv:2104.09864
(RoPE), eq. 15 and 34, in the order of Hugging Face's files; longer contexts: Llama 3.1's model card; buckets: Raffel et
al. 2019, arXiv:1910.10683 (T5), section 2.1.
Shapes: B batch, T tokens, S keys, D width of the model, d width of a head, h heads.
"""

import math

import numpy as np
from keras import ops

from tfdl.core.config import config


def sinusoids(length, width):
    """Section 3.5: sines in the even columns, cosines in the odd ones.  -> (length, width) float32, NumPy."""
    frequencies = 10000.0 ** (-np.arange(0, width, 2) / width)  # (width/2,)
    angles = np.arange(length)[:, None] * frequencies
    table = np.zeros((length, width), "float32")
    table[:, 0::2] = np.sin(angles)
    table[:, 1::2] = np.cos(angles)[:, : width // 2]
    return table


def map_sinusoids(is_picture, width):
    """Sines and cosines of the row and of the column of each point of a map: DETR, appendix A.4.

    Rows and columns are counted where the picture is, and scaled so that its last ones are at 2 pi: the same place of a
    picture has the same position at every size.

    Args:
        is_picture: (B, H, W) float32, 1 on the picture and 0 on the padding below it and on its right.
        width: of the positions, a multiple of 4; the first half is for the row, the second for the column.

    Returns:
        (B, H, W, width) float32.

    Raises:
        ValueError: another width.
    """
    if width % 4:
        raise ValueError(f"Positions of maps have two sines and two cosines each, but are {width} wide; 4 must divide.")
    half = width // 2
    frequencies = (10000.0 ** (-np.arange(0, half, 2) / half)).astype("float32")  # (width/4,)
    waves = []
    for axis in (1, 2):
        count = ops.cumsum(is_picture, axis=axis)
        last = ops.max(count, axis=axis, keepdims=True)
        angles = (count / (last + 1e-6) * (2 * math.pi))[..., None] * frequencies
        pairs = ops.stack([ops.sin(angles), ops.cos(angles)], axis=-1)  # (B, H, W, width/4, 2)
        waves.append(ops.reshape(pairs, (*ops.shape(angles)[:-1], half)))
    return ops.concatenate(waves, axis=-1)


@config
class LongContext:
    """Llama 3.1's change of the rotations for contexts longer than those of pre-training."""

    factor: float = 8.0  # slow waves are slowed down by this
    slow: float = 1.0  # waves with at most so many turns in the old context are slow
    fast: float = 4.0  # those with at least so many turns stay as they are; between the two it goes over smoothly
    old_context: int = 8192


def frequencies(width, base=10000.0, long_context=None):
    """Radians per position of each pair of numbers in a head, eq. 15.  -> (width/2,) float32, NumPy.

    Args:
        width: of a head; even.
        base: the paper's 10000; Llama 3 has 500000.
        long_context: a `LongContext`, or None.

    Raises:
        ValueError: `width` is odd.
    """
    if width % 2:
        raise ValueError(f"Rotary positions turn pairs of numbers, but a head is {width} wide; choose an even width.")
    speeds = base ** (-np.arange(0, width, 2) / width)
    if long_context is not None:
        c = long_context
        turns = c.old_context * speeds / (2 * math.pi)
        kept = np.clip((turns - c.slow) / (c.fast - c.slow), 0, 1)
        speeds = speeds * (kept + (1 - kept) / c.factor)
    return speeds.astype("float32")


def rotations(positions, speeds):
    """Cosines and sines of the angles at `positions` (T,) or (B, T).  -> two of (T, d/2) or (B, 1, T, d/2), float32."""
    angles = ops.cast(positions, "float32")[..., None] * speeds
    if len(angles.shape) == 3:
        angles = angles[:, None]  # the same for all heads
    return ops.cos(angles), ops.sin(angles)


def rotate(x, rotation):
    """Turns the pairs (x_i, x_{i + d/2}) by their angles, eq. 34.  (B, h, T, d) -> same.

    The paper pairs neighbors (x_2i, x_{2i+1}); files of Hugging Face have their columns in this order.
    """
    cosine, sine = (ops.cast(part, x.dtype) for part in rotation)
    first, second = ops.split(x, 2, axis=-1)
    return ops.concatenate([first * cosine - second * sine, second * cosine + first * sine], axis=-1)


def buckets(queries, keys, count, largest, *, causal):
    """The bucket of each distance: one per distance up to half of them, then ever wider ones, logarithmically.

    Args:
        queries, keys: positions, (T,) and (S,) int32.
        count: of buckets.
        largest: distances from this on share the last bucket.
        causal: keys after the query share bucket 0; else half of the buckets are theirs.

    Returns:
        (T, S) int32, from 0 to count - 1.
    """
    distance = queries[:, None] - keys[None]  # (T, S), positive where the key comes first
    offset = 0
    if causal:
        distance = ops.maximum(distance, 0)
    else:
        count //= 2
        offset = ops.where(distance < 0, count, 0)
        distance = ops.abs(distance)
    exact = count // 2
    ratio = ops.log(ops.cast(ops.maximum(distance, 1), "float32") / exact) / math.log(largest / exact)
    wide = exact + ops.cast(ratio * (count - exact), "int32")
    return offset + ops.where(distance < exact, distance, ops.minimum(wide, count - 1))
