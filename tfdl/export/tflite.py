"""TFLite files of built-in operators only: convert, list the operators, refuse the foreign ones, run.

A file with `Flex*` operators (TensorFlow kernels) converts without a word and is then refused by the phone's
interpreter, so the flatbuffer itself is read: no file leaves here with an operator that LiteRT does not have.
"""

from collections import Counter
from functools import partial

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tfdl.core.litert import interpreter, quantized, real
from tfdl.export.conversion import converted
from tfdl.export.int4 import with_int4_weights
from tfdl.export.parity import ExportError

ALLOWED_CUSTOM = frozenset({"TFLite_Detection_PostProcess"})  # the one custom operator in every LiteRT runtime
BUILTIN_NAMES = {value: name for name, value in vars(schema.BuiltinOperator).items() if not name.startswith("_")}


def convert_float(source, *, half=False):
    """TFLite bytes with float32 inputs and outputs; `half` stores the weights as float16, half the bytes."""
    return refuse_foreign(converted(source, "float16" if half else "float32"))


def convert_weights(source):
    """TFLite bytes with weights in 8 bits, one scale a channel; no data is needed.

    Activations stay float32; LiteRT may quantize them as they come ("dynamic range").
    """
    return refuse_foreign(converted(source, "weights"))


def convert_int4(source):
    """TFLite bytes with weights in 4 bits, see `tfdl.export.int4`; no data is needed."""
    return with_int4_weights(convert_float(source))


FLOATS = {
    "tflite": ("TFLite float32", "model.tflite", convert_float),
    "tflite_float16": ("TFLite float16", "model_float16.tflite", partial(convert_float, half=True)),
    "tflite_dynamic": ("TFLite with int8 weights", "model_dynamic.tflite", convert_weights),
    "tflite_int4": ("TFLite with int4 weights", "model_int4.tflite", convert_int4),  # made on request
}


def refuse_foreign(content):
    """Returns `content`.  Raises ExportError that names every operator in it which LiteRT lacks."""
    custom = [name.removeprefix("CUSTOM:") for name in operators(content) if name.startswith("CUSTOM:")]
    foreign = [name for name in custom if name not in ALLOWED_CUSTOM]
    if foreign:
        raise ExportError(
            f"the model needs operators that LiteRT does not have: {', '.join(foreign)}; "
            "rewrite those layers with built-in operations (for instance top_k(x, 1)[1] instead of argmax)"
        )
    return content


def operators(content):
    """How often each operator occurs, {name: count}; custom ones are written CUSTOM:name (Flex ones CUSTOM:Flex...)."""
    model = schema.Model.GetRootAsModel(content, 0)
    names = []
    for i in range(model.OperatorCodesLength()):
        code = model.OperatorCodes(i)
        kind = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())  # old files fill only the second
        custom = f"CUSTOM:{(code.CustomCode() or b'').decode()}"
        names.append(custom if kind == schema.BuiltinOperator.CUSTOM else BUILTIN_NAMES[kind])
    graphs = [model.Subgraphs(i) for i in range(model.SubgraphsLength())]
    indices = (g.Operators(i).OpcodeIndex() for g in graphs for i in range(g.OperatorsLength()))
    return dict(sorted(Counter(names[index] for index in indices).items()))


def run_tflite(content, inputs, *, signature=None, threads=1):
    """Outputs {name: float32 array (N, ...)} of a TFLite file, run in the batches that it takes.

    inputs: {name: array (N, ...)} of real values; (N,) for an input that has no batch.  Integer inputs and outputs are
    quantized and de-quantized here with the file's own scale and zero point, as an app has to.  The last batch is
    filled up with the first samples.
    signature: its name, where the file has several.
    """
    ready = interpreter(content, threads=threads)  # kept while its runner is in use
    runner = ready.get_signature_runner(signature)
    takes, gives = runner.get_input_details(), runner.get_output_details()
    count, parts = len(next(iter(inputs.values()))), []
    size = max((int(detail["shape"][0]) for detail in takes.values() if len(detail["shape"])), default=1)
    for start in range(0, count, size):
        rows = np.arange(start, start + size) % count
        values = {name: inputs[name][rows if len(detail["shape"]) else start] for name, detail in takes.items()}
        result = runner(**{name: quantized(values[name], detail) for name, detail in takes.items()})
        parts.append({name: real(result[name], detail).copy() for name, detail in gives.items()})
    return {name: np.concatenate([part[name] for part in parts])[:count] for name in gives}
