"""TFLite metadata: what MediaPipe's ImageClassifier reads to normalize pictures and to name the classes.

Source: the schema `metadata_schema.fbs` of TFLite Support and MediaPipe Tasks (Apache-2.0).  Slots are written by their
number there, with `flatbuffers` alone.  The table stands in a model buffer called TFLITE_METADATA; the label file is
zipped behind the flatbuffer, which readers of the model ignore.

MediaPipe's image tasks take RGB pictures only: a file for gray ones has the same table, says GRAYSCALE in it, and is
refused by them.  MediaPipe shows the output as it is: logits, or probabilities of files exported with softmax=True.
"""

import io
import zipfile

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tfdl.core.tflite_metadata import BUFFER_NAME, NORMALIZATION, TENSOR_AXIS_LABELS

LABEL_FILE = "labels.txt"
RGB, GRAYSCALE = 1, 2  # enum ColorSpaceType
IMAGE_PROPERTIES = 2  # member of union ContentProperties


def attach_metadata(content, *, name, signature, labels=None):
    """TFLite bytes of an image classifier -> the same model with metadata and, if given, its label file.

    signature: the model's, with one input of pictures; labels: K class names in the order of the output.
    """
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    entry = schema.MetadataT()
    entry.name, entry.buffer = BUFFER_NAME, len(model.buffers)
    table = schema.BufferT()
    data = classifier_metadata(name=name, signature=signature, labeled=labels is not None)
    table.data = np.frombuffer(data, np.uint8)
    model.buffers.append(table)
    model.metadata = [*(model.metadata or []), entry]
    for buffer in model.buffers:
        buffer.Pack = aligned_pack(buffer)
    builder = flatbuffers.Builder(len(content) + 4096)
    builder.Finish(model.Pack(builder), b"TFL3")
    packed = bytes(builder.Output())
    return packed if labels is None else with_file(packed, LABEL_FILE, "\n".join(labels) + "\n")


def aligned_pack(buffer):
    """`BufferT.Pack` with the 16-byte alignment that the schema demands and the generated Python code forgets."""

    def pack(builder):
        data = None
        if buffer.data is not None:
            values = np.asarray(buffer.data, np.uint8)
            builder.StartVector(1, len(values), 16)
            builder.head -= len(values)
            builder.Bytes[builder.head : builder.head + len(values)] = values.tobytes()
            data = builder.EndVector()
        schema.BufferStart(builder)
        if data is not None:
            schema.BufferAddData(builder, data)
        return schema.BufferEnd(builder)

    return pack


def with_file(content, name, text):
    """`content` with a zip of one file behind it; the date is fixed so that equal input gives equal bytes."""
    stream = io.BytesIO(content)
    with zipfile.ZipFile(stream, "a", zipfile.ZIP_STORED) as archive:
        archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), text)
    return stream.getvalue()


def classifier_metadata(*, name, signature, labeled):
    """Bytes of a `ModelMetadata` table.  One input: images, (pixel - mean) / std.  One output: scores with labels."""
    (((*_, channels), _),) = signature.inputs.values()
    (output,) = signature.outputs
    low, high = signature.input_range
    std = 255 / (high - low)  # pixel 0 becomes low, pixel 255 high
    b = flatbuffers.Builder(1024)
    # From the leaves up: a table may not be begun inside another one.
    normalization = table(b, 2, {0: floats(b, [0.0 - low * std]), 1: floats(b, [std])})  # mean, std
    unit = table(b, 2, {1: normalization}, {0: NORMALIZATION})
    image = table(b, 2, {}, {0: RGB if channels == 3 else GRAYSCALE})
    kind = table(b, 3, {1: image}, {0: IMAGE_PROPERTIES})
    images = table(b, 7, {0: b.CreateString("images"), 3: kind, 4: offsets(b, [unit])})
    fields = {0: b.CreateString(output)}
    if labeled:
        fields[6] = offsets(b, [table(b, 5, {0: b.CreateString(LABEL_FILE)}, {2: TENSOR_AXIS_LABELS})])
    logits = table(b, 7, fields)
    graph = table(b, 10, {2: offsets(b, [images]), 3: offsets(b, [logits])})
    model = {0: b.CreateString(name), 3: offsets(b, [graph]), 7: b.CreateString("1.0.0")}  # 7: oldest parser
    b.Finish(table(b, 8, model), b"M001")
    return bytes(b.Output())


def table(builder, slots, references, enums=None):
    """A table of `slots` slots with {slot: offset} and {slot: one-byte enum or union member}."""
    builder.StartObject(slots)
    for slot, offset in references.items():
        builder.PrependUOffsetTRelativeSlot(slot, offset, 0)
    for slot, value in (enums or {}).items():
        builder.PrependUint8Slot(slot, value, 0)
    return builder.EndObject()


def offsets(builder, tables):
    builder.StartVector(4, len(tables), 4)
    for offset in reversed(tables):
        builder.PrependUOffsetTRelative(offset)
    return builder.EndVector()


def floats(builder, values):
    return builder.CreateNumpyVector(np.asarray(values, "float32"))
