"""Callbacks of a run, each alone: which epoch is best, what stops a run, what the log says."""

import json
import math
import os

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdl.train.callback_state import restore_states, states
from tfdl.train.callbacks import (
    Checkpoints,
    Heartbeat,
    Interrupted,
    MetricsLog,
    NonFiniteLoss,
    StopAtNonFiniteLoss,
    append_line,
    direction,
)
from tfdl.train.reports.progress import ProgressLines


@pytest.mark.parametrize(
    "mode, metrics",
    [
        ("min", "loss val_loss val_mae rmse val_perplexity val_fid error top_5_error mean_squared_error bits_per_dim"),
        ("min", "val_cross_entropy sparse_categorical_crossentropy val_kl_divergence wer"),
        ("max", "accuracy val_accuracy val_acc auc precision_2 val_recall mean_iou map50 bleu val_psnr r2_score"),
    ],
)
def test_direction_follows_from_the_name_of_a_metric(mode, metrics):
    assert {name: direction(name) for name in metrics.split()} == dict.fromkeys(metrics.split(), mode)


def test_unknown_metric_asks_for_the_mode():
    with pytest.raises(ValueError, match="lower or a higher 'val_zap' better.*mode='min' or mode='max'"):
        direction("val_zap")


def model():
    inputs = keras.Input((2,))
    network = keras.Model(inputs, keras.layers.Dense(1)(inputs))
    network.compile("sgd", "mse")
    network.optimizer.build(network.trainable_variables)
    return network


def saver(folder, **options):
    callback = Checkpoints(
        folder, tf.Variable([0, 0], dtype=tf.int64), strategy=tf.distribute.get_strategy(), **options
    )
    callback.set_model(model())
    return callback


def best_of(tmp_path, values, monitor, **options):
    """Number of the epoch that is kept when `monitor` takes these values."""
    callback = saver(tmp_path, monitor=monitor, **options)
    callback.on_train_begin()
    for epoch, value in enumerate(values):
        callback.on_epoch_begin(epoch)
        callback.on_epoch_end(epoch, {monitor: value})
    callback.on_train_end()
    return json.loads((tmp_path / "best" / "best.json").read_text())["epoch"]


@pytest.mark.parametrize(
    "values, monitor, options, best",
    [
        ([0.1, 0.3, 0.2], "val_accuracy", {}, 1),
        ([0.3, 0.1, 0.2], "val_mae", {}, 1),
        ([0.3, 0.1, 0.2], "val_error", {}, 1),
        ([0.3, 0.1, 0.2], "val_accuracy", {"mode": "min"}, 1),
        ([math.nan, 0.5, 0.6], "val_loss", {}, 1),
        ([0.5, math.nan, 0.4], "val_loss", {}, 2),
        ([math.nan, 0.2], "val_accuracy", {}, 1),
    ],
)
def test_best_epoch_is_kept(tmp_path, values, monitor, options, best):
    assert best_of(tmp_path, values, monitor, **options) == best


def test_validation_every_second_epoch_is_no_error(tmp_path):
    callback = saver(tmp_path)
    callback.on_train_begin()
    callback.on_epoch_begin(0)
    callback.on_epoch_end(0, {"loss": 1.0})
    callback.on_epoch_begin(1)
    callback.on_test_end()
    with pytest.raises(ValueError, match="Cannot monitor 'val_loss': this run reports loss, val_accuracy"):
        callback.on_epoch_end(1, {"loss": 1.0, "val_accuracy": 0.5})
    callback.restore_handlers()


def test_seconds_before_an_interruption_count(tmp_path):
    class Resumed:
        epoch, step, seconds, callbacks = 3, 0, 1000.0, ()

    callback = saver(tmp_path, resumed=Resumed)
    assert callback.seconds == 1000.0
    callback.on_train_begin()
    assert 1000.0 < callback.seconds < 1010.0
    callback.restore_handlers()


def test_only_the_chief_says_where_it_has_saved(tmp_path):
    callback = saver(tmp_path)
    for is_chief, place in ((True, str(tmp_path / "last")), (False, "step_0000000000.safetensors, on worker 0")):
        callback.is_chief = is_chief
        with pytest.raises(Interrupted, match=f"saved {place}"):
            callback.save(1, 0, stop=True)


# Overflows


class Scaled:
    def __init__(self, scale):
        self.dynamic_scale, self.iterations = tf.Variable(scale), tf.Variable(7)


