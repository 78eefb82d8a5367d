"""Models with several entry points: all of them in one SavedModel and one TFLite file, each run and compared.

A model names them in `signatures`, see `tfdl.core.model.ConfiguredModel`.  The files share one set of weights.  TFLite
has no strings: entry points that take or give texts are in the SavedModel only.

saved_model/          every entry point, any batch
model.tflite          float32, batch 1
model_float16.tflite  weights in float16, half the bytes
model_dynamic.tflite  weights in 8 bits, a quarter of the bytes; needs no samples
model_int4.tflite     weights in 4 bits, on request; needs the extra `edge`
"""

import inspect
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import tensorflow as tf

from tfdl.core.files import checksums, replaced, write_bytes, write_json
from tfdl.core.model import Argument
from tfdl.export.benchmark import benchmark_signature
from tfdl.export.conversion import start
from tfdl.export.graph import saved
from tfdl.export.parity import Reference, check, first, together, wrong_outputs
from tfdl.export.precision import in_float32, is_plain
from tfdl.export.quantize import as_inputs, check_finite
from tfdl.export.report import as_json, facts, is_of_texts, npz, precision, timed, write_tokenizer
from tfdl.export.savedmodel import load_entry_points, write_entry_points
from tfdl.export.signatures import NAME, Signature, sample_by_sample
from tfdl.export.tflite import FLOATS, operators, run_tflite
from tfdl.export.verify import digest

SAMPLES = 32  # of each entry point, if they are small
MEMORY = 64e6  # bytes of samples of one entry point
PROBES, PROBE_BYTES = 8, 8e6  # the same in probe.npz, which is always given one sample
PERIOD = 4099  # numbers after which noise repeats, so that probe.npz can be packed; a prime: no two rows are equal
FORMATS = ("savedmodel", "tflite", "tflite_float16", "tflite_dynamic")
MORE = ("tflite_int4",)


@dataclass(frozen=True)
class EntryPoint:
    """One function of a model, by the name that it has in the files."""

    name: str
    function: Callable
    arguments: dict[str, Argument]

    def call(self, inputs):
        """{name: tensor} -> {name: tensor}.  Raises ValueError if the function returns anything else."""
        outputs = self.function(**inputs)
        if not isinstance(outputs, dict) or not outputs:
            raise ValueError(
                f"The entry point {self.name!r} returns {type(outputs).__name__}; return {{name: tensor}}."
            )
        return outputs

    def compiled(self, batch):
        """The function for batches of this size (None: any) as a `tf.function`."""
        return tf.function(self.call, input_signature=[self.spec(batch)], autograph=False)

    def spec(self, batch):
        return {
            name: tf.TensorSpec((batch, *row.shape[1:]) if row.shape else (), row.dtype, name=name)
            for name, row in self.arguments.items()
        }

    @cached_property
    def whole(self):
        """The function for any batch."""
        return self.compiled(None)

    @cached_property
    def traced(self):
        """The same, traced, which makes the weights of layers that have none yet."""
        return self.whole.get_concrete_function()

    @property
    def outputs(self):
        """{name: (shape, dtype)}, None for the batch.  Raises ValueError for other free sizes, and without a batch."""
        rows = {}
        for name, tensor in self.traced.structured_outputs.items():
            shape = (0,) if tensor.shape.rank in (None, 0) else tuple(tensor.shape)
            if shape[0] is not None or None in shape[1:]:
                raise ValueError(
                    f"The output {name!r} of {self.name!r} has the shape {tensor.shape}; its first axis must be the "
                    "batch, and every other size fixed."
                )
            rows[name] = (shape, tensor.dtype.name)
        return rows

    @property
    def signature(self):
        """The same as a `Signature`, whose shapes are those of one sample."""
        inputs = {name: (row.shape[1:], row.dtype) for name, row in self.arguments.items()}
        return Signature(inputs=inputs, outputs={name: shape[1:] for name, (shape, _) in self.outputs.items()})

    @property
    def has_texts(self):
        dtypes = [row.dtype for row in self.arguments.values()] + [dtype for _, dtype in self.outputs.values()]
        return "string" in dtypes

    def as_dict(self):
        """The inputs and outputs for report.json; null is the batch."""
        inputs = {name: {"shape": list(row.shape), "dtype": row.dtype} for name, row in self.arguments.items()}
        outputs = {name: {"shape": list(shape), "dtype": dtype} for name, (shape, dtype) in self.outputs.items()}
        return {"inputs": inputs, "outputs": outputs}


