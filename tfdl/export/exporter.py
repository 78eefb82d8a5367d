"""One call from a trained model to a folder of checked files.

saved_model/          dynamic batch; signatures `serve` and, for pictures, `serve_uint8`
model.tflite          float32
model_float16.tflite  weights in float16, half the bytes; float32 inputs and outputs
model_int8.tflite     8 bits inside, float32 inputs and outputs: takes the place of model.tflite; of detectors, boxes
                      and scores are computed in float32 from what the last convolutions give in 8 bits
model_uint8.tflite    the same with uint8 inputs and outputs: a camera's pixels as they are (pictures only); boxes and
                      scores of detectors stay float32
model_dynamic.tflite  weights in 8 bits, computed in float32 or in 8 bits as LiteRT sees fit; needs no samples
model_int4.tflite     the same in 4 bits, by ai-edge-quantizer (extra `edge`)
model_int16.tflite    16-bit activations and 8-bit weights ("16x8"), for models that int8 hurts; slower on most CPUs
detector*.tflite      of detectors: the same networks with non-maximum suppression inside, see `tfdl.export.detection`
mediapipe.tflite      of detectors: a float32 one with the outputs that MediaPipe's detectors take
pose*.tflite          of heat maps: the same networks with the key points decoded inside, see `tfdl.export.pose`
labels.txt            a class name a line, where labels are given
probe.npz             inputs/NAME, live/NAME and FILE/NAME: probe inputs, the live model's and each file's outputs
report.json           what was measured, and the checksum of each file (keys: saved_models/README.md)
"""

import functools
import itertools
from dataclasses import replace

import numpy as np

from tfdl.core.files import checksums, replaced, write_bytes, write_json, write_text
from tfdl.core.task import Task
from tfdl.export.benchmark import benchmark_tflite
from tfdl.export.conversion import ConversionError, start
from tfdl.export.detection import detector_files, face_detector_file, face_detector_in, in_use, mediapipe_file
from tfdl.export.detection_3d import point_detector_files
from tfdl.export.entry_points import entry_points, export_entry_points
from tfdl.export.graph import LoopError, graph
from tfdl.export.metadata import FACES, attach_metadata
from tfdl.export.objects import finds_objects
from tfdl.export.parity import ExportError, Reference, check, first, wrong_outputs
from tfdl.export.pose import pose_files, pose_in_use
from tfdl.export.precision import in_float32
from tfdl.export.probabilities import with_softmax
from tfdl.export.quantize import FEWEST, agree, convert_int8, enough_samples, gather, halves, with_pixels
from tfdl.export.report import as_json, facts, is_of_clouds, is_of_texts, npz, precision, timed, write_tokenizer
from tfdl.export.savedmodel import load_saved_model, write_saved_model
from tfdl.export.signatures import evaluate, functional, signature_of
from tfdl.export.tflite import FLOATS, operators, run_tflite
from tfdl.export.verify import digest, first_line

FORMATS = ("savedmodel", "tflite", "tflite_float16", "tflite_int8")
MORE = ("tflite_dynamic", "tflite_int4", "tflite_int16", "mediapipe")  # made on request
INTEGERS = {  # these are calibrated on samples
    "tflite_int8": ("TFLite int8", "model_int8.tflite"),
    "tflite_int16": ("TFLite int16", "model_int16.tflite"),
}
DETECTORS = {"detection": detector_files, "point_detection": point_detector_files}  # files with suppression inside
COARSE = "8 bits would round the coordinates of points to a third of a meter, and so change the voxels"
PROBES = 8  # samples kept in probe.npz
COMPARED = 32  # samples that the float files are compared on; the int8 files see all that is held out
FREE = ((64, 96), (16, 24), (224, 288), (5, 7))  # tried for the free sizes of an input where there are no samples
WORDS = 1000  # of a vocabulary, for noise


