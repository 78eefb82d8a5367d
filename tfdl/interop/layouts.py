"""What a layout is: how another library names and shapes the variables of a model.

A family's rules are pairs (pattern, replacement), tried in order against the path of a layer of ours; the first that
matches the whole path gives the layer's name there.  A replacement is a template for `re.Match.expand`, or a function
of the match and the set of all our paths, of layers and of variables, where a name depends on what a block has.  Some
names say more: "NAME!" is the whole name of a parameter that sits in no layer there, "NAME_" is glued to the variable
without a dot, "NAME as FORM" has the same numbers in another shape, a key of FORMS, "A | B | C" are several layers
that share the columns of our one (queries, keys and values) equally, and "NAME[0/3]" is the first third of the columns
of one there.  A layer of ours with a method `resized(array)` takes arrays of other sizes: position tables.
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field

import keras
import numpy as np

HEAD = "logits"  # the layer that `skip_head` leaves alone, with all whose names begin with TOP
TOP = "top_"
EVERY = "*"  # the family of all models


@dataclass(frozen=True)
class Layout:
    """The names of one library.

    Attributes:
        name: of the layout.
        families: catalog key, or EVERY -> rules.
        torch: variables are named and shaped as PyTorch does it; False for Keras.
        ignored: pattern of names that hold no weights (counters, constant tables).
        heads: pattern of names that belong to what stands on top of a network, for one job and not for another.
        old_names: (pattern, template) pairs that turn names in some files into the usual ones.
        conventions: family -> function of our paths and of what people call the source, which gives pairs (epsilon of
            batch normalization, padding of strides), one for each way in which the library builds such networks; None
            is any padding.
        limits: family -> function of a model of ours, which gives what the library computes otherwise, or "".
    """

    name: str
    families: dict
    torch: bool
    ignored: str = r"(?!)"  # matches nothing
    heads: str = r"(?!)"
    old_names: tuple[tuple[str, str], ...] = ()
    conventions: dict = field(default_factory=dict)
    limits: dict = field(default_factory=dict)

    def usual(self, name):
        """The usual name of a tensor in a file."""
        for pattern, template in self.old_names:
            name = re.sub(pattern, template, name)
        return name


@dataclass(frozen=True)
class Entry:
    """One variable of ours and its counterpart: `array.reshape(shape).transpose(axes)` turns ours into theirs."""

    variable: keras.Variable
    layer: str  # of the model, in which it lies at some depth
    theirs: str
    shape: tuple[int, ...]
    axes: tuple[int, ...]
    other_names: tuple[str, ...] = ()  # that the same library also uses
    part: tuple = (...,)  # index of what this one holds of our variable, where several share it
    resized: Callable | None = None  # array of another size -> of this one's, for position tables
    flattened: tuple[int, int, int] | None = None  # (H, W, C) of the map in front of a dense layer; PyTorch's is C H W
    piece: tuple[int, int] = (0, 1)  # (i, n): ours is the i-th of n equal pieces of their columns

    def to_theirs(self, array):
        array = array[self.part]
        if self.flattened:
            array = array.reshape(*self.flattened, -1).transpose(2, 0, 1, 3)
        return array.reshape(self.shape).transpose(self.axes)

    def assign(self, array):
        """Puts an array of theirs into our variable."""
        array = array.transpose(np.argsort(self.axes))
        if self.flattened:
            h, w, c = self.flattened
            array = array.reshape(c, h, w, -1).transpose(1, 2, 0, 3)
        whole = np.array(keras.ops.convert_to_numpy(self.variable.value))
        whole[self.part] = array.reshape(whole[self.part].shape)
        self.variable.assign(whole)

    def named_in(self, names):
        """The first of its names that is among `names`, or None."""
        return next((name for name in (self.theirs, *self.other_names) if name in names), None)

    def takes(self, shape):
        """True for the shape of theirs, of which ours may be a piece, and of a position table of another size."""
        theirs, (_, pieces) = self.their_shape, self.piece
        if len(shape) != len(theirs):
            return False
        if pieces > 1:
            whole = tuple(side * pieces if axis == self.columns else side for axis, side in enumerate(theirs))
            return shape == whole
        return shape == theirs or bool(self.resized and shape[-1] == theirs[-1])

    def fitted(self, array):
        """Our piece of an array of theirs, resized if it is a position table of another size.

        A table that cannot be resized, as its image was no square, comes back as it is.
        """
        theirs, (place, pieces) = self.their_shape, self.piece
        if pieces > 1:
            return np.split(array, pieces, axis=self.columns)[place]
        if array.shape == theirs:
            return array
        table = self.resized(array.reshape(*self.variable.shape[:-2], -1, array.shape[-1]))
        return table.reshape(theirs) if table.size == math.prod(theirs) else array

    def adapts(self, shape):
        """True for the shape of a kernel that sees three channels in place of ours."""
        if len(self.axes) != 4 or len(shape) != 4:
            return False
        channels = self.axes.index(2)  # of (H, W, channels, out)
        alike = all(theirs == ours for i, (theirs, ours) in enumerate(zip(shape, self.their_shape)) if i != channels)
        return alike and shape[channels] == 3

    def adapted(self, array):
        """A kernel that sees three channels, summed over them, or repeated and scaled (timm, adapt_input_conv)."""
        axis = self.axes.index(2)
        channels, array = self.their_shape[axis], array.astype("float32")
        if channels == 1:
            return array.sum(axis, keepdims=True)
        return np.take(array, np.arange(channels) % 3, axis) * (3 / channels)

    @property
    def columns(self):
        """The axis of theirs along which the columns of our variable lie."""
        return self.axes.index(len(self.axes) - 1)

    @property
    def their_shape(self):
        return self.to_theirs(np.broadcast_to(0, tuple(self.variable.shape))).shape


FORMS = {  # (our shape, the layer, number of heads) -> theirs, before the axes change places
    "1x1": lambda shape, layer, heads: (1, 1, *shape),  # a convolution in place of a dense layer
    "map": lambda shape, layer, heads: (*flattened_map(layer), shape[-1]),  # one as large as the map that it sees
    "grouped": lambda shape, layer, heads: (*shape[:2], 1, shape[2]),  # in place of a depthwise one
    "heads": lambda shape, layer, heads: (*shape[:-1], heads, shape[-1] // heads),
    "of heads": lambda shape, layer, heads: (heads, shape[0] // heads, shape[1]),
    "rows": lambda shape, layer, heads: shape[1:],  # without an axis for the batch
    "columns": lambda shape, layer, heads: shape,  # a dense layer whose kernel puts the input first, as ours
}
OF_ALL = ("heads", "rows")  # the others reshape kernels only

TORCH_LEAVES = {  # ours -> PyTorch's
    "kernel": "weight",
    "embeddings": "weight",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
    "scale": "weight",  # of root-mean-square normalization
}


def entries(model, layout, family):
    """One `Entry` per weight of `model`, or several where it is split there, in the model's order.

    Raises:
        ValueError: the layout doesn't know the family, or has no rule for a layer.
    """
    family = family or model.name
    rules = layout.families.get(family, layout.families.get(EVERY))
    if rules is None:
        known = ", ".join(sorted(layout.families))
        raise ValueError(
            f"The layout {layout.name!r} has no family {family!r}; it has {known}. If the model was given a name of its"
            " own, say which it is with family=..."
        )
    owners = owned_variables(model)
    paths = {path for _, path, _ in owners} | {f"{path}/{v.name}" for _, path, own in owners for v in own}
    heads = {layer.name: getattr(layer, "heads", None) for layer in model.layers}
    found, unknown = [], []
    for layer, path, variables in owners:
        there = renamed(path, rules, paths)
        if there is None:
            unknown.append(path)
            continue
        for index, variable in enumerate(variables):
            place = path.partition("/")[0]
            found += counterparts(layout, layer, place, heads.get(place), there, index, variable)
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
            path = own[0].path.removeprefix(f"{model.name}/")  # subclassed models put their name first
            found.append((layer, path.rpartition("/")[0], own))
    return found


def always(*pairs):
    """The conventions of a family that a library builds in the same way, whatever its size."""
    return lambda paths, source: pairs


def check_conventions(model, layout, family, source):
    """Raises ValueError if the library computes something else than the model with the same weights.

    Names and shapes do not tell: keras.applications' EfficientNetB0 has those of torchvision's, and other answers.
    Where a library builds networks with the same names in two ways, and the source does not say which one it is of,
    the choice is printed.
    """
    if reason := layout.limits.get(family, lambda model: "")(model):
        raise ValueError(f"These weights fit, but {layout.name} computes something else with them: {reason}.")
    if family not in layout.conventions:
        return
    allowed = layout.conventions[family]({layer.name for layer in model.layers}, source)
    epsilons = {n.epsilon for n in model._flatten_layers() if isinstance(n, keras.layers.BatchNormalization)}
    fitting = [
        (epsilon, padding)
        for epsilon, padding in allowed
        if all(abs(e / epsilon - 1) < 0.01 for e in epsilons) and (padding is None or pads_alike(model, padding))
    ]
    theirs = " or ".join(f"epsilon {epsilon:g}{PADS[padding]}" for epsilon, padding in allowed)
    ours = f"epsilon {', '.join(f'{e:g}' for e in sorted(epsilons))}"
    ours += "".join(PADS[kind] for kind in sorted({k for k, layer in paddings_of(model) if not is_stem(layer)}))
    if not fitting:
        raise ValueError(
            f"These weights fit, but {layout.name} computes something else with them: its {family} has {theirs}, this"
            f" model {ours}. Build another variant, plain or with _keras or _timm at its end (`tfdl show {family}`)."
        )
    if len(allowed) > 1:
        print(f"{layout.name} has networks with {theirs}, and {source} does not say which; this model has {ours}.")


PADS = {
    None: "",
    "both": " and PyTorch's padding",
    "same": " and TensorFlow's padding",
    "behind": " and padding on the right",
}


def pads_alike(model, padding):
    """Whether the model pads what a convolution halves as `conv_norm` does it with this `padding`, at its image size.

    Even sides are the same for "same" and "behind", odd ones for "same" and "both".
    """
    for ours, layer in paddings_of(model):
        wanted = "same" if padding == "behind" and is_stem(layer) else padding  # as keras.applications has it
        for side in layer.input.shape[1:3]:
            alike = () if side is None else ("same", "both") if side % 2 else ("same", "behind")
            if ours != wanted and not {ours, wanted} <= set(alike):
                return False
    return True


def is_stem(layer):
    return layer.name.startswith("stem")


def paddings_of(model):
    """(padding, layer) of each convolution that halves a map, as `conv_norm` calls it."""
    found = []
    for layer in model.layers:
        if isinstance(layer, keras.layers.ZeroPadding2D) and layer.name.endswith("_pad"):
            found.append(("both" if layer.padding[0][0] else "behind", layer))
        elif getattr(layer, "strides", (1,))[0] > 1 and getattr(layer, "padding", "") == "same":
            found.append(("same", layer))
    return found


def renamed(path, rules, paths):
    """The first rule's answer for `path`, or None."""
    for pattern, replacement in rules:
        if match := re.fullmatch(pattern, path):
            return match.expand(replacement) if isinstance(replacement, str) else replacement(match, paths)
    return None


