"""Named arrays in files: safetensors, NumPy, HDF5 of Keras, PyTorch.  Nothing in a file is run.

Opening a file reads names and shapes; the numbers of an array are read when it is asked for, so that a file of another
model costs no memory, whatever it claims to hold.

| file                                  | read by                                    | written                         |
|---------------------------------------|--------------------------------------------|---------------------------------|
| .safetensors                          | safetensors                                | yes                             |
| .npz                                  | NumPy, pickles refused                     | yes                             |
| .h5, .weights.h5                      | h5py: LAYER/VARIABLE or LAYER/INDEX        | .h5 as keras.applications does  |
| .keras                                | h5py, the HDF5 file inside                 | no: model.save does that        |
| .pth .pt .bin .th .pth.tar .ckpt      | tfdl.interop.files.torch_files             | .pth .pt .bin                   |
| NAME.index.json, or the folder of one | each file that the index lists             | no                              |
| hf:OWNER/NAME[/FILE]                  | tfdl.interop.files.hub, then as above      | no                              |
"""

import io
import json
import zipfile
import zlib
from collections.abc import Mapping
from contextlib import contextmanager
from math import prod
from pathlib import Path

import h5py
import numpy as np
import safetensors
import safetensors.numpy

from tfdl.core.archives import check_claim
from tfdl.core.files import read_json, write_bytes
from tfdl.interop.files.checkpoints import state_dictionary
from tfdl.interop.files.hub import HUB_FILES, from_hub
from tfdl.interop.files.pickles import Tensor
from tfdl.interop.files.torch_files import read_torch, torch_bytes

TORCH = (".pth", ".pt", ".bin")
TORCH_TOO = (".th", ".pth.tar", ".ckpt")  # that are read, too
INDEX = ".index.json"  # beside a model that is cut into several files
LFS = b"version https://git-lfs"  # how the text begins that git keeps in the place of a large file
# What no model comes near: the largest language models have some ten thousand arrays, names a hundred characters.
MOST, LONGEST = 100_000, 512


class Arrays(Mapping):
    """Name -> NumPy array, which is read when it is asked for; `shapes` is known before.

    Raises ValueError if a name is no text, or if there are more or longer names than a model has.
    """

    def __init__(self, shapes, read):
        if len(shapes) > MOST:
            raise ValueError(f"there are {len(shapes):,} arrays, and no model has more than {MOST:,}")
        for name in shapes:
            if not isinstance(name, str):
                raise ValueError(f"names of weights are texts, and one of these is the {type(name).__name__} {name!r}")
            if len(name) > LONGEST:
                raise ValueError(
                    f"one of the names has {len(name):,} characters, and no weight's has more than {LONGEST}"
                )
        self.shapes, self.read = shapes, read

    @classmethod
    def of(cls, arrays):
        """From arrays or tensors that are in memory."""
        return cls(
            {name: tuple(array.shape) for name, array in arrays.items()}, lambda name: as_array(arrays[name], name)
        )

    def __getitem__(self, name):
        if name not in self.shapes:
            raise KeyError(name)
        return self.read(name)

    def __iter__(self):
        return iter(self.shapes)

    def __len__(self):
        return len(self.shapes)


def read_arrays(source, *, ema=False):
    """The `Arrays` of a mapping, a file, a folder with one, or a hub id.

    Args:
        source: see the table above; or a mapping of arrays or tensors, or of what a trainer saves beside them.
        ema: the moving average of the weights, where a file of PyTorch holds one.

    Raises:
        FileNotFoundError: no such file.
        ValueError: an unknown kind of file, a damaged one, or one without weights.
        ImportError: huggingface_hub is not installed.
        ConnectionError: the hub cannot be reached.
    """
    if isinstance(source, Mapping):
        arrays = source if not any(isinstance(value, Mapping) for value in source.values()) else chosen(source, ema)
        return Arrays.of(
            {name: array if hasattr(array, "shape") else np.asarray(array) for name, array in arrays.items()}
        )
    if str(source).startswith("hf:"):
        source = from_hub(str(source).removeprefix("hf:"))
    path = Path(source)
    if path.is_dir():
        path = next((path / name for name in HUB_FILES if (path / name).is_file()), path / HUB_FILES[0])
    if not path.is_file():
        raise FileNotFoundError(f"There is no weights file {path}.")
    if path.name.endswith(INDEX):
        return read_shards(path)
    return read_file(path, ema)


