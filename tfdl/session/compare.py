"""Several trainings that differ in one thing, in one run: same seed, same batches, same number of epochs.

    results = run.compare(data, {"relu": lambda: classifier("relu"), "tanh": lambda: classifier("tanh")}, epochs=9)
    run.show("validation_loss", curves({n: r.series("val_loss") for n, r in results.items()}, ...))

Each variant trains in runs/NAME/variants/VARIANT with checkpoints of its own.  A resumed comparison keeps the variants
that are finished, and trains them on if it has more epochs than before.
"""

from dataclasses import dataclass

import keras
import numpy as np

from tfdl.core.files import write_json
from tfdl.train.callbacks import is_number


@dataclass(frozen=True, eq=False)
class Result:
    """One variant: `model` with its best epoch's weights, `history` with a dict per epoch, `metrics` on the test split.

    `epochs` is what it was given; early stopping leaves it a shorter history.
    """

    name: str
    model: keras.Model
    epochs: int
    history: list
    metrics: dict
    seconds: float

    def series(self, key):
        """A value of every epoch, e.g. "val_loss".  -> (epochs,) float64."""
        if key not in self.history[0]:
            raise ValueError(f"{self.name} has no {key!r} in its history; it has {', '.join(self.history[0])}.")
        return np.array([row[key] for row in self.history], "float64")


def compare(run, data, models, *, epochs, **options):
    """Trains one model after the other, all from the same seed.

    Args:
        run: the recipe's session.
        data: for all variants (train, validation, test, counts), or a dict name -> data where they differ; loaded with
            `run=run`.
        models: dict name -> function of no arguments that returns a compiled model; called inside `run.scope()`.
        epochs: of each; 1 in a smoke run.
        options: `monitor`, `mode`, `patience` as for `Session.fit`.

    Returns:
        dict name -> `Result`, in the order of `models`.

    Raises:
        ValueError: a resumed variant has trained longer than `epochs`.
    """
    epochs = run.epochs(epochs)
    results = {}
    for number, (name, make) in enumerate(models.items(), start=1):
        variant = run.variant(name)
        own_data = data[name] if isinstance(data, dict) else data
        print(f"{name} ({number} of {len(models)})", flush=True)
        with variant.scope():
            model = make()
        variant.check_epochs(epochs)
        known = variant.earlier("result.json")
        if is_result(known) and known["epochs"] == epochs:
            variant.load_best(model)
        else:
            known = train(variant, model, own_data, epochs, options)
        result = results[name] = Result(name, model, **known)
        run.variant_seconds[name] = result.seconds
        numbers = "  ".join(f"{key} {value:.4f}" for key, value in result.metrics.items())
        print(f"{name}  {numbers}  ({result.seconds:.0f} s)", flush=True)
    return results


def is_result(known):
    """Whether a result.json holds what `train` writes into it."""
    kinds = {"epochs": int, "history": list, "metrics": dict, "seconds": float}
    if known.keys() != kinds.keys() or not all(isinstance(known[key], kind) for key, kind in kinds.items()):
        return False
    rows = (known["metrics"], *known["history"])
    return len(rows) > 1 and all(isinstance(row, dict) and all(map(is_number, row.values())) for row in rows)


def train(variant, model, data, epochs, options):
    """Fits, evaluates the best epoch on the test split, and returns the fields of `Result` that JSON can hold."""
    history = variant.fit(model, data, epochs=epochs, **options)
    known = {
        "epochs": epochs,
        "history": history,
        "metrics": variant.evaluate(model, data),
        "seconds": variant.saver.seconds,
    }
    write_json(variant.folder / "result.json", known)
    return known
