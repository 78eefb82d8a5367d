"""A NumPy function inside of a graph: what has no operator, such as an assignment problem, runs on the host.

Source: the guide of `tf.numpy_function`.
"""

import tensorflow as tf


def on_host(function, tensors, *, shape, dtype):
    """function(*arrays) -> array, as a tensor of this shape and dtype; no gradient passes.

    Such a graph can be trained, but neither saved nor compiled by XLA.

    Args:
        function: takes and gives NumPy arrays.
        tensors: its inputs.
        shape: of the result, None where it is not fixed.
        dtype: of the result.
    """
    result = tf.numpy_function(function, [tf.stop_gradient(tensor) for tensor in tensors], tf.as_dtype(dtype))
    result.set_shape(shape)
    return result
