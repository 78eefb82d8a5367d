"""MODEL_CARD.md: what a model is, what was measured, how to load it and where it ends.  Only measured numbers.

After "Model Cards for Model Reporting", Mitchell et al. 2019, arXiv:1810.03993.
"""

from pathlib import Path

from tfdl.core.files import write_text

PYTHON = """\
```python
import numpy as np
from ai_edge_litert.interpreter import Interpreter

model = Interpreter("{file}").get_signature_runner()
outputs = model({arguments})
print({{name: value.shape for name, value in outputs.items()}})
```"""

ANDROID = """\
```kotlin
// implementation("com.google.mediapipe:tasks-vision:latest.release"); {file} lies in app/src/main/assets
val classifier = ImageClassifier.createFromFile(context, "{file}")
val result = classifier.classify(BitmapImageBuilder(bitmap).build())
val best = result.classificationResult().classifications()[0].categories()[0]  // categoryName(), score(): a logit
```"""


LICENSE = "The weights come with whatever terms the data set has: read them before you publish the weights."


def write_card(path, *, title, summary, report, data, metrics, license=LICENSE, limits=(), command=None):
    """Writes a model card in Markdown, and prints its table of files.

    report: what `export_model` returned; data: one sentence on the training data; license: of data and weights;
    metrics: {name: measured number}; limits: sentences; command: what to type to train it again.
    """
    sections = [
        f"# {title}",
        summary,
        section("Data and license", f"{data} {license}"),
        section("Metrics", table(["metric", "value"], [[name, number(value)] for name, value in metrics.items()])),
        section("Files", exports(report)),
        section("Use", usage(report)),
        section("Limits", "\n".join(f"- {limit}" for limit in [*limits, *known_limits(report)])),
    ]
    if command:
        sections.append(section("Reproduce", f"```\n{command}\n```"))
    write_text(Path(path), "\n\n".join(sections) + "\n")
    print(overview(report))


def overview(report):
    """The exported files as aligned text for the terminal: size, closeness to the live model, latency."""
    width = max(map(len, report["artifacts"]))
    lines = [f"{'file':<{width}}  {'KB':>8}  {'difference':>10}  {'top-1 agrees':>12}  {'latency':>9}"]
    for name, row in report["artifacts"].items():
        agreement = "-" if row["agreement"] is None else f"{100 * row['agreement']:.1f} %"
        latency = f"{row['latency']['median_ms']:.2f} ms" if "latency" in row else "-"
        lines.append(
            f"{name:<{width}}  {row['bytes'] / 1e3:8,.0f}  {row['difference']:10.1e}  {agreement:>12}  {latency:>9}"
        )
    return "\n".join(lines)


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
    for file, row in report["artifacts"].items():
        latency = row.get("latency")
        rows.append(
            [
                f"`{file}`",
                f"{row['bytes']:,}",
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
        f"(TensorFlow {versions['tensorflow']}, LiteRT {versions['ai-edge-litert']}). "
        "Shuffled weights were told apart from the right ones for each file."
    )
    return table(["file", "bytes", "difference", "agreement", "latency"], rows) + "\n\n" + note


def usage(report):
    inputs = report["signature"]["inputs"]
    parts = [inputs_in_words(inputs)]
    files = [name for name in report["artifacts"] if name.endswith(".tflite")]
    if files:
        shapes = ((name, (1, *row["shape"]), row["dtype"]) for name, row in inputs.items())
        arguments = ", ".join(f'{name}=np.zeros({shape}, "{dtype}")' for name, shape, dtype in shapes)
        parts.append("Python:\n\n" + PYTHON.format(file=files[0], arguments=arguments))
    if "saved_model" in report["artifacts"]:
        parts.append('TensorFlow: `tf.saved_model.load("saved_model").signatures["serve"]`, any batch size.')
    android = [name for name in files if report["artifacts"][name]["metadata"] and rgb(inputs)]
    if android and report["labels"]:
        parts.append("Android, with MediaPipe Tasks:\n\n" + ANDROID.format(file=android[-1]))
    return "\n\n".join(parts)


def inputs_in_words(inputs):
    words = [f"`{name}`: {row['dtype']} (B, {', '.join(map(str, row['shape']))})" for name, row in inputs.items()]
    image = " with pixels in [0, 1]" if len(inputs) == 1 and rank3(inputs) else ""
    return f"Inputs are {'; '.join(words)}{image}; B = 1 in the .tflite files."


def rank3(inputs):
    return all(len(row["shape"]) == 3 for row in inputs.values())


def rgb(inputs):
    return rank3(inputs) and all(row["shape"][-1] == 3 for row in inputs.values())


def known_limits(report):
    """What holds for every export of this kind."""
    limits = ["Latency was measured on the exporting machine's CPU, not on a phone."]
    if report["labels"]:
        limits.append("Scores are logits; take the softmax for percentages.")
    if "model_uint8.tflite" in report["artifacts"]:
        limits.append("`model_uint8.tflite` takes pixels in [0, 255] and gives integers with a scale and a zero point.")
    return limits
