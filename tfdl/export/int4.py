"""Weights in 4 bits: half the bytes of int8, by Google's ai-edge-quantizer, for the float32 file that we converted.

Each column of a dense layer has its own scale; activations stay float32, and LiteRT may quantize them as they come.
Tables that are looked up (embeddings) stay float32.  Needs the extra `edge`.
"""

import hashlib

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tfdl.core.quiet import muffled
from tfdl.export.metadata import aligned_pack


def with_int4_weights(content):
    """A float32 TFLite file's bytes -> the same network with weights in 4 bits.

    Raises:
        ImportError: ai-edge-quantizer is missing; the message names the extra.
    """
    try:
        from ai_edge_quantizer import quantizer, recipe
    except ImportError as error:
        raise ImportError("tflite_int4 needs ai-edge-quantizer: pip install 'tfdl[edge]'.") from error
    with muffled():  # it draws progress bars
        made = quantizer.Quantizer(bytearray(content), recipe.dynamic_wi4_afp32())
        quantized = made.quantize(enable_progress_bar=False, enable_progress_report=False).quantized_model
    return sharing_buffers(bytes(quantized))


def sharing_buffers(content):
    """The same file with equal weights stored once: the quantizer copies those of each entry point."""
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    places, kept, first = {}, [], {}
    for i, buffer in enumerate(model.buffers):
        if buffer.offset > 1:  # of a large file the data stand behind the table of contents; 0 and 1 say nothing
            buffer.data = np.frombuffer(content, np.uint8, buffer.size, buffer.offset)
            buffer.offset = buffer.size = 0
        data = None if buffer.data is None else np.asarray(buffer.data, np.uint8)
        key = i if data is None or not data.size else hashlib.sha256(data).digest()
        if key not in first:
            first[key] = len(kept)
            kept.append(buffer)
            buffer.Pack = aligned_pack(buffer)
        places[i] = first[key]
    model.buffers = kept
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            tensor.buffer = places[tensor.buffer]
    for entry in model.metadata or []:
        entry.buffer = places[entry.buffer]
    builder = flatbuffers.Builder(len(content) + 4096)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())
