"""Several trainings that differ in one thing, under one roof: same seed, same batches, same number of epochs.

    results = compare(run, data, {"relu": lambda: classifier("relu"), "tanh": lambda: classifier("tanh")}, epochs=9)
    run.show("validation_loss", curves({n: r.series("val_loss") for n, r in results.items()}, ...))

Each arm trains in runs/NAME/arms/ARM with checkpoints of its own; a resumed comparison keeps the arms that are done,
and trains them on if it has more epochs than before.
"""

from dataclasses import dataclass

import keras
import numpy as np

from tfdl.core.files import write_json


@dataclass(frozen=True, eq=False)
class Result:
    """One arm: `model` with its best epoch's weights, `history` with a dict per epoch, `metrics` on the test split.

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


def compare(run, data, arms, *, epochs, monitor="val_loss", patience=None):
    """Trains one model after the other, all from the same seed.

    Args:
        run: the recipe's session.
        data: for all arms (train, validation, test, counts), or a dict arm -> data where they differ; made with
            `position=run.position`.
        arms: dict name -> function of no arguments that returns a compiled model; called inside `run.scope()`.
        epochs, monitor, patience: as for `Session.prepare`.

    Returns:
        dict name -> `Result`, in the order of `arms`.

    Raises:
        ValueError: a resumed arm has trained longer than `epochs`.
    """
    results = {}
    for name, make in arms.items():
        arm, own = run.arm(name), data[name] if isinstance(data, dict) else data
        with arm.scope():
            model = make()
        if arm.initial_epoch > epochs:
            raise ValueError(
                f"The arm {name!r} has trained {arm.initial_epoch} epochs and cannot go back to {epochs}: resume with"
                " as many or more, or give another folder with --run.out."
            )
        known = arm.earlier("result.json")
        if known.get("epochs") != epochs:
            known = train(arm, model, own, epochs, monitor, patience)
            write_json(arm.folder / "result.json", known)
        arm.load_best(model)
        result = results[name] = Result(name, model, **known)
        run.arm_seconds[name] = result.seconds
        numbers = "  ".join(f"{key} {value:.4g}" for key, value in result.metrics.items())
        print(f"{name:<{max(map(len, arms))}}  {numbers}  ({result.seconds:.0f} s)", flush=True)
    return results


def train(arm, model, data, epochs, monitor, patience):
    """Fits, evaluates the best epoch on the test split, and returns the fields of `Result` that JSON can hold."""
    callbacks = arm.prepare(model, data, epochs=epochs, monitor=monitor, patience=patience)
    verbose = 1 if arm.verbose == 1 else 0  # a bar in a terminal; a log file gets one line an arm
    model.fit(data.train, validation_data=data.validation, epochs=epochs, initial_epoch=arm.initial_epoch,
              callbacks=callbacks, shuffle=False, verbose=verbose)  # fmt: skip
    arm.load_best(model)
    metrics = model.evaluate(data.test, return_dict=True, verbose=0)
    return {
        "epochs": epochs,
        "history": arm.log.rows(),
        "metrics": {f"test_{name}": float(value) for name, value in metrics.items()},
        "seconds": arm.saver.seconds,
    }
