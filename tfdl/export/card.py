"""MODEL_CARD.md: what a model is, what was measured, how to load it and where it ends.  Only measured numbers.

After "Model Cards for Model Reporting", Mitchell et al. 2019, arXiv:1810.03993.
"""

import shlex
from pathlib import Path

from tfdl.core.files import write_text
from tfdl.export.metadata import FACES

PYTHON = """\
```python
import numpy as np
from ai_edge_litert.interpreter import Interpreter

model = Interpreter("{file}").get_signature_runner({signature})
outputs = model({arguments})
print({{name: value.shape for name, value in outputs.items()}})
```"""

ANDROID = """\
```kotlin
// implementation("com.google.mediapipe:tasks-vision:latest.release"); {file} lies in app/src/main/assets
{code}
```"""
TASKS = {
    "ImageClassifier": """\
val classifier = ImageClassifier.createFromFile(context, "{file}")
val result = classifier.classify(BitmapImageBuilder(bitmap).build())
val best = result.classificationResult().classifications()[0].categories()[0]  // categoryName(), score(): {score}""",
    "ImageSegmenter": """\
val base = BaseOptions.builder().setModelAssetPath("{file}").build()
val options = ImageSegmenter.ImageSegmenterOptions.builder().setBaseOptions(base).setOutputCategoryMask(true).build()
val result = ImageSegmenter.createFromOptions(context, options).segment(BitmapImageBuilder(bitmap).build())
val classes = result.categoryMask().get()  // a byte a pixel: the number of its class""",
    "ObjectDetector": """\
val result = ObjectDetector.createFromFile(context, "{file}").detect(BitmapImageBuilder(bitmap).build())
val first = result.detections()[0]  // boundingBox() in pixels; categories()[0].categoryName(), score()""",
    "FaceDetector": """\
val result = FaceDetector.createFromFile(context, "{file}").detect(BitmapImageBuilder(bitmap).build())
val first = result.detections()[0]  // boundingBox() in pixels; keypoints(): six of x(), y() in parts of the picture""",
}

RESIZED = {
    "stretch": "stretched to",
    "pad": "fitted with borders into",
    "crop": "resized and cropped in the middle to",
}
LICENSE = "The weights come with whatever terms the data set has: read them before you publish the weights."


def write_card(path, *, title, summary, report, data, metrics, license=LICENSE, limits=(), command=None):
    """Writes a model card in Markdown, and prints its table of files.

    Args:
        path: of the file.
        title, summary: a few words, and a sentence or two on what the model answers.
        report: what `export_model` returned.
        data: one sentence on the training data.
        license: of data and weights.
        metrics: {name: measured number}.
        limits: sentences.
        command: what to type to train it again.
    """
    path = Path(path)
    sections = [
        f"# {title}",
        summary,
        section("Data and license", f"{data} {license}"),
        section("Metrics", table(["metric", "value"], [[name, number(value)] for name, value in metrics.items()])),
        section("Files", exports(report)),
        section("Preprocessing", preprocessing(report)),
        section("Use", usage(report, folder=path.parent / "export")),
        section("Limits", "\n".join(f"- {limit}" for limit in [*limits, *known_limits(report)])),
    ]
    if command:
        sections.append(section("Reproduce", f"```\n{command}\n```"))
    write_text(path, "\n\n".join(sections) + "\n")
    print(overview(report))


def overview(report):
    """The exported files as aligned text for the terminal: size, closeness to the live model, latency."""
    rows = list(measured(report))
    width = max(len(name) for name, _ in rows)
    lines = [f"{'file':<{width}}  {'KB':>8}  {'difference':>10}  {'top-1 agrees':>12}  {'latency':>9}"]
    for name, row in rows:
        size = f"{row['bytes'] / 1e3:,.0f}" if "bytes" in row else ""
        agreement = "-" if row["agreement"] is None else f"{100 * row['agreement']:.1f} %"
        latency = f"{row['latency']['median_ms']:.2f} ms" if "latency" in row else "-"
        lines.append(f"{name:<{width}}  {size:>8}  {row['difference']:10.1e}  {agreement:>12}  {latency:>9}")
    lines += [f"not exported: {form}: {reason}" for form, reason in report.get("left_out", {}).items()]
    return "\n".join(lines)


