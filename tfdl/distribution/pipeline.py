"""Pipeline parallelism: consecutive layers on consecutive devices, and micro-batches that keep all devices busy.

Paper: Huang et al. 2019, arXiv:1811.06965 (GPipe), section 2 and Fig. 2.
A batch is split into K micro-batches.  While stage 2 computes the first, stage 1 computes the second; all forward
passes are followed by all backward passes, in reverse order, and the gradients of the micro-batches add up to the
batch's.  In a `tf.function` each device runs whatever is ready, so separate micro-batches overlap automatically.
Shapes: B batch, K micro-batches, S stages, one on each device.
"""

import functools
from typing import NamedTuple

import keras
import tensorflow as tf

from tfdl.core.gradients import update
from tfdl.distribution.placement import check_devices, copy_weights


class Pipeline(keras.Model):
    """A copy of a model in S stages.  Inputs (B, ...) -> the model's outputs; used with `compile` and `fit` as usual.

    `fit` splits batches into micro-batches; `predict` and `evaluate` pass whole batches from stage to stage.  The
    weights are copies, which `placement.copy_weights` copies back.  Batch normalization uses the statistics of each
    micro-batch (section 2.2).

    Args:
        model: built functional `keras.Model` with one input and one output, each layer used once.
        devices: S names, for example ("GPU:0", "GPU:1").
        micro_batches: K; with K >= 4 S the time that devices wait is small (section 2.3).
        remat: rematerialization: keep only the stages' inputs of each micro-batch and recompute the rest in the
            backward pass.

    Raises:
        ValueError: unknown device, more devices than possible stages, K below 1, or `remat` of a model with state.
    """

    def __init__(self, model, devices, *, micro_batches, remat=False):
        super().__init__(name=f"{model.name}_pipeline")
        if micro_batches < 1:
            raise ValueError(f"micro_batches={micro_batches} is not a number of micro-batches; give 1 or more.")
        self.supports_jit = False  # XLA compiles for one device
        self.devices, self.micro_batches, self.remat = check_devices(devices), micro_batches, remat
        stages = split_into_stages(model, len(self.devices))
        self.stages = [copy_to(device, stage, model) for device, stage in zip(self.devices, stages)]
        changing = [v for stage in self.stages for layer in stage.layers for v in state(layer)]
        if remat and changing:
            raise ValueError(
                f"remat=True computes each stage twice, but {changing[0].path} changes in between, so the gradients"
                " would be wrong. Use remat=False, or a model without dropout and batch normalization."
            )
        self.built = True

    @property
    def idle_fraction(self):
        """Fraction of the devices' time spent waiting, if all stages take equally long: (S - 1) / (K + S - 1)."""
        waits = len(self.stages) - 1
        return waits / (self.micro_batches + waits)

    def call(self, x, training=False):
        for device, stage in zip(self.devices, self.stages):
            with tf.device(device):
                x = stage(x, training=training)
        return x

    def loss_and_gradients(self, x, y, sample_weight=None):
        """Loss, outputs and gradients of a whole batch, by the schedule of Fig. 2c.

        Args:
            x: (B, ...), B at least K.
            y, sample_weight: as in `fit`; the loss is a mean over samples.

        Returns:
            loss (), outputs (B, ...), and the gradients of `trainable_variables`, each on its variable's device.

        Raises:
            ValueError: B is smaller than K, or a layer adds its own loss.
        """
        parts, fractions = split_batch((x, y, sample_weight), self.micro_batches)
        passes = [self.forward(part[0]) for part in parts]
        loss, gradients = 0.0, None
        for (x, y, weight), fraction, passed in reversed(list(zip(parts, fractions, passes))):
            with tf.device(self.devices[-1]), tf.GradientTape() as tape:
                outputs = passed[-1].outputs
                tape.watch(outputs)
                part = fraction * self.compute_loss(x=x, y=y, y_pred=outputs, sample_weight=weight)
                scaled = self.optimizer.scale_loss(part)  # of mixed_float16
            with tf.device(self.devices[-1]):
                loss, gradient = loss + part, tape.gradient(scaled, outputs)
            gradients = self.backward(passed, gradient, gradients)
        with tf.device(self.devices[-1]):
            outputs = tf.concat([passed[-1].outputs for passed in passes], axis=0)
        return loss, outputs, [g for stage in gradients for g in stage]

    def forward(self, x):
        """The forward pass of one micro-batch.  -> list of `Passed`, one for each stage"""
        passed = []
        for device, stage in zip(self.devices, self.stages):
            with tf.device(device):
                passed.append(run(stage, tf.identity(x), taped=not self.remat))
            x = passed[-1].outputs
        return passed

    def backward(self, passed, gradient, totals):
        """The backward pass of one micro-batch.  -> its gradients plus `totals`, those of earlier ones (None: none)"""
        found = [None] * len(self.stages)
        for i, (device, stage, kept) in reversed(list(enumerate(zip(self.devices, self.stages, passed)))):
            with tf.device(device):
                if self.remat:
                    with tf.control_dependencies([gradient]):  # otherwise it could run long before it is needed
                        kept = run(stage, tf.identity(kept.inputs), taped=True)
                gradient, parts = kept.tape.gradient(
                    kept.outputs,
                    (kept.inputs, [v.value for v in stage.trainable_variables]),
                    gradient,
                    unconnected_gradients=tf.UnconnectedGradients.ZERO,
                )
                parts = [tf.convert_to_tensor(part) for part in parts]  # an embedding's are sparse
                found[i] = parts if totals is None else [total + part for total, part in zip(totals[i], parts)]
        return found

    def train_step(self, data):
        x, y, weight = keras.utils.unpack_x_y_sample_weight(data)
        loss, outputs, gradients = self.loss_and_gradients(x, y, weight)
        update(self.optimizer, gradients, self.trainable_variables)
        self._loss_tracker.update_state(loss, sample_weight=tf.shape(outputs)[0])
        return self.compute_metrics(x, y, outputs, weight)


