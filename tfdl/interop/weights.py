"""Weights of other libraries and of earlier runs in a model of ours, and ours under the names of other libraries.

model = tfdl.build("resnet", "50", weights="timm/resnet50.a1_in1k")      # by name: `tfdl show resnet` lists them
tfdl.load_weights(model, "checkpoint.pth.tar")                           # the layout is recognized by its names
tfdl.load_weights(model, "runs/digits_mobilenet_v2_small_images", skip_head=True)  # what a run learned, but its classes
tfdl.save_weights(model, "resnet50.safetensors", layout="torchvision")   # the exact inverse
"""

import functools
import inspect
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np

from tfdl.core.outline import outline
from tfdl.interop import (
    blazeface_pytorch,
    g2p_en,
    keras_applications,
    keras_hub,
    own,
    presets,
    timm,
    torchvision,
    transformers,
)
from tfdl.interop.files import hub
from tfdl.interop.files.archives import READERS, Arrays, read_arrays, write_arrays
from tfdl.interop.layouts import HEAD, TOP, Layout, check_conventions, entries
from tfdl.interop.transformers_folder import write_folder
from tfdl.layers.pixels import normalization_of

MODULES = (own, torchvision, timm, transformers, keras_applications, keras_hub, g2p_en, blazeface_pytorch)
LAYOUTS = {module.LAYOUT.name: module.LAYOUT for module in MODULES}
LISTED = 12  # differences of each kind in an error message


class Weights(NamedTuple):
    """What a source holds."""

    source: str  # as people call it
    arrays: Arrays
    layout: Layout | None  # whose names these are, where that is known


def load_weights(model, source, *, layout=None, family=None, skip_head=False, ema=False, adapt_channels=False):
    """Puts the weights of `source` into `model`; all of them or, on any error, none.

    Position tables of another image or window size are resized (bicubic), as the papers of ViT and Swin do it; a table
    of another size has to be of a square image.

    Args:
        model: from `tfdl.build`.
        source: mapping of arrays or tensors; a .safetensors, .npz, .h5, .keras, .pth, .pt, .th, .ckpt or .bin file,
            with all that trainers save in it; an index of several files, or their folder; a name of published weights
            such as "timm/resnet50.a1_in1k"; "hf:owner/name" for another model of the Hugging Face hub; or the folder
            of a run of ours.
        layout: whose names these are, a key of LAYOUTS, which may also stand before the source, as in
            "torchvision:resnet18.pth"; None to recognize it.
        family: catalog key of the model; only needed if the model was given another name.
        skip_head: leave the classifier as it is, for transfer to other classes; a model without one (num_classes=None)
            takes what it has a place for.
        ema: load the moving average of the weights, where a trainer saved one beside them.
        adapt_channels: weights for images of three channels may go into a model of another number, as timm's
            `in_chans` does it: the first layer's kernel is summed over them for one channel, so that a gray image gives
            what it gives as three equal channels; else repeated, and scaled by three over the number.

    Returns:
        the model.

    Raises:
        ValueError: unknown layout or family; a damaged file; or tensors that are missing, left over, of another shape
            or not finite, all listed.
        FileNotFoundError, ImportError, ConnectionError: see `read_arrays`.
    """
    family = family or model.name
    if found := published(source):
        check_family(found, family)
        if found.preset.size is not None:
            check_pixels(found.preset, normalization_of(model))
    return put(read(source, layout, ema), model, family, skip_head, adapt_channels)


def save_weights(model, path, *, layout=own.LAYOUT.name, family=None, tokenizer=None):
    """Writes the weights of `model` to `path` as `load_weights` reads them; the suffix chooses the kind of file.

    Args:
        model: from `tfdl.build`.
        path: a file; with the layout "transformers" also a folder, which transformers then opens as a whole.
        layout: whose names the weights get, a key of LAYOUTS.
        family: catalog key of the model; only needed if the model was given another name.
        tokenizer: to be written into the folder, from `tfdl.data.tokenizers`.

    Raises:
        ValueError: unknown layout, family or suffix; or see `transformers_folder.write_folder`.
        OSError: the file can't be written; what stood there before is unchanged.
    """
    pieces = {}  # their name -> entries that share it
    for entry in entries(model, chosen(layout), family):
        pieces.setdefault(entry.theirs, []).append(entry)
    arrays = {name: joined(sharing) for name, sharing in pieces.items()}
    if layout == transformers.LAYOUT.name and not Path(path).suffix:
        write_folder(path, model, family or model.name, arrays, tokenizer)
    elif tokenizer is not None:
        raise ValueError(f"{path} is one file, which cannot hold a tokenizer; give a folder and layout='transformers'.")
    else:
        write_arrays(path, arrays)


