"""The one float32 graph at batch 1 that every TFLite file of a model is made from.

The weights of small networks are frozen into it as constants, which makes each conversion two to three times quicker
than from a SavedModel.  TensorFlow copies constants many times over, so that large networks go through a temporary
SavedModel: VGG-11's float32 file took 18.6 GB and 127 s with constants and takes 4.4 GB and 28 s without.
"""

import tempfile

import tensorflow as tf

# The converter freezes with this function too; there is no public name for it.
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from tfdl.export.signatures import model_call

LARGE = 12e6  # weights; between EfficientNet-B0, quicker with constants, and ResNet-50, twice as quick without


def graph(model, signature):
    """A `tf.Module` for `converter`: its `serve` is the model at batch 1, `folder` the SavedModel of a large one."""
    spec = {name: tf.TensorSpec((1, *shape), dtype, name=name) for name, (shape, dtype) in signature.inputs.items()}
    live = tf.function(lambda inputs: model_call(model, inputs), input_signature=[spec])
    large = model.count_params() > LARGE
    module = tf.Module()
    module.serve = live if large else frozen(live, signature)
    module.folder = None
    if large:
        module.weights = [variable.value for variable in model.variables]
        module.folder = tempfile.TemporaryDirectory(prefix="tfdl_graph_")  # goes with the module
        tf.saved_model.save(module, module.folder.name, signatures={"serving_default": module.serve})
    return module


def frozen(function, signature):
    """The same function with its variables as constants."""
    constant = convert_variables_to_constants_v2(function.get_concrete_function())
    takes, gives = sorted(signature.inputs), sorted(signature.outputs)  # dicts are flattened in the order of their keys

    def call(inputs):
        return dict(zip(gives, constant(*(inputs[name] for name in takes))))

    return tf.function(call, input_signature=function.input_signature)