def read_file(path, ema=False):
    """The `Arrays` of one file.  Raises ValueError."""
    reader = next((READERS[suffix] for suffix in READERS if path.name.endswith(suffix)), None)
    if reader is None:
        raise ValueError(f"{path} is no weights file that tfdl reads; it reads {', '.join(READERS)}.")
    with open(path, "rb") as file:
        if file.read(len(LFS)) == LFS:
            raise ValueError(f"{path} only stands for a file that git keeps elsewhere; fetch it with git lfs pull.")
    with in_one_sentence(path):
        arrays = reader(path, ema) if reader is read_pytorch else reader(path)

    def read(name):
        with in_one_sentence(path):
            return arrays[name]

    return Arrays(arrays.shapes, read)


@contextmanager
def in_one_sentence(path):
    """Errors of a reader become a ValueError that names the file."""
    try:
        yield
    except (
        *(ValueError, OSError, EOFError, KeyError, RuntimeError, MemoryError),
        *(zipfile.BadZipFile, zlib.error, safetensors.SafetensorError),
    ) as error:
        raise ValueError(f"{path} cannot be read as weights: {str(error).rstrip('.')}.") from error


def read_shards(path):
    """The `Arrays` of all files that an index lists; they lie beside it."""
    index = read_json(path)
    places = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(places, dict) or not all(isinstance(name, str) for name in places.values()):
        raise ValueError(f"{path} is no index of weights: it has no weight_map.")
    shards, shapes = {}, {}
    for file in sorted(set(places.values())):
        if Path(file).name != file or not (path.parent / file).is_file():
            raise ValueError(f"{path} lists {file!r}, which is no file beside it.")
        shard = read_file(path.parent / file)
        shards |= dict.fromkeys(shard, shard)
        shapes |= shard.shapes
    missing = [name for name in places if name not in shapes]
    if missing:
        raise ValueError(f"{path} lists {missing[0]}, which is in none of its files ({len(missing)} are missing).")
    return Arrays(shapes, lambda name: shards[name][name])


def chosen(content, ema):
    """The state dictionary in what a trainer saved; says so if there is another one."""
    found, remark = state_dictionary(content, ema)
    if remark:
        print(remark)
    return found


def write_arrays(path, arrays):
    """Writes name -> array, whole or not at all; the kind of file is the suffix.

    Raises:
        ValueError: a suffix that is not written.
        OSError: the folder can't be written or the disk is full.
    """
    path = Path(path)
    if path.suffix not in WRITERS:
        raise ValueError(f"tfdl does not write weights to {path.name}; choose one of {', '.join(WRITERS)}.")
    write_bytes(path, WRITERS[path.suffix]({name: np.asarray(a, order="C") for name, a in arrays.items()}))


def as_array(value, name=""):
    """A NumPy array of an array, a tensor of any library on the CPU or of a file, or a Keras variable."""
    if isinstance(value, Tensor):
        try:
            return value.array()
        except ValueError as error:
            raise ValueError(f"its tensor {name}: {error}") from error
    if hasattr(value, "detach"):
        value = value.detach().float() if str(value.dtype) == "torch.bfloat16" else value.detach()
    return np.asarray(value)


# --- readers -------------------------------------------------------------------------------------------------------


def read_safetensors(path):
    """bfloat16, which NumPy does not have, becomes float32."""
    safetensors.safe_open(path, framework="np")  # raises if the header and the size of the file disagree
    with open(path, "rb") as file:
        start = 8 + int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(start - 8))
    header.pop("__metadata__", None)
    for name, entry in header.items():
        if entry["dtype"] not in SAFETENSORS:
            raise ValueError(f"its tensor {name} holds {entry['dtype']} numbers; save it as float32")
    shapes = {name: tuple(entry["shape"]) for name, entry in header.items()}

    def read(name):
        kind, place = header[name]["dtype"], start + header[name]["data_offsets"][0]
        array = np.fromfile(path, SAFETENSORS[kind], prod(shapes[name]), offset=place).reshape(shapes[name])
        return (array.astype(np.uint32) << 16).view(np.float32) if kind == "BF16" else array

    return Arrays(shapes, read)


