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

from tfdl.export.signatures import model_call

LARGE = 12e6  # weights; between EfficientNet-B0, quicker with constants, and ResNet-50, twice as quick without


def graph(model, signature, *, integers=False):
    """A `tf.Module` for `converter`: its `serve` is the model at batch 1, `folder` the SavedModel of a large one.

    `integers`: for files in int8, which need other operators than those in float (in networks that are not large).
    """
    spec = {name: tf.TensorSpec((1, *shape), dtype, name=name) for name, (shape, dtype) in signature.inputs.items()}
    live = tf.function(lambda inputs: model_call(model, inputs), input_signature=[spec])
    large = model.count_params() > LARGE
    module = tf.Module()
    module.serve = live if large else frozen(live, signature, integers)
    module.folder = None
    if large:
        module.weights = [variable.value for variable in model.variables]
        module.folder = tempfile.TemporaryDirectory(prefix="tfdl_graph_")  # goes with the module
        tf.saved_model.save(module, module.folder.name, signatures={"serving_default": module.serve})
    return module


def frozen(function, signature, integers):
    """The same function with its variables as constants."""
    constant = convert_variables_to_constants_v2(function.get_concrete_function())
    constant = hard_swish_in_pieces(constant) if integers else constant
    takes, gives = sorted(signature.inputs), sorted(signature.outputs)  # dicts are flattened in the order of their keys

    def call(inputs):
        return dict(zip(gives, constant(*(inputs[name] for name in takes))))

    return tf.function(call, input_signature=function.input_signature)


def hard_swish_in_pieces(function):
    """The same function, in which the converter does not find hard swish, x relu6(x + 3) / 6.

    It would make one HARD_SWISH operator of it.  In float that is a tenth quicker, but XNNPACK has no such kernel for
    int8: MobileNetV3-small falls into 20 pieces and takes 4.2 ms in place of 1.1.  With the next float32 after 3 the
    plain operators stay; the value changes by less than 2e-7.
    """
    definition = function.graph.as_graph_def()
    for node in definition.node:
        value = tf.make_ndarray(node.attr["value"].tensor) if node.op == "Const" else None
        if value is not None and value.dtype == "float32" and value.tolist() == 3.0:
            node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(np.nextafter(value, np.float32(4))))
    whole = tf.compat.v1.wrap_function(lambda: tf.graph_util.import_graph_def(definition, name=""), [])
    return whole.prune([t.name for t in function.inputs], [t.name for t in function.outputs])