@pytest.mark.parametrize("scale, stops", [(2.0**15, False), (1.0, False), (0.5, True)])
def test_float16_overflow_stops_only_below_scale_one(tmp_path, scale, stops):
    callback = StopAtNonFiniteLoss(tmp_path)
    callback.set_model(type("Model", (), {"optimizer": Scaled(scale)}))
    if not stops:
        callback.on_train_batch_end(0, {"loss": math.inf})
        return
    with pytest.raises(NonFiniteLoss, match=r"The loss is inf at update 7 \(epoch 1, batch 0\)"):
        callback.on_train_batch_end(0, {"loss": math.inf})


def test_infinite_loss_names_the_newest_checkpoint_and_the_epoch_as_people_count(tmp_path):
    (tmp_path / "last").mkdir()
    for updates in (90, 100):
        (tmp_path / "last" / f"step_{updates:010d}.safetensors").touch()
    callback = StopAtNonFiniteLoss(tmp_path)
    callback.set_model(model())
    callback.on_epoch_begin(4)
    with pytest.raises(NonFiniteLoss, match=r"\(epoch 5, batch 3\); the last good .* is .*/step_0000000100\.safe"):
        callback.on_train_batch_end(3, {"loss": math.nan})


# The log and the progress


def test_examples_per_second_leave_validation_out(tmp_path, monkeypatch):
    times = iter([0.0, 1.0, 2.0])  # epoch begins, two batches; whatever comes later is validation
    monkeypatch.setattr("tfdl.train.callbacks.time.perf_counter", lambda: next(times))
    log = MetricsLog(tmp_path / "metrics.jsonl", examples=100, initial_epoch=0)
    log.set_model(model())
    log.on_epoch_begin(0)
    log.on_train_batch_end(0)
    log.on_train_batch_end(1)
    log.on_epoch_end(0, {"loss": 1.0})
    assert log.rows()[0]["examples_per_second"] == 50.0


def test_log_of_a_resumed_run_drops_the_epochs_that_are_trained_again(tmp_path):
    """Killed after a line was written and before its checkpoint: that epoch would stand there twice."""
    path = tmp_path / "metrics.jsonl"
    path.write_text("".join(json.dumps({"epoch": epoch}) + "\n" for epoch in range(4)))
    log = MetricsLog(path, examples=100, initial_epoch=2)
    assert [row["epoch"] for row in log.rows()] == [0, 1]


def test_line_is_not_appended_through_a_link(tmp_path):
    (tmp_path / "target").write_text("mine")
    os.symlink(tmp_path / "target", tmp_path / "metrics.jsonl")
    with pytest.raises(OSError, match="Cannot write .*metrics.jsonl"):
        append_line(tmp_path / "metrics.jsonl", "{}")
    assert (tmp_path / "target").read_text() == "mine"


def test_long_epoch_prints_a_line_every_ten_seconds(capsys):
    now = [0.0]
    lines = ProgressLines("wide", clock=lambda: now[0])
    lines.set_params({"epochs": 2, "steps": 40})
    lines.on_epoch_begin(0)
    for batch in range(40):
        now[0] += 0.6
        lines.on_train_batch_end(batch, {"loss": 0.5})
    lines.on_epoch_end(0, {"loss": 0.25, "val_loss": 0.75})
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 3
    assert said[0] == "wide  epoch 1/2  batch 17/40  loss 0.5000  0.60 s per batch"
    assert said[-1] == "wide  epoch 1/2  loss 0.2500  val_loss 0.7500  24.0 s"


# State of the user's callbacks


def test_state_of_early_stopping_is_plain_and_comes_back():
    callback = keras.callbacks.EarlyStopping(patience=2)
    callback.wait, callback.best = 1, np.float32(0.25)
    saved = json.loads(json.dumps(states([callback])))
    assert saved[0]["unsaved"] == []
    other = keras.callbacks.EarlyStopping(patience=2)
    restore_states([other], saved)
    assert (other.wait, other.best) == (1, 0.25)


def test_heartbeat_beats_in_training_and_in_validation(tmp_path):
    """A launcher ends a worker whose file grows old."""
    heart = Heartbeat(tmp_path / "beat")
    heart.on_train_begin()
    assert heart.path.read_text() == "busy"
    for beat in (heart.on_train_batch_end, heart.on_test_batch_end):
        os.utime(heart.path, (0, 0))
        beat(0)
        assert heart.path.stat().st_mtime > 0
    heart.on_train_end()
    assert heart.path.read_text() == "idle"