def export_model(
    model,
    folder,
    *,
    formats=None,
    representative=None,
    labels=None,
    task=None,
    tokenizer=None,
    input_range=None,
    softmax=False,
    batch_size=1,
    sizes=None,
    more=None,
    progress=print,
):
    """Writes and checks the files of `formats`; returns the report (also in report.json).

    Args:
        model: a Keras model; a subclass of `keras.Model` needs `representative`, an array, a dict or a dataset, which
            shows what it takes.  For one with several entry points (see `tfdl.core.model.ConfiguredModel`) only
            `formats`, `representative`, `sizes` and, of texts, `task` and `tokenizer` are meant.  Free sizes and texts
            as inputs are for "savedmodel" alone.  A model that computes in float16 or bfloat16 is exported in float32.
        folder: an earlier export in it is replaced once the new one is complete and right.
        formats: of `FORMATS`, all by default, and of `MORE`; for several entry points those of
            `tfdl.export.entry_points`.
        representative: samples for "tflite_int8" and "tflite_int16": an array (N, H, W, C), a dict of arrays, a
            tf.data.Dataset of inputs or of (inputs, labels), a generator or a keras PyDataset.  The first half
            calibrates; the second half is held out and measures the agreement.  With fewer than 8 samples, and for
            networks with loops that cannot be unrolled, these files are left out, and the report says so.
        labels: class names in the order of the outputs; by default those of `task`.
        task: a `tfdl.core.task.Task`: what the model answers and how its pictures or texts are prepared.
        tokenizer: of a task with texts, a `tokenizers.Tokenizer`, which is written beside the files.
        input_range: smallest and largest pixel value that the model takes, for models of pictures without a `task`.
            Models of the catalog say it themselves: (0, 1).
        softmax: the files give probabilities, as apps expect them, in place of logits.
        batch_size: samples that the TFLite files take at a time; a SavedModel takes any number.
        sizes: {name: number}, the keyword arguments of the model's `signatures`, such as the length of a cache.
        more: {name: (function, {input: Argument})}, entry points beside those of the model's `signatures`.
        progress: is called with each line that tells what goes on; None for silence.

    Raises:
        ValueError: an argument is wrong.
        ExportError: a file needs foreign operators, or does not compute what the live model does.
        OSError: the folder cannot be written, or the disk is full; nothing is left behind.
    """
    if isinstance(formats, str):
        raise ValueError(f"formats is the text {formats!r}; give a tuple such as ({formats!r},).")
    say = progress or (lambda line: None)
    if entry_points(model, sizes):
        refuse(
            model,
            labels=labels,
            task=None if is_of_texts(task) else task,
            input_range=input_range,
            softmax=softmax or None,
            batch_size=None if batch_size == 1 else batch_size,
        )
        return export_entry_points(
            model,
            folder,
            formats=formats,
            representative=representative,
            texts=(task, tokenizer),
            sizes=sizes,
            more=more,
            say=say,
        )
    formats = checked_formats(FORMATS if formats is None else formats, representative)
    if "mediapipe" in formats and (task is None or task.kind != "detection"):
        raise ValueError("mediapipe is for detectors; of classifiers and segmenters MediaPipe takes model.tflite.")
    model = functional(model, representative)
    faces = face_detector_in(model) if "mediapipe" in formats else None
    if task is not None and task.kind in DETECTORS:
        model = in_use(model)
    if task is not None and task.kind == "pose":
        model = pose_in_use(model)
    signature = signature_of(model, input_range=range_from(task, input_range))
    signature = replace(signature, batch_size=checked_batch_size(batch_size))
    left_out = {}
    if finds_objects(signature.outputs):
        reason = "its suppression compares overlaps, for which 8 bits are too coarse"
        left_out = {form: reason for form in INTEGERS if form in formats}
        if left_out:
            formats = without(list(left_out), formats, reason, say)
    check_phone(formats, signature, model.name)
    if representative is None:
        samples, calibration = noise(signature, model), None
    else:
        samples, signature = gather(representative, signature)
    labels = checked_labels(labels, task, signature)
    if task is not None and task.kind == "point_detection" and (integers := [f for f in INTEGERS if f in formats]):
        formats = without(integers, formats, COARSE, say)
        left_out |= dict.fromkeys(integers, COARSE)
    if representative is not None:
        if enough_samples(len_of(samples)):
            calibration, samples = halves(samples)
        else:
            too_few = f"{len_of(samples)} representative samples; integers need at least {FEWEST}"
            samples, calibration = noise(signature, model), None
            missing = {form: too_few for form in INTEGERS if form in formats}
            if missing:
                formats, left_out = without(list(missing), formats, too_few, say), left_out | missing
    if formats != ("savedmodel",):
        start()
    few = first(samples, COMPARED)
    report_precision = precision(model, lambda: evaluate(model, few))
    with in_float32(model), replaced(folder, marker="report.json") as fresh:
        report = described(model, signature, calibration, samples)
        report["labels"] = labels
        report["task"] = task_of(task, labels, signature)
        report["precision"] = report_precision
        report["softmax"] = bool(softmax)
        report["batch_size"] = batch_size
        if softmax:
            source, live = with_softmax(model, samples)
            signature = replace(signature, outputs=signature_of(source).outputs)
            report["signature"] = signature.as_dict()
        else:
            source, live = model, evaluate(model, samples)
        wrong = wrong_outputs(lambda weights: evaluate(source, samples, weights=weights), source.get_weights(), live)
        if wrong is None:
            say("export: no control: other weights hardly change the outputs")
        reference = Reference(inputs=samples, live=live, wrong=wrong)
        probe = {"inputs": first(samples, PROBES), "live": first(reference.live, PROBES)}
        report["artifacts"], report["left_out"] = {}, left_out
        for file, row, outputs in artifacts(
            fresh, source, signature, formats, calibration, reference, labels, report, say
        ):
            report["artifacts"][file], probe[file] = row, first(outputs, PROBES)
        if task is not None and task.kind in DETECTORS and not finds_objects(signature.outputs):
            few = reference.first(COMPARED)
            files = DETECTORS[task.kind](fresh, source, signature, formats, calibration, few, left_out, say)
            report["detectors"] = dict(files)
        if "mediapipe" in formats:
            path, few = fresh / "mediapipe.tflite", reference.first(COMPARED)
            try:
                if faces is not None:
                    report["mediapipe"] = face_detector_file(path, faces, signature.input_range, few, say)
                else:
                    report["mediapipe"] = mediapipe_file(path, source, signature, labels, few, say)
            except LoopError as error:
                without(["mediapipe"], formats, str(error), say)
                left_out["mediapipe"] = str(error)
        if task is not None and task.kind == "pose":
            few = reference.first(COMPARED)
            report["poses"] = dict(pose_files(fresh, source, signature, formats, calibration, few, left_out, say))
        if labels is not None:
            write_text(fresh / "labels.txt", "\n".join(labels) + "\n")
        write_bytes(fresh / "probe.npz", npz(probe))
        write_tokenizer(fresh, task, tokenizer)
        report["files"] = checksums(fresh)
        report["digest"] = digest(report)
        write_json(fresh / "report.json", report)
    return report


