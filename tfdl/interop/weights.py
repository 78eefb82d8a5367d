"""`load_weights` and its exact inverse `save_weights`: a model's weights under the names of another library.

model = tfdl.build("mobilenet", "v2")
tfdl.load_weights(model, "mobilenet_v2.pth", layout="torchvision")
tfdl.save_weights(model, "mobilenet_v2.safetensors", layout="torchvision")
"""

import re

import keras

from tfdl.interop import keras_applications, timm, torchvision, transformers
from tfdl.interop.archives import read_arrays, write_arrays
from tfdl.interop.layouts import HEAD, entries

LAYOUTS = {
    layout.name: layout for layout in (keras_applications.LAYOUT, torchvision.LAYOUT, timm.LAYOUT, transformers.LAYOUT)
}


def load_weights(model, source, *, layout, family=None, skip_head=False):
    """Puts the weights of `source` into `model`; all of them or, on any error, none.

    Position tables of another image or window size are resized (bicubic), as the papers of ViT and Swin do it; a table
    of another size has to be of a square image.

    Args:
        model: from `tfdl.build`.
        source: mapping of arrays or tensors; a .safetensors, .npz, .h5, .keras or (extra `torch`) .pth file; or
            "hf:owner/name" for a model of the Hugging Face hub.
        layout: whose names these are, a key of LAYOUTS.
        family: catalog key of the model; only needed if the model was given another name.
        skip_head: leave the classifier as it is, for transfer to other classes; a model without one (num_classes=None)
            takes what it has a place for.

    Returns:
        the model.

    Raises:
        ValueError: unknown layout or family; or tensors that are missing, left over or of another shape, all listed.
        FileNotFoundError, ImportError: see `read_arrays`.
    """
    layout = chosen(layout)
    arrays = {re.sub(*layout.old_names, n): a for n, a in read_arrays(source).items()}
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


def save_weights(model, path, *, layout, family=None):
    """Writes the weights of `model` to `path` as `load_weights` reads them; the suffix chooses the kind of file.

    Raises:
        ValueError: unknown layout, family or suffix.
        OSError: the file can't be written; what stood there before is unchanged.
    """
    found = entries(model, chosen(layout), family)
    write_arrays(path, {e.theirs: e.to_theirs(keras.ops.convert_to_numpy(e.variable.value)) for e in found})


def chosen(layout):
    if layout not in LAYOUTS:
        raise ValueError(f"There is no layout {layout!r}; choose one of {', '.join(LAYOUTS)}.")
    return LAYOUTS[layout]
