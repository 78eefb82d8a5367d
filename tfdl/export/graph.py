"""The float32 graph from which a TFLite file of a model is made, in a folder for the converter's process.

The weights of small networks are frozen into it as constants, which makes each conversion two to three times quicker
than from a SavedModel.  TensorFlow copies constants many times over, so that large networks become a temporary
SavedModel: VGG-11's float32 file took 18.6 GB and 127 s with constants and takes 4.4 GB and 28 s without.
"""

import json
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

# The converter freezes with this function too; there is no public name for it.
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from tfdl.core.quiet import muffled
from tfdl.export.savedmodel import writing
from tfdl.export.signatures import model_call

LOOPS = frozenset({"While", "StatelessWhile"})
LARGE = 12e6  # weights; between EfficientNet-B0, quicker with constants, and ResNet-50, twice as quick without
LONGEST = 256  # steps that are unrolled; an LSTM's step becomes about ten operators, and each sample runs them all


class LoopError(ValueError):
    """The graph has a loop, which TensorFlow's int8 calibrator does not survive."""


@dataclass(frozen=True)
class Source:
    """What a TFLite file is made from.

    Attributes:
        folder: a temporary one, which goes with this object; it holds a SavedModel, or graph.pb and names.json.
        names: the SavedModel's signatures; None for a frozen graph.
        batch: samples that it takes at a time.
    """

    folder: tempfile.TemporaryDirectory
    names: list[str] | None = None
    batch: int = 1


def graph(model, signature, *, integers=False):
    """The `Source` of a model's TFLite files.

    Args:
        model: the live model.
        signature: its `Signature`.
        integers: for files in int8: recurrent layers of a fixed length are unrolled, and operators that int8 lacks
            stay out (in networks that are not large).

    Raises:
        LoopError: `integers`, and the network has a loop.
    """
    batch = signature.batch_size
    spec = {name: tf.TensorSpec((batch, *shape), dtype, name=name) for name, (shape, dtype) in signature.inputs.items()}
    live = tf.function(lambda inputs: model_call(model, inputs), input_signature=[spec])
    longest = max((shape[0] for shape, _ in signature.inputs.values() if shape), default=0)
    with unrolled(model if integers and longest <= LONGEST else None):
        traced = live.get_concrete_function()
    if integers and has_loop(traced.graph.as_graph_def()):
        raise LoopError(
            f"{model.name!r} has a loop, which TensorFlow's int8 calibrator does not survive; Keras's recurrent layers "
            f"are unrolled for it up to {LONGEST} steps"
        )
    if model.count_params() > LARGE:
        return saved(model, {"serving_default": live}, batch)
    return frozen(traced, signature, integers)


@contextmanager
def unrolled(model):
    """Inside `with`, the recurrent layers of a model (None: of none) are traced step by step, without a loop."""
    layers = [] if model is None else [one for one in model._flatten_layers() if isinstance(one, keras.layers.RNN)]
    before = [layer.unroll for layer in layers]
    try:
        for layer in layers:
            layer.unroll = True
        yield
    finally:
        for layer, value in zip(layers, before):
            layer.unroll = value


def saved(model, functions, batch=1):
    """The `Source` of a SavedModel with `functions` {name: tf.function} of a model."""
    module = tf.Module()
    module.functions = dict(functions)
    module.weights = [variable.value for variable in model.variables]
    folder = tempfile.TemporaryDirectory(prefix="tfdl_graph_")
    with writing(folder.name):
        tf.saved_model.save(module, folder.name, signatures=module.functions)
    return Source(folder, list(functions), batch)


def has_loop(definition):
    """Whether a graph, or a function in it, loops."""
    functions = (function.node_def for function in definition.library.function)
    return any(node.op in LOOPS for nodes in (definition.node, *functions) for node in nodes)


def frozen(function, signature, integers):
    """The `Source` of a concrete function, with its variables as constants."""
    with muffled():  # see `writing`
        constant = convert_variables_to_constants_v2(function, lower_control_flow=False)
    constant = hard_swish_in_pieces(constant) if integers else constant
    # Dicts are flattened in the order of their keys.
    inputs = {name: tensor.name for name, tensor in zip(sorted(signature.inputs), constant.inputs, strict=True)}
    outputs = {name: tensor.name for name, tensor in zip(sorted(signature.outputs), constant.outputs, strict=True)}
    folder = tempfile.TemporaryDirectory(prefix="tfdl_graph_")
    Path(folder.name, "graph.pb").write_bytes(constant.graph.as_graph_def().SerializeToString())
    names = json.dumps({"inputs": inputs, "outputs": outputs})
    Path(folder.name, "names.json").write_text(names, encoding="utf-8")
    return Source(folder, batch=signature.batch_size)


def hard_swish_in_pieces(function):
    """The same function, in which the converter does not find hard swish, x relu6(x + 3) / 6.

    It would make one HARD_SWISH operator of it.  In float that is a tenth quicker, but XNNPACK has no such kernel for
    int8: MobileNetV3-small falls into 20 pieces and takes 4.2 ms in place of 1.1.  With the next float32 after 3 in
    front of a Relu6 the plain operators stay; the value changes by less than 2e-7.  Every other 3 stays as it is.
    """
    definition = function.graph.as_graph_def()
    nodes = {node.name: node for node in definition.node}
    clipped = {source_of(name) for node in definition.node if node.op == "Relu6" for name in node.input}
    added = []
    for node in definition.node:
        if node.op not in ("Add", "AddV2") or node.name not in clipped:
            continue
        for place, name in enumerate(node.input):
            constant = nodes.get(source_of(name))
            if constant is not None and is_three(constant):
                added.append(type(constant)())
                added[-1].CopyFrom(constant)
                added[-1].name = f"{node.name}/next_after_three"
                three = tf.make_ndarray(constant.attr["value"].tensor)
                following = tf.make_tensor_proto(np.nextafter(three, np.float32(4)))
                added[-1].attr["value"].tensor.CopyFrom(following)
                node.input[place] = added[-1].name
    definition.node.extend(added)
    whole = tf.compat.v1.wrap_function(lambda: tf.graph_util.import_graph_def(definition, name=""), [])
    return whole.prune([t.name for t in function.inputs], [t.name for t in function.outputs])


def source_of(name):
    """The node that an input such as "^node" or "node:0" comes from."""
    return name.removeprefix("^").partition(":")[0]


def is_three(node):
    """Whether it is a float32 constant 3."""
    if node.op != "Const":
        return False
    value = tf.make_ndarray(node.attr["value"].tensor)
    return value.dtype == "float32" and value.tolist() == 3.0
