"""Shapes, parameters and multiply-adds of a network, without allocating its weights.

    model = outline(vgg, "16")
    parameters(model), multiply_adds(model)      # 138_357_544 and 15_470_264_320, in a second

A multiply-add is one multiplication whose result is added to a sum.  Papers count those of convolutions, dense layers
and attention, and leave out elementwise operations (normalization, activation, pooling, addition).  Many papers and
most tools call a multiply-add a FLOP, although it is two floating-point operations.
"""

import math

import keras
from keras import layers

# Layers whose kernels are applied once at each position of the input, not of the output.
PER_INPUT_POSITION = (
    layers.RNN,
    layers.Bidirectional,
    layers.Conv1DTranspose,
    layers.Conv2DTranspose,
    layers.Conv3DTranspose,
)


def outline(build, *args, **kwargs):
    """The model that `build(*args, **kwargs)` returns, with shapes but without values: it cannot be run."""
    state = keras.src.backend.common.global_state
    waiting = list(state.get_global_attribute("uninitialized_variables", []))
    try:
        with keras.StatelessScope(initialize_variables=False):
            return build(*args, **kwargs)
    finally:  # otherwise the next StatelessScope anywhere would initialize these variables
        state.set_global_attribute("uninitialized_variables", waiting)


def parameters(model):
    """The number of trainable parameters; papers do not count moving statistics."""
    return sum(math.prod(weight.shape) for weight in model.trainable_weights)


def multiply_adds(model):
    """Multiply-adds for one sample, an int.

    A kernel is applied once at each position of its layer's output: H/s W/s positions for a convolution, N for a dense
    layer on tokens, 1 for a dense layer on a vector.  A layer to which this does not apply has a method
    `multiply_adds(shape)`, which takes the shape of its input.

    Args:
        model: a functional model whose sizes are fixed except for the batch, from `outline` or with values.

    Raises:
        ValueError: a size is not fixed, the model is not functional, or a layer cannot be counted.
    """
    if not isinstance(model, keras.src.models.functional.Functional):
        raise ValueError(f"multiply_adds needs the graph of a functional model, which {model.name!r} is not.")
    calls = [node for depth in model._nodes_by_depth.values() for node in depth if not node.is_input]
    return sum(of_call(node.operation, node.input_tensors[0].shape, node.outputs[0].shape) for node in calls)


def of_call(operation, shape_in, shape_out):
    """Multiply-adds of one layer at one place of the graph."""
    if not isinstance(operation, layers.Layer) or not operation.weights:
        return 0
    if None in (*shape_in[1:], *shape_out[1:]):
        raise ValueError(f"Multiply-adds need fixed sizes, but {operation.name!r} maps {shape_in} to {shape_out}.")
    if hasattr(operation, "multiply_adds"):
        return operation.multiply_adds(shape_in)
    if isinstance(operation, keras.src.models.functional.Functional):
        return multiply_adds(operation)
    if any(isinstance(part, layers.EinsumDense) for part in operation._flatten_layers()):
        raise ValueError(f"multiply_adds cannot count {operation.name!r}, which contains an EinsumDense.")
    positions = shape_in if isinstance(operation, PER_INPUT_POSITION) else shape_out
    kernels = [math.prod(weight.shape) for weight in operation.weights if weight.name.endswith("kernel")]
    return math.prod(positions[1:-1]) * sum(kernels)