STAGES = {  # blocks of a MobileNet -> blocks of each of its stages, which have the same channels
    13: (1, 2, 2, 6, 2),  # V1, Table 1
    17: (1, 2, 3, 4, 3, 3, 1),  # V2, Table 2
    11: (1, 2, 3, 2, 3),  # V3, Tables 1 and 2
    15: (1, 2, 3, 4, 2, 3),
    5: (1, 2, 1, 1),  # our nano
}


def stage_of(block, paths):
    """Stage and place in it of a MobileNet's block, for libraries that name both.  Raises ValueError for ours alone."""
    blocks = 1 + max(int(path[5:].partition("_")[0]) for path in paths if path.startswith("block"))
    if blocks not in STAGES:
        raise ValueError(f"No other library has a mobilenet of {blocks} blocks; build one of its paper's variants.")
    ends = np.cumsum(STAGES[blocks])
    stage = int(np.searchsorted(ends, block, side="right"))
    return stage, block - int(ends[stage] - STAGES[blocks][stage])


def counterparts(layout, layer, place, heads, there, index, variable):
    """The counterparts of one variable in the layers that `there` lists; nearly always it is a single one."""
    names = there.split(" | ")
    size = variable.shape[-1] // len(names)
    parts = [(..., slice(i * size, (i + 1) * size)) for i in range(len(names))]
    return [entry(layout, layer, place, heads, name, index, variable, part, size) for name, part in zip(names, parts)]


