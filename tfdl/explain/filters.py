"""Filters of the first layer, and feature maps of every resolution of the network.

Source: Zeiler and Fergus 2013, arXiv:1311.2901, section 4.1 and Fig. 2; the filters as images, Krizhevsky et al. 2012,
"ImageNet Classification with Deep Convolutional Neural Networks", Fig. 3.
Shapes: B batch, H W height and width of the images, h w of a feature map, C channels, K L of a kernel, D filters.
"""

import keras
import numpy as np


def first_filters(model):
    """The first convolution's kernels as images (D, K, L, C) in [0, 1]: 0 is gray, each filter has its own scale.

    Raises:
        ValueError: the model has no convolution.
    """
    for operation in operations(model):
        kernel = getattr(operation, "kernel", None)
        if kernel is not None and len(kernel.shape) == 4:
            filters = np.moveaxis(keras.ops.convert_to_numpy(kernel).astype("float32"), -1, 0)  # (D, K, L, C)
            size = np.abs(filters).max((1, 2, 3), keepdims=True)
            return 0.5 + 0.5 * filters / np.maximum(size, 1e-12)  # a filter of zeros is gray, not NaN
    raise ValueError(f"{model.name!r} has no convolution, so it has no filters to show.")


def feature_maps(model, images):
    """The last map of each resolution, the finest first: name of its operation -> (B, h, w, C) float32.

    All maps up to `last_map` are computed in one pass.

    Args:
        model: functional or sequential.
        images: (B, H, W, C).

    Raises:
        ValueError: the model has no feature maps.
    """
    tensors, end = map_tensors(model), last_map(model)
    names = list(tensors)
    tensors = {name: tensors[name] for name in names[: names.index(end) + 1]}
    found = keras.Model(model.inputs[0], tensors)(images, training=False)
    last = {maps.shape[1:3]: name for name, maps in found.items()}  # a later map of the same resolution wins
    return {name: keras.ops.convert_to_numpy(found[name]).astype("float32") for name in last.values()}


def map_tensors(model):
    """Operation name -> symbolic map (B, h, w, C), in the order of computation, from the first convolution on.

    Maps of one pixel and zero-padded copies of maps are left out.

    Raises:
        ValueError: the model has none.
    """
    found, begun = {}, False
    for operation in operations(model):
        begun = begun or any(len(weight.shape) == 4 for weight in getattr(operation, "weights", ()))
        shape = getattr(operation.output, "shape", ())
        if begun and len(shape) == 4 and shape[1:3] != (1, 1) and not isinstance(operation, keras.layers.ZeroPadding2D):
            found[operation.name] = operation.output
    if not found:
        raise ValueError(
            f"{model.name!r} has no feature maps (B, h, w, C); use a convolutional network, or `attention_rollout` for"
            " a vision transformer."
        )
    return found


def last_map(model):
    """Name of the last feature map before global pooling: Grad-CAM's default.

    It has the resolution of the last layer with weights, and comes after the activations and sums that follow it.
    """
    tensors = map_tensors(model)
    weighted = [op.name for op in operations(model) if op.name in tensors and getattr(op, "weights", ())]
    size = tensors[weighted[-1]].shape[1:3]
    return [name for name, maps in tensors.items() if maps.shape[1:3] == size][-1]


def operations(model):
    """Layers and plain functions of a functional or sequential model, in the order of computation.

    Raises:
        ValueError: the model is neither.
    """
    if not getattr(model, "inputs", None):
        raise ValueError(
            f"The layers of {model.name!r} cannot be read: it must be a functional or sequential model that is built."
        )
    return keras.Model(model.inputs, model.outputs).operations