def joined(sharing):
    """The array of theirs that consists of the pieces of these entries, mostly of a single one."""
    sharing = sorted(sharing, key=lambda entry: entry.piece)
    arrays = [entry.to_theirs(keras.ops.convert_to_numpy(entry.variable.value)) for entry in sharing]
    return np.concatenate(arrays, axis=sharing[0].columns) if len(arrays) > 1 else arrays[0]


def build(builder, key, variant, source, options, adapt_channels=False):
    """What `tfdl.build(key, variant, weights=source, **options)` gives, before its norms are fused.

    Without `num_classes` the model has those of the weights; with others, or None, it gets all but the classifier.
    Published weights bring the variant; of images also the pixel normalization and the size of their training.

    Raises:
        ValueError: the weights belong to another model or variant, or want other pixels; else as `load_weights`.
    """
    options = dict(options)
    found = published(source)
    if found:
        check_family(found, key)
        preset = found.preset
        if isinstance(variant, str) and variant != found.variant:
            raise ValueError(f"{preset.name} are weights of {key}'s variant {found.variant!r}, not of {variant!r}.")
        variant = found.variant if variant is None else variant
        if preset.size is not None:
            check_pixels(preset, options.setdefault("normalize", preset.normalize))
            options.setdefault("image_shape", (preset.size, preset.size, 3))
            options.setdefault("num_classes", preset.classes)
    weights = read(source)
    make = builder if variant is None else functools.partial(builder, variant)
    if "num_classes" not in options:
        usual = inspect.signature(builder).parameters.get("num_classes")
        classes = classes_of(weights, outline(make, **options), key, usual and usual.default)
        options |= {} if classes is None else {"num_classes": classes}
    model = make(**options)
    reads_pixels = "normalize" in inspect.signature(builder).parameters
    if reads_pixels and not found and weights.layout is not own.LAYOUT and "normalize" not in options:
        mode = normalization_of(model)
        print(f"{weights.source} does not say how its pixels were normalized; this model has normalize={mode!r}.")
    skip_head = options.get("num_classes", 1) is None
    return put(weights, model, key, skip_head, adapt_channels, other_classes=True)


def is_weights(source):
    """True if the text `source` names something to load: published weights, a file, a run folder, LAYOUT:FILE."""
    prefix, path = source.partition(":")[0], Path(source)
    known = prefix in (*LAYOUTS, "hf") or published(source) is not None
    return known or path.is_file() or (path / "checkpoints").is_dir()


def chosen(layout):
    if layout not in LAYOUTS:
        raise ValueError(f"There is no layout {layout!r}; choose one of {', '.join(LAYOUTS)}.")
    return LAYOUTS[layout]


# --- reading ---------------------------------------------------------------------------------------------------------


def read(source, layout=None, ema=False):
    """The `Weights` of any source.  Errors as in `load_weights`."""
    if isinstance(source, str):
        prefix, colon, rest = source.partition(":")
        if layout is None and colon and prefix in LAYOUTS:
            layout, source = prefix, rest
    layout = None if layout is None else chosen(layout)
    name = "the mapping" if isinstance(source, Mapping) else str(source)
    if found := published(source):
        return Weights(found.preset.name, fetched(found.preset), LAYOUTS[found.preset.layout])
    if layout in (None, own.LAYOUT) and own.is_own(source):
        return Weights(name, Arrays.of(own.read_own(source)), own.LAYOUT)
    if isinstance(source, str) and looks_published(source):
        raise ValueError(
            f"There is neither a file {source} nor published weights of this name (`tfdl show MODEL` lists them); the"
            f" nearest are {presets.nearest(source)}. For another model of the hub write hf:{source}."
        )
    return Weights(name, read_arrays(source, ema=ema), layout)


def published(source):
    """Where published weights stand in the table, or None."""
    return presets.find(source) if isinstance(source, str) else None


def looks_published(source):
    """True for OWNER/NAME that is no file of this machine and could be none."""
    has_suffix = source.endswith(tuple(READERS))
    return bool(re.fullmatch(r"[\w-]+/[\w.-]+", source)) and not Path(source).exists() and not has_suffix


def fetched(preset):
    """The `Arrays` of published weights, from a cache or the network."""
    if preset.name.startswith("torchvision/"):
        return read_arrays(hub.from_torchvision(preset.file))
    if preset.name.startswith("keras/"):
        return Arrays.of(hub.from_keras(preset.file))
    return read_arrays(f"hf:{preset.name}")


def check_family(found, family):
    if found.model != family:
        raise ValueError(
            f"{found.preset.name} are weights of a {found.model}, not of a {family}; the nearest for it are"
            f" {presets.nearest(found.preset.name, family)}."
        )