def entry(layout, layer, place, heads, there, index, variable, part, size):
    """The counterpart of `size` columns of one variable in the layer that is called `there`."""
    there, _, form = there.partition(" as ")
    there, _, piece = there.partition("[")
    is_kernel, shape = variable.name == "kernel", (*variable.shape[:-1], size)
    form = form if is_kernel or form in OF_ALL else ""
    if form:
        shape = FORMS[form](shape, layer, heads)
    options = dict(part=part, resized=getattr(layer, "resized", None))
    if piece:
        options["piece"] = tuple(int(number) for number in piece.rstrip("]").split("/"))
    if not layout.torch:
        names = keras_names(there, variable.name, index)
        return Entry(variable, place, names[0], shape, tuple(range(len(shape))), names[1:], **options)
    leaf = TORCH_LEAVES.get(variable.name, variable.name)
    name = there[:-1] if there.endswith("!") else f"{there}{leaf}" if there.endswith("_") else f"{there}.{leaf}"
    flattened = flattened_map(layer) if is_kernel and form != "map" else None
    axes = tuple(range(len(shape))) if form == "columns" else torch_axes(layer, variable.name, len(shape))
    return Entry(variable, place, name, shape, axes, flattened=flattened, **options)


def keras_names(there, leaf, index):
    """Files number the variables of a layer and leave out what it sits in; Keras 2 said depthwise_kernel."""
    if there.endswith("!"):
        return (there[:-1],)
    inner = there.rpartition("/")[2]
    return (f"{there}/{leaf}", f"{inner}/{index}", f"{inner}/{leaf}", f"{inner}/depthwise_{leaf}")


def flattened_map(layer):
    """(H, W, C) of the map that a Flatten (and dropout) turned into the input of this dense layer, or None."""
    if not isinstance(layer, keras.layers.Dense):
        return None
    while len(layer._inbound_nodes) == 1:  # at its only place in a functional model
        (source,) = layer._inbound_nodes[0].input_tensors
        layer = source._keras_history.operation
        if isinstance(layer, keras.layers.Flatten) and len(layer.input.shape) == 4:
            return tuple(layer.input.shape[1:])
        if isinstance(layer, keras.layers.Reshape) and len(layer.input.shape) == 5 and len(layer.output.shape) == 3:
            return tuple(layer.input.shape[2:])  # the maps of many regions
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
