"""Batch contracts: the format of a batch for each task, which data, models and learners rely on.

`CONTRACTS` is the table; `check(task, x, y)` says in one sentence what is wrong with a batch.  Shapes are static,
padding uses explicit sentinel values, nothing is ragged.  A side (x or y) with one field is the array itself; a side
with several fields is a dict from their names; a side without fields is None.

Shapes: B batch, H W C height, width and channels, N objects, points or nodes, P points of a scene, K key points,
T S tokens, E edges, G graphs, Q queries, D F features.
"""

from dataclasses import dataclass

import keras
import numpy as np

IGNORE = 255  # segmentation masks: pixels that count neither in the loss nor in a metric
OUTSIDE = 1e6  # a coordinate of padded points of scenes: outside of every grid
PADDING = -1  # class label of padded objects, points, nodes and tokens


@dataclass(frozen=True)
class Field:
    """One array; its `shape` consists of symbols (equal ones must agree in a batch), numbers and None (any size)."""

    name: str
    shape: tuple
    dtype: str
    meaning: str
    low: float | None = None  # the smallest and the largest value allowed; None is unbounded
    high: float | None = None
    optional: bool = False


@dataclass(frozen=True)
class Contract:
    """Fields of the two sides of one task's batch."""

    task: str
    x: tuple[Field, ...]
    y: tuple[Field, ...] = ()


IMAGES = Field("images", ("B", "H", "W", "C"), "float32", "pixels", 0.0, 1.0)
LABELS = Field("labels", ("B",), "int32", "class of each sample", 0)
NODES = Field("nodes", ("N", "F"), "float32", "features of each node")
EDGES = Field("edges", ("E", 2), "int32", "source and target node of each directed edge", 0)
NODE_MASK = Field("node_mask", ("N",), "bool", "False for padded nodes")
EDGE_MASK = Field("edge_mask", ("E",), "bool", "False for padded edges")

CONTRACTS = {
    contract.task: contract
    for contract in (
        Contract("classification", (IMAGES,), (LABELS,)),
        Contract(
            "detection",
            (IMAGES,),
            (
                Field("boxes", ("B", "N", 4), "float32", "x1, y1, x2, y2 in pixels; zeros where padded"),
                Field("labels", ("B", "N"), "int32", "class of each object, -1 where padded", PADDING),
                Field("crowd", ("B", "N"), "bool", "True for regions that are not evaluated", optional=True),
                Field("instances", ("B", "H", "W"), "int32", "object of each pixel, -1 for none", -1, optional=True),
            ),
        ),
        Contract(
            "segmentation",
            (IMAGES,),
            (Field("masks", ("B", "H", "W"), "int32", "class of each pixel, 255 to ignore it", 0, IGNORE),),
        ),
        Contract(
            "keypoints",
            (IMAGES,),
            (
                Field("keypoints", ("B", "N", "K", 3), "float32", "x, y in pixels, 1 if visible; zeros where padded"),
                Field("area", ("B", "N"), "float32", "of each object in pixels", 0, optional=True),
            ),
        ),
        Contract(
            "points",
            (Field("points", ("B", "N", "D"), "float32", "x, y, z, then F features: D = 3 + F"),),
            (LABELS,),
        ),
        Contract(
            "point_segmentation",
            (Field("points", ("B", "N", "D"), "float32", "x, y, z, then F features: D = 3 + F"),),
            (Field("labels", ("B", "N"), "int32", "class of each point, -1 to ignore it", PADDING),),
        ),
        Contract(
            "point_detection",
            (
                Field(
                    "points",
                    ("B", "P", "D"),
                    "float32",
                    "x, y, z in meters, or OUTSIDE; then F features",
                ),
            ),
            (
                Field("boxes", ("B", "N", 7), "float32", "x, y, z, l, w, h, yaw; zeros where padded"),
                Field("labels", ("B", "N"), "int32", "class of each object, -1 where padded", PADDING),
                Field("ignored", ("B", "N"), "bool", "True for objects to leave alone", optional=True),
            ),
        ),
        Contract(
            "language_model",
            (Field("tokens", ("B", "T"), "int32", "token ids, 0 where padded", 0),),
            (Field("targets", ("B", "T"), "int32", "the token that follows, -1 where none does", PADDING),),
        ),
        Contract(
            "sequence_to_sequence",
            (
                Field("source", ("B", "S"), "int32", "token ids to read, 0 where padded", 0),
                Field("target_in", ("B", "T"), "int32", "start token, then the target; 0 where padded", 0),
            ),
            (Field("target_out", ("B", "T"), "int32", "the target, then the end token; -1 where padded", PADDING),),
        ),
        Contract("image_text", (IMAGES, Field("tokens", ("B", "T"), "int32", "the caption, 0 where padded", 0))),
        Contract(
            "graph",
            (NODES, EDGES, NODE_MASK, EDGE_MASK),
            (Field("labels", ("N",), "int32", "class of each node, -1 where padded or unknown", PADDING),),
        ),
        Contract(
            "graph_classification",
            (NODES, EDGES, NODE_MASK, EDGE_MASK, Field("graphs", ("N",), "int32", "the graph of each node", 0)),
            (Field("labels", ("G",), "int32", "class of each graph", 0),),
        ),
        Contract(
            "few_shot",
            (
                Field("support", ("B", "S", "H", "W", "C"), "float32", "labelled images of B episodes", 0.0, 1.0),
                Field("support_labels", ("B", "S"), "int32", "class within the episode", 0),
                Field("query", ("B", "Q", "H", "W", "C"), "float32", "images to classify", 0.0, 1.0),
            ),
            (Field("query_labels", ("B", "Q"), "int32", "class within the episode", 0),),
        ),
        Contract("images", (IMAGES,)),
    )
}


