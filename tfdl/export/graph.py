"""The float32 graph at batch 1 that a TFLite file of a model is made from.

The weights of small networks are frozen into it as constants, which makes each conversion two to three times quicker
than from a SavedModel.  TensorFlow copies constants many times over, so that large networks go through a temporary
SavedModel: VGG-11's float32 file took 18.6 GB and 127 s with constants and takes 4.4 GB and 28 s without.
"""

import tempfile

import numpy as np
import tensorflow as tf

# The converter freezes with this function too; there is no public name for it.
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from tfdl.core.quiet import muffled
from tfdl.export.savedmodel import writing
from tfdl.export.signatures import model_call

LOOPS = frozenset({"While", "StatelessWhile"})
LARGE = 12e6  # weights; between EfficientNet-B0, quicker with constants, and ResNet-50, twice as quick without


class LoopError(ValueError):
    """The graph has a loop, which TensorFlow's int8 calibrator does not survive."""


def graph(model, signature, *, integers=False):
    """A `tf.Module` for `converter`: its `serve` is the model at batch 1, `folder` the SavedModel of a large one.

    Args:
        model: the live model.
        signature: its `Signature`.
        integers: for files in int8, which need other operators than those in float (in networks that are not large).

    Raises:
        LoopError: `integers`, and the network has a loop.
    """
    spec = {name: tf.TensorSpec((1, *shape), dtype, name=name) for name, (shape, dtype) in signature.inputs.items()}
    live = tf.function(lambda inputs: model_call(model, inputs), input_signature=[spec])
    if integers and has_loop(live.get_concrete_function().graph.as_graph_def()):
        raise LoopError(
            f"{model.name!r} has a loop, on which TensorFlow's int8 calibrator ends the process; build its recurrent "
            "layers with unroll=True"
        )
    large = model.count_params() > LARGE
    module = tf.Module()
    module.serve = live if large else frozen(live, signature, integers)
    module.folder = None
    if large:
        module.weights = [variable.value for variable in model.variables]
        module.folder = tempfile.TemporaryDirectory(prefix="tfdl_graph_")  # goes with the module
        with writing(module.folder.name):
            tf.saved_model.save(module, module.folder.name, signatures={"serving_default": module.serve})
    return module


def has_loop(definition):
    """Whether a graph, or a function in it, loops."""
    functions = (function.node_def for function in definition.library.function)
    return any(node.op in LOOPS for nodes in (definition.node, *functions) for node in nodes)


def frozen(function, signature, integers):
    """The same function with its variables as constants."""
    with muffled():  # see `writing`
        constant = convert_variables_to_constants_v2(function.get_concrete_function())
    constant = hard_swish_in_pieces(constant) if integers else constant
    takes, gives = sorted(signature.inputs), sorted(signature.outputs)  # dicts are flattened in the order of their keys

    def call(inputs):
        return dict(zip(gives, constant(*(inputs[name] for name in takes))))

    return tf.function(call, input_signature=function.input_signature)


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