def read_npz(path):
    archive = zipfile.ZipFile(path)
    check_claim(sum(record.file_size for record in archive.infolist()), path.stat().st_size)
    records = {record.filename.removesuffix(".npy"): record for record in archive.infolist()}

    def read(name):
        with archive.open(records[name]) as file:
            return np.lib.format.read_array(file, allow_pickle=False)

    return Arrays({name: npy_shape(archive, record) for name, record in records.items()}, read)


def npy_shape(archive, record):
    """The shape of one array of an .npz, whose bytes must all be there.  Raises ValueError."""
    with archive.open(record) as file:
        version = np.lib.format.read_magic(file)
        read_header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        if version not in read_header:
            raise ValueError(
                f"its {record.filename} has the version {version} of NumPy's format, which no numbers need"
            )
        shape, _, kind = read_header[version](file)
        if kind.hasobject:
            raise ValueError(f"its {record.filename} holds pickled objects, no numbers")
        if file.tell() + prod(shape) * kind.itemsize != record.file_size:
            raise ValueError(f"its {record.filename} does not hold the {prod(shape):,} numbers that it claims")
    return shape


def read_hdf5(file):
    """Keras 3 notes the layer's name and numbers its variables; Keras 2 wrote LAYER/LAYER/VARIABLE:0.

    Keras 3 does not note in which block a layer sits: where two have one name, nobody could tell them apart.
    Data that lie in other files are refused: they could be any file of this machine.
    """
    size = file.getbuffer().nbytes if isinstance(file, io.BytesIO) else file.stat().st_size
    claimed, places = 0, {}

    def visit(place, item):
        nonlocal claimed
        if not isinstance(item, h5py.Dataset):
            return
        if item.external or item.is_virtual:
            raise ValueError(f"its {place} lies in another file")
        claimed += max(item.nbytes, prod(item.chunks or ()) * item.dtype.itemsize)  # a chunk is unpacked as a whole
        check_claim(claimed, size)
        *_, parent, leaf = place.split("/")
        layer = item.parent.attrs.get("name", parent) if parent == "vars" else parent
        if place.startswith("optimizer"):
            return
        name = f"{layer}/{leaf.partition(':')[0]}"
        if name in places:
            raise ValueError(
                f"it holds several layers called {layer!r}; load it into the model that wrote it, and hand over"
                " {w.path: w for w in model.weights}"
            )
        places[name] = place

    opened = h5py.File(file, "r")  # is closed with the last reference to `read`
    opened.visititems(visit)
    return Arrays({name: opened[place].shape or () for name, place in places.items()}, lambda n: opened[places[n]][()])


def read_keras(path):
    with zipfile.ZipFile(path) as archive:
        check_claim(archive.getinfo("model.weights.h5").file_size, path.stat().st_size)
        return read_hdf5(io.BytesIO(archive.read("model.weights.h5")))


def read_pytorch(path, ema=False):
    return Arrays.of(chosen(read_torch(path), ema))


# --- writers -------------------------------------------------------------------------------------------------------


def npz_bytes(arrays):
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def hdf5_bytes(arrays):
    """As Keras 2 wrote it, which `keras.Model.load_weights` still reads: attributes list layers and variables."""
    layers = {}
    for name in arrays:
        if "/" not in name:
            raise ValueError(
                f"Keras's HDF5 files hold LAYER/VARIABLE names, not {name!r}; choose .safetensors or .npz."
            )
        layers.setdefault(name.rpartition("/")[0], []).append(name)
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file.attrs["layer_names"] = [layer.encode() for layer in layers]
        for layer, names in layers.items():
            group = file.create_group(layer)
            group.attrs["weight_names"] = [f"{name}:0".encode() for name in names]
            for name in names:
                group.create_dataset(f"{name}:0", data=arrays[name])
    return buffer.getvalue()


SAFETENSORS = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "BOOL": "?"} | {
    f"{sign}{8 * size}": f"<{letter}{size}" for sign, letter in (("I", "i"), ("U", "u")) for size in (1, 2, 4, 8)
}
READERS = {
    ".safetensors": read_safetensors,
    ".npz": read_npz,
    ".h5": read_hdf5,
    ".keras": read_keras,
    **dict.fromkeys((*TORCH, *TORCH_TOO), read_pytorch),
}
WRITERS = {
    ".safetensors": safetensors.numpy.save,
    ".npz": npz_bytes,
    ".h5": hdf5_bytes,
    **dict.fromkeys(TORCH, torch_bytes),
}