def check(task, x, y=None):
    """Raises a ValueError with one sentence unless (x, y) is a batch of `task`.

    Takes arrays and tensors of any backend.  Shapes and dtypes are always checked, value ranges only if there are
    values (not while a function is being traced).  `y=None` checks x alone, as for prediction.
    """
    if task not in CONTRACTS:
        raise ValueError(f"There is no batch contract for task {task!r}; choose one of {', '.join(CONTRACTS)}.")
    contract = CONTRACTS[task]
    sizes = {}  # symbol -> (size, field that fixed it)
    check_side(task, "x", contract.x, x, sizes)
    if y is not None:
        if not contract.y:
            raise ValueError(f"A {task} batch has no y, but there is {describe(y)}; yield x alone.")
        check_side(task, "y", contract.y, y, sizes)


def check_side(task, side, fields, values, sizes):
    """Checks one side of the batch: the names of its fields, and each field."""
    if len(fields) == 1:
        if not hasattr(values, "shape"):
            raise ValueError(
                f"{side} of a {task} batch must be the array {fields[0].name!r} {shape_text(fields[0])}, "
                f"but is {describe(values)}; pass the array itself."
            )
        values = {fields[0].name: values}
    wanted = [field.name for field in fields]
    if not isinstance(values, dict):
        raise ValueError(
            f"{side} of a {task} batch must be a dict of {', '.join(wanted)}, "
            f"but is {describe(values)}; give the arrays these names."
        )
    missing = [field.name for field in fields if not field.optional and field.name not in values]
    unknown = sorted(set(values) - set(wanted))
    if missing or unknown:
        remedies = [f"add {', '.join(missing)}"] * bool(missing) + [f"remove {', '.join(unknown)}"] * bool(unknown)
        raise ValueError(
            f"{side} of a {task} batch must be a dict of {', '.join(wanted)}, "
            f"but has {', '.join(values) or 'nothing'}; {' and '.join(remedies)}."
        )
    for field in fields:
        if field.name in values:
            check_field(task, field, values[field.name], sizes)


def check_field(task, field, value, sizes):
    """Checks rank, sizes, dtype and range of one array."""
    where = f"Field {field.name!r} of a {task} batch"
    expected = f"expected {shape_text(field)} {field.dtype}, {field.meaning}"
    if not hasattr(value, "shape") or not hasattr(value, "dtype"):
        raise ValueError(f"{where} is {describe(value)}; {expected}: convert it to an array.")
    shape = tuple(value.shape)
    if len(shape) != len(field.shape):
        raise ValueError(f"{where} has shape {shape}; {expected}: give it {len(field.shape)} axes.")
    for axis, (symbol, size) in enumerate(zip(field.shape, shape, strict=True)):
        if symbol is None or size is None:
            continue
        if isinstance(symbol, int):
            if size != symbol:
                raise ValueError(f"{where} has shape {shape}; {expected}: make axis {axis} of size {symbol}.")
            continue
        known, first = sizes.setdefault(symbol, (size, field.name))
        if known != size:
            raise ValueError(
                f"{where} has {symbol} = {size}, but field {first!r} has {symbol} = {known}; {expected}: "
                f"make the two agree on {symbol}."
            )
    dtype = keras.backend.standardize_dtype(value.dtype)
    if dtype != field.dtype:
        raise ValueError(f"{where} is {dtype}; {expected}: cast it to {field.dtype}.")
    check_range(field, value, where, expected)


def check_range(field, value, where, expected):
    """Checks the smallest and largest value, if there are values; NaN fails every bound."""
    if (field.low is None and field.high is None) or (numbers := concrete(value)) is None or numbers.size == 0:
        return
    smallest, largest = numbers.min(), numbers.max()
    if field.low is not None and not smallest >= field.low:
        raise ValueError(f"{where} contains {smallest}; {expected}: scale its values to {range_text(field)}.")
    if field.high is not None and not largest <= field.high:
        raise ValueError(f"{where} contains {largest}; {expected}: scale its values to {range_text(field)}.")


def concrete(value):
    """The values as a NumPy array, or None for a symbolic or traced tensor."""
    if isinstance(value, keras.KerasTensor):
        return None
    try:
        return np.asarray(value if isinstance(value, np.ndarray) else keras.ops.convert_to_numpy(value))
    except (NotImplementedError, TypeError, AttributeError, ValueError):  # raised by the backends for traced tensors
        return None


def shape_text(field):
    """("B", 4, None) -> "(B, 4, any)"."""
    return "(" + ", ".join("any" if size is None else str(size) for size in field.shape) + ")"


def range_text(field):
    """The allowed values in words."""
    if field.high is None:
        return f"{field.low} or more"
    return f"[{field.low}, {field.high}]"


def describe(value):
    """A short description of a value for messages."""
    if hasattr(value, "shape"):
        return f"an array of shape {tuple(value.shape)}"
    if isinstance(value, dict):
        return f"a dict of {', '.join(map(str, value)) or 'nothing'}"
    return f"a {type(value).__name__}"