def check_pixels(preset, mode):
    """Raises ValueError if the model normalizes its pixels otherwise; a model that does not do it at all is told."""
    if mode == preset.normalize:
        return
    if mode is None:
        print(f'{preset.name} wants pixels normalized as normalize="{preset.normalize}" does it; this model does not.')
        return
    raise ValueError(
        f"{preset.name} was trained with normalize={preset.normalize!r}, and this model has {mode!r}; leave `normalize`"
        f" away, or set it to {preset.normalize!r}."
    )


# --- whose names -----------------------------------------------------------------------------------------------------


def recognized(arrays, model, family):
    """The layout that names most of the model's weights as the source does.  Raises ValueError if none does."""
    shares = {layout.name: share(arrays, model, layout, family) for layout in LAYOUTS.values()}
    best = max(shares, key=shares.get)  # the first, where two libraries have the same names
    if shares[best] < 0.5:
        names = ", ".join(list(arrays)[:3])
        raise ValueError(
            f"The names of these weights ({names} ...) are those of no {family} that tfdl knows, or of another variant;"
            f" layouts are {', '.join(LAYOUTS)}."
        )
    return LAYOUTS[best]


def share(arrays, model, layout, family):
    """The fraction of the model's weights that the source has under the names of a layout."""
    try:
        wanted = entries(model, layout, family)
    except ValueError:  # the library has no such model
        return 0.0
    renamed, _ = usual_names(arrays, layout, wanted)
    return sum(entry.named_in(renamed) is not None for entry in wanted) / len(wanted)


def usual_names(arrays, layout, wanted):
    """Usual name -> name in the source, and the prefix that was taken off them.

    Trainers put "module.", "model." or "_orig_mod." before all names of a network that they have wrapped.
    """
    renamed = {layout.usual(name): name for name in arrays}
    known = {name for entry in wanted for name in (entry.theirs, *entry.other_names)}
    votes = Counter()
    for name in renamed:
        for place in (match.end() for match in re.finditer(r"[./]", name)):
            votes[name[:place]] += name[place:] in known
    votes[""] = sum(name in known for name in renamed)
    prefix = max(votes, key=lambda text: (votes[text], -len(text)))
    renamed = {usual.removeprefix(prefix): name for usual, name in renamed.items()}
    renamed = with_base(renamed, known)
    kept = {usual: n for usual, n in renamed.items() if usual in known or not re.fullmatch(layout.ignored, usual)}
    return kept, prefix


def with_base(names, known):
    """The same names, with what stands before all names of a whole model and is left out in files of a bare one.

    Hugging Face's "bert.encoder..." of BertForMaskedLM is "encoder..." in files of BertModel.
    """
    votes = {"": sum(name in known for name in names)}
    for base in sorted({name.partition(".")[0] + "." for name in known}):
        votes[base] = sum(base + name in known for name in names)
    base = max(votes, key=votes.get)  # the first, nothing, where it makes no difference
    return {base + usual if base + usual in known else usual: name for usual, name in names.items()}


def classes_of(weights, model, family, classes):
    """How many classes the classifier in the source knows, or None.

    `classes` are those of `model`, whose classifier may have one output more, for nothing of all that.
    """
    layout = weights.layout or recognized(weights.arrays, model, family)
    wanted = entries(model, layout, family)
    names, _ = usual_names(weights.arrays, layout, wanted)
    for entry in wanted:
        name = entry.named_in(names)
        if entry.layer == HEAD and entry.variable.name == "bias" and name is not None:
            more = entry.variable.shape[-1] - classes if classes else 0
            return int(weights.arrays.shapes[names[name]][-1]) - more
    return None


# --- into the model --------------------------------------------------------------------------------------------------


