"""What a layout is: how another library names and shapes the variables of a model.

A family's rules are pairs (pattern, replacement), tried in order against the path of a layer of ours; the first that
matches the whole path gives the layer's name there.  A replacement is a template for `re.Match.expand`, or a function
of the match and the set of all our paths, of layers and of variables, where a name depends on what a block has.  Some
names say more: "NAME!" is the whole name of a parameter that sits in no layer there, "NAME as 1x1" a convolution
where we have a dense layer, "NAME_" is glued to the variable without a dot, and "A | B | C" are several layers that
share the columns of our one (queries, keys and values) equally.  A layer of ours with a method `resized(array)` takes
arrays of other sizes: position tables.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

import keras
import numpy as np

HEAD = "logits"  # the layer that `skip_head` leaves alone


@dataclass(frozen=True)
class Layout:
    """The names of one library.

    Attributes:
        name: of the layout.
        families: catalog key -> rules.
        torch: variables are named and shaped as PyTorch does it; False for Keras.
        ignored: pattern of names that hold no weights (counters, constant tables).
        old_names: (pattern, template) that makes today's name of one in an older file.
    """

    name: str
    families: dict
    torch: bool
    ignored: str = r"(?!)"  # matches nothing
    old_names: tuple[str, str] = (r"(?!)", "")


@dataclass(frozen=True)
class Entry:
    """One variable of ours and its counterpart: `array.transpose(axes)` turns ours into theirs."""

    variable: keras.Variable
    theirs: str
    axes: tuple[int, ...]
    is_1x1: bool = False  # there a 1x1 convolution, here a dense layer
    other_names: tuple[str, ...] = ()  # that the same library also uses
    part: tuple = (...,)  # index of what this one holds of our variable, where several share it
    resized: Callable | None = None  # array of another size -> of this one's, for position tables
    flattened: tuple[int, int, int] | None = None  # (H, W, C) of the map in front of a dense layer; PyTorch's is C H W

    def to_theirs(self, array):
        array = array[self.part]
        array = array[None, None] if self.is_1x1 else array
        if self.flattened:
            array = array.reshape(*self.flattened, -1).transpose(2, 0, 1, 3).reshape(array.shape)
        return array.transpose(self.axes)

    def to_ours(self, array):
        array = array.transpose(np.argsort(self.axes))
        if self.flattened:
            h, w, c = self.flattened
            array = array.reshape(c, h, w, -1).transpose(1, 2, 0, 3).reshape(array.shape)
        return array[0, 0] if self.is_1x1 else array

    def fitted(self, array):
        """An array of theirs, resized if it is a position table of another size."""
        theirs = self.their_shape
        alike = len(array.shape) == len(theirs) and array.shape[-1] == theirs[-1]
        return self.resized(array) if self.resized and alike and array.shape != theirs else array

    def assign(self, array):
        """Puts an array of theirs into our variable."""
        whole = np.array(keras.ops.convert_to_numpy(self.variable.value))
        whole[self.part] = self.to_ours(array)
        self.variable.assign(whole)

    @property
    def their_shape(self):
        return self.to_theirs(np.broadcast_to(0, tuple(self.variable.shape))).shape


TORCH_LEAVES = {  # ours -> PyTorch's
    "kernel": "weight",
    "embeddings": "weight",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}


def entries(model, layout, family):
    """One `Entry` per weight of `model`, or several where it is split there, in the model's order.

    Raises:
        ValueError: the layout doesn't know the family, or has no rule for a layer.
    """
    family = family or model.name
    if family not in layout.families:
        known = ", ".join(sorted(layout.families))
        raise ValueError(
            f"The layout {layout.name!r} has no family {family!r}; it has {known}. If the model was given a name of its"
            " own, say which it is with family=..."
        )
    owners = owned_variables(model)
    paths = {path for _, path, _ in owners} | {variable.path for variable in model.weights}
    found, unknown = [], []
    for layer, path, variables in owners:
        there = renamed(path, layout.families[family], paths)
        if there is None:
            unknown.append(path)
            continue
        for index, variable in enumerate(variables):
            found += counterparts(layout, layer, there, index, variable)
    if unknown:
        raise ValueError(
            f"The layout {layout.name!r} has no rule for {len(unknown)} layers of this {family}: "
            f"{', '.join(unknown[:8])}{' ...' if len(unknown) > 8 else ''}. This variant has no counterpart there."
        )
    return found


def owned_variables(model):
    """(layer, its path, its own weights) of every layer that has any, at every depth."""
    weights = {id(v): v for v in model.weights}
    found = []
    for layer in model._flatten_layers():
        own = [v for v in (*layer._trainable_variables, *layer._non_trainable_variables) if id(v) in weights]
        if own and not isinstance(layer, keras.Model):
            found.append((layer, own[0].path.rpartition("/")[0], own))
    return found


def renamed(path, rules, paths):
    """The first rule's answer for `path`, or None."""
    for pattern, replacement in rules:
        if match := re.fullmatch(pattern, path):
            return match.expand(replacement) if isinstance(replacement, str) else replacement(match, paths)
    return None


