"""LoRA: the weights of a network stay as they are, and a product of two small matrices is learned for each.

    learner = LoRA(network, targets="query|value", rank=8)      # patterns of names, as regular expressions
    learner.compile("adamw", TokenCrossEntropy())
    learner.fit(...)                                            # trains A and B alone
    learner.save_adapters("adapters.safetensors")               # kilobytes
    learner.merge()                                             # network has W + (alpha / rank) A B, for export
    learner.unmerge()                                           # W again, bit for bit

Keras's `enable_lora` is for one layer; it adds adapters to W whenever it saves, so that a stored training could not go
on, nor adapters be kept apart.

Paper: Hu et al. 2021, arXiv:2106.09685, eq. 3 and section 4.1.
Shapes: m inputs and n outputs of a layer, r rank.
"""

import contextlib
import json
import re

import keras
import numpy as np
import safetensors
import safetensors.numpy
from keras import ops

from tfdl.core.files import write_bytes
from tfdl.core.serial import serializable
from tfdl.learners.learner import TextLearner

KERNEL = "kernel"  # Keras's name of the matrix of a dense layer


@serializable
class LoRA(TextLearner):
    """Inputs and outputs of `network`, whose weights are frozen.

    A (m, r) is drawn from a normal distribution, B (r, n) begins at 0, so that nothing has changed at the beginning.

    Args:
        network: any model that is built.
        targets: a regular expression; every kernel (m, n) whose path has a match gets adapters.
        rank: r.
        alpha: the update is scaled by alpha / rank; None is `rank`.

    Raises:
        ValueError: nothing matches, or the rank is out of its range.
    """

    def __init__(self, network, targets="query|value", rank=8, alpha=None, seed=0, **kwargs):
        super().__init__(network, **kwargs)
        self.targets = targets
        self.rank = rank
        self.alpha = alpha
        self.seed = seed
        network.trainable = False
        self.kernels = kernels(network, targets)
        smallest = min(min(kernel.shape) for kernel in self.kernels.values())
        if not 1 <= rank <= smallest:
            raise ValueError(f"rank is {rank}; give 1 to {smallest}, the least width of the matrices that match.")
        normal = keras.initializers.RandomNormal(1 / rank, seed=seed)
        self.down = [self.matrix(normal, (k.shape[0], rank), f"{i}_a") for i, k in enumerate(self.kernels.values())]
        self.up = [self.matrix("zeros", (rank, k.shape[1]), f"{i}_b") for i, k in enumerate(self.kernels.values())]
        self.base = None  # the kernels' values while adapters are merged

    def matrix(self, initializer, shape, name):
        return self.add_weight(shape=shape, initializer=initializer, dtype="float32", name=name)

    @property
    def scale(self):
        return (self.rank if self.alpha is None else self.alpha) / self.rank

    def adapted(self):
        """(kernel, W + (alpha / rank) A B) of every target: eq. 3."""
        return [
            (kernel, kernel.value + ops.cast(self.scale * ops.matmul(a.value, b.value), kernel.dtype))
            for kernel, a, b in zip(self.kernels.values(), self.down, self.up)
        ]

    def call(self, inputs, training=False):
        if self.base is not None:
            return self.network(inputs, training=training)
        with keras.StatelessScope(self.adapted(), collect_losses=True) as scope:
            outputs = self.network(inputs, training=training)
        kept = set(map(id, self.kernels.values()))
        for state in self.network.variables:
            value = scope.get_current_value(state)
            if value is not None and id(state) not in kept:  # such as the states of random generators
                state.assign(value)
        for loss in scope.losses:
            self.add_loss(loss)
        return outputs

    def generate(self, prompts, **options):
        with self.merged():
            return self.network.generate(prompts, **options)

    def beam_search(self, prompts, **options):
        with self.merged():
            return self.network.beam_search(prompts, **options)

    # Merging

    def merge(self):
        """Puts the adapters into the network's weights; returns the network, which can be saved and exported."""
        if self.base is None:
            values = [ops.convert_to_numpy(value) for _, value in self.adapted()]
            self.base = [ops.convert_to_numpy(kernel) for kernel in self.kernels.values()]
            for kernel, value in zip(self.kernels.values(), values):
                kernel.assign(value)
        return self.network

    def unmerge(self):
        """Gives the network its own weights back, bit for bit."""
        for kernel, value in zip(self.kernels.values(), self.base or ()):
            kernel.assign(value)
        self.base = None

    @contextlib.contextmanager
    def merged(self):
        """The adapters are merged inside the block."""
        was_merged = self.base is not None
        self.merge()
        try:
            yield self.network
        finally:
            if not was_merged:
                self.unmerge()

    # Files

    def adapters(self):
        """Path of a kernel -> its A (m, r) and B (r, n)."""
        pairs = zip(self.kernels, self.down, self.up)
        return {path: (ops.convert_to_numpy(a), ops.convert_to_numpy(b)) for path, a, b in pairs}

    def save_adapters(self, path):
        """Writes A and B of every target into a safetensors file, with rank and alpha."""
        arrays = {}
        for name, (a, b) in self.adapters().items():
            arrays |= {f"{name}.lora_a": np.ascontiguousarray(a), f"{name}.lora_b": np.ascontiguousarray(b)}
        settings = {"targets": self.targets, "rank": self.rank, "alpha": self.alpha}
        write_bytes(path, safetensors.numpy.save(arrays, metadata={"lora": json.dumps(settings)}))

    def load_adapters(self, path):
        """Reads what `save_adapters` wrote.

        Raises:
            ValueError: it is no such file, or of other targets, shapes, rank or alpha; nothing is changed then.
        """
        try:
            with safetensors.safe_open(path, framework="numpy") as file:
                settings = json.loads((file.metadata() or {}).get("lora", "null"))
                arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
        except (safetensors.SafetensorError, ValueError) as error:
            raise ValueError(f"{path} has no adapters, or is damaged ({error}).") from error
        if settings is None:
            raise ValueError(f"{path} has no adapters; LoRA.save_adapters writes such files.")
        scale = (settings["rank"] if settings["alpha"] is None else settings["alpha"]) / settings["rank"]
        wanted = {f"{name}.lora_{end}": v for name, pair in self.adapters().items() for end, v in zip("ab", pair)}
        shapes = {name: value.shape for name, value in arrays.items()}
        if shapes != {name: value.shape for name, value in wanted.items()} or scale != self.scale:
            raise ValueError(
                f"{path} has the adapters targets={settings['targets']!r}, rank={settings['rank']},"
                f" alpha={settings['alpha']}; make LoRA with these, around the same kind of network."
            )
        for name, a, b in zip(self.kernels, self.down, self.up):
            a.assign(arrays[f"{name}.lora_a"])
            b.assign(arrays[f"{name}.lora_b"])


def kernels(network, targets):
    """Path -> kernel (m, n), for every one whose path matches.  Raises ValueError for none."""
    matrices = {v.path: v for v in network.variables if v.name == KERNEL and len(v.shape) == 2}
    found = {path: v for path, v in matrices.items() if re.search(targets, path)}
    if not found:
        examples = ", ".join(list(matrices)[:3])
        raise ValueError(f"No kernel of {network.name} matches targets={targets!r}; its kernels are {examples} ...")
    return found
