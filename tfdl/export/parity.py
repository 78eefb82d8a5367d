"""Does a file compute what the model does?  Differences, top-1 agreement, tolerances and a control.

Loading a file proves nothing.  Each file is run and its outputs are compared with the live model's; the same
comparison with the outputs of the same network under wrong weights must fail, or the check could not fail at all.
"""

from dataclasses import dataclass

import numpy as np

from tfdl.export.objects import compare_objects, finds_objects

TOLERANCES = {
    # noise: root mean square difference / standard deviation of the live outputs, see FLAT; difference: largest
    # absolute difference / max(1, largest live output); agreement: fraction of the decided samples with the same top-1
    # class.
    "savedmodel": {"difference": 1e-4, "noise": 1e-3, "agreement": 1.0},
    "tflite": {"difference": 1e-4, "noise": 1e-3, "agreement": 1.0},
    "tflite_float16": {"noise": 5e-2, "agreement": 0.99},  # 11 bits of mantissa; untrained networks: up to 1.5e-2
    "tflite_int8": {"noise": 0.5, "agreement": 0.9},  # the wrong weights' noise is about 1.4
    "tflite_dynamic": {"noise": 0.2, "agreement": 0.9},  # int8 weights, and activations of a layer in 8 bits
    "tflite_int4": {"noise": 0.6, "agreement": 0.5},  # 15 steps a column; untrained networks: 0.1 to 0.3
    "tflite_int16": {"noise": 0.2, "agreement": 0.9},  # the weights are those of int8
    "rebuilt": {"noise": 0.2, "agreement": 0.9},  # float32 copy against a bfloat16 model: 8 bits of mantissa
}
FLAT = 0.02  # of the largest live output: the least deviation, for one that hardly varies, such as "always visible"
REMEDIES = {
    "tflite_float16": "leave tflite_float16 out of formats",
    "tflite_dynamic": "leave tflite_dynamic out of formats",
    "tflite_int4": "leave tflite_int4 out of formats",
    "tflite_int16": "give more representative samples, or leave tflite_int16 out of formats",
    "tflite_int8": "train longer, give more representative samples, or leave tflite_int8 out of formats",
}
# What the outputs of wrong weights must miss, so that no file near the live model passes for them too.
CLEARLY_WRONG = {"noise": 1.0, "agreement": 0.5}
KEYS = ("difference", "noise", "agreement", "decided_agreement")
# A sample counts as decided if its two best logits lie further apart than this times the logits' standard deviation.
DECIDED = 0.2


class ExportError(ValueError):
    """An exported file is wrong: foreign operators, outputs unlike the live model's, or changed since the export."""


@dataclass(frozen=True, kw_only=True)
class Reference:
    """What a file is compared with: {name: array (N, ...)} of inputs, the live outputs, and those of wrong weights.

    `wrong` is None where no weights change the outputs.
    """

    inputs: dict[str, np.ndarray]
    live: dict[str, np.ndarray]
    wrong: dict[str, np.ndarray] | None

    def first(self, count):
        """The same of the first `count` samples."""
        wrong = None if self.wrong is None else first(self.wrong, count)
        return Reference(inputs=first(self.inputs, count), live=first(self.live, count), wrong=wrong)


def first(arrays, count):
    return {name: values[:count] for name, values in arrays.items()}


def compare(outputs, live):
    """The worst of all outputs: `difference`, `noise`, `agreement`, `decided_agreement` (None without classes).

    outputs, live: {name: float32 array (N, ...)} of the file and of the live model for the same N inputs.
    An output (N, K) with K > 1 counts as scores of K classes.  Texts are equal or not: `difference` and `noise` are the
    fraction of those that are not.  Objects are compared by `tfdl.export.objects`.
    Raises ExportError if names or shapes differ.
    """
    if set(outputs) != set(live):
        raise ExportError(f"outputs are named {', '.join(sorted(outputs))} instead of {', '.join(sorted(live))}")
    if finds_objects(live):
        return compare_objects(outputs, live)
    rows = [compare_one(name, outputs[name], live[name]) for name in sorted(live)]
    return {key: worst([row[key] for row in rows], key) for key in KEYS}


