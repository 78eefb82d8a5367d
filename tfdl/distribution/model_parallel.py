"""Tensor parallelism by annotation: a Keras layout says along which axis each weight is split, XLA does the rest.

Papers: Shoeybi et al. 2019, arXiv:1909.08053 (Megatron-LM), section 3, on which weights to split; Xu et al. 2021,
arXiv:2105.04663 (GSPMD), on how a compiler derives the communication.
It needs the JAX backend.  On TensorFlow `keras.distribution` accepts the same calls and ignores them, so that all
weights stay on one device; use `tensor_parallel` or `pipeline` there.

    distribution = model_parallel(batch=2, model=4)                        # 8 devices
    keras.distribution.set_distribution(distribution)                      # before the model is built
    model = vit("base_patch16")
    check_sharding(model, transformer_layout(distribution.device_mesh))
"""

import re

import keras
from keras.distribution import DeviceMesh, LayoutMap, ModelParallel

# A key is a regular expression for the whole path of a variable: "up/kernel" alone would silently match nothing.
COLUMNS = (None, "model")  # kernel (D, I), each device has some of the columns
ROWS = ("model", None)  # kernel (I, D), each device has some of the rows
LAYOUT = {
    "(.*/)?(qkv|up)/kernel": COLUMNS,
    "(.*/)?(qkv|up)/bias": ("model",),
    "(.*/)?(project|down)/kernel": ROWS,
}


def model_parallel(batch, model):
    """A `keras.distribution.ModelParallel` over `batch` x `model` devices, with the layout of `transformer_layout`.

    Args:
        batch: number of groups of devices, each with a part of the batch.
        model: number of devices in a group, each with a part of the weights; must divide D and the hidden width.

    Raises:
        ValueError: the backend is not JAX, or batch * model is not the number of devices.
    """
    check_backend()
    devices = keras.distribution.list_devices()
    if batch < 1 or model < 1 or batch * model != len(devices):
        raise ValueError(
            f"A mesh of {batch} x {model} needs {batch * model} devices, but JAX has {len(devices)}. Choose two numbers"
            f" whose product is {len(devices)}, or try it on a CPU with"
            f" XLA_FLAGS=--xla_force_host_platform_device_count={max(1, batch * model)}."
        )
    mesh = DeviceMesh((batch, model), ("batch", "model"), devices)
    return ModelParallel(layout_map=transformer_layout(mesh), batch_dim_name="batch")


def transformer_layout(mesh):
    """The `LayoutMap` of `SelfAttention` and `FeedForward` layers, on a mesh with an axis named "model".

    Split by columns: queries, keys and values, and the first layer of each feed-forward network.  By rows: the
    projection of attention, and the second layer.  Everything else is replicated.  The common kernel of queries, keys
    and values is split into equal ranges of its 3 D columns, not by heads, so XLA moves some activations between the
    devices.

    Raises:
        ValueError: the backend is not JAX.
    """
    check_backend()
    layout = LayoutMap(mesh)
    for key, axes in LAYOUT.items():
        layout[key] = axes
    return layout


def check_sharding(model, layout):
    """Checks that the variables of the built model are sharded according to the layout.

    Args:
        layout: `LayoutMap`, for example the `layout_map` of the distribution.

    Raises:
        ValueError: with one line for each key that matches no variable and each variable that is sharded otherwise.
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
            complaints.append(f"{variable.path} {value.shape} should be split as {wanted.axes}, not {value.sharding}")
    if complaints:
        raise ValueError(
            f"{model.name} is not sharded by its layout; set the distribution before the model is built.\n  "
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
