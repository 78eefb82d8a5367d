"""A run from its flags to its summary: what it sets, what it writes and when, and the sentence where it cannot."""

import dataclasses
import json
import os
import shutil
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests import forked
from tfdl.core.errors import explains_itself
from tfdl.data import images
from tfdl.session.folder import RunFolder, first_free, numbered, short_name
from tfdl.session.run import Run
from tfdl.session.session import flatten
from tfdl.train import checkpoints
from tfdl.train.callbacks import Interrupted
from tfdl.train.precision import set_precision
from tfdl.train.reports.tracking import tracker_callback


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    data: str = "digits"
    epochs: int = 2
    run: Run = Run()


def start(epochs=2, name="test", **flags):
    config = Config(epochs=epochs, run=Run(**flags))
    return config.run.start(config, name=name)


def digits(run, **options):
    return images.load("digits", batch_size=50, run=run, **options)


def dense(run, units=10, learning_rate=0.1):
    with run.scope():
        inputs = keras.Input((8, 8, 1))
        x = keras.layers.Dropout(0.2)(keras.layers.Flatten()(inputs))
        model = keras.Model(inputs, keras.layers.Dense(units)(x), name="dense")
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.SGD(learning_rate), loss, metrics=["accuracy"])
    return model


def train(epochs=2, callbacks=(), patience=None, monitor="val_loss", mode=None, learning_rate=0.1, **flags):
    """A whole small run; returns (session, model)."""
    run = start(epochs=epochs, **flags)
    run.limit = 150
    data, model = digits(run), dense(run, learning_rate=learning_rate)
    run.fit(model, data, epochs=epochs, callbacks=callbacks, patience=patience, monitor=monitor, mode=mode)
    run.finish(model, run.evaluate(model, data))
    return run, model


class Break(keras.callbacks.Callback):
    """Ends training as a crash would, after so many updates."""

    def __init__(self, update):
        super().__init__()
        self.update = update

    def on_train_batch_end(self, batch, logs=None):
        if int(self.model.optimizer.iterations.numpy()) == self.update:
            raise Crash

    def get_state(self):
        return {}

    def set_state(self, state):
        pass


class Crash(Exception):
    pass


@pytest.fixture(autouse=True)
def surroundings(tmp_path, monkeypatch, request):
    """An empty folder; reports only for a test that asks for the fixture `reports`."""
    if "reports" not in request.fixturenames:
        request.getfixturevalue("no_reports")
    before = keras.config.dtype_policy()
    monkeypatch.chdir(tmp_path)
    yield
    keras.config.set_dtype_policy(before)


