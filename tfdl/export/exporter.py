"""One call from a trained model to a folder of checked files.

saved_model/          dynamic batch; signatures `serve` and, for images, `serve_uint8`
model.tflite          float32
model_float16.tflite  weights in float16, half the bytes; float32 inputs and outputs
model_int8.tflite     8 bits inside, float32 inputs and outputs: takes the place of model.tflite
model_uint8.tflite    the same with uint8 inputs and outputs: a camera's pixels as they are (image models only)
labels.txt            a class name a line, where labels are given
probe.npz             inputs/NAME, live/NAME and FILE/NAME: probe inputs, the live model's and each file's outputs
report.json           what was measured, and the checksum of each file (keys: saved_models/README.md)
"""

import platform
from dataclasses import replace
from importlib.metadata import version

import numpy as np

from tfdl.core.files import checksums, replaced, write_json, write_text
from tfdl.export.benchmark import benchmark_tflite
from tfdl.export.graph import graph
from tfdl.export.metadata import attach_metadata
from tfdl.export.parity import GATES, ExportError, Reference, check, compare, failures, first, shuffled
from tfdl.export.quantize import convert_int8, gather
from tfdl.export.savedmodel import load_saved_model, write_saved_model
from tfdl.export.signatures import evaluate, portable, signature_of
from tfdl.export.tflite import convert_float, operators, run_tflite

FORMATS = ("savedmodel", "tflite", "tflite_float16", "tflite_int8")
PROBES = 8  # samples kept in probe.npz
COMPARED = 32  # samples that the float files are compared on; the int8 files see all that is held out


def export_model(model, folder, *, formats=FORMATS, representative=None, labels=None, task=None):
    """Writes and checks the files of `formats`; returns the report (also in report.json).

    model: a functional Keras model with fixed input sizes; images are floats in [0, 1].
    representative: samples for "tflite_int8": an array (N, H, W, C), a dict of arrays, or a tf.data.Dataset of inputs
    or of (inputs, labels).  The first half calibrates; the second half is held out and measures the agreement.
    labels: class names in the order of the logits.
    task: `tfdl.core.task.Task`: what the model answers and how pictures are prepared, for `tfdl predict`.
    An earlier export in `folder` is replaced once the new one is complete and right.
    Raises ValueError for arguments that cannot be, ExportError if a file needs foreign operators or computes something
    else than the live model, OSError if the folder cannot be written.
    """
    unknown = [name for name in formats if name not in FORMATS]
    if unknown or not formats:
        raise ValueError(f"formats are {list(formats)}; choose from {', '.join(FORMATS)}")
    if "tflite_int8" in formats and representative is None:
        raise ValueError(
            "tflite_int8 needs representative=: an array (N, H, W, C) in [0, 1] or a tf.data.Dataset of the validation "
            "images (200 are enough); or leave tflite_int8 out of formats"
        )
    signature = signature_of(model)
    if labels is not None:
        labels = checked_labels(labels, signature)
    calibration, samples = (None, noise(signature)) if representative is None else gather(representative, signature)
    with replaced(folder, marker="report.json") as fresh:
        source = portable(model)
        report = described(source, signature, calibration, samples)
        report["labels"] = labels
        report["task"] = None if task is None else task.to_json()
        report["precision"] = precision(model, source, first(samples, COMPARED))
        reference = Reference(
            inputs=samples,
            live=evaluate(source, samples),
            wrong=evaluate(source, samples, weights=shuffled(source.get_weights(), seed=0)),
        )
        probe = {"inputs": first(samples, PROBES), "live": first(reference.live, PROBES)}
        rows = artifacts(fresh, source, signature, formats, calibration, reference, labels)
        report["artifacts"] = {}
        for file, row, outputs in rows:
            report["artifacts"][file], probe[file] = row, first(outputs, PROBES)
        if labels is not None:
            write_text(fresh / "labels.txt", "\n".join(labels) + "\n")
        np.savez(fresh / "probe.npz", **{f"{a}/{b}": value for a, part in probe.items() for b, value in part.items()})
        report["files"] = checksums(fresh)
        write_json(fresh / "report.json", report)
    return report


