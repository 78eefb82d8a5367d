"""`Session`: a run under way, from `config.run.start(...)` to `finish`.

    run = config.run.start(config, name=f"{config.data}_mobilenet")
    data = images.load(config.data, run=run)
    with run.scope():
        model = ...; model.compile(...)
    run.fit(model, data, epochs=config.epochs)     # Keras's fit with the exact step, checkpoints, resume, TensorBoard
    metrics = run.evaluate(model, data)
    run.export(model, data)
    run.finish(model, metrics)

Who wants to call `model.fit` takes its callbacks from `prepare`, and calls `load_best` afterwards.
"""

import atexit
import copy
import dataclasses
import json
import os
import re
import shutil
import sys
import tempfile
import time
import warnings
from pathlib import Path

import keras
import tensorflow as tf

from tfdl.core import static
from tfdl.core.files import write_bytes, write_json, write_text
from tfdl.core.task import OF_TEXTS
from tfdl.distribution import multi_worker, strategies
from tfdl.export.card import write_card
from tfdl.export.entry_points import has_entry_points
from tfdl.export.exporter import FORMATS, export_model
from tfdl.export.texts import of_length, rows_of_length
from tfdl.figures.style import write_png
from tfdl.inference.text_signature import text_entry_points
from tfdl.session import display
from tfdl.session.compare import compare
from tfdl.session.folder import RunFolder
from tfdl.session.limits import check_flags
from tfdl.train import checkpoints
from tfdl.train.callbacks import (
    Checkpoints,
    Interrupted,
    MetricsLog,
    StopAtNonFiniteLoss,
    check_patience,
    direction,
    heartbeats,
)
from tfdl.train.precision import set_precision
from tfdl.train.reports.checkup import checkup
from tfdl.train.reports.environment import environment
from tfdl.train.reports.pictures import training_pictures
from tfdl.train.reports.progress import progress
from tfdl.train.reports.tensorboard import tensorboard_callbacks, write_drawn
from tfdl.train.reports.tracking import tracker_callback
from tfdl.train.statistics import FreshStatistics
from tfdl.train.step import exact

SMOKE_EXAMPLES = 48  # of each split in a smoke run
STATIC_SMOKE_EXAMPLES = 512  # where a batch must be full: at least one