@pytest.fixture
def reports():
    """Figures and TensorBoard, as in every run of a user."""


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of a run of two epochs; read only."""
    folder = tmp_path_factory.mktemp("finished") / "mine"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tfdl.session.session.training_pictures", lambda *arguments, **options: [])
        train(out=str(folder))
    return folder


@pytest.fixture
def mine(finished, tmp_path):
    """A copy of it that a test may change and resume, as "mine" in the working folder."""
    return shutil.copytree(finished, tmp_path / "mine").relative_to(tmp_path)


# Flags


def test_flags_are_flattened_for_the_records():
    assert flatten({"a": 1, "run": {"seed": 2, "deep": {"x": None}}}) == {"a": 1, "run.seed": 2, "run.deep.x": None}


def test_start_sets_seed_and_precision():
    session = start(seed=7, precision="mixed_bfloat16")
    assert keras.config.dtype_policy().name == "mixed_bfloat16"
    first = float(keras.random.uniform(()))
    start(seed=7)
    assert float(keras.random.uniform(())) == first
    assert session.initial_epoch == 0 and session.position.numpy().tolist() == [0, 0]


def test_smoke_limits_examples_and_epochs():
    session = start(smoke=True)
    assert session.epochs(50) == 1 and session.limit is not None
    session = start()
    assert session.epochs(50) == 50 and session.limit is None


@pytest.mark.parametrize(
    "flags, words",
    [
        ({"seed": -1}, "--run.seed is -1; give a whole number from 0"),
        ({"seed": 10**20}, "--run.seed is 100000000000000000000; give"),
        ({"accumulate": 0}, "--run.accumulate is 0; give 1"),
        ({"epochs": 0}, "--epochs is 0; give 1 epoch or more"),
        ({"epochs": -3}, "--epochs is -3; give 1 epoch or more"),
    ],
)
def test_flag_out_of_range_is_one_sentence_and_leaves_nothing(flags, words, tmp_path):
    with pytest.raises(ValueError, match=words) as caught:
        start(**flags)
    assert explains_itself(caught.value)
    assert not list(tmp_path.iterdir())


# Names and folders


@pytest.mark.parametrize(
    "name, folder",
    [
        ("digits_mobilenet", "digits_mobilenet"),
        ("folder:some/photos_mobilenet", "photos_mobilenet"),
        ("some/where/photos/_mobilenet", "photos_mobilenet"),
        ("mnist:3.0.1_resnet", "mnist_resnet"),
        ("my photos_vit", "my-photos_vit"),
        ("some/talks.jsonl_gpt", "talks_gpt"),
        ("reviews.csv.gz_gru", "reviews_gru"),
        ("../..", "run"),
    ],
)
def test_name_of_a_folder_is_short(name, folder):
    assert short_name(name) == folder


def test_nothing_is_written_before_training_begins(tmp_path):
    run = start()
    data, model = digits(run), dense(run)
    assert not list(tmp_path.iterdir())
    for wrong, words in (({"monitor": "val_zap"}, "lower or a higher 'val_zap'"), ({"patience": 0}, "patience is 0")):
        with pytest.raises(ValueError, match=words):
            run.fit(model, data, epochs=1, **wrong)
        assert not list(tmp_path.iterdir())


def test_start_that_fails_in_its_first_step_leaves_no_folder(tmp_path):
    run = start(out="mine")

    class Fails(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            raise OSError("the cable was pulled")

    with pytest.raises(OSError, match="cable"):
        run.fit(dense(run), digits(run), epochs=1, callbacks=[Fails()])
    assert not (tmp_path / "mine").exists()


def test_resumed_start_that_fails_keeps_what_was_there(mine):
    """A run that was stopped before its first checkpoint, and fails when it is continued."""
    os.rename(mine / "checkpoints" / "last", "gone")
    before = {path.name for path in mine.iterdir()}
    run = start(out="mine", resume=True)

    class Fails(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            raise OSError("the cable was pulled")

    with pytest.raises(OSError, match="cable"):
        run.fit(dense(run), digits(run), epochs=2, callbacks=[Fails()])
    assert before <= {path.name for path in mine.iterdir()}


def test_second_run_of_the_same_command_gets_a_number(tmp_path):
    for _ in range(3):
        start().open()
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["test", "test-2", "test-3"]


def test_run_leaves_what_its_docstring_names(tmp_path, reports):
    train(out="mine")
    found = {path.name for path in (tmp_path / "mine").iterdir()}
    assert {"config.json", "env.json", "metrics.jsonl", "summary.json", "task.json"} <= found
    assert {"tb", "checkpoints", "figures"} <= found
    assert "run.lock" not in found, "the lock is released"
    assert json.loads((tmp_path / "mine" / "task.json").read_text())["labels"][3] == "3"


def test_folder_with_something_in_it_is_refused(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="is not empty.*--run.resume.*--run.out"):
        start(out="mine")
    with pytest.raises(ValueError, match=r"holds no config.json, so it is no run"):
        start(out="mine", resume=True)
    assert [p.name for p in (tmp_path / "mine").iterdir()] == ["notes.txt"]


def test_unwritable_folder_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    run = start(out="file/run")
    with pytest.raises(OSError, match="Cannot write file/run.*--run.out"):
        run.open()


def test_folder_in_use_names_the_process(tmp_path):
    program, log = tmp_path / "program.py", tmp_path / "log"
    program.write_text(LOCKING)
    with open(log, "w") as stream:
        holder = forked.start(program, tmp_path / "mine", log=stream)
    while "locked\n" not in log.read_text():
        assert holder.poll() is None, log.read_text()
        time.sleep(0.01)
    options = {"flags": {"a": 1}, "environment": {"launch": None}}
    other = RunFolder(str(tmp_path / "mine"), "x", resume=True, **options)
    with pytest.raises(ValueError, match=rf"Process {holder.pid} on .* is training in"):
        other.open()
    holder.kill()
    holder.wait()
    other.open()  # the lock of a process that is gone does not count


LOCKING = """
import sys, time
from tfdl.session.folder import RunFolder
folder = RunFolder(sys.argv[1], "x", flags={"a": 1}, environment={"launch": None}, resume=False)
folder.open()
print("locked", flush=True)
time.sleep(60)
"""


def test_link_in_place_of_the_lock_is_not_followed(tmp_path):
    (tmp_path / "target").write_text("mine")
    (tmp_path / "run").mkdir()
    folder = RunFolder("run", "x", flags={}, environment={"launch": None}, resume=False)
    (tmp_path / "run" / "run.lock").symlink_to(tmp_path / "target")
    with pytest.raises((OSError, ValueError)):
        folder.open()
    assert (tmp_path / "target").read_text() == "mine"


def test_first_free_number(tmp_path):
    assert first_free(tmp_path, "a") == tmp_path / "a"
    for name in ("a", "a-2", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x").touch()
    (tmp_path / "a-3").mkdir()  # empty: nobody's
    assert first_free(tmp_path, "a") == tmp_path / "a-3"


def test_newest_of_a_name_has_the_largest_number(tmp_path):
    for name in ("a", "a-2", "a-10", "a-b", "ab"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x").touch()
    (tmp_path / "a-11").mkdir()  # empty: nobody's
    assert [folder.name for folder in numbered(tmp_path, "a")] == ["a", "a-2", "a-10"]


# Resuming


def test_interrupted_run_goes_on_to_the_same_end(tmp_path):
    whole, expected = train(out="whole", seed=3)
    run = start(out="broken", seed=3)
    run.limit = 150
    with pytest.raises(Crash):
        run.fit(dense(run), digits(run), epochs=2, callbacks=[Break(5)], save_every=0.0)
    rest, model = train(out="broken", seed=3, resume=True, callbacks=[Break(-1)])
    for a, b in zip(expected.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    ours, theirs = (json.loads((r.folder / "summary.json").read_text()) for r in (rest, whole))
    assert ours["weights_sha256"] == theirs["weights_sha256"] and ours["metrics"] == theirs["metrics"]


def test_resume_where_nothing_was_saved_starts_at_the_beginning(mine, capsys):
    run = start(out="another", resume=True)
    assert "There is no run in another yet: it starts at the beginning." in capsys.readouterr().out
    assert run.resumed is None and run.initial_epoch == 0
    os.rename(mine / "checkpoints", "gone")
    run, _ = train(out="mine", resume=True)
    assert [row["epoch"] for row in run.log.rows()] == [0, 1]


@pytest.mark.parametrize("flags, name", [({"seed": 2}, r"run\.seed"), ({"accumulate": 2}, r"run\.accumulate")])
def test_resuming_with_other_flags_is_refused(flags, name):
    start(out="mine", seed=1, accumulate=1).open()
    with pytest.raises(ValueError, match=rf"{name} was 1 and is 2.*--run\.out"):
        start(**{"out": "mine", "seed": 1, "resume": True} | flags)


def test_resume_without_a_folder_takes_the_newest_of_its_name(tmp_path):
    for _ in range(2):
        start(epochs=1).open()
    assert start(epochs=2, resume=True).folder == Path("runs/test-2")


def test_resume_with_fewer_epochs_is_refused_and_with_more_says_what_changes(mine, capsys):
    with pytest.raises(ValueError, match="has trained 2 epochs and cannot go back to 1"):
        train(out="mine", epochs=1, resume=True)
    train(out="mine", epochs=3, resume=True)
    assert "epochs was 2 and is 3: a learning-rate schedule" in capsys.readouterr().out


def test_finished_run_that_is_resumed_says_that_it_was_finished(mine, capsys):
    train(out="mine", resume=True)
    assert "All 2 epochs were trained before" in capsys.readouterr().out


def test_lines_that_were_cut_off_are_dropped(mine):
    metrics, best = mine / "metrics.jsonl", mine / "checkpoints/best/best.json"
    metrics.write_text(metrics.read_text() + '{"epoch": 2, "lo')
    best.write_text(best.read_text()[:-9])
    with pytest.warns(UserWarning, match="best.json is not valid JSON.*It is ignored"):
        run, _ = train(out="mine", epochs=3, resume=True)
    assert [row["epoch"] for row in run.log.rows()] == [0, 1, 2]


@pytest.mark.parametrize(
    "name",
    [
        "metrics.jsonl",
        "tb",
        "checkpoints",
        "checkpoints/last",
        "checkpoints/best/.model.x.keras",
        "variants/a",
        "config.json",
    ],
)
@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_a_folder_with_links_or_pipes_is_not_resumed(tmp_path, name, kind):
    """It may come from a stranger: a link would have another file overwritten, a pipe would never end."""
    target, link = tmp_path / "target", Path("mine", name)
    target.mkdir()
    (target / "diary").write_text("mine")
    link.parent.mkdir(parents=True)
    link.symlink_to(target) if kind == "link" else os.mkfifo(link)
    with pytest.raises(ValueError, match=f"mine/{name} is a {'symbolic link' if kind == 'link' else 'pipe'}"):
        start(out="mine", resume=True)
    assert [path.read_text() for path in target.iterdir()] == ["mine"]


def test_data_that_does_not_follow_the_run_is_refused():
    run = start()
    with pytest.raises(ValueError, match="does not follow this run.*load it with run=run"):
        run.fit(dense(run), images.load("digits", batch_size=50, limit=50), epochs=1)


# Callbacks of the user


def plateau():
    return keras.callbacks.ReduceLROnPlateau(monitor="val_accuracy", patience=1, factor=0.5, mode="max", min_delta=1)


def test_state_of_keras_callbacks_survives_an_interruption(tmp_path):
    _, expected = train(out="whole", epochs=5, callbacks=[plateau(), Break(-1)])
    run = start(out="broken", epochs=5)
    run.limit = 150
    with pytest.raises(Crash):
        run.fit(dense(run), digits(run), epochs=5, callbacks=[plateau(), Break(7)], save_every=0.0)
    _, model = train(out="broken", epochs=5, resume=True, callbacks=[plateau(), Break(-1)])
    for a, b in zip(expected.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_callback_whose_state_cannot_be_saved_is_refused_when_resuming():
    class Keeps(keras.callbacks.Callback):
        def __init__(self):
            super().__init__()
            self.seen = np.zeros(3)

    train(out="mine", epochs=1, callbacks=[Keeps()])
    with pytest.raises(ValueError, match=r"Keeps keeps seen, which a checkpoint cannot hold.*get_state"):
        train(out="mine", epochs=2, callbacks=[Keeps()], resume=True)
    with pytest.raises(ValueError, match="began with the callbacks Keeps and goes on with none"):
        train(out="mine", epochs=2, resume=True)


def test_callback_with_get_state_is_restored():
    class Counts(keras.callbacks.Callback):
        def __init__(self):
            super().__init__()
            self.epochs = np.zeros(1)

        def on_epoch_end(self, epoch, logs=None):
            self.epochs += 1

        def get_state(self):
            return {"epochs": self.epochs.tolist()}

        def set_state(self, state):
            self.epochs = np.array(state["epochs"])

    train(out="mine", epochs=2, callbacks=[Counts()])
    counts = Counts()
    train(out="mine", epochs=3, callbacks=[counts], resume=True)
    assert counts.epochs.tolist() == [3]


# Results


def test_evaluate_names_its_split():
    run = start()
    run.limit = 50
    data, model = digits(run), dense(run)
    assert set(run.evaluate(model, data)) == {"test_loss", "test_accuracy"}
    assert set(run.evaluate(model, data, split="train")) == {"train_loss", "train_accuracy"}
    with pytest.raises(ValueError, match="no split 'tests'"):
        run.evaluate(model, data, split="tests")


def test_summary_is_of_the_best_epoch_not_of_the_last():
    """A run that gets worse: the test metrics are those of the epoch that validation chose."""
    digests = []

    class Digest(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            digests.append(checkpoints.weights_sha256(self.model))

    rising = keras.optimizers.schedules.ExponentialDecay(0.05, 3, 30.0)
    run, model = train(epochs=4, learning_rate=rising, callbacks=[Digest()])
    rows = run.log.rows()
    best = min(range(4), key=lambda epoch: rows[epoch]["val_loss"])
    assert best < 3, "the last epoch must be worse for this test to say anything"
    assert json.loads((run.folder / "checkpoints/best/best.json").read_text())["epoch"] == best
    saved = keras.models.load_model(run.folder / "checkpoints" / "best" / "model.keras")
    np.testing.assert_array_equal(saved.get_weights()[0], model.get_weights()[0])
    assert checkpoints.weights_sha256(model) == digests[best]
    assert run.weights_sha256 == digests[-1], "resumed and whole runs are compared by where they end"


def test_class_weights_reach_the_loss():
    run = start(epochs=1)
    run.limit = 50
    data, model = digits(run), dense(run)
    before = model.get_weights()
    rows = run.fit(model, data, epochs=1, class_weight=dict.fromkeys(range(10), 0.0))
    assert rows[0]["loss"] == 0.0 < rows[0]["val_loss"]
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_run_of_another_launch_is_not_continued(monkeypatch):
    monkeypatch.setenv("TFDL_LAUNCH", "one")
    start(epochs=1).open()
    assert start(epochs=1).folder == Path("runs/test"), "a relaunch goes on"
    monkeypatch.setenv("TFDL_LAUNCH", "two")
    assert start(epochs=1).folder == Path("runs/test-2")


def test_command_of_a_resumed_run_is_that_of_the_first(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["recipe.py", "--run.resume", "--epochs", "3"])
    assert "--run.resume" not in start().command


# Errors


def test_unknown_precision_lists_the_known_ones():
    with pytest.raises(ValueError, match="Unknown precision 'fp8'; choose one of float32"):
        set_precision("fp8")


def test_missing_tracker_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(ModuleNotFoundError, match=r"needs the extra `track`: pip install 'tfdl\[track\]'"):
        tracker_callback("wandb", run_name="x", folder=".", config={})
    with pytest.raises(ValueError, match="Unknown tracker 'wanbd'"):
        tracker_callback("wanbd", run_name="x", folder=".", config={})
    assert tracker_callback("none", run_name="x", folder=".", config={}) is None


def test_errors_of_keras_keep_their_traceback():
    try:
        keras.layers.Dense(-1)
    except ValueError as error:
        assert not explains_itself(error)


def test_checkpoint_on_a_full_disk_names_the_file_and_leaves_the_old_best(tmp_path, monkeypatch):
    run = start(out="mine")
    run.limit = 150
    model, saved = dense(run), []

    def save(path, *args, **options):
        Path(path).write_bytes(b"half")
        if saved:
            raise OSError("[Errno 28] Can't write data (errno = 28, error message = 'No space left on device')")
        saved.append(usual(path, *args, **options))

    usual = model.save
    monkeypatch.setattr(model, "save", save)
    with pytest.raises(OSError, match="Cannot write .*model.keras.*continue with --run.resume") as caught:
        run.fit(model, digits(run), epochs=2)
    assert caught.value.errno == 28
    best = tmp_path / "mine" / "checkpoints" / "best"
    assert sorted(path.name for path in best.iterdir()) == ["best.json", "model.keras"]
    keras.models.load_model(best / "model.keras")


def test_signal_saves_and_says_how_to_continue():
    import signal

    run = start(out="mine")
    run.limit = 150
    before = signal.getsignal(signal.SIGTERM)
    ring = keras.callbacks.LambdaCallback(on_train_batch_begin=lambda *_, **__: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(Interrupted, match="SIGTERM came; saved .* Continue with the same command and --run.resume"):
        run.fit(dense(run), digits(run), epochs=1, callbacks=[ring])
    assert signal.getsignal(signal.SIGTERM) == before
    assert checkpoints.read_newest(Path("mine/checkpoints/last")).step == 1


def test_texts_are_told_as_a_table_in_tensorboard(tmp_path):
    run = start(out=str(tmp_path / "run"))
    run.tell("examples", [{"text": "a | b\n_c_", "answer": 3}, {"text": "", "answer": "d"}])
    (file,) = run.board.glob("events.out.tfevents*")
    events = EventAccumulator(str(file))
    events.Reload()
    (event,) = events.Tensors("texts/examples")
    assert event.tensor_proto.string_val[0].decode().split("\n") == [
        "| text | answer |", "| --- | --- |", r"| a \| b \_c\_ | 3 |", "|  | d |"
    ]  # fmt: skip
    run.files.close()
