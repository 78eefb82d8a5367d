import io
import zipfile

import flatbuffers
import pytest
from ai_edge_litert import schema_py_generated as schema
from flatbuffers import number_types as types

from tfdl.export.metadata import attach_metadata
from tfdl.export.signatures import Signature


class Table:
    """Reads a flatbuffer table by slot number, independently of the code that wrote it."""

    def __init__(self, data, position):
        self.table = flatbuffers.table.Table(data, position)

    def at(self, slot):
        offset = self.table.Offset(4 + 2 * slot)
        return self.table.Pos + offset if offset else None

    def text(self, slot):
        return self.table.String(self.at(slot)).decode()

    def number(self, slot, kind):
        return self.table.Get(kind, self.at(slot))

    def one(self, slot):
        return Table(self.table.Bytes, self.table.Indirect(self.at(slot)))

    def many(self, slot):
        offset = self.at(slot) - self.table.Pos
        start = self.table.Vector(offset)
        return [
            Table(self.table.Bytes, self.table.Indirect(start + 4 * i)) for i in range(self.table.VectorLen(offset))
        ]

    def floats(self, slot):
        offset = self.at(slot) - self.table.Pos
        start = self.table.Vector(offset)
        return [self.table.Get(types.Float32Flags, start + 4 * i) for i in range(self.table.VectorLen(offset))]


def metadata(content):
    model = schema.Model.GetRootAsModel(content, 0)
    entries = {model.Metadata(i).Name(): model.Metadata(i).Buffer() for i in range(model.MetadataLength())}
    data = model.Buffers(entries[b"TFLITE_METADATA"]).DataAsNumpy().tobytes()
    assert data[4:8] == b"M001"
    return Table(data, int.from_bytes(data[:4], "little"))


def image_and_output(content):
    (graph,) = metadata(content).many(3)
    (images,), (output,) = graph.many(2), graph.many(3)
    (unit,) = images.many(4)
    assert unit.number(0, types.Uint8Flags) == 1  # NormalizationOptions
    assert images.one(3).number(0, types.Uint8Flags) == 2  # ImageProperties
    color = images.one(3).one(1).number(0, types.Int8Flags)
    return images.text(0), unit.one(1).floats(0), unit.one(1).floats(1), color, output


@pytest.mark.parametrize("file", ["model.tflite", "model_float16.tflite", "model_int8.tflite", "model_uint8.tflite"])
def test_normalization_color_and_labels_can_be_read_back(all_formats, file):
    content = (all_formats[1] / file).read_bytes()
    name, mean, std, color, logits = image_and_output(content)
    assert (name, mean, std, color) == ("images", [0.0], [255.0], 1)  # RGB
    (labels,) = logits.many(6)
    assert logits.text(0) == "logits"
    assert labels.text(0) == "labels.txt" and labels.number(2, types.Int8Flags) == 2  # TENSOR_AXIS_LABELS
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.read("labels.txt").decode().split() == ["cat", "dog", "emu", "fox", "gnu"]


@pytest.mark.parametrize(
    "channels, limits, color", [(1, (0.0, 1.0), 2), (3, (0.0, 255.0), 1), (3, (-1.0, 1.0), 1), (1, (-0.5, 2.0), 2)]
)
def test_color_and_range_are_those_of_the_model(all_formats, channels, limits, color):
    content = (all_formats[1] / "model.tflite").read_bytes()
    signature = Signature(inputs={"x": ((16, 12, channels), "float32")}, outputs={"scores": (5,)}, input_range=limits)
    _, (mean,), (std,), found, output = image_and_output(attach_metadata(content, name="model", signature=signature))
    assert found == color and output.text(0) == "logits"  # as the file calls it
    assert [(pixel - mean) / std for pixel in (0, 255)] == pytest.approx(limits, abs=1e-6)


def test_weights_stay_aligned_to_16_bytes(all_formats):
    content = (all_formats[1] / "model.tflite").read_bytes()
    model = schema.Model.GetRootAsModel(content, 0)
    starts = []
    for i in range(model.BuffersLength()):
        buffer = model.Buffers(i)
        if buffer.DataLength():
            starts.append(buffer._tab.Vector(buffer._tab.Offset(4)))
    assert len(starts) > 4 and all(start % 16 == 0 for start in starts)


def test_file_keeps_its_other_metadata_and_identifier(all_formats):
    content = (all_formats[1] / "model.tflite").read_bytes()
    model = schema.Model.GetRootAsModel(content, 0)
    names = [model.Metadata(i).Name() for i in range(model.MetadataLength())]
    assert content[4:8] == b"TFL3" and b"min_runtime_version" in names and len(names) == len(set(names))
