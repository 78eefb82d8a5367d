"""A network without values: shapes, parameters and multiply-adds, before a single weight takes memory.

    model = outline(vgg, "16")
    parameters(model), multiply_adds(model)      # 138_357_544 and 15_470_264_320, in a second

A multiply-add is one multiplication whose result is added to a sum.  Papers count those of convolutions, dense layers
and attention, and leave out elementwise operations (normalization, activation, pooling, addition).  Many papers and
most tools call a multiply-add a FLOP, although it is two floating-point operations.
"""

import math

import keras
from keras import layers

# Their kernels are applied once at each position of the input, not of the output.
READ_THE_INPUT = (
    layers.RNN,
    layers.Bidirectional,
    layers.Conv1DTranspose,
    layers.Conv2DTranspose,
    layers.Conv3DTranspose,
)


def outline(build, *args, **kwargs):
    """The model that `build(*args, **kwargs)` makes, with shapes and without values: it cannot be run."""
    known = keras.src.backend.common.global_state
    waiting = list(known.get_global_attribute("uninitialized_variables", []))
    try:
        with keras.StatelessScope(initialize_variables=False):
            return build(*args, **kwargs)
    finally:  # else the next StatelessScope anywhere would initialize these variables
        known.set_global_attribute("uninitialized_variables", waiting)


def parameters(model):
    """The number of trainable parameters; papers do not count moving statistics."""
    return sum(math.prod(weight.shape) for weight in model.trainable_weights)


def multiply_adds(model):
    """Multiply-adds of one sample, an int.

    A kernel is applied once at each position of its layer's output: H/s W/s positions for a convolution, N for a dense
    layer on tokens, 1 for a dense layer on a vector.  A layer that multiplies in other ways has a method
    `multiply_adds(shape)`, which takes the shape of its input.

    Args:
        model: a functional model of fixed sizes but for the batch, from `outline` or with values.

    Raises:
        ValueError: a size is not fixed, the model is not functional, or a layer cannot be counted.
    """
    if not isinstance(model, keras.src.models.functional.Functional):
        raise ValueError(f"multiply_adds reads the graph of a functional model; {model.name!r} has none.")
    calls = [node for depth in model._nodes_by_depth.values() for node in depth if not node.is_input]
    return sum(of_call(node.operation, node.input_tensors[0].shape, node.outputs[0].shape) for node in calls)


def of_call(operation, shape_in, shape_out):
    """Multiply-adds of one layer in one place of the graph."""
    if not isinstance(operation, layers.Layer) or not operation.weights:
        return 0
    if None in (*shape_in[1:], *shape_out[1:]):
        raise ValueError(f"Multiply-adds need fixed sizes, but {operation.name!r} makes {shape_out} of {shape_in}.")
    if hasattr(operation, "multiply_adds"):
        return operation.multiply_adds(shape_in)
    if isinstance(operation, keras.src.models.functional.Functional):
        return multiply_adds(operation)
    if any(isinstance(part, layers.EinsumDense) for part in operation._flatten_layers()):
        raise ValueError(f"multiply_adds cannot count {operation.name!r}, which holds an EinsumDense.")
    positions = shape_in if isinstance(operation, READ_THE_INPUT) else shape_out
    kernels = [math.prod(weight.shape) for weight in operation.weights if weight.name.endswith("kernel")]
    return math.prod(positions[1:-1]) * sum(kernels)