def artifacts(folder, model, signature, formats, calibration, reference, labels, report, say):
    """Writes each file and yields (name, its row of the report, its outputs for the reference's inputs)."""
    few = reference.first(COMPARED)
    write = functools.partial(tflite, signature=signature, labels=labels, has_metadata=readable(signature, report))
    has_decoding = (report["task"] or {}).get("kind") == "detection"
    if "savedmodel" in formats:
        with timed("SavedModel", say):
            result = saved_model(folder / "saved_model", model, signature, few)
        yield result
    made = [form for form in FLOATS if form in formats]
    source = graph(model, signature) if made else None
    for form in made:
        title, file, convert = FLOATS[form]
        with timed(title, say):
            result = write(folder / file, form, convert(source), reference=few)
        yield result
    for form in [form for form in INTEGERS if form in formats]:
        title, file = INTEGERS[form]
        try:
            source = graph(model, signature, integers=True)
            with timed(title, say):
                wide = form == "tflite_int16"
                content = convert_int8(source, signature, calibration, wide=wide, decoding=has_decoding)
                result = write(folder / file, form, content, reference=reference)
        except (LoopError, ConversionError, ExportError, RuntimeError) as error:
            # A loop, the converter, integers too coarse for this model, or LiteRT: other files are as good without it
            (folder / file).unlink(missing_ok=True)
            formats = without([form], formats, first_line(error), say)
            report["left_out"][form] = first_line(error)
            continue
        yield result
        if form == "tflite_int8" and signature.is_image_model:
            with timed("TFLite uint8", say):
                path = folder / "model_uint8.tflite"
                result = write(path, form, with_pixels(content, decoding=has_decoding), reference=reference)
            yield result


def without(left_out, formats, reason, say):
    """The other formats.  Raises ValueError if there are none."""
    rest = tuple(form for form in formats if form not in left_out)
    if not rest:
        raise ValueError(f"{' and '.join(left_out)} cannot be made: {reason}; choose other formats.")
    say(f"export: no {' and '.join(left_out)}: {reason}")
    return rest


