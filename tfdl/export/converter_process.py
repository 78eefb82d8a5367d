"""The program of the converter's process: jobs come as lines of JSON over a socket, files lie in folders.

It needs TensorFlow and nothing else of ours.  See `tfdl.export.conversion`, which starts it.
"""

import json
import os
import socket
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.pop(0)  # this folder, where modules have such names as `metadata`
    # A third of the time that TensorFlow needs to start goes into Keras, which no conversion needs; it looks for the
    # old one then, which is not there.
    os.environ["TF_USE_LEGACY_KERAS"] = "1"

import numpy as np  # noqa: E402 (after what TensorFlow reads when it loads)
import tensorflow as tf  # noqa: E402
from tensorflow.lite.python import schema_py_generated as schema  # noqa: E402

# The converter ends with this function too; tf.lite.experimental.QuantizationDebugger, which is public and takes nodes
# to leave alone as well, would quantize twice.
from tensorflow.lite.python.convert import mlir_quantize  # noqa: E402

IDLE = 60  # seconds without a job, after which the process ends; it holds half a gigabyte
INTEGERS = {
    "int8": tf.lite.OpsSet.TFLITE_BUILTINS_INT8,
    "int8_decoding": tf.lite.OpsSet.TFLITE_BUILTINS_INT8,
    "int16": tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8,
}
PRODUCTS = {  # operators in which networks spend their time
    schema.BuiltinOperator.BATCH_MATMUL,
    schema.BuiltinOperator.CONV_2D,
    schema.BuiltinOperator.DEPTHWISE_CONV_2D,
    schema.BuiltinOperator.FULLY_CONNECTED,
    schema.BuiltinOperator.TRANSPOSE_CONV,
}


def serve(address):
    """Works on what comes until the other end closes the socket or says nothing for `IDLE` seconds."""
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(address)
    connection.settimeout(IDLE)
    try:
        for line in connection.makefile("rb"):
            connection.sendall(json.dumps(done(json.loads(line))).encode() + b"\n")
    except TimeoutError:
        return


def done(job):
    """Does a job; {"error": what went wrong, in one line, or None}."""
    try:
        Path(job.pop("result")).write_bytes(converted(**job))
    except Exception as error:
        lines = str(error).strip().splitlines() or [""]
        return {"error": f"{type(error).__name__}: {lines[0]}"[:500]}
    return {"error": None}


def converted(folder, names, batch, kind, samples):
    """TFLite bytes of built-in and custom operators only.

    Args:
        folder, names, batch: see `tfdl.export.graph.Source`.
        kind: "float32"; "float16" weights; "weights" in 8 bits, computed in float32; "int8"; "int8_decoding", int8 with
            a decoding in float32, see `decoding_of`; "int16" with int8 weights.
        samples: an .npz file of {input name: array (N, ...)} that calibrates the last three; None for the others.
    """
    if names:
        setup = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=names)
    else:
        module = frozen(Path(folder))
        setup = tf.lite.TFLiteConverter.from_concrete_functions([module.serve.get_concrete_function()], module)
    setup.target_spec.supported_ops = [INTEGERS.get(kind, tf.lite.OpsSet.TFLITE_BUILTINS)]
    setup.allow_custom_ops = True  # what is no built-in becomes custom, and can be named then
    if kind != "float32":
        setup.optimizations = [tf.lite.Optimize.DEFAULT]
    if kind == "float16":
        setup.target_spec.supported_types = [tf.float16]
    if samples:
        with np.load(samples) as stored:
            arrays = {name: stored[name] for name in stored.files}
        setup.representative_dataset = lambda: batches(arrays, batch)
    if kind != "int8_decoding":
        return setup.convert()
    setup._experimental_calibrate_only = True
    calibrated = setup.convert()
    return mlir_quantize(calibrated, denylisted_nodes=decoding_of(calibrated))


def decoding_of(content):
    """Names of the tensors that operators after the last products with weights compute: the decoding of the outputs.

    Where a network ends with a computation, such as the mean of a distribution and the place of a point in the picture,
    each of its steps would round to 256 numbers.  In float32 they take no time that counts.
    """
    model = schema.Model.GetRootAsModel(content, 0)
    graph = model.Subgraphs(0)
    names, used_by_products = [], set()  # numbers of tensors from which a product is still to come
    for i in reversed(range(graph.OperatorsLength())):
        operator = graph.Operators(i)
        code = model.OperatorCodes(operator.OpcodeIndex())
        is_product = max(code.BuiltinCode(), code.DeprecatedBuiltinCode()) in PRODUCTS
        results = operator.OutputsAsNumpy().tolist()
        if is_product or used_by_products.intersection(results):
            used_by_products.update(operator.InputsAsNumpy().tolist())
        else:
            names += [graph.Tensors(number).Name().decode() for number in results]
    return names


def batches(arrays, size):
    """The samples in the batches that the graph takes; the last one is filled up with the first ones."""
    count = len(next(iter(arrays.values())))
    for start in range(0, count, size):
        rows = np.arange(start, start + size) % count
        step = {name: values[rows] for name, values in arrays.items()}
        # Operations with a gradient of their own, such as Keras's silu, cost the graph the names of its inputs.
        yield step if len(step) > 1 else list(step.values())


def frozen(folder):
    """A module whose `serve` is the graph in the folder: {input name: tensor} -> {output name: tensor}."""
    definition = tf.compat.v1.GraphDef.FromString((folder / "graph.pb").read_bytes())
    names = json.loads((folder / "names.json").read_text(encoding="utf-8"))
    whole = tf.compat.v1.wrap_function(lambda: tf.graph_util.import_graph_def(definition, name=""), [])
    tensors = {name: whole.graph.get_tensor_by_name(path) for name, path in names["inputs"].items()}
    constant = whole.prune(list(tensors.values()), list(names["outputs"].values()))
    spec = {name: tf.TensorSpec(tensor.shape, tensor.dtype, name=name) for name, tensor in tensors.items()}
    module = tf.Module()

    def call(inputs):
        return dict(zip(names["outputs"], constant(*(inputs[name] for name in names["inputs"]))))

    module.serve = tf.function(call, input_signature=[spec])
    return module


if __name__ == "__main__":
    serve(sys.argv[1])