def artifacts(folder, model, signature, formats, calibration, reference, labels):
    """Writes each file and yields (name, its row of the report, its outputs for the reference's inputs)."""
    few = reference.first(COMPARED)
    if "savedmodel" in formats:
        yield saved_model(folder / "saved_model", model, signature, few)
    module = graph(model, signature)
    if "tflite" in formats:
        content = convert_float(module)
        yield tflite(folder / "model.tflite", "tflite", content, signature, few, labels)
    if "tflite_float16" in formats:
        content = convert_float(module, half=True)
        yield tflite(folder / "model_float16.tflite", "tflite_float16", content, signature, few, labels)
    if "tflite_int8" in formats:
        module = graph(model, signature, integers=True)
        content = convert_int8(module, signature, calibration)
        yield tflite(folder / "model_int8.tflite", "tflite_int8", content, signature, reference, labels)
        if signature.is_image_model:
            content = convert_int8(module, signature, calibration, pixels=True)
            yield tflite(folder / "model_uint8.tflite", "tflite_int8", content, signature, reference, labels)


def saved_model(folder, model, signature, reference):
    write_saved_model(model, signature, folder)
    run = load_saved_model(folder)
    outputs = run(reference.inputs)
    row = {"format": "savedmodel", "bytes": sum(file["bytes"] for file in checksums(folder).values())}
    row |= check("saved_model", outputs, reference, "savedmodel")
    if signature.is_image_model:
        pixels = {name: np.round(255 * images).astype("uint8") for name, images in reference.inputs.items()}
        live = evaluate(model, {name: values.astype("float32") / 255 for name, values in pixels.items()})
        served = run(pixels, endpoint="serve_uint8")
        uint8 = check("saved_model's serve_uint8", served, replace(reference, live=live), "savedmodel")
        row["serve_uint8"] = {"difference": uint8["difference"]}
    return folder.name, row, outputs


def tflite(path, form, content, signature, reference, labels):
    is_classifier = signature.is_image_model and [len(shape) for shape in signature.outputs.values()] == [1]
    if is_classifier:
        ((shape, _),) = signature.inputs.values()
        content = attach_metadata(content, name=path.stem, channels=shape[-1], labels=labels)
    path.write_bytes(content)
    content = path.read_bytes()
    outputs = run_tflite(content, reference.inputs)
    row = {"format": form, "bytes": len(content), "metadata": is_classifier, "operators": operators(content)}
    row |= check(path.name, outputs, reference, form)
    return path.name, row | {"latency": benchmark_tflite(content)}, outputs


def described(model, signature, calibration, samples):
    """The head of the report: what was exported, with what, and on how many samples it is checked."""
    return {
        "schema": 1,
        "model": model.name,
        "parameters": model.count_params(),
        "signature": signature.as_dict(),
        "samples": {
            "source": "noise" if calibration is None else "representative",
            "calibration": 0 if calibration is None else len(next(iter(calibration.values()))),
            "held_out": len(next(iter(samples.values()))),
        },
        "versions": {name: version(name) for name in ("tensorflow", "keras", "ai-edge-litert", "numpy")},
        "machine": platform.machine(),
    }


def precision(model, source, samples):
    """How far the exported float32 model is from the live one, if the live one computes in another precision."""
    if source is model:
        return {"rebuilt": False}
    comparison = compare(evaluate(source, samples), evaluate(model, samples))
    broken = failures(comparison, GATES["rebuilt"])
    if broken:
        raise ExportError(f"the float32 copy of {model.name!r} differs from the live model: {'; '.join(broken)}")
    return {"rebuilt": True, "policy": model.dtype_policy.name, **comparison}


def checked_labels(labels, signature):
    labels = [str(label) for label in labels]
    sizes = [shape[0] for shape in signature.outputs.values() if len(shape) == 1]
    if len(labels) not in sizes:
        raise ValueError(f"{len(labels)} labels do not fit the outputs {signature.outputs}; give one name a class")
    return labels


def noise(signature):
    """Uniform [0, 1) samples for the comparison where there are no real ones; integer inputs get 0 and 1."""
    random = np.random.default_rng(0)
    return {
        name: (2 * random.random((COMPARED, *shape))).astype(dtype)
        if np.issubdtype(np.dtype(dtype), np.integer)
        else random.random((COMPARED, *shape)).astype(dtype)
        for name, (shape, dtype) in signature.inputs.items()
    }
