"""Files of PyTorch, read and written without PyTorch, and without running anything that stands in them.

    content = read_torch("resnet20.th")         # what torch.save was given: dictionaries, lists, numbers, texts ...
    content["state_dict"]["conv1.weight"].array()    # a NumPy array; only now its numbers are read
    torch_bytes({"conv1.weight": array})               # a file that torch.load(..., weights_only=True) reads

Two formats: the zip archive of PyTorch 1.6 and later (records data.pkl, byteorder and data/KEY), and the older sequence
of pickles that is followed by the numbers.  Source: "Serialization semantics" in PyTorch's documentation.
"""

import io
import struct
import zipfile

import numpy as np

from tfdl.interop.files.pickles import DAMAGE, KINDS, STORAGES, Machine

MAGIC = 0x1950A86A20F9469CFC6C  # first number of a file before PyTorch 1.6


def read_torch(path):
    """What a file of PyTorch holds, with a `Tensor` in the place of each tensor.

    Raises:
        ValueError: damaged, cut off, of another kind, or with instructions that data do not need.
        OSError: it cannot be read.
    """
    try:
        return ZipArchive(path).content() if zipfile.is_zipfile(path) else OldFile(path).content()
    except DAMAGE as error:
        raise ValueError("it is damaged") from error


class ZipArchive:
    """A file of PyTorch 1.6 or later."""

    def __init__(self, path):
        self.archive, self.last = zipfile.ZipFile(path), (None, b"")
        names = [name for name in self.archive.namelist() if name.endswith("/data.pkl") and name.count("/") == 1]
        if len(names) != 1:
            raise ValueError("it is a zip archive without PyTorch's data.pkl")
        self.folder = names[0].removesuffix("data.pkl")
        self.order = "<"
        if f"{self.folder}byteorder" in self.archive.namelist() and self.record("byteorder") == b"big":
            self.order = ">"

    def content(self):
        return Machine(self).run(io.BytesIO(self.record("data.pkl")))

    def raw(self, key):
        if self.last[0] != key:  # the last is kept: many tensors may be views of one storage
            self.last = (key, self.record(f"data/{key}"))
        return self.last[1]

    def record(self, name):
        """The bytes of one record.  PyTorch compresses none, so that one which would grow is not its own."""
        record = self.archive.getinfo(self.folder + name)
        if record.compress_type != zipfile.ZIP_STORED:
            raise ValueError(f"its record {name!r} is compressed, which PyTorch never does")
        return self.archive.read(record)


class OldFile:
    """A file before PyTorch 1.6: magic number, version, facts on the machine, content, names of storages, numbers."""

    order = "<"

    def __init__(self, path):
        self.path, self.places = path, {}

    def content(self):
        with open(self.path, "rb") as file:
            check_beginning(file)
            machine = Machine(self)
            if machine.run(file) != MAGIC:
                raise ValueError("it was not written by torch.save")
            machine.run(file)  # version of the format
            machine.run(file)  # sizes and byte order of the machine, which are those of all machines of today
            content = machine.run(file)
            for key in machine.run(file):
                count = int.from_bytes(exactly(file, 8), "little")
                size = count * np.dtype(KINDS[machine.storages[key].kind]).itemsize
                self.places[key] = (file.tell(), size)
                file.seek(size, 1)
            end = file.tell()
            if end > file.seek(0, 2):
                raise ValueError("it is cut off")
        return content

    def raw(self, key):
        start, size = self.places[key]
        with open(self.path, "rb") as file:
            file.seek(start)
            return exactly(file, size)


def check_beginning(file):
    """Raises ValueError that says what a file is instead, where its first bytes tell it."""
    first = file.read(2)
    file.seek(0)
    if first == b"PK":
        raise ValueError("it is cut off: the end of its archive is missing")
    if first[:1] != b"\x80":  # the first byte of a pickle of any version that torch.save has used
        raise ValueError("it does not begin as a file of PyTorch")


def exactly(file, size):
    data = file.read(size)
    if len(data) != size:
        raise ValueError("it is cut off")
    return data


# --- writing ---------------------------------------------------------------------------------------------------------


def torch_bytes(content):
    """A file of PyTorch 1.6 or later with dictionaries, lists, texts, numbers and NumPy arrays, which become tensors.

    Raises:
        ValueError: a value of another kind.
    """
    arrays, buffer = [], io.BytesIO()
    program = b"\x80\x02" + encoded(content, arrays) + b"."
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", program)
        archive.writestr("archive/byteorder", "little")
        for number, array in enumerate(arrays):
            archive.writestr(f"archive/data/{number}", array.astype(array.dtype.newbyteorder("<")).tobytes())
        archive.writestr("archive/version", "3\n")
    return buffer.getvalue()


def encoded(value, arrays):
    """The instructions that make `value`; arrays are put aside in `arrays`."""
    if value is None or isinstance(value, bool):
        return {None: b"N", True: b"\x88", False: b"\x89"}[value]
    if isinstance(value, int):
        return b"\x8a\x08" + value.to_bytes(8, "little", signed=True)
    if isinstance(value, float):
        return b"G" + struct.pack(">d", value)
    if isinstance(value, str):
        return b"X" + struct.pack("<I", len(value.encode())) + value.encode()
    if isinstance(value, dict):
        pairs = [encoded(key, arrays) + encoded(item, arrays) for key, item in value.items()]
        return b"}(" + b"".join(pairs) + b"u"
    if isinstance(value, list | tuple):
        first, last = (b"](", b"e") if isinstance(value, list) else (b"(", b"t")
        return first + b"".join(encoded(item, arrays) for item in value) + last
    if isinstance(value, np.ndarray):
        return encoded_tensor(np.asarray(value, order="C"), arrays)
    raise ValueError(f"A file of PyTorch cannot be written with a {type(value).__name__} in it.")


def encoded_tensor(array, arrays):
    kinds = {
        np.dtype(KINDS[kind]): storage
        for storage, kind in STORAGES.items()
        if storage not in ("BFloat16Storage", "UntypedStorage")
    }
    if array.dtype not in kinds:
        raise ValueError(f"PyTorch has no {array.dtype} numbers.")
    strides = tuple(step // array.itemsize for step in array.strides)
    storage = encoded("storage", []) + f"ctorch\n{kinds[array.dtype]}\n".encode() + encoded(str(len(arrays)), [])
    storage = b"(" + storage + encoded("cpu", []) + encoded(array.size, []) + b"tQ"
    arrays.append(array)
    parts = [encoded(part, []) for part in (0, array.shape, strides, False)]
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + b"".join(parts) + b"ccollections\nOrderedDict\n)RtR"