def entry_points(model, sizes=None, more=None):
    """The model's entry points in its own order, and `more`; [] for one that has no `signatures`.

    Args:
        sizes: keyword arguments of `model.signatures`, {name: number}.
        more: entry points that others have written for it, in the same form.

    Raises:
        ValueError: a size that the model does not have, or `signatures` returns something else.
    """
    if not has_entry_points(model):
        if sizes:
            raise ValueError(f"sizes are {sizes}, but {model.name!r} has no `signatures` to take them; leave them out.")
        return []
    checked_sizes(model, sizes or {})
    rows = model.signatures(**(sizes or {}))
    form = "signatures returns {name: (function, {input name: Argument})}"
    if not isinstance(rows, dict) or not rows:
        raise ValueError(f"The signatures of {model.name!r} are {rows!r}; {form}.")
    points = []
    for name, row in (rows | (more or {})).items():
        if not (isinstance(row, tuple) and len(row) == 2 and callable(row[0]) and isinstance(row[1], dict) and row[1]):
            raise ValueError(f"The signature {name!r} of {model.name!r} is {row!r}; {form}.")
        for word in (name, *row[1]):
            if not isinstance(word, str) or not NAME.fullmatch(word):
                raise ValueError(f"The name {word!r} cannot be exported; use letters, digits and _, as in 'step'.")
        if not all(isinstance(value, Argument) for value in row[1].values()):
            raise ValueError(f"The inputs of the signature {name!r} of {model.name!r} are {row[1]}; {form}.")
        points.append(EntryPoint(name, *row))
    return points


def has_entry_points(model):
    """Whether the model names its entry points itself."""
    return callable(getattr(model, "signatures", None))


def checked_sizes(model, sizes):
    """The sizes of the model's files, {name: number}: those that are given, and its own defaults that are numbers."""
    own = {name: row.default for name, row in inspect.signature(model.signatures).parameters.items()}
    for name, value in sizes.items():
        if name not in own:
            known = f"its sizes are {', '.join(own)}" if own else "it has none"
            raise ValueError(f"{model.name!r} has no size {name!r}; {known}.")
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError(f"The size {name} is {value!r}; give a whole number of 1 or more.")
    return {name: value for name, value in (own | sizes).items() if value is not None}


def export_entry_points(model, folder, *, formats, representative, texts, sizes, more, say):
    """Writes and checks the files of a model with `signatures`; see `tfdl.export_model` for the arguments.

    representative: {entry point: {input name: array (N, ...)}} in place of noise, for as many of them as you like.
    texts: (task, tokenizer) of a model of texts, each may be None.
    """
    formats = checked_formats(formats)
    if formats != ("savedmodel",):
        start()
    points = built(entry_points(model, sizes, more))
    if all(point.has_texts for point in points) and formats != ("savedmodel",):
        raise ValueError(
            f"Every entry point of {model.name!r} takes or gives texts, which TFLite does not have; "
            "choose formats=('savedmodel',)."
        )
    samples = samples_of(points, {} if representative is None else representative)
    report = facts(model) | {
        "signatures": {point.name: point.as_dict() for point in points},
        "sizes": checked_sizes(model, sizes or {}),
        "samples": {
            "source": "noise" if representative is None else "representative",
            "calibration": 0,
            "held_out": max(len(values) for arrays in samples.values() for values in arrays.values()),
        },
        "labels": None,
        "task": as_json(texts[0]) if is_of_texts(texts[0]) else None,
        "softmax": False,
        "left_out": {},
        "precision": precision(model, lambda: flat(evaluate(entry_points(model, sizes, more), samples))),
    }
    plain = is_plain(model)
    with in_float32(model), replaced(folder, marker="report.json") as fresh:
        if not plain:
            points = built(
                entry_points(model, sizes, more)
            )  # traced anew, with the variables that hold the weights now
        references = {point.name: reference(model, point, samples[point.name], say) for point in points}
        report["artifacts"], outputs = {}, {}
        for name, row, found in files(fresh, model, points, formats, references, say):
            report["artifacts"][name], outputs[name] = row, found
        write_bytes(fresh / "probe.npz", npz(probe(points, references, outputs), packed=True))
        write_tokenizer(fresh, *texts)
        report["files"] = checksums(fresh)
        report["digest"] = digest(report)
        write_json(fresh / "report.json", report)
    return report


def checked_formats(formats):
    """The formats as a tuple, None for all.  Raises ValueError for one that there is not."""
    formats = FORMATS if formats is None else tuple(formats)
    unknown = [form for form in formats if form not in FORMATS + MORE]
    if unknown or not formats:
        raise ValueError(
            f"formats are {list(formats)}; a model with several entry points has {', '.join(FORMATS + MORE)}, of "
            "which tflite_dynamic has weights in 8 bits."
        )
    return formats


def reference(model, point, samples, say):
    """What the files' answers at this entry point are compared with."""

    def answers():
        return evaluate([point], {point.name: samples})[point.name]

    def answers_with(weights):
        with holding(model, weights):
            return answers()

    live = answers()
    wrong = wrong_outputs(answers_with, model.get_weights(), live)
    if wrong is None:
        say(f"export: no control of {point.name}: other weights hardly change its outputs")
    return Reference(inputs=samples, live=live, wrong=wrong)


