"""Device placement in the forward and the backward pass, and the memory used on each device.

Inside a `tf.function`, TensorFlow places an operation on the device of the surrounding `tf.device` scope, but gradients
computed outside of the scope are placed on the first device, regardless of the forward pass.  `on` keeps both together.
"""

import math

import tensorflow as tf

from tfdl.core.gradients import value_and_gradients

# Operations whose output is their input under another name or shape, without new memory.
VIEWS = {"Identity", "IdentityN", "Reshape", "ExpandDims", "Squeeze", "StopGradient", "PreventGradient"}
# Operations that are not counted: reads of weights, which count as parameters, and a few integers each.
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
                f"There is no device {device!r}; TensorFlow sees {', '.join(known)}. To try it on one CPU, call"
                f" strategies.split_cpu({len(devices)}) before creating any tensor."
            )
    if not devices or len(set(devices)) < len(devices):
        raise ValueError(f"Give one or more devices, each once, not {', '.join(devices) or 'none'}.")
    return tuple(devices)


def name_of(device):
    """The short name: "/job:localhost/replica:0/task:0/device:CPU:1" -> "CPU:1"; no device -> the first one."""
    if not device:
        return name_of((tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU"))[0].name)
    return device.rpartition("device:")[2]


def on(device, function):
    """`function`, tensor -> tensor, on `device`, together with the gradients of its input and its variables."""

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
    """Loss (), outputs (B, ...) and a gradient for each of `trainable_variables` for one batch, as computed in `fit`.

    Args:
        model: compiled; its own `loss_and_gradients` is used if it has one, as a pipeline does.
    """
    if hasattr(model, "loss_and_gradients"):
        return model.loss_and_gradients(x, y)

    def loss():
        outputs = model(x, training=True)
        return model.compute_loss(x=x, y=y, y_pred=outputs), outputs

    (loss, outputs), gradients = value_and_gradients(loss, model.trainable_variables, optimizer=model.optimizer)
    return loss, outputs, gradients


def memory_per_device(devices, model, x, y):
    """The bytes that one training step needs on each device.

    Args:
        devices: names.
        model: a compiled `keras.Model`; its optimizer is built if it is not.
        x, y: a batch (B, ...).

    Returns:
        device -> {"parameters", "optimizer", "activations"}: the first two from the variables and their devices, the
        last from `peak_bytes`, including the gradients, which gradually replace the activations.  On GPUs also
        "measured": TensorFlow's peak usage since the last `tf.config.experimental.reset_memory_stats`.
    """
    if not model.optimizer.built:
        model.optimizer.build(model.trainable_variables)
    parts = {"parameters": held(model.variables), "optimizer": held(model.optimizer.variables)}
    parts["activations"] = peak_bytes(lambda: loss_and_gradients(model, x, y)[::2])  # without the outputs
    report = {device: {name: part.get(device, 0) for name, part in parts.items()} for device in devices}
    for device in devices:
        if device.startswith("GPU"):
            report[device]["measured"] = tf.config.experimental.get_memory_info(device)["peak"]
    return report


def copy_weights(source, target):
    """Copies the weights of each layer of `source` to the layer of the same name in `target`; returns the `target`.

    Args:
        source: a model that is whole, split by `tensor_parallel.split`, or a `Pipeline`.
        target: a whole model or a stage; layers without a counterpart in `source` are not changed.
    """
    layers = {layer.name: layer for part in getattr(source, "stages", [source]) for layer in part.layers}
    for layer in target.layers:
        if layer.weights and layer.name in layers:
            found = layers[layer.name]
            layer.set_weights(found.merged_weights() if hasattr(found, "merged_weights") else found.get_weights())
    return target


def held(variables):
    """Device -> bytes of the Keras variables on it."""
    found = {}
    for variable in variables:
        value = variable.value
        device = name_of(value.device)
        found[device] = found.get(device, 0) + math.prod(value.shape) * value.dtype.size
    return found


def peak_bytes(function):
    """Device -> the largest number of bytes of tensors alive at once during `function()`, without its variables.

    The function is traced, not run.  Operations are assumed to run in the order of tracing.  A tensor counts on each
    device that creates or reads it, from its creation to its last use there.  TensorFlow itself may run independent
    operations in another order, and compute some in place.

    Raises:
        ValueError: a tensor's shape is not static.
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
    """The bytes of a tensor in a graph; 0 for handles, variables and constants."""
    if tensor.op.type in FREE or tensor.dtype in (tf.resource, tf.variant, tf.string):
        return 0
    count = tensor.shape.num_elements()
    if count is None:
        raise ValueError(f"The shape of {tensor.name}, {tensor.shape}, is not static. Use a batch of fixed size.")
    return count * tensor.dtype.size


def highest(changes):
    """The largest of all partial sums."""
    now = peak = 0
    for change in changes:
        now += change
        peak = max(peak, now)
    return peak