def saved_model(folder, model, signature, reference):
    write_saved_model(model, signature, folder)
    run = load_saved_model(folder)
    outputs = run(reference.inputs)
    row = {"format": "savedmodel", "bytes": sum(file["bytes"] for file in checksums(folder).values())}
    row |= check("saved_model", outputs, reference, "savedmodel")
    if signature.is_image_model:
        low, high = signature.input_range
        pixels = {
            name: np.round(255 * (images - low) / (high - low)).astype("uint8")
            for name, images in reference.inputs.items()
        }
        floats = {
            name: low + (high - low) * (values.astype("float32") / np.float32(255)) for name, values in pixels.items()
        }
        served = run(pixels, endpoint="serve_uint8")
        live = evaluate(model, floats)
        uint8 = check("saved_model's serve_uint8", served, replace(reference, live=live), "savedmodel")
        row["serve_uint8"] = {"difference": uint8["difference"]}
    return folder.name, row, outputs


def readable(signature, report):
    """Whether one of MediaPipe's tasks can use the TFLite files, which it does with one picture at a time."""
    is_segmenter = len(signature.outputs) == 1 and (report["task"] or {}).get("kind") == "segmentation"
    finds_faces = signature.is_image_model and signature.outputs == FACES
    return signature.batch_size == 1 and (signature.is_classifier or is_segmenter or finds_faces)


def tflite(path, form, content, *, signature, reference, labels, has_metadata):
    if has_metadata:
        content = attach_metadata(content, name=path.stem, signature=signature, labels=labels)
    write_bytes(path, content)
    content = path.read_bytes()
    outputs = run_tflite(content, reference.inputs)
    row = {
        "format": form,
        "bytes": len(content),
        "metadata": has_metadata,
        "operators": operators(content),
        **check(path.name, outputs, reference, form),
        "latency": benchmark_tflite(content),
    }
    return path.name, row, outputs


def described(model, signature, calibration, samples):
    """The head of the report: what was exported, with what, and on how many samples it is checked."""
    return facts(model) | {
        "signature": signature.as_dict(),
        "samples": {
            "source": "noise" if calibration is None else "representative",
            "calibration": 0 if calibration is None else len_of(calibration),
            "held_out": len_of(samples),
        },
    }


def checked_formats(formats, representative):
    formats = tuple(formats)
    unknown = [name for name in formats if name not in FORMATS + MORE]
    if unknown or not formats:
        raise ValueError(f"formats are {list(formats)}; choose from {', '.join(FORMATS + MORE)}.")
    calibrated = [form for form in INTEGERS if form in formats]
    if calibrated and representative is None:
        raise ValueError(
            f"{calibrated[0]} needs representative=: an array (N, H, W, C) or a tf.data.Dataset of the validation "
            "images, with the pixel values that the model takes, usually [0, 1] (200 are enough); or leave "
            f"{calibrated[0]} out of formats; tflite_dynamic needs no samples."
        )
    return formats


def checked_batch_size(value):
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"batch_size is {value!r}; give a whole number from 1: how many samples a TFLite file takes.")
    return value


def check_phone(formats, signature, name):
    """Raises ValueError if files for phones are wanted of a model that only a SavedModel can hold."""
    if formats == ("savedmodel",):
        return
    for given, (shape, dtype) in signature.inputs.items():
        if dtype == "string":
            raise ValueError(
                f"The input {given!r} of {name!r} is text, which TFLite does not take; choose formats=('savedmodel',), "
                "or give the model the numbers and look the words up in the app."
            )
        if None in shape:
            raise ValueError(
                f"The input {given!r} of {name!r} has the shape {(None, *shape)}; TFLite needs every size but the "
                "batch fixed: build the model with a full image_shape, or choose formats=('savedmodel',)."
            )


def refuse(model, **arguments):
    """Raises ValueError for an argument that a model with several entry points does not take."""
    given = [name for name, value in arguments.items() if value is not None]
    if given:
        raise ValueError(f"{model.name!r} has several entry points, which take no {given[0]}; leave it out.")