def files(folder, model, points, formats, references, say):
    """Writes each file and yields (name, its row of the report, its outputs {entry point: {name: array}})."""
    if "savedmodel" in formats:
        with timed("SavedModel", say):
            path = folder / "saved_model"
            write_entry_points(model, points, path)
            run = load_entry_points(path)
            outputs = {point.name: run(references[point.name].inputs, point.name) for point in points}
            row = {"format": "savedmodel", "bytes": sum(file["bytes"] for file in checksums(path).values())}
            row |= compared(path.name, outputs, references, "savedmodel")
        yield path.name, row, outputs
    points = [point for point in points if not point.has_texts]
    source = None
    for form, (title, file, convert) in FLOATS.items():
        if form not in formats:
            continue
        with timed(title, say):
            source = source or saved(model, {point.name: point.compiled(1) for point in points})
            content = convert(source)
            write_bytes(folder / file, content)
            names = [point.name for point in points]
            outputs = {name: run_tflite(content, references[name].inputs, signature=name) for name in names}
            row = {"format": form, "bytes": len(content), "metadata": False, "operators": operators(content)}
            row |= compared(file, outputs, references, form)
            for name in names:
                row["signatures"][name]["latency"] = benchmark_signature(content, name)
        yield file, row, outputs


def compared(file, outputs, references, form):
    """The row of a file: each entry point's comparison, and the worst of them."""
    rows = {name: check(f"{file}: {name}", found, references[name], form) for name, found in outputs.items()}
    return {**together(list(rows.values())), "signatures": rows}


def built(points):
    """The same, with the weights that their layers make when they are first called."""
    for point in points:
        point.traced  # noqa: B018  # tracing makes them
    return points


def evaluate(points, samples):
    """What the live model answers: {entry point: {output: array (N, ...)}}."""
    answers = {}
    for point in points:
        scalars = [name for name, argument in point.arguments.items() if not argument.shape]
        answers[point.name] = sample_by_sample(point.whole, samples[point.name], scalars)
    return answers


@contextmanager
def holding(model, weights):
    """Inside `with`, the model has these weights."""
    own = model.get_weights()
    try:
        model.set_weights(weights)
        yield
    finally:
        model.set_weights(own)


def samples_of(points, representative):
    """{entry point: {input: array (N, ...)}}: those that are given, and noise for the other entry points.

    Raises:
        ValueError: an unknown entry point, or samples that do not fit one.
    """
    named = {point.name: point for point in points}
    if not isinstance(representative, dict) or set(representative) - set(named):
        given = sorted(representative) if isinstance(representative, dict) else type(representative).__name__
        raise ValueError(
            f"representative is {given}; for a model with several entry points give {{name: {{input name: array}}}} "
            f"for some of {', '.join(named)}."
        )
    random = np.random.default_rng(0)
    samples = {}
    for name, point in named.items():
        if name in representative:
            samples[name] = first(as_inputs(representative[name], point.signature), SAMPLES)
            check_finite(samples[name])
        else:
            count = enough(SAMPLES, MEMORY, point)
            samples[name] = {key: drawn(random, argument, count) for key, argument in point.arguments.items()}
    return samples


def drawn(random, argument, count):
    """`count` samples of an input, (count, ...)."""
    shape = (count, *argument.shape[1:])
    if argument.values is not None:
        values = np.asarray(argument.values, str if argument.dtype == "string" else argument.dtype)
        return random.choice(values, shape)
    if argument.dtype == "bool":
        return random.random(shape) < 0.5
    return np.resize(random.random(PERIOD, dtype="float32"), shape)


def enough(most, memory, point):
    """How many samples of an entry point fit into so many bytes: 1 to `most`."""
    shapes = [shape for shape, _ in point.signature.inputs.values()] + list(point.signature.outputs.values())
    size = sum(4 * int(np.prod(shape)) for shape in shapes)
    return int(min(most, max(1, memory // size)))


def probe(points, references, outputs):
    """{part: {"entry point/tensor": array}} for probe.npz."""
    counts = {point.name: enough(PROBES, PROBE_BYTES, point) for point in points}

    def kept(arrays):
        return flat({name: first(values, counts[name]) for name, values in arrays.items()})

    inputs = {name: row.inputs for name, row in references.items()}
    live = {name: row.live for name, row in references.items()}
    return {"inputs": kept(inputs), "live": kept(live)} | {file: kept(found) for file, found in outputs.items()}


def flat(arrays):
    """{entry point: {tensor: array}} -> {"entry point/tensor": array}."""
    return {f"{point}/{name}": values for point, row in arrays.items() for name, values in row.items()}