class Passed(NamedTuple):
    """What a stage keeps of one micro-batch until its backward pass."""

    inputs: tf.Tensor
    outputs: tf.Tensor
    tape: tf.GradientTape | None


def run(stage, x, *, taped):
    """One forward pass of a stage, with or without recording for the backward pass."""
    if not taped:
        return Passed(x, stage(x, training=True), None)
    with tf.GradientTape() as tape:
        if x.dtype.is_floating:  # tokens have no gradient
            tape.watch(x)
        y = stage(x, training=True)
    if stage.losses:
        raise ValueError(
            f"The stage with {stage.layers[-1].name} adds its own loss (a regularizer), which a pipeline does not"
            " differentiate. Use the optimizer's weight decay instead: AdamW."
        )
    return Passed(x, y, tape)


def split_batch(data, count):
    """A batch of B samples -> `count` micro-batches of nearly equal size, and their fractions of the B samples.

    Args:
        data: any structure of tensors (B, ...) and Nones.

    Raises:
        ValueError: B is smaller than `count`.
    """
    first = next(t for t in tf.nest.flatten(data) if t is not None)
    size = first.shape[0]
    message = (
        f"A batch of {size or 'unknown size'} can't be split into {count} micro-batches; use a larger batch or fewer."
    )
    if size is None:  # Keras drops the static size after a last batch of another size
        tf.debugging.assert_greater_equal(tf.shape(first)[0], count, message)
        size = tf.shape(first)[0]
    elif size < count:
        raise ValueError(message)
    ends = [size * k // count for k in range(count + 1)]
    parts = [
        tf.nest.map_structure(lambda t, a=a, b=b: None if t is None else t[a:b], data) for a, b in zip(ends, ends[1:])
    ]
    return parts, [tf.cast(b - a, tf.float32) / tf.cast(size, tf.float32) for a, b in zip(ends, ends[1:])]


def split_into_stages(model, count):
    """`count` functional models whose composition is a copy of `model`, with the largest as small as possible.

    A split is possible where all later layers depend on a single tensor: anywhere in a chain of layers, and in a
    transformer before and after each residual branch.  Size is the number of weights.
    """
    if not getattr(model, "inputs", None):
        raise ValueError(f"{model.name} has no graph of layers to split; a pipeline needs a built functional model.")
    copy = keras.models.clone_model(keras.Model(model.inputs, model.outputs))  # splitting adds calls to its layers
    twice = [layer["name"] for layer in copy.get_config()["layers"] if len(layer["inbound_nodes"]) > 1]
    if twice or len(copy.inputs) != 1 or len(copy.outputs) != 1:
        reason = f"calls {twice[0]} twice" if twice else f"has {len(copy.inputs)} inputs, {len(copy.outputs)} outputs"
        raise ValueError(f"{model.name} {reason}; a pipeline needs one input, one output, and a single call per layer.")
    operations = [op for op in copy.operations if not isinstance(op, keras.layers.InputLayer)]
    weights = [op.count_params() if isinstance(op, keras.layers.Layer) else 0 for op in operations]
    last = {id(t): i for i, op in enumerate(operations) for t in keras.tree.flatten(op.input)}  # last use of a tensor
    tensors, sizes, alive = [copy.inputs[0]], [0], {id(copy.inputs[0])}  # where to split, weights of the sections
    for i, op in enumerate(operations):
        sizes[-1] += weights[i]
        alive = {t for t in alive.union(map(id, keras.tree.flatten(op.output))) if last.get(t, -1) > i}
        if alive == {id(op.output)} and sizes[-1] and any(weights[i + 1 :]):
            tensors.append(op.output)
            sizes.append(0)
    if len(sizes) < count:
        raise ValueError(
            f"{model.name} can be split into {len(sizes)} parts with weights, too few for {count} devices; use"
            f" {len(sizes)} devices or fewer."
        )
    tensors.append(copy.outputs[0])
    ends = balance(tuple(sizes), count)[1]
    return [keras.Model(tensors[a], tensors[b], name=f"stage{i}") for i, (a, b) in enumerate(zip((0, *ends), ends))]


@functools.cache
def balance(sizes, count):
    """Splits a sequence into `count` groups with the smallest maximal sum.  -> that sum, and the ends of the groups"""
    if count == 1:
        return sum(sizes), (len(sizes),)
    found = []
    for end in range(1, len(sizes) - count + 2):
        largest, ends = balance(sizes[end:], count - 1)
        found.append((max(sum(sizes[:end]), largest), (end, *(end + e for e in ends))))
    return min(found)


def copy_to(device, stage, model):
    """A stage on a device, with the weights of the layers of `model` that have the same names."""
    with tf.device(device):
        placed = keras.models.clone_model(stage)
    return copy_weights(model, placed)


def state(layer):
    """Variables that a call in training changes: random seeds, and the statistics of layers that are not frozen."""
    weights = {id(v) for v in layer.weights}
    return [v for v in layer.non_trainable_variables if layer.trainable or id(v) not in weights]