def checked_labels(labels, task, signature):
    """Class names as a list, or None.  Raises ValueError if they cannot be those of the outputs."""
    if labels is None:
        labels = task.labels if task is not None and task.labels else None
    if labels is None:
        return None
    if isinstance(labels, str | dict | set):
        raise ValueError(f"labels is the {type(labels).__name__} {labels!r}; give a list with one name for each class.")
    labels = [str(label) for label in labels]
    broken = [label for label in labels if label != " ".join(label.splitlines()) or not label]
    if broken:
        raise ValueError(f"The label {broken[0]!r} is empty or has a line break; labels.txt has one label a line.")
    sizes = [shape[0] for shape in signature.outputs.values() if len(shape) == 1]
    if len(labels) == 2 and sizes == [1]:
        raise ValueError(
            f"The model gives one number, which has one name, not the two {labels}; name what it is the "
            f"probability of, labels=[{labels[1]!r}], or end the model with two numbers and a softmax."
        )
    if task is not None and task.kind in DETECTORS:
        sizes = [len(labels)] if finds_objects(signature.outputs) else [signature.outputs["scores"][-1]]
    if task is not None and task.kind in ("segmentation", "point_segmentation"):
        sizes = [shape[-1] for shape in signature.outputs.values()]
    if task is not None and task.kind == "pose":
        sizes = [shape[-1] if name == "heatmaps" else shape[0] for name, shape in signature.outputs.items()]
    if task is not None and task.kind == "tagging":  # a tag for each token
        sizes = [shape[-1] for shape in signature.outputs.values()]
    if len(labels) not in sizes:
        raise ValueError(f"{len(labels)} labels do not fit the outputs {signature.outputs}; give one name a class.")
    return labels


def range_from(task, input_range):
    """The pixel range that the caller gives; None if the caller does not say it, or of texts and clouds."""
    if task is None or is_of_texts(task) or is_of_clouds(task):
        return input_range
    if input_range is not None and tuple(input_range) != tuple(task.input_range):
        raise ValueError(f"input_range is {input_range}, but task.input_range is {task.input_range}; give one of them.")
    return task.input_range


def task_of(task, labels, signature):
    """What report.json says of the task; None for a model of something else than pictures, clouds and texts."""
    if is_of_texts(task) or is_of_clouds(task):
        return as_json(replace(task, labels=tuple(labels or task.labels)))
    if not signature.is_image_model:
        return None
    ((shape, _),) = signature.inputs.values()
    if task is None:
        if not signature.is_classifier:
            return None
        task = Task(labels=tuple(labels or ()), input_range=signature.input_range)
    if task.image_shape is not None and not agree(task.image_shape, shape):
        raise ValueError(f"The task is for images of {task.image_shape}, but the model takes {shape}.")
    if None not in shape:
        task = replace(task, image_shape=shape)
    return as_json(replace(task, labels=tuple(labels or task.labels)))


def len_of(arrays):
    return len(next(iter(arrays.values())))


def noise(signature, model):
    """Samples for the comparison where there are no real ones.

    Numbers are uniform in the range of pixels, else in [0, 1); texts are of words that the model knows, and one that it
    does not.

    Raises:
        ValueError: the model takes none of the sizes that were tried for its free ones.
    """
    if all(None not in shape for shape, _ in signature.inputs.values()):
        return noise_of(signature, model, FREE[0])
    for sizes in FREE:
        samples = noise_of(signature, model, sizes)
        try:
            evaluate(model, first(samples, 1))
        except Exception:  # of TensorFlow or of any layer: too small, too long
            continue
        return samples
    raise ValueError(f"{model.name!r} takes none of the sizes {FREE}; give samples that it takes as representative=.")


def noise_of(signature, model, sizes):
    random = np.random.default_rng(0)
    low, high = signature.input_range or (0.0, 1.0)
    samples = {}
    for name, (shape, dtype) in signature.inputs.items():
        free = itertools.cycle(sizes)
        shape = (COMPARED, *(next(free) if size is None else size for size in shape))
        if dtype == "string":
            words = vocabulary(model)
            samples[name] = np.array([" ".join(line) for line in random.choice(words, (np.prod(shape), 3))]).reshape(
                shape
            )
            samples[name][::2] = random.choice(words, samples[name][::2].shape)  # as a StringLookup takes them
        elif np.issubdtype(np.dtype(dtype), np.integer):
            samples[name] = random.integers(0, 2, shape).astype(dtype)  # 0 and 1: token 2 may not exist
        else:
            samples[name] = random.uniform(low, high, shape).astype(dtype)
    return samples


def vocabulary(model):
    """Words that the lookup layers of a model know, and one that none does."""
    lists = [layer.get_vocabulary() for layer in model._flatten_layers() if hasattr(layer, "get_vocabulary")]
    return [word for words in lists for word in words[:WORDS] if isinstance(word, str) and word] + ["unknown"]