def compare_one(name, output, live):
    if output.shape != live.shape:
        raise ExportError(f"output {name!r} has the shape {output.shape} instead of {live.shape}")
    if live.dtype.kind == "U":
        same = np.mean(output == live)
        return {"difference": 1 - same, "noise": 1 - same, "agreement": same, "decided_agreement": same}
    if not np.isfinite(output).all():
        return {"difference": np.inf, "noise": np.inf, "agreement": 0.0, "decided_agreement": 0.0}
    error = np.abs(output.astype("float64") - live)
    row = {
        "difference": error.max() / max(1.0, np.abs(live).max()),
        "noise": np.sqrt(np.mean(error**2)) / max(float(np.std(live)), FLAT * float(np.abs(live).max()), 1e-12),
        "agreement": None,
        "decided_agreement": None,
    }
    if live.ndim == 2 and live.shape[1] > 1:
        same = output.argmax(axis=1) == live.argmax(axis=1)
        second, first = np.sort(live, axis=1)[:, -2:].T
        decided = first - second > DECIDED * np.std(live)
        row["agreement"] = same.mean()
        row["decided_agreement"] = same[decided].mean() if decided.any() else 1.0
    return row


def worst(values, key):
    known = [float(value) for value in values if value is not None]
    if not known:
        return None
    return max(known) if key in ("difference", "noise") else min(known)


def together(rows):
    """One row for several of `check`: the worst comparison, and the control that was the closest to passing."""
    row = {key: worst([row[key] for row in rows], key) for key in KEYS} | {"tolerance": rows[0]["tolerance"]}
    controls = [row["control"] for row in rows if row["control"] is not None]
    row["control"] = {key: min(control[key] for control in controls) for key in controls[0]} if controls else None
    return row


def failures(comparison, tolerance):
    """One sentence for each limit of `tolerance` that `comparison` breaks; empty if the file passes."""
    broken = []
    for key in ("difference", "noise"):
        if key in tolerance and not comparison[key] <= tolerance[key]:
            broken.append(f"{key} {comparison[key]:.3g} is over {tolerance[key]:g}")
    decided = comparison["decided_agreement"]
    if decided is not None and decided < tolerance["agreement"]:
        broken.append(f"top-1 agreement {decided:.3f} is under {tolerance['agreement']:g}")
    return broken


def check(name, outputs, reference, form):
    """The report's comparison of one file of the format `form`, with its control (None where there is none).

    Raises ExportError if the file fails its tolerance, or if wrong weights would have passed it.
    """
    tolerance = TOLERANCES[form]
    comparison = compare(outputs, reference.live)
    broken = failures(comparison, tolerance)
    if broken:
        remedy = REMEDIES.get(form, "report it with the model's layers")
        raise ExportError(f"{name} does not compute what the live model does: {'; '.join(broken)}; {remedy}")
    row = {**comparison, "tolerance": tolerance, "control": None}
    if reference.wrong is None:
        return row
    control = compare(outputs, reference.wrong)
    if not failures(control, tolerance):
        raise ExportError(
            f"The check of {name} proves nothing: wrong weights pass it too (noise {control['noise']:.3g}); "
            "the outputs hardly depend on the weights: train the model first"
        )
    row["control"] = {"difference": control["difference"], "noise": control["noise"]}
    return row


def wrong_outputs(run, weights, live):
    """The outputs of a network with wrong weights, for the control; None where no weights change them clearly.

    First each array's values in another order: the scale stays right, and variances stay positive.  Where that changes
    little, as in a model of single numbers, all values are doubled and get 1 added.

    Args:
        run: weights -> {name: array (N, ...)}.
        weights: the right ones, a list of arrays.
        live: `run(weights)`.
    """
    for wrong in (shuffled, doubled) if weights else ():
        outputs = run(wrong(weights))
        is_finite = all(np.isfinite(values).all() for values in outputs.values() if values.dtype.kind != "U")
        if is_finite and failures(compare(outputs, live), CLEARLY_WRONG):
            return outputs
    return None


def shuffled(weights, *, seed=0):
    random = np.random.default_rng(seed)
    return [random.permutation(weight.ravel()).reshape(weight.shape) for weight in weights]


def doubled(weights):
    return [2 * np.asarray(weight) + 1 for weight in weights]
