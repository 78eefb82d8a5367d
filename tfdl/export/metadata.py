"""TFLite metadata: what MediaPipe's tasks for pictures read to normalize pixels and to name classes and outputs.

| task            | outputs, by their names in the file                                                            |
|-----------------|------------------------------------------------------------------------------------------------|
| ImageClassifier | one (K), shown as it is: logits, or probabilities of files exported with softmax=True          |
| ImageSegmenter  | one (H, W, K): a softmax is made of it                                                         |
| ObjectDetector  | `location` (D, 4): y1, x1, y2, x2 in parts of the picture; `category`, `score` (D); `count` () |
| FaceDetector    | those of `models.pose.blaze_face` for 128 x 128 pixels: it decodes them itself                 |

Source: the schemas `metadata_schema.fbs` and `image_segmenter_metadata_schema.fbs` of TFLite Support and MediaPipe
Tasks (Apache-2.0).  Slots are written by their number there, with `flatbuffers` alone.  The table is in a model buffer
called TFLITE_METADATA; the label file is zipped behind the flatbuffer, which readers of the model ignore.

MediaPipe's image tasks take RGB pictures only: a file for gray ones has the same table, says GRAYSCALE in it, and is
refused by them.  They stretch every picture to the size of the input.  ObjectDetector cuts the sides of boxes to whole
pixels inside the picture; objects whose boxes are equal then become one with several categories.
"""

import io
import zipfile

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tfdl.core.tflite_metadata import BUFFER_NAME, NORMALIZATION, TENSOR_AXIS_LABELS

LABEL_FILE = "labels.txt"
TENSOR_VALUE_LABELS = 3  # enum AssociatedFileType: the output has numbers of classes, no score of each
RGB, GRAYSCALE = 1, 2  # enum ColorSpaceType
IMAGE_PROPERTIES, BOX_PROPERTIES = 2, 3  # members of union ContentProperties
BOUNDARIES = 1  # enum BoundingBoxType: left, top, right, bottom
PLACES = (1, 0, 3, 2)  # of left, top, right and bottom in `location`
SOFTMAX = 2  # enum Activation
FACES = {"offsets": (896, 16), "scores": (896, 1)}  # FaceDetector knows these anchors, and six points, only
DETECTIONS = {  # output -> the name that ObjectDetector looks for
    "location": "location",
    "category": "category",
    "score": "score",
    "count": "number of detections",
}


def attach_metadata(content, *, name, signature, labels=None):
    """TFLite bytes of a network with one of the tables' outputs -> the same model with metadata, and a label file.

    Args:
        signature: the model's, with one input of pictures.
        labels: K class names in the order of the output; None leaves them out.
    """
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    entry = schema.MetadataT()
    entry.name, entry.buffer = BUFFER_NAME, len(model.buffers)
    table = schema.BufferT()
    data = metadata(name=name, signature=signature, outputs=outputs_of(model), is_labeled=labels is not None)
    table.data = np.frombuffer(data, np.uint8)
    model.buffers.append(table)
    model.metadata = [*(model.metadata or []), entry]
    for buffer in model.buffers:
        buffer.Pack = aligned_pack(buffer)
    builder = flatbuffers.Builder(len(content) + 4096)
    builder.Finish(model.Pack(builder), b"TFL3")
    packed = bytes(builder.Output())
    return packed if labels is None else with_file(packed, LABEL_FILE, "\n".join(labels) + "\n")


def outputs_of(model):
    """Names of a model's outputs in the order in which the file has them."""
    names = {row.tensorIndex: row.name.decode() for row in model.signatureDefs[0].outputs}
    return [names[index] for index in model.subgraphs[0].outputs]


def aligned_pack(buffer):
    """`BufferT.Pack` with the 16-byte alignment that the schema demands and the generated Python code forgets."""

    def pack(builder):
        data = None
        if buffer.data is not None:
            data = octets(builder, np.asarray(buffer.data, np.uint8).tobytes())
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


def metadata(*, name, signature, outputs, is_labeled):
    """Bytes of a `ModelMetadata` table.  One input: images, (pixel - mean) / std."""
    b = flatbuffers.Builder(1024)
    # From the leaves up: a table may not be begun inside another one.
    images = images_table(b, signature)
    fields = {2: offsets(b, [images]), 3: offsets(b, [output_table(b, output, is_labeled) for output in outputs])}
    if [len(shape) for shape in signature.outputs.values()] == [3]:
        fields[9] = offsets(b, [table(b, 2, {0: b.CreateString("SEGMENTER_METADATA"), 1: octets(b, segmenter())})])
    graph = table(b, 10, fields)
    model = {0: b.CreateString(name), 3: offsets(b, [graph]), 7: b.CreateString("1.0.0")}  # 7: oldest parser
    b.Finish(table(b, 8, model), b"M001")
    return bytes(b.Output())


def images_table(b, signature):
    """The `TensorMetadata` of the input."""
    (((*_, channels), _),) = signature.inputs.values()
    low, high = signature.input_range
    std = 255 / (high - low)  # pixel 0 becomes low, pixel 255 high
    normalization = table(b, 2, {0: floats(b, [0.0 - low * std]), 1: floats(b, [std])})  # mean, std
    unit = table(b, 2, {1: normalization}, {0: NORMALIZATION})
    image = table(b, 2, {}, {0: RGB if channels == 3 else GRAYSCALE})
    kind = table(b, 3, {1: image}, {0: IMAGE_PROPERTIES})
    return table(b, 7, {0: b.CreateString("images"), 3: kind, 4: offsets(b, [unit])})


def output_table(b, output, is_labeled):
    """The `TensorMetadata` of an output; class names belong to scores of all classes, or to numbers of classes."""
    fields = {0: b.CreateString(DETECTIONS.get(output, output))}
    if output == "location":
        box = table(b, 3, {0: b.CreateNumpyVector(np.array(PLACES, "uint32"))}, {1: BOUNDARIES})
        fields[3] = table(b, 3, {1: box}, {0: BOX_PROPERTIES})
    if is_labeled and (output == "category" or output not in DETECTIONS):
        kind = TENSOR_VALUE_LABELS if output == "category" else TENSOR_AXIS_LABELS
        fields[6] = offsets(b, [table(b, 5, {0: b.CreateString(LABEL_FILE)}, {2: kind})])
    return table(b, 7, fields)


def segmenter():
    """Bytes of an `ImageSegmenterOptions` table."""
    b = flatbuffers.Builder(64)
    b.Finish(table(b, 2, {1: b.CreateString("1.0.0")}, {0: SOFTMAX}), b"V001")
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


def octets(builder, content):
    """A vector of bytes, aligned to 16 as the schema demands."""
    builder.StartVector(1, len(content), 16)
    builder.head -= len(content)
    builder.Bytes[builder.head : builder.head + len(content)] = content
    return builder.EndVector()
