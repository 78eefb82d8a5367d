"""What runs on which device, forward and backward, and the bytes that each device holds.

Inside a `tf.function`, TensorFlow gives an operation the device of the `tf.device` scope around it, but a gradient that
is taken outside of the scope goes to the first device, whatever the forward pass did.  `on` keeps both together.
"""

import math

import tensorflow as tf

from tfdl.core.gradients import value_and_gradients

# Their output is their input under another name or shape: no new memory.
VIEWS = {"Identity", "IdentityN", "Reshape", "ExpandDims", "Squeeze", "StopGradient", "PreventGradient"}
# Weights as they are read, which count as parameters; and a few integers each: constants and the axes of a broadcast.
FREE = {"ReadVariableOp", "Const", "BroadcastGradientArgs"}


def check_devices(devices):
    """The names as a tuple.

    Raises:
        ValueError: TensorFlow has no such device, or one is named twice.
    """
    known = [name_of(d.name) for d in tf.config.list_logical_devices()]
    for device in devices:
        if device not in known:
            raise ValueError(
                f"There is no device {device!r} here; TensorFlow sees {', '.join(known)}. To rehearse on one CPU, call"
                f" strategies.split_cpu({len(devices)}) before any tensor."
            )
    if not devices or len(set(devices)) < len(devices):
        raise ValueError(f"Give one or more devices, each once, not {', '.join(devices) or 'none'}.")
    return tuple(devices)


def name_of(device):
    """Short: "/job:localhost/replica:0/task:0/device:CPU:1" -> "CPU:1"; no device -> the first one."""
    if not device:
        return name_of((tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU"))[0].name)
    return device.rpartition("device:")[2]


def on(device, function):
    """`function`, tensor -> tensor, that runs on `device` with the gradients of its input and of its variables."""

    @tf.custom_gradient
    def placed(x):
        with tf.device(device), tf.GradientTape() as tape:
            tape.watch(x)
            y = function(x)

        def gradient(dy, variables=()):
            with tf.device(device):
                dx, *dw = tape.gradient(y, [x, *variables], dy)
            return dx, dw

        return y, gradient

    return placed


def loss_and_gradients(model, x, y):
    """Of one batch, as `fit` takes them.  -> loss (), outputs (B, ...), a gradient for each of `trainable_variables`.

    Args:
        model: compiled; what has a `loss_and_gradients` of its own, as a pipeline, is asked for it.
    """
    if hasattr(model, "loss_and_gradients"):
        return model.loss_and_gradients(x, y)

    def loss():
        outputs = model(x, training=True)
        return model.compute_loss(x=x, y=y, y_pred=outputs), outputs

    (loss, outputs), gradients = value_and_gradients(loss, model.trainable_variables, optimizer=model.optimizer)
    return loss, outputs, gradients


def memory_per_device(devices, model, x, y):
    """Bytes that one step of training needs on each device.

    Args:
        devices: names.
        model: a compiled `keras.Model`; its optimizer is built if it is not.
        x, y: a batch (B, ...).

    Returns:
        device -> {"parameters", "optimizer", "activations"}: the first two from the variables and their devices, the
        last by `peak_bytes`, with the gradients, which take the activations' place one by one.  Where TensorFlow
        counts what a device has really used (on GPUs, since the last `tf.config.experimental.reset_memory_stats`),
        "measured" too.
    """
    if not model.optimizer.built:
        model.optimizer.build(model.trainable_variables)
    parts = {"parameters": held(model.variables), "optimizer": held(model.optimizer.variables)}
    parts["activations"] = peak_bytes(lambda: loss_and_gradients(model, x, y)[::2])  # outputs are needed no longer
    report = {device: {name: part.get(device, 0) for name, part in parts.items()} for device in devices}
    for device in devices:
        if device.startswith("GPU"):
            report[device]["measured"] = tf.config.experimental.get_memory_info(device)["peak"]
    return report


def copy_weights(source, target):
    """From each layer of one model to the layer of that name, if there is one, of another.  Returns the `target`.

    Args:
        source: whole, split by `tensor_parallel.split`, or a `Pipeline`.
        target: whole, or a part of the whole.
    """
    layers = {layer.name: layer for part in getattr(source, "stages", [source]) for layer in part.layers}
    for layer in target.layers:
        if layer.weights and layer.name in layers:
            found = layers[layer.name]
            layer.set_weights(found.merged_weights() if hasattr(found, "merged_weights") else found.get_weights())
    return target


def held(variables):
    """Device -> bytes of the Keras variables that lie there."""
    found = {}
    for variable in variables:
        value = variable.value
        device = name_of(value.device)
        found[device] = found.get(device, 0) + math.prod(value.shape) * value.dtype.size
    return found


def peak_bytes(function):
    """Device -> the most bytes of tensors alive at once while `function()` runs, its variables not counted.

    The function is traced, not run.  Its operations are taken in the order in which it wrote them, and a tensor counts
    on each device that makes or reads it, from where it is made to where it is read there for the last time.
    TensorFlow itself may run independent operations in another order, and compute some in place.

    Raises:
        ValueError: a tensor's shape is not known before the run.
    """
    graph = tf.function(function).get_concrete_function().graph
    operations = graph.get_operations()
    source, made, last = {}, {}, {}  # tensor -> what it is a view of; where and when made; (tensor, device) -> last use
    for now, operation in enumerate(operations):
        device, is_view = name_of(operation.device), operation.type in VIEWS
        if operation.device or not is_view:  # a view without a device stays where its tensor is
            last |= {(source[x.ref()], device): now for x in operation.inputs}
        for i, y in enumerate(operation.outputs):
            source[y.ref()] = source[operation.inputs[i].ref()] if is_view else y.ref()
            if not is_view:
                made[y.ref()] = last[y.ref(), device] = now
    for y in graph.outputs:
        key = source[y.ref()]
        last[key, name_of(key.deref().op.device)] = len(operations)
    changes = {}  # device -> change of the bytes alive at each time
    for (key, device), end in last.items():
        times = changes.setdefault(device, [0] * (len(operations) + 2))
        size = bytes_of(key.deref())
        times[made[key]] += size
        times[end + 1] -= size
    return {device: highest(times) for device, times in changes.items()}


def bytes_of(tensor):
    """Of a tensor in a graph; 0 of handles, of variables and of constants."""
    if tensor.op.type in FREE or tensor.dtype in (tf.resource, tf.variant, tf.string):
        return 0
    count = tensor.shape.num_elements()
    if count is None:
        raise ValueError(
            f"The size of {tensor.name}, {tensor.shape}, is not known before the run. Give a batch of fixed size."
        )
    return count * tensor.dtype.size


def highest(changes):
    """The largest sum of the first so many."""
    now = peak = 0
    for change in changes:
        now += change
        peak = max(peak, now)
    return peak
