"""Tensor parallelism by annotation: Keras's layouts say which axis of which weight is cut, XLA does the rest.

Papers: Shoeybi et al. 2019, arXiv:1909.08053 (Megatron-LM), section 3, which weights to cut; Xu et al. 2021,
arXiv:2105.04663 (GSPMD), how a compiler finds the exchanges.
It needs the JAX backend.  On TensorFlow `keras.distribution` takes the same calls and ignores them, so that all weights
stay on one device.  There, use `tensor_parallel` or `pipeline`.

    distribution = model_parallel(batch=2, model=4)                        # 8 devices
    keras.distribution.set_distribution(distribution)                      # before the model is built
    model = vit("base_patch16")
    check_sharding(model, transformer_layout(distribution.device_mesh))
"""

import re

import keras
from keras.distribution import DeviceMesh, LayoutMap, ModelParallel

# A key is a regular expression for the whole path of a variable: "up/kernel" alone would match nothing, silently.
COLUMNS = (None, "model")  # kernel (D, I), each device has all rows of some columns
ROWS = ("model", None)  # kernel (I, D), each device has some rows
LAYOUT = {
    "(.*/)?(qkv|up)/kernel": COLUMNS,
    "(.*/)?(qkv|up)/bias": ("model",),
    "(.*/)?(project|down)/kernel": ROWS,
}


def model_parallel(batch, model):
    """A `keras.distribution.ModelParallel` over `batch` x `model` devices, with the layout of `transformer_layout`.

    Args:
        batch: groups of devices, each with its part of the batch.
        model: devices in a group, each with its part of the weights; it divides D and the width in between.

    Raises:
        ValueError: another backend than JAX, or batch * model is not the number of devices.
    """
    check_backend()
    devices = keras.distribution.list_devices()
    if batch < 1 or model < 1 or batch * model != len(devices):
        raise ValueError(
            f"A mesh of {batch} x {model} needs {batch * model} devices and JAX has {len(devices)}. Choose two numbers"
            f" whose product is {len(devices)}, or rehearse on a CPU with"
            f" XLA_FLAGS=--xla_force_host_platform_device_count={max(1, batch * model)}."
        )
    mesh = DeviceMesh((batch, model), ("batch", "model"), devices)
    return ModelParallel(layout_map=transformer_layout(mesh), batch_dim_name="batch")


def transformer_layout(mesh):
    """The `LayoutMap` of `SelfAttention` and `FeedForward` layers, on a mesh with an axis named "model".

    Cut by columns: queries, keys and values, and the first layer of each feed-forward network.  By rows: the projection
    of attention, and the second layer.  On every device: everything else.  The one kernel of queries, keys and values
    is cut into equal ranges of its 3 D columns, not head by head, so XLA moves some activations between the devices.

    Raises:
        ValueError: another backend than JAX.
    """
    check_backend()
    layout = LayoutMap(mesh)
    for key, axes in LAYOUT.items():
        layout[key] = axes
    return layout


def check_sharding(model, layout):
    """Compares where the built model's variables are with where the layout wants them.

    Args:
        layout: `LayoutMap`, for example the `layout_map` that made the distribution.

    Raises:
        ValueError: with one line for each key that matches no variable, and for each variable that lies otherwise.
    """
    check_backend()
    complaints = [
        f"{key!r} matches no variable (a key must match the whole path, as in '.*{key}')"
        for key in layout
        if not any(re.fullmatch(key, v.path) for v in model.variables)
    ]
    for variable in model.variables:
        wanted = layout[variable.path]
        if wanted is None:
            continue
        value = variable.value
        if not value.sharding.is_equivalent_to(wanted.backend_layout, value.ndim):
            complaints.append(f"{variable.path} {value.shape} should be cut as {wanted.axes} and is {value.sharding}")
    if complaints:
        raise ValueError(
            f"{model.name} is not sharded as its layout says; was it built before the distribution was set?\n  "
            + "\n  ".join(complaints)
        )


def check_backend():
    backend = keras.backend.backend()
    if backend != "jax":
        raise ValueError(
            f"Keras on {backend} silently ignores keras.distribution: all weights would stay on one device. Use"
            " tfdl.distribution.tensor_parallel or tfdl.distribution.pipeline (on TensorFlow), or start with"
            " KERAS_BACKEND=jax (pip install 'tfdl[jax]')."
        )
