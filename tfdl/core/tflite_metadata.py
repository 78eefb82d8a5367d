"""The metadata of a TFLite file: class names, and how pixels are normalized for its input.

Source: the schema `metadata_schema.fbs` of TFLite Support and MediaPipe Tasks (Apache-2.0).  Tables are read and
written by the slot numbers there, with `flatbuffers` alone; `tfdl.export.metadata` writes them.
"""

import io
import struct
import zipfile
from dataclasses import dataclass

import flatbuffers
from ai_edge_litert import schema_py_generated as schema
from flatbuffers import number_types as types

BUFFER_NAME = b"TFLITE_METADATA"
NORMALIZATION = 1  # member of union ProcessUnitOptions
TENSOR_AXIS_LABELS = 2  # enum AssociatedFileType
MAX_LABEL_BYTES = 1 << 20  # of a label file; the 21,841 names of ImageNet-21k take half of it


@dataclass(frozen=True, kw_only=True)
class Metadata:
    """The metadata that a file contains.

    Attributes:
        labels: class names in the order of the output; empty if the file has none.
        mean, std: of the input's normalization (pixel - mean) / std with pixels in [0, 255], one number for all
            channels or one for each; empty if the file has none.
    """

    labels: tuple[str, ...] = ()
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()


def read_metadata(content):
    """The `Metadata` of a TFLite file's bytes.

    Raises:
        ValueError: the file has metadata, but it is damaged.
    """
    try:
        root = metadata_table(content)
        if root is None:
            return Metadata()
        (graph, *_) = root.many(3)
        mean, std, labels = (), (), ()
        for tensor in graph.many(2)[:1]:
            for unit in tensor.many(4):
                if unit.number(0, types.Uint8Flags) == NORMALIZATION:
                    mean, std = unit.one(1).floats(0), unit.one(1).floats(1)
        for tensor in graph.many(3)[:1]:
            for file in tensor.many(6):
                if file.number(2, types.Int8Flags) == TENSOR_AXIS_LABELS:
                    labels = labels or label_file(content, file.text(0))
        return Metadata(labels=labels, mean=mean, std=std)
    except (struct.error, IndexError, TypeError, ValueError, KeyError, AttributeError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"The metadata of the TFLite file is damaged ({type(error).__name__}: {error}); get the file again."
        ) from error


def metadata_table(content):
    """The root table of the metadata; None if there is none."""
    model = schema.Model.GetRootAsModel(content, 0)
    for i in range(model.MetadataLength()):
        if model.Metadata(i).Name() == BUFFER_NAME:
            data = model.Buffers(model.Metadata(i).Buffer()).DataAsNumpy().tobytes()
            return Table(data, int.from_bytes(data[:4], "little"))
    return None


def label_file(content, name):
    """The lines of a text file in the zip archive that follows the model."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        size = archive.getinfo(name).file_size
        if size > MAX_LABEL_BYTES:
            raise ValueError(f"the label file {name} has {size:,} bytes")
        return tuple(archive.read(name).decode("utf-8").splitlines())


class Table:
    """A flatbuffer table; absent fields are read as 0, "" or ()."""

    def __init__(self, data, position):
        self.table = flatbuffers.table.Table(data, position)

    def offset(self, slot):
        return self.table.Offset(4 + 2 * slot)

    def number(self, slot, kind):
        offset = self.offset(slot)
        return self.table.Get(kind, self.table.Pos + offset) if offset else 0

    def text(self, slot):
        offset = self.offset(slot)
        return self.table.String(self.table.Pos + offset).decode("utf-8") if offset else ""

    def one(self, slot):
        """The table in a slot that must be there."""
        return Table(self.table.Bytes, self.table.Indirect(self.table.Pos + self.offset(slot)))

    def many(self, slot):
        """The tables in a slot."""
        starts = self.starts(slot)
        return [Table(self.table.Bytes, self.table.Indirect(start)) for start in starts]

    def floats(self, slot):
        return tuple(self.table.Get(types.Float32Flags, start) for start in self.starts(slot))

    def starts(self, slot):
        """The positions of a vector's elements; references to tables and float32 numbers both take 4 bytes."""
        offset = self.offset(slot)
        if not offset:
            return range(0)
        length, start = self.table.VectorLen(offset), self.table.Vector(offset)
        if length > len(self.table.Bytes):
            raise ValueError(f"a vector of {length} elements in {len(self.table.Bytes)} bytes")
        return range(start, start + 4 * length, 4)
