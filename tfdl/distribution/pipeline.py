"""Pipeline parallelism: consecutive layers on consecutive devices, and micro-batches that keep all of them busy.

Paper: Huang et al. 2019, arXiv:1811.06965 (GPipe), section 2 and Fig. 2.
A batch is cut into K micro-batches.  While stage 2 works on the first, stage 1 works on the second; after all forward
passes come all backward passes, in the opposite order, and the gradients of the micro-batches add up to the batch's.
In a `tf.function` each device runs what is ready, so the overlap needs no more than that the micro-batches be separate.
Shapes: B batch, K micro-batches, S stages, each on its device.
"""

import functools
from typing import NamedTuple

import keras
import tensorflow as tf

from tfdl.core.gradients import update
from tfdl.distribution.placement import check_devices, copy_weights


class Pipeline(keras.Model):
    """A copy of a model in S stages.  Inputs (B, ...) -> the model's outputs; `compile` and `fit` as always.

    `fit` trains it micro-batch by micro-batch; `predict` and `evaluate` send a batch whole from stage to stage.  The
    weights are copies, which `placement.copy_weights` brings back.  Batch normalization sees one micro-batch at a time
    (section 2.2).

    Args:
        model: built functional `keras.Model` of one input and one output, each layer used once.
        devices: S names, for example ("GPU:0", "GPU:1").
        micro_batches: K; with K of 4 S or more the devices wait for each other little (section 2.3).
        remat: keep only the stages' inputs of each micro-batch and compute the rest again in the backward pass.

    Raises:
        ValueError: unknown device, fewer parts than devices, K below 1, or `remat` of a model with state.
    """

    def __init__(self, model, devices, *, micro_batches, remat=False):
        super().__init__(name=f"{model.name}_pipeline")
        if micro_batches < 1:
            raise ValueError(f"micro_batches={micro_batches} is not a number of micro-batches; give 1 or more.")
        self.supports_jit = False  # XLA compiles for one device
        self.devices, self.micro_batches, self.remat = check_devices(devices), micro_batches, remat
        stages = cut(model, len(self.devices))
        self.stages = [copy_to(device, stage, model) for device, stage in zip(self.devices, stages)]
        changing = [v for stage in self.stages for layer in stage.layers for v in state(layer)]
        if remat and changing:
            raise ValueError(
                f"remat=True computes each stage twice and {changing[0].path} changes in between: the gradients would"
                " not be the loss's. Use remat=False, or a model without dropout and batch normalization."
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
        """Of a whole batch, by the schedule of Fig. 2c.

        Args:
            x: (B, ...), B at least K.
            y, sample_weight: as in `fit`; the loss is a mean over samples.

        Returns:
            loss (), outputs (B, ...), and the gradients of `trainable_variables`, each on its variable's device.

        Raises:
            ValueError: B is smaller than K, or a layer adds a loss of its own.
        """
        pieces, shares = cut_batch((x, y, sample_weight), self.micro_batches)
        passes = [self.forward(piece[0]) for piece in pieces]
        loss, gradients = 0.0, None
        for (x, y, weight), share, passed in reversed(list(zip(pieces, shares, passes))):
            with tf.device(self.devices[-1]), tf.GradientTape() as tape:
                outputs = passed[-1].outputs
                tape.watch(outputs)
                part = share * self.compute_loss(x=x, y=y, y_pred=outputs, sample_weight=weight)
                scaled = self.optimizer.scale_loss(part)  # of mixed_float16
            with tf.device(self.devices[-1]):
                loss, gradient = loss + part, tape.gradient(scaled, outputs)
            gradients = self.backward(passed, gradient, gradients)
        with tf.device(self.devices[-1]):
            outputs = tf.concat([passed[-1].outputs for passed in passes], axis=0)
        return loss, outputs, [g for stage in gradients for g in stage]

    def forward(self, x):
        """One micro-batch through all stages: what each of them keeps."""
        passed = []
        for device, stage in zip(self.devices, self.stages):
            with tf.device(device):
                passed.append(run(stage, tf.identity(x), taped=not self.remat))
            x = passed[-1].outputs
        return passed

    def backward(self, passed, gradient, totals):
        """One micro-batch back through all stages; its gradients, added to those of the ones before (None: none)."""
        found = [None] * len(self.stages)
        for i, (device, stage, kept) in reversed(list(enumerate(zip(self.devices, self.stages, passed)))):
            with tf.device(device):
                if self.remat:
                    with tf.control_dependencies([gradient]):  # else it could be computed long before it is needed
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
    """What a stage keeps of one micro-batch until its gradient comes back."""

    inputs: tf.Tensor
    outputs: tf.Tensor
    tape: tf.GradientTape | None


def run(stage, x, *, taped):
    """One forward pass of a stage, recorded for the backward pass or not."""
    if not taped:
        return Passed(x, stage(x, training=True), None)
    with tf.GradientTape() as tape:
        if x.dtype.is_floating:  # tokens have no gradient
            tape.watch(x)
        y = stage(x, training=True)
    if stage.losses:
        raise ValueError(
            f"The stage with {stage.layers[-1].name} adds a loss of its own (a regularizer), which a pipeline does"
            " not differentiate. Decay weights in the optimizer instead: AdamW."
        )
    return Passed(x, y, tape)


def cut_batch(data, count):
    """A batch of B samples -> `count` micro-batches of nearly the same size, and each one's fraction of the B samples.

    Args:
        data: any structure of tensors (B, ...) and Nones.

    Raises:
        ValueError: B is smaller than `count`.
    """
    first = next(t for t in tf.nest.flatten(data) if t is not None)
    size = first.shape[0]
    message = (
        f"A batch of {size or 'unknown size'} can't be cut into {count} micro-batches; use a larger batch or fewer."
    )
    if size is None:  # Keras forgets it after a last batch of another size
        tf.debugging.assert_greater_equal(tf.shape(first)[0], count, message)
        size = tf.shape(first)[0]
    elif size < count:
        raise ValueError(message)
    ends = [size * k // count for k in range(count + 1)]
    pieces = [
        tf.nest.map_structure(lambda t, a=a, b=b: None if t is None else t[a:b], data) for a, b in zip(ends, ends[1:])
    ]
    return pieces, [tf.cast(b - a, tf.float32) / tf.cast(size, tf.float32) for a, b in zip(ends, ends[1:])]


def cut(model, count):
    """`count` functional models that do in turn what `model` does, of a copy; the largest is as small as can be.

    A cut is possible where everything that comes later depends on a single tensor: in a chain of layers everywhere, in
    a transformer before and after each residual branch.  Size is the number of weights.
    """
    if not getattr(model, "inputs", None):
        raise ValueError(f"{model.name} has no graph of layers to cut; a pipeline takes a built functional model.")
    copy = keras.models.clone_model(keras.Model(model.inputs, model.outputs))  # cutting adds calls to its layers
    twice = [layer["name"] for layer in copy.get_config()["layers"] if len(layer["inbound_nodes"]) > 1]
    if twice or len(copy.inputs) != 1 or len(copy.outputs) != 1:
        reason = f"calls {twice[0]} twice" if twice else f"has {len(copy.inputs)} inputs, {len(copy.outputs)} outputs"
        raise ValueError(f"{model.name} {reason}; a pipeline takes one tensor, gives one, and calls each layer once.")
    operations = [op for op in copy.operations if not isinstance(op, keras.layers.InputLayer)]
    weights = [op.count_params() if isinstance(op, keras.layers.Layer) else 0 for op in operations]
    last = {id(t): i for i, op in enumerate(operations) for t in keras.tree.flatten(op.input)}  # use of each tensor
    tensors, sizes, alive = [copy.inputs[0]], [0], {id(copy.inputs[0])}  # where to cut, weights of the sections
    for i, op in enumerate(operations):
        sizes[-1] += weights[i]
        alive = {t for t in alive.union(map(id, keras.tree.flatten(op.output))) if last.get(t, -1) > i}
        if alive == {id(op.output)} and sizes[-1] and any(weights[i + 1 :]):
            tensors.append(op.output)
            sizes.append(0)
    if len(sizes) < count:
        raise ValueError(
            f"{model.name} can be cut into {len(sizes)} parts that have weights, too few for {count} devices; use"
            f" {len(sizes)} devices or fewer."
        )
    tensors.append(copy.outputs[0])
    ends = balance(tuple(sizes), count)[1]
    return [keras.Model(tensors[a], tensors[b], name=f"stage{i}") for i, (a, b) in enumerate(zip((0, *ends), ends))]


@functools.cache
def balance(sizes, count):
    """Cuts a sequence into `count` groups.  -> sum of the largest group, as small as can be, and the groups' ends."""
    if count == 1:
        return sum(sizes), (len(sizes),)
    found = []
    for end in range(1, len(sizes) - count + 2):
        largest, ends = balance(sizes[end:], count - 1)
        found.append((max(sum(sizes[:end]), largest), (end, *(end + e for e in ends))))
    return min(found)


def copy_to(device, stage, model):
    """A stage whose weights lie on a device and are those of the layers of `model` with the same names."""
    with tf.device(device):
        placed = keras.models.clone_model(stage)
    return copy_weights(model, placed)


def state(layer):
    """Variables that a call in training changes: random seeds, and the statistics of a layer that is not frozen."""
    weights = {id(v) for v in layer.weights}
    return [v for v in layer.non_trainable_variables if layer.trainable or id(v) not in weights]