def counterparts(layout, layer, there, index, variable):
    """The counterparts of one variable in the layers that `there` lists; nearly always it is a single one."""
    found = [entry(layout, layer, name, index, variable) for name in there.split(" | ")]
    if len(found) == 1:
        return found
    size = variable.shape[-1] // len(found)
    return [replace(one, part=(..., slice(i * size, (i + 1) * size))) for i, one in enumerate(found)]


def entry(layout, layer, there, index, variable):
    """The counterpart of one variable in the layer that is called `there`."""
    there, is_1x1 = there.removesuffix(" as 1x1"), there.endswith(" as 1x1") and variable.name == "kernel"
    rank = len(variable.shape) + 2 * is_1x1
    if not layout.torch:  # Keras files number the variables of a layer; Keras 2 said depthwise_kernel
        leaves = (variable.name, str(index), f"depthwise_{variable.name}")
        name, *others = (f"{there}/{leaf}" for leaf in leaves)
        return Entry(variable, name, tuple(range(rank)), is_1x1, tuple(others))
    leaf = TORCH_LEAVES.get(variable.name, variable.name)
    name = there[:-1] if there.endswith("!") else f"{there}{leaf}" if there.endswith("_") else f"{there}.{leaf}"
    flattened = flattened_map(layer) if variable.name == "kernel" else None
    axes, resized = torch_axes(layer, variable.name, rank), getattr(layer, "resized", None)
    return Entry(variable, name, axes, is_1x1, flattened=flattened, resized=resized)


def flattened_map(layer):
    """(H, W, C) of the map that a Flatten (and dropout) turned into the input of this dense layer, or None."""
    if not isinstance(layer, keras.layers.Dense):
        return None
    while len(layer._inbound_nodes) == 1:  # at its only place in a functional model
        (source,) = layer._inbound_nodes[0].input_tensors
        layer = source._keras_history.operation
        if isinstance(layer, keras.layers.Flatten) and len(layer.input.shape) == 4:
            return tuple(layer.input.shape[1:])
        if not isinstance(layer, keras.layers.Dropout):
            break
    return None


def torch_axes(layer, name, rank):
    """The order of axes that turns a variable of ours into PyTorch's: kernels put the output first."""
    if name != "kernel":
        return tuple(range(rank))
    if isinstance(layer, keras.layers.DepthwiseConv2D):
        return (2, 3, 0, 1)  # (H, W, C, 1) -> (C, 1, H, W)
    return {2: (1, 0), 3: (2, 1, 0), 4: (3, 2, 0, 1)}[rank]  # Dense, Conv1D, Conv2D: (H, W, in, out) -> (out, in, H, W)