class Session:
    """A run under way.

    Attributes:
        name, folder: of the run.  Of several workers the chief has the folder; the others get a temporary one.
        command: what was typed, for the model card.
        seed: for the data pipeline.
        position: tf.Variable (2,) int64, (epoch, step) where the training data goes on; the data pipeline reads it.
        initial_epoch: epochs that are done already, 0 in a new run.
        limit: examples of each split to use, None for all.
    """

    def __init__(self, run, config, name):
        self.run, self.seed, self.flags = run, run.seed, flatten(dataclasses.asdict(config))
        check_flags(self.flags)
        self.started, self.variant_seconds, self.is_variant, self.label = time.perf_counter(), {}, False, ""
        self.figures = []
        self.strategy = strategies.create(run.strategy)
        self.is_chief = multi_worker.is_chief(self.strategy)
        if not tf.config.list_physical_devices("GPU"):
            # Without it MobileNetV2's first step comes 10 s earlier on two cores; later steps were not slower.
            tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
        is_tpu = strategies.is_tpu(self.strategy)
        static.require(self.strategy.num_replicas_in_sync if is_tpu else 0)
        set_precision(run.precision, is_tpu=is_tpu)
        keras.utils.set_random_seed(run.seed)
        self.position = tf.Variable([0, 0], dtype=tf.int64, trainable=False, name="position")
        self.environment = environment(self.strategy)
        self.command = self.environment["command"]
        self.saver, self.card = None, None
        self.continue_from(self.from_chief(lambda: self.find_folder(run.out, name, run.resume).checkpoint()))
        if not self.is_chief:
            self.find_folder(silent_folder(), name, resume=False)
        self.limit = (STATIC_SMOKE_EXAMPLES if is_tpu else SMOKE_EXAMPLES) if run.smoke else None

    # Before training

    @property
    def folder(self):
        return self.files.path

    @property
    def board(self):
        """The folder of this run for TensorBoard."""
        return self.files.board

    def scope(self):
        """Build and compile the model inside `with run.scope():`."""
        return self.strategy.scope()

    def epochs(self, wanted):
        """`wanted`, or 1 in a smoke run.  Raises ValueError below 1."""
        if wanted < 1:
            raise ValueError(f"epochs is {wanted}; give 1 or more.")
        return 1 if self.run.smoke else wanted

    def updates(self, data, epochs):
        """Optimizer updates in a training of so many epochs: the length of a learning-rate schedule."""
        return self.epochs(epochs) * len(data.train)

    def find_folder(self, out, name, resume):
        """This run's `RunFolder`, which becomes `files`."""
        self.files = RunFolder(out, name, flags=self.flags, environment=self.environment, resume=resume)
        self.name = self.files.name
        return self.files

    def from_chief(self, find):
        """The `Checkpoint` or None that `find()` returns on the chief, on all workers."""
        content = multi_worker.from_chief(self.strategy, lambda: checkpoints.to_bytes(find()))
        place = self.folder / "checkpoints" / "last" if self.is_chief else "the chief's newest checkpoint"
        return checkpoints.from_bytes(content, place)

    def continue_from(self, checkpoint):
        """Where training begins: at a `Checkpoint`, or at the beginning for None."""
        self.resumed = checkpoint
        epoch, step = (checkpoint.epoch, checkpoint.step) if checkpoint else (0, 0)
        self.position.assign([epoch, step])
        self.initial_epoch = epoch

    def earlier(self, name):
        """A JSON file that this run left in its folder before it was interrupted, as the chief has it; {} without."""
        content = multi_worker.from_chief(self.strategy, lambda: json.dumps(self.files.earlier(name)).encode())
        return json.loads(content)

    def open(self):
        """Makes the folder and takes its lock, on the chief; an error there ends all workers."""

        def make():
            self.files.open()
            return b""

        multi_worker.from_chief(self.strategy, make)

    # Training

    def fit(
        self,
        model,
        data,
        *,
        epochs,
        monitor="val_loss",
        mode=None,
        patience=None,
        callbacks=(),
        class_weight=None,
        save_every=60.0,
    ):
        """Trains a compiled model, from the checkpoint if the run is resumed; it ends with the best epoch's weights.

        Args:
            data: `images.load(..., run=run)` or alike: `train` and `validation` datasets, `counts`, `labels`.
            epochs: in all, those before an interruption included; 1 in a smoke run.
            monitor: the metric that picks the best epoch.
            mode: "min" or "max"; None derives it from the metric's name.
            patience: stop early after so many epochs without a better `monitor`.
            callbacks: your own Keras callbacks; their state is saved with every checkpoint.
            class_weight: dict class number -> weight of its examples, as in Keras's `fit`.
            save_every: seconds between checkpoints.

        Returns:
            the history: a dict for each epoch, those before an interruption included.

        Raises:
            ValueError: the data or the checkpoint does not fit, or an option would be silently wrong.
            NonFiniteLoss: the loss became NaN or infinite.
            Interrupted: SIGTERM or Ctrl-C came; a checkpoint was saved.
        """
        epochs = self.epochs(epochs)
        self.check_epochs(epochs)
        verbose, reports = progress(self.label)
        try:
            prepared = self.prepare(
                model,
                data,
                epochs=epochs,
                monitor=monitor,
                mode=mode,
                patience=patience,
                callbacks=callbacks,
                save_every=save_every,
            )
            if self.initial_epoch < epochs:
                model.fit(
                    data.train,
                    validation_data=data.validation,
                    epochs=epochs,
                    initial_epoch=self.initial_epoch,
                    callbacks=[*reports, *prepared],
                    class_weight=class_weight,
                    shuffle=False,
                    verbose=verbose,
                )
            elif not self.is_variant:
                print(f"All {epochs} epochs were trained before; evaluating the best one again.", flush=True)
        except BaseException as error:
            if self.saver is not None:
                self.saver.restore_handlers()
            if not isinstance(error, Interrupted) and not self.has_stepped():
                self.files.discard()  # the start failed: the corrected command finds no folder in its way
            raise
        self.load_best(model)
        history = self.log.rows()
        if not self.is_variant:
            self.report(model, data, history)
        return history

    def report(self, model, data, history):
        """Draws the pictures of a training and says what looks wrong."""
        if self.is_chief:
            title = f"{model.name} on {getattr(data, 'short_name', getattr(data, 'name', 'data'))}"
            self.figures += training_pictures(
                model,
                data,
                history,
                self.folder,
                title=title,
                best_epoch=self.saver.best_epoch,
                board=self.board,
            )
        if self.statistics.refreshed:
            print(f"BatchNorm statistics recomputed {self.statistics.refreshed} times: {self.statistics.seconds:.1f} s")
        for warning in checkup(model, data, history):
            print(f"warning: {warning}", flush=True)

    def has_stepped(self):
        """Whether a batch was trained, now or before an interruption."""
        return self.resumed is not None or (self.saver is not None and self.saver.has_stepped)

    def check_epochs(self, epochs):
        """Whether a resumed run can have so few epochs.  Raises ValueError."""
        if self.initial_epoch > epochs:
            raise ValueError(
                f"{self.name} has trained {self.initial_epoch} epochs and cannot go back to {epochs}: resume with as"
                " many or more, or start another run with --run.out."
            )

    def prepare(
        self, model, data, *, epochs, monitor="val_loss", mode=None, patience=None, callbacks=(), save_every=60.0
    ):
        """Gives the compiled model the exact step, restores it when resuming, returns the callbacks for `model.fit`.

        Arguments and errors as for `fit`.  Hand `initial_epoch=run.initial_epoch` and `shuffle=False` to `model.fit`.
        """
        self.check_data(data)
        mode = mode or direction(monitor)
        check_patience(patience)
        with self.scope():
            model._symbolic_build(data_batch=data.train.element_spec)  # metrics and optimizer too: they are restored
        exact(model, accumulate=self.run.accumulate)
        if self.resumed is not None:
            checkpoints.restore(model, self.resumed)
            # The rest of an interrupted epoch is shorter than Keras expects.
            warnings.filterwarnings("ignore", message="Your input ran out of data")
        self.open()
        if not self.is_variant:
            print(display.header(self, model, data), flush=True)
        if self.resumed is not None:
            print(f"resumed from {self.resumed.path} (epoch {self.resumed.epoch + 1}, batch {self.resumed.step})")
        self.saver = Checkpoints(
            self.folder / "checkpoints",
            self.position,
            strategy=self.strategy,
            resumed=self.resumed,
            best=self.earlier("checkpoints/best/best.json"),
            monitor=monitor,
            mode=mode,
            patience=patience,
            save_every=save_every,
            others=tuple(callbacks),
            mid_epoch=starts_anywhere(data),
        )
        if self.saver.out_of_patience:
            self.initial_epoch = epochs  # it was stopped early and then interrupted: there is nothing left to train
        self.log = MetricsLog(
            self.folder / "metrics.jsonl", examples=data.counts["train"], initial_epoch=self.initial_epoch
        )
        self.write_task(data)
        ours = [StopAtNonFiniteLoss(self.folder / "checkpoints"), self.log, *heartbeats()]
        if self.is_chief:
            tracker = tracker_callback(
                self.run.tracker, run_name=self.name, folder=self.folder, config=self.hyperparameters()
            )
            ours += tensorboard_callbacks(
                self.board, data, epochs=epochs, flags=self.hyperparameters(), pictures=not self.is_variant
            )
            ours += [tracker] if tracker else []
        self.statistics = FreshStatistics(data)
        # Statistics first, before anything evaluates or saves the model.  The saver comes last: it saves what the
        # others have done, and restores their state after their own start.
        return [self.statistics, *callbacks, *ours, self.saver]

    def check_data(self, data):
        """Whether a resumed run would see the same batches.  Raises ValueError."""
        position = getattr(data, "position", None)
        if position is not None and position is not self.position:
            raise ValueError(
                "The data does not follow this run, so a resumed run would see other batches: load it with run=run, or"
                " with position=run.position."
            )

    def hyperparameters(self):
        """The flags that shape the result, without those that say where and how to run."""
        where = {"run.out", "run.resume", "run.smoke", "run.tracker", "run.strategy"}
        return {name: value for name, value in self.flags.items() if name not in where}

    def write_task(self, data):
        """task.json, and of texts the tokenizer: what the model answers to, and how, for `tfdl predict`."""
        task = getattr(data, "task", None)
        if task is not None and self.is_chief:
            write_json(self.folder / "task.json", task.to_json())
            if task.tokenizer is not None:
                write_text(self.folder / task.tokenizer, data.tokenizer.tokenizer.to_str())

    def load_best(self, model):
        """Notes the final weights' hash, then puts the best epoch's weights into `model`."""
        self.weights_sha256 = checkpoints.weights_sha256(model)
        if static.is_required():
            model.test_function = None  # traced again for the test split: one trace for both would leave the size open
        best = self.folder / "checkpoints" / "best" / "model.keras"
        if multi_worker.count(self.strategy) > 1:
            content = multi_worker.from_chief(self.strategy, best.read_bytes)
            if not self.is_chief:
                write_bytes(best, content)
        with warnings.catch_warnings():  # an optimizer that has not stepped yet takes no state, and needs none
            warnings.filterwarnings("ignore", message="Skipping variable loading for optimizer")
            model.load_weights(best)

    def evaluate(self, model, data, split="test"):
        """Loss and metrics on a split.  -> {"test_loss": ..., "test_accuracy": ...}

        Raises:
            ValueError: the data has no such split.
        """
        dataset = getattr(data, split, None)
        if dataset is None:
            raise ValueError(f"The data has no split {split!r}; choose train, validation or test.")
        values = model.evaluate(dataset, return_dict=True, verbose=0)
        return {f"{split}_{name}": float(value) for name, value in values.items()}

    def compare(self, data, models, *, epochs, monitor="val_loss", mode=None, patience=None):
        """Trains several models that differ in one thing: see `tfdl.session.compare`."""
        return compare(self, data, models, epochs=epochs, monitor=monitor, mode=mode, patience=patience)

    def variant(self, name):
        """A session for one of several trainings: the same flags, seed and data, in variants/NAME and tb/NAME.

        Raises:
            ValueError: `name` can't be a folder.
        """
        if not re.fullmatch(r"\w[\w.+-]*", name):
            raise ValueError(f"{name!r} cannot name a variant's folder: use letters and digits, then also . + - _")
        variant = copy.copy(self)
        variant.is_variant, variant.label = True, name
        variant.name = f"{self.name}/{name}"
        variant.files = self.files.variant(name)
        variant.figures, variant.saver = [], None
        keras.utils.set_random_seed(self.seed)  # every variant starts alike, whatever came before it
        variant.continue_from(variant.from_chief(variant.files.checkpoint))
        return variant

    # After training

    def export(self, model, data, *, formats=None):
        """Writes export/ (SavedModel and TFLite files, each compared with the live model) and MODEL_CARD.md.

        Args:
            formats: of `tfdl.export.exporter.FORMATS`; None takes all that the number of validation examples allows,
                or all that there are for a model with several entry points.

        Returns:
            the report, see `tfdl.export_model`.
        """
        self.open()
        labels, task = getattr(data, "labels", None), getattr(data, "task", None)
        options = {"formats": formats or FORMATS, "representative": data.validation, "labels": labels}
        if has_entry_points(model):  # these draw samples of their own
            options = {"formats": formats, "more": text_entry_points(model, data.tokenizer.tokenizer) if task else None}
        elif task is not None and task.kind in OF_TEXTS:
            model, options["representative"] = of_length(model, task), lambda: rows_of_length(data.validation, task)
        tokenizer = data.tokenizer.tokenizer if task is not None and task.tokenizer else None
        report = export_model(model, self.folder / "export", task=task, tokenizer=tokenizer, **options)
        self.card = {
            "report": report,
            "summary": f"Answers: {', '.join(labels)}." if labels else getattr(data, "answers", ""),
            "data": f"{display.data_text(data)}.",
        }
        return report

    def show(self, name, figure):
        """Saves a matplotlib figure as figures/NAME.png and as the image visuals/NAME in TensorBoard."""
        self.open()
        path = self.folder / "figures" / f"{name}.png"
        content = write_png(figure, path)
        self.figures.append(path)
        write_drawn(self.writer, name, content, 0)

    def tell(self, name, rows):
        """A table of texts in TensorBoard, such as examples with their answers.

        Args:
            name: of the table.
            rows: dicts with the same keys, the columns; values are shown as text.
        """
        self.open()
        columns = list(rows[0]) if rows else []
        lines = [columns, ["---"] * len(columns), *([row[column] for column in columns] for row in rows)]
        with self.writer.as_default():
            tf.summary.text(
                f"texts/{name}", "\n".join(f"| {' | '.join(map(in_table, line))} |" for line in lines), step=0
            )
        self.writer.flush()

    def curve(self, name, values):
        """One scalar curve in TensorBoard: a point for each of `values`, from step 0 on."""
        self.open()
        with self.writer.as_default():
            for step, value in enumerate(values):
                tf.summary.scalar(name, float(value), step=step)
        self.writer.flush()

    @property
    def writer(self):
        """TensorBoard's writer for figures and curves; made when it is first needed, since it makes its folder."""
        if not hasattr(self.files, "writer"):
            self.files.writer = tf.summary.create_file_writer(str(self.board))
        return self.files.writer

    def finish(self, model, metrics, **more):
        """Writes the model card and summary.json, prints what matters and where it lies, returns the summary.

        Args:
            model: that was trained; None for a computation or a comparison.
            metrics: the numbers to promise, for example {"test_accuracy": 0.98}.
            more: anything else worth keeping, JSON-ready.
        """
        self.open()
        summary = {
            "name": self.name,
            "command": self.command,
            "commit": self.environment["commit"],
            "seed": self.run.seed,
            "metrics": {name: float(value) for name, value in metrics.items()},
            **(self.computed() if model is None else self.trained(model)),
            "versions": self.environment["versions"],
            "config": self.flags,
            **more,
        }
        if self.card is not None:
            write_card(
                self.folder / "MODEL_CARD.md",
                title=self.name,
                metrics=summary["metrics"],
                command=self.command,
                **self.card,
            )
            summary["export"] = self.card["report"]
        write_json(self.folder / "summary.json", summary)
        print(
            display.summary(
                summary["metrics"],
                parameters=summary["parameters"],
                seconds=summary["seconds"],
                folder=self.folder,
                board=self.board,
                files=self.figures,
            ),
            flush=True,
        )
        self.files.close()
        return summary

    def trained(self, model):
        """What summary.json says of a model that `fit` trained; its seconds are those of variants before it, too."""
        history = self.log.rows()
        speeds = [row["examples_per_second"] for row in history if "examples_per_second" in row]
        return {
            "history": history[-1] if history else {},
            "parameters": model.count_params(),
            "seconds": round(self.saver.seconds + sum(self.variant_seconds.values()), 1),
            "examples_per_second": round(max(speeds), 1) if speeds else None,
            "weights_sha256": self.weights_sha256,
        }

    def computed(self):
        """The same of a run without one model: seconds of all variants, those before an interruption included."""
        seconds = sum(self.variant_seconds.values()) if self.variant_seconds else time.perf_counter() - self.started
        return {"parameters": None, "seconds": round(seconds, 1), "weights_sha256": None}


def in_table(value):
    """A value as a cell of a Markdown table: on one line, its signs as they are."""
    return re.sub(r"([\\|<*_`\[])", r"\\\1", " ".join(str(value).split()))


def starts_anywhere(data):
    """Whether the training data can be entered in the middle of an epoch, as it must be for an exact resume there.

    It follows a position, and nothing such as `take` or `repeat` was put behind the place where that is applied.
    """
    steps = getattr(data, "steps", None)
    return getattr(data, "position", None) is not None and steps in (None, len(data.train))


def silent_folder():
    """A temporary run folder for a worker that isn't the chief, whose prints nobody needs: the chief says the same."""
    folder = Path(tempfile.mkdtemp(prefix="tfdl-worker-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    sys.stdout = open(os.devnull, "w")  # noqa: SIM115 (open until the process ends)
    return str(folder)


def flatten(flags, prefix=""):
    """{"run": {"seed": 0}} -> {"run.seed": 0}."""
    flat = {}
    for name, value in flags.items():
        flat |= flatten(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return flat