def put(weights, model, family, skip_head, adapt_channels=False, other_classes=False):
    """Puts the arrays into the model; with `other_classes` all but a classifier of another number of classes.

    Names and shapes are compared before any number is read, and nothing is assigned before every array has the right
    shape and finite numbers.
    """
    layout = weights.layout or recognized(weights.arrays, model, family)
    wanted = entries(model, layout, family)
    names, prefix = usual_names(weights.arrays, layout, wanted)
    shapes = {usual: weights.arrays.shapes[name] for usual, name in names.items()}
    stem = next((entry for entry in wanted if entry.variable.name == "kernel"), None)
    pairs, complaints, head_complaints, used, head = [], [], [], set(), []
    for entry in wanted:
        name = entry.named_in(names)
        used.add(name)
        if is_head(entry):
            head.append((entry, name))
            if skip_head:
                continue
        if name is None:
            complaint = f"missing {entry.theirs} {entry.their_shape}"
        elif entry.takes(shapes[name]) or (adapt_channels and entry is stem and entry.adapts(shapes[name])):
            pairs.append((entry, names[name]))
            continue
        else:
            complaint = f"{name} is {shapes[name]} and should be {entry.their_shape}"
        (head_complaints if is_head(entry) else complaints).append(complaint)
    for name in [name for name in names if name not in used] if head or not skip_head else ():
        of_head = re.fullmatch(layout.heads, name)
        if not (of_head and skip_head):
            (head_complaints if of_head else complaints).append(f"unexpected {name} {shapes[name]}")
    if head_complaints and not complaints and other_classes:
        print(new_head(head, shapes, head_complaints, weights.source, layout))
    elif complaints or head_complaints:
        check_layout(weights, layout, model, family)
        advice = "" if skip_head else " With skip_head=True the classifier may differ."
        if stem and stem.adapts(shapes.get(stem.named_in(names), ())):
            advice += " With adapt_channels=True the first layer's three channels are summed or repeated."
        raise ValueError(f"{listed([*complaints, *head_complaints])}\nBuild the variant that they belong to.{advice}")
    check_conventions(model, layout, family, weights.source)
    assign(pairs, weights.arrays)
    if prefix:
        print(f"The prefix {prefix!r} was taken off the names in {weights.source}.")
    return model


def assign(pairs, arrays):
    """Assigns to each of (entry, name in the source) its array, once all are read and have finite numbers."""
    found, complaints = [], []
    for entry, name in pairs:
        array = arrays[name]
        fitted = entry.fitted(array) if entry.takes(array.shape) else entry.adapted(array)
        if fitted.shape != entry.their_shape:
            complaints.append(f"{name} is {array.shape} and should be {entry.their_shape}")
        elif complaint := unfit(array, entry.variable):
            complaints.append(f"{name} {complaint}")
        else:
            found.append((entry, fitted))
    if complaints:
        raise ValueError(listed(complaints))
    for entry, array in found:
        entry.assign(array)


def is_head(entry):
    """Whether this weight belongs to what stands on top of the network."""
    return entry.layer == HEAD or entry.layer.startswith(TOP)


def new_head(head, shapes, complaints, source, layout):
    """The sentence on a head that keeps its random weights, in whole or in part."""
    if differs_in_classes(head, shapes):
        theirs, ours = (shape[0] if layout.torch else shape[-1] for shape in shapes_of(head, shapes))
        return f"The classifier is new: {source} has {theirs} classes, this model {ours}."
    missing = [text.removeprefix("missing ") for text in complaints if text.startswith("missing")]
    if missing:
        return f"The head is new, {source} has none for it: {', '.join(missing[:LISTED])}."
    left = [text.removeprefix("unexpected ") for text in complaints]
    return f"Left out of {source}, since this model has no such head: {', '.join(left[:LISTED])}."


def unfit(array, variable):
    """What is wrong with the numbers of an array, or None."""
    if array.dtype.kind not in "fiub" and array.dtype.name != "bfloat16":
        return f"holds {array.dtype}, no real numbers"
    kind = variable.dtype if variable.dtype in ("float16", "float32", "float64") else "float32"
    with np.errstate(over="ignore"):
        finite = np.isfinite(array.astype(kind)).all()
    return None if finite else f"holds NaN, infinity, or numbers that are too large for {kind}"


def shapes_of(head, shapes):
    """(theirs, ours) of the classifier's bias, or of its only variable."""
    entry, name = head[-1]
    return shapes[name], entry.their_shape


def differs_in_classes(head, shapes):
    if not head or any(name is None for _, name in head):
        return False
    theirs, ours = shapes_of(head, shapes)
    return len(theirs) == len(ours) and theirs != ours


def check_layout(weights, layout, model, family):
    """Raises ValueError if the names are those of another layout than the one that was asked for."""
    if weights.layout and share(weights.arrays, model, layout, family) < 0.5:
        shares = {other.name: share(weights.arrays, model, other, family) for other in LAYOUTS.values()}
        best = max(shares, key=shares.get)
        if shares[best] > 0.9:
            raise ValueError(
                f"The names in {weights.source} are those of {best}, not of {layout.name}: say layout={best!r}."
            )


def listed(complaints):
    """The first complaints of each kind."""
    rows = []
    for kind in ("missing", "unexpected", ""):
        those = [row for row in complaints if row.startswith(kind) and (kind or not row.startswith(("miss", "unexp")))]
        rows += those[:LISTED] + ([f"... {len(those) - LISTED:,} more"] if len(those) > LISTED else [])
    rows = "\n  ".join(rows)
    return f"The weights do not fit this model ({len(complaints):,} differences), nothing was changed:\n  {rows}"
