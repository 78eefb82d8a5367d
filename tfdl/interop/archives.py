"""Named arrays in files: safetensors, NumPy, HDF5 of Keras, PyTorch.  Nothing is unpickled.

| file                  | read                                     | written |
|-----------------------|------------------------------------------|---------|
| .safetensors          | safetensors                              | yes     |
| .npz                  | NumPy, pickles refused                   | yes     |
| .h5, .weights.h5      | h5py; names LAYER/VARIABLE or LAYER/INDEX | .h5 as keras.applications publishes them |
| .keras                | the HDF5 file inside                     | no: model.save does that |
| .pth, .pt, .bin       | torch.load(weights_only), extra `torch`  | torch.save |
| hf:OWNER/NAME[/FILE]  | huggingface_hub, then as above           | no      |
"""

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

import h5py
import numpy as np
import safetensors
import safetensors.numpy

from tfdl.core.files import write_bytes

TORCH = (".pth", ".pt", ".bin")
HUB_FILES = ("model.safetensors", "pytorch_model.bin")  # in the order of preference


def read_arrays(source):
    """Name -> array of a mapping, a file or a hub id.

    Raises:
        FileNotFoundError: no such file.
        ValueError: an unknown kind of file, a damaged one, or one that would need unpickling.
        ImportError: the file needs an extra that is not installed.
        ConnectionError: the hub cannot be reached.
    """
    if isinstance(source, Mapping):
        return {name: as_array(value) for name, value in source.items()}
    if str(source).startswith("hf:"):
        source = from_hub(str(source).removeprefix("hf:"))
    path = Path(source)
    if not path.is_file():
        raise FileNotFoundError(f"There is no weights file {path}.")
    reader = next((READERS[suffix] for suffix in READERS if path.name.endswith(suffix)), None)
    if reader is None:
        raise ValueError(f"{path} is no weights file that tfdl reads; it reads {', '.join(READERS)}.")
    try:
        return reader(path)
    except (ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile, safetensors.SafetensorError) as error:
        raise ValueError(f"{path} cannot be read as weights ({error}); fetch or export it again.") from error


def write_arrays(path, arrays):
    """Writes name -> array, whole or not at all; the kind of file is the suffix.

    Raises:
        ValueError: a suffix that is not written.
        OSError: the folder can't be written or the disk is full.
    """
    path = Path(path)
    if path.suffix not in WRITERS:
        raise ValueError(f"tfdl does not write weights to {path.name}; choose one of {', '.join(WRITERS)}.")
    write_bytes(path, WRITERS[path.suffix]({name: np.ascontiguousarray(a) for name, a in arrays.items()}))


def as_array(value):
    """A NumPy array of an array, a tensor of any library on the CPU, or a Keras variable."""
    if hasattr(value, "detach"):
        value = value.detach().float() if str(value.dtype) == "torch.bfloat16" else value.detach()
    return np.asarray(value)


# --- readers -------------------------------------------------------------------------------------------------------


def read_safetensors(path):
    return safetensors.numpy.load_file(path)


def read_npz(path):
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def read_hdf5(file):
    """Keras 3 notes the layer's name and numbers its variables; Keras 2 wrote LAYER/LAYER/VARIABLE:0.

    Keras 3 does not note in which block a layer sits: where two have one name, nobody could tell them apart.
    """
    arrays = {}

    def visit(place, item):
        if not isinstance(item, h5py.Dataset):
            return
        *_, parent, leaf = place.split("/")
        layer = item.parent.attrs.get("name", parent) if parent == "vars" else parent
        if place.startswith("optimizer"):
            return
        name = f"{layer}/{leaf.partition(':')[0]}"
        if name in arrays:
            raise ValueError(
                f"it holds several layers called {layer!r}; load it into the model that wrote it, and hand over"
                " {w.path: w for w in model.weights}"
            )
        arrays[name] = item[()]

    with h5py.File(file, "r") as opened:
        opened.visititems(visit)
    return arrays


def read_keras(path):
    with zipfile.ZipFile(path) as archive:
        return read_hdf5(io.BytesIO(archive.read("model.weights.h5")))


def read_torch(path):
    state = import_torch().load(path, map_location="cpu", weights_only=True)
    state = state.get("state_dict", state) if isinstance(state, Mapping) else state
    if not isinstance(state, Mapping):
        raise ValueError(f"it holds a {type(state).__name__}, not a dictionary of tensors")
    return {name: as_array(value) for name, value in state.items()}


def from_hub(name):
    """OWNER/NAME or OWNER/NAME/FILE -> path of the downloaded file."""
    try:
        from huggingface_hub import errors, hf_hub_download
    except ImportError:
        raise ImportError("hf: sources need the package huggingface_hub: pip install huggingface_hub.") from None
    owner, _, rest = name.partition("/")
    repository, _, file = rest.partition("/")
    files = [file] if file else HUB_FILES
    if not (owner and repository):
        raise ValueError(f"hf:{name} names no model of the hub; write hf:owner/name.")
    for wanted in files:
        try:
            return hf_hub_download(f"{owner}/{repository}", wanted)
        except (errors.LocalEntryNotFoundError, ConnectionError):  # the first is an EntryNotFoundError, too
            raise ConnectionError(
                f"hf:{name} is not on this machine and the hub cannot be reached; go on line, or hand over the path of"
                f" a {wanted} that was fetched elsewhere."
            ) from None
        except errors.RepositoryNotFoundError:
            raise FileNotFoundError(
                f"The hub shows no {owner}/{repository}; check the name, and log in (hf auth login) if it is private."
            ) from None
        except errors.EntryNotFoundError:
            continue
    raise FileNotFoundError(f"The hub has no {' or '.join(files)} in {owner}/{repository}.")


def import_torch():
    try:
        import torch
    except ImportError:
        raise ImportError("PyTorch files need the extra `torch`: pip install 'tfdl[torch]'.") from None
    return torch


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


def torch_bytes(arrays):
    torch, buffer = import_torch(), io.BytesIO()
    torch.save({name: torch.from_numpy(array.copy()) for name, array in arrays.items()}, buffer)
    return buffer.getvalue()


READERS = {
    ".safetensors": read_safetensors,
    ".npz": read_npz,
    ".h5": read_hdf5,
    ".keras": read_keras,
    **dict.fromkeys(TORCH, read_torch),
}
WRITERS = {
    ".safetensors": safetensors.numpy.save,
    ".npz": npz_bytes,
    ".h5": hdf5_bytes,
    **dict.fromkeys(TORCH, torch_bytes),
}