def measured(report):
    """(file, its row) of each file; under a file with several entry points the row of each, by its indented name."""
    for file, row in report["artifacts"].items():
        yield file, row
        for name, part in row.get("signatures", {}).items():
            yield f"  {name}", part


def section(title, body):
    return f"## {title}\n\n{body}"


def table(head, rows):
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def number(value):
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def exports(report):
    """The table of files with what was measured when they were written."""
    rows = []
    for name, row in measured(report):
        latency = row.get("latency")
        rows.append(
            [
                f"`{name}`" if "bytes" in row else f"`{name.strip()}`",
                f"{row['bytes']:,}" if "bytes" in row else "",
                f"{row['difference']:.1e}",
                "-" if row["agreement"] is None else f"{100 * row['agreement']:.1f} %",
                f"{latency['median_ms']:.2f} ms" if latency else "-",
            ]
        )
    samples, versions = report["samples"], report["versions"]
    note = (
        f"Difference is the largest one to the live model's outputs, over the larger of 1 and the largest output. "
        f"Agreement counts equal top-1 classes on up to {samples['held_out']} samples "
        f"({'held-out data' if samples['source'] == 'representative' else 'random noise'}; float files: at most 32). "
        f"Latency is the median at batch 1, one thread, on the {report['machine']} machine that exported it "
        f"(TensorFlow {versions['tensorflow']}, LiteRT {versions['ai-edge-litert']})."
    )
    if all(row["control"] is not None for row in report["artifacts"].values()):
        note += " As a control, the same network with wrong weights failed the comparison of each file."
    else:
        note += " There is no control: other weights hardly change the outputs."
    for form, reason in report.get("left_out", {}).items():
        note += f" No {form} files were made: {reason}."
    return table(["file", "bytes", "difference", "agreement", "latency"], rows) + "\n\n" + note


def preprocessing(report):
    """How an input has to be prepared, in words."""
    if "signatures" in report:
        return entry_points(report)
    task, inputs = report.get("task"), report["signature"]["inputs"]
    words = [f"`{name}`: {row['dtype']} (B, {', '.join(map(str, row['shape']))})" for name, row in inputs.items()]
    text = f"Inputs are {'; '.join(words)}; B = {report.get('batch_size', 1)} in the .tflite files."
    if task is None or task["image_shape"] is None:
        return text
    height, width, channels = task["image_shape"]
    low, high = task["input_range"]
    color = "gray" if channels == 1 else "RGB"
    size = f"{RESIZED.get(task['resize'], task['resize'])} {width} x {height} pixels"
    scaled = "" if (low, high) == (0, 255) else f", then scaled from [0, 255] to [{low:g}, {high:g}]"
    text += f" Pictures are turned as their EXIF orientation says, made {color}, {size}{scaled}."
    if "model_uint8.tflite" in report["artifacts"]:
        text += " `model_uint8.tflite` takes the pixels in [0, 255] without that scaling."
    return text


def entry_points(report):
    """What each entry point takes and gives."""
    rows = []
    for name, row in report["signatures"].items():
        takes, gives = (", ".join(map(tensor, row[side], row[side].values())) for side in ("inputs", "outputs"))
        rows.append([f"`{name}`", takes, gives])
    text = (
        "B is the batch, 1 in the .tflite files. What is an input and an output of one name is state: give one buffer"
    )
    text += " for both, and no step copies it. Entry points with strings are in the SavedModel only."
    return table(["entry point", "inputs", "outputs"], rows) + "\n\n" + text


def tensor(name, row):
    """`tokens` int32 (B, 8)"""
    sizes = ", ".join("B" if size is None else str(size) for size in row["shape"])
    return f"`{name}` {row['dtype']} ({sizes})"


