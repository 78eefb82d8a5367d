"""`load_weights` and its exact inverse `save_weights`: a model's weights under the names of another library.

model = tfdl.build("mobilenet", "v2")
tfdl.load_weights(model, "mobilenet_v2.pth", layout="torchvision")
tfdl.save_weights(model, "mobilenet_v2.safetensors", layout="torchvision")
tfdl.load_weights(model, "runs/digits_mobilenet_v2_small_images", skip_head=True)  # what a run learned, but its classes
"""

import re
from pathlib import Path

import keras

from tfdl.interop import keras_applications, keras_hub, own, timm, torchvision, transformers
from tfdl.interop.archives import read_arrays, write_arrays
from tfdl.interop.layouts import HEAD, entries

MODULES = (own, keras_applications, keras_hub, timm, torchvision, transformers)
LAYOUTS = {module.LAYOUT.name: module.LAYOUT for module in MODULES}


def load_weights(model, source, *, layout=None, family=None, skip_head=False):
    """Puts the weights of `source` into `model`; all of them or, on any error, none.

    Position tables of another image or window size are resized (bicubic), as the papers of ViT and Swin do it; a table
    of another size has to be of a square image.

    Args:
        model: from `tfdl.build`.
        source: mapping of arrays or tensors; a .safetensors, .npz, .h5, .keras or (extra `torch`) .pth file;
            "hf:owner/name" for a model of the Hugging Face hub; or the folder of a run of ours.
        layout: whose names these are, a key of LAYOUTS; None for ours, or for those that stand before the source, as
            in "torchvision:resnet18.pth".
        family: catalog key of the model; only needed if the model was given another name.
        skip_head: leave the classifier as it is, for transfer to other classes; a model without one (num_classes=None)
            takes what it has a place for.

    Returns:
        the model.

    Raises:
        ValueError: unknown layout or family; or tensors that are missing, left over or of another shape, all listed.
        FileNotFoundError, ImportError: see `read_arrays`.
    """
    prefix, colon, rest = source.partition(":") if isinstance(source, str) else ("", "", source)
    if layout is None:
        layout, source = (prefix, rest) if colon and prefix in LAYOUTS else (own.LAYOUT.name, source)
    layout = chosen(layout)
    read = own.read_own if layout is own.LAYOUT else read_arrays
    arrays = {re.sub(*layout.old_names, n): a for n, a in read(source).items()}
    arrays = {n: a for n, a in arrays.items() if not re.fullmatch(layout.ignored, n)}
    pairs, complaints, used, has_head = [], [], set(), False
    for entry in entries(model, layout, family):
        head = entry.variable.path.split("/")[0] == HEAD
        has_head = has_head or head
        name = next((n for n in (entry.theirs, *entry.other_names) if n in arrays), None)
        used.add(name)
        if skip_head and head:
            continue
        if name is None:
            complaints.append(f"missing {entry.theirs} {entry.their_shape}")
        elif (array := entry.fitted(arrays[name])).shape != entry.their_shape:
            complaints.append(f"{name} is {array.shape} and should be {entry.their_shape}")
        else:
            pairs.append((entry, array))
    if has_head or not skip_head:
        complaints += [f"unexpected {name} {arrays[name].shape}" for name in arrays if name not in used]
    if complaints:
        head = " With skip_head=True the classifier may differ." if not skip_head else ""
        raise ValueError(
            f"The weights do not fit this model ({len(complaints)} differences), nothing was changed:\n  "
            + "\n  ".join(complaints)
            + f"\nBuild the variant that they belong to.{head}"
        )
    for entry, array in pairs:
        entry.assign(array)
    return model


def save_weights(model, path, *, layout=own.LAYOUT.name, family=None):
    """Writes the weights of `model` to `path` as `load_weights` reads them; the suffix chooses the kind of file.

    Raises:
        ValueError: unknown layout, family or suffix.
        OSError: the file can't be written; what stood there before is unchanged.
    """
    found = entries(model, chosen(layout), family)
    write_arrays(path, {e.theirs: e.to_theirs(keras.ops.convert_to_numpy(e.variable.value)) for e in found})


def is_weights(source):
    """True if the text `source` names something to load: a file, a run folder, or what has the prefix of a layout."""
    prefix, path = source.partition(":")[0], Path(source)
    return prefix in (*LAYOUTS, "hf") or path.is_file() or (path / "checkpoints").is_dir()


def chosen(layout):
    if layout not in LAYOUTS:
        raise ValueError(f"There is no layout {layout!r}; choose one of {', '.join(LAYOUTS)}.")
    return LAYOUTS[layout]