def usage(report, folder=Path("export")):
    """Examples that can be typed: the command, Python, TensorFlow, Android."""
    if "signatures" in report:
        return usage_of_entry_points(report)
    inputs = report["signature"]["inputs"]
    parts = []
    if report.get("task") is not None:
        parts.append(f"On the command line:\n\n```\ntfdl predict {shlex.quote(relative(folder))} photo.jpg\n```")
    files = [name for name in report["artifacts"] if name.endswith(".tflite")]
    if files:
        batch = report.get("batch_size", 1)
        shapes = ((name, (batch, *row["shape"]), row["dtype"]) for name, row in inputs.items())
        arguments = ", ".join(f'{name}=np.zeros({shape}, "{dtype}")' for name, shape, dtype in shapes)
        parts.append("Python:\n\n" + PYTHON.format(file=files[0], signature="", arguments=arguments))
    if "saved_model" in report["artifacts"]:
        parts.append('TensorFlow: `tf.saved_model.load("saved_model").signatures["serve"]`, any batch size.')
    if any(report["artifacts"][name]["metadata"] for name in files):
        parts.append(android(report, files[-1], reader_of(report)))
    for name, row in report.get("mediapipe", {}).items():
        parts.append(android(report, name, row["reader"]))
    return "\n\n".join(parts)


def usage_of_entry_points(report):
    """The same for a model with several of them."""
    parts = []
    for file, row in report["artifacts"].items():
        if file.endswith(".tflite"):
            name = next(iter(row["signatures"]))
            inputs = report["signatures"][name]["inputs"]
            shapes = {key: tuple(size or 1 for size in row["shape"]) for key, row in inputs.items()}
            arguments = ", ".join(f'{key}=np.zeros({shapes[key]}, "{row["dtype"]}")' for key, row in inputs.items())
            parts.append("Python:\n\n" + PYTHON.format(file=file, signature=f'"{name}"', arguments=arguments))
            break
    if "saved_model" in report["artifacts"]:
        name = next(iter(report["signatures"]))
        parts.append(f'TensorFlow: `tf.saved_model.load("saved_model").signatures["{name}"]`, any batch size.')
    return "\n\n".join(parts)


def reader_of(report):
    """Which of MediaPipe's tasks takes the TFLite files with metadata."""
    if set(report["signature"]["outputs"]) == set(FACES):
        return "FaceDetector"
    return "ImageSegmenter" if (report["task"] or {}).get("kind") == "segmentation" else "ImageClassifier"


def android(report, file, reader):
    """What one of MediaPipe's image tasks does with a file."""
    if not rgb(report["signature"]["inputs"]):
        return (
            "MediaPipe's image tasks take RGB pictures only and refuse these files, which take gray ones. LiteRT, the "
            "browser and TensorFlow run them. For MediaPipe train with three channels."
        )
    score = "a probability" if report.get("softmax") else "a logit"
    code = TASKS[reader].format(file=file, score=score)
    return "Android, with MediaPipe Tasks:\n\n" + ANDROID.format(file=file, code=code)


def relative(folder):
    """The folder as it is typed from the current one; its own name where it lies elsewhere."""
    folder = Path(folder).absolute()
    here = Path.cwd()
    return str(folder.relative_to(here)) if folder.is_relative_to(here) else folder.name


def rank3(inputs):
    return all(len(row["shape"]) == 3 for row in inputs.values())


def rgb(inputs):
    return rank3(inputs) and all(row["shape"][-1] == 3 for row in inputs.values())


def known_limits(report):
    """What holds for every export of this kind."""
    limits = ["Latency was measured on the exporting machine's CPU, not on a phone."]
    if report["labels"] and not report.get("softmax"):
        limits.append("Scores are logits; take the softmax for percentages.")
    if "model_uint8.tflite" in report["artifacts"]:
        answers = "integers with a scale and a zero point"
        if report["task"] and report["task"]["kind"] == "detection":
            answers = "boxes and scores in float32"
        limits.append(f"`model_uint8.tflite` takes pixels in [0, 255] and gives {answers}.")
    return limits
