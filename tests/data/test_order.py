"""The order of an epoch depends on seed, epoch and step alone."""

import gc
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from tfdl.data.order import Order, of_run


def order(**options):
    return Order.start(**({"seed": 0, "batch_size": 4, "count": 10} | options))


def keys(start):
    return [(rows.tolist(), tuple(seed.tolist())) for rows, seed in start.keys().as_numpy_iterator()]


def test_an_epoch_has_every_row_once_and_each_batch_a_seed_of_its_own():
    epoch = keys(order())
    assert sorted(sum((rows for rows, _ in epoch), [])) == list(range(10))
    assert [len(rows) for rows, _ in epoch] == [4, 4, 2] and len({seed for _, seed in epoch}) == 3


def test_epochs_and_seeds_differ_and_repeat():
    first, again, other = order(), order(), order(seed=1)
    epochs = [keys(first) for _ in range(3)]
    assert epochs == [keys(again) for _ in range(3)]
    assert len({str(epoch) for epoch in [*epochs, keys(other)]}) == 4


def test_any_step_of_any_epoch_can_be_entered():
    walked = order()
    epochs = [keys(walked) for _ in range(4)]
    position = tf.Variable((2, 1), dtype=tf.int64)
    entered = order(position=position)
    assert keys(entered) == epochs[2][1:]
    position.assign((2, 5))  # past the end of epoch 2: three steps each
    assert keys(entered) == epochs[3][2:]


def test_rows_of_a_class_are_drawn_in_turn():
    labels = np.array([0] * 2 + [1] * 13 + [5] * 5)
    start = order(count=20, labels=labels, batch_size=20)
    ((rows, _),) = keys(start)
    drawn = np.bincount(labels[rows], minlength=6)
    assert sorted(drawn[[0, 1, 5]]) == [6, 7, 7] and drawn.sum() == 20
    for label in (0, 1, 5):
        times = np.bincount(rows, minlength=20)[labels == label]
        assert times.max() - times.min() <= 1  # no row again before all had their turn
    ((other, _),) = keys(start)
    assert set(other) != set(rows)  # of the frequent class, other rows


def test_dataset_alone_keeps_what_it_needs():
    dataset = order().keys()
    gc.collect()
    assert len(list(dataset)) == 3


@pytest.mark.parametrize("position", [tf.Variable([0, 0]), tf.Variable([0], dtype=tf.int64)])
def test_position_of_another_kind_is_refused(position):
    with pytest.raises(ValueError, match="int64 variable"):
        order(position=position)


def test_batches_of_similar_lengths_hold_every_row_once_and_little_padding():
    lengths = np.random.default_rng(0).integers(1, 60, 1003)
    plain, similar = order(count=1003), order(count=1003, lengths=lengths)
    epochs = [keys(similar) for _ in range(2)]
    assert sorted(sum((rows for rows, _ in epochs[0]), [])) == list(range(1003))
    assert [len(rows) for rows, _ in epochs[0]] == [4] * 250 + [3]

    def padding(epoch):
        return sum(max(lengths[rows]) * len(rows) - lengths[rows].sum() for rows, _ in epoch) / lengths.sum()

    assert padding(epochs[0]) < 0.05 < 0.4 < padding(keys(plain))
    longest = np.array([max(lengths[rows]) for rows, _ in epochs[0][:64]])
    assert abs(np.corrcoef(longest, np.arange(64))[0, 1]) < 0.5, "short batches do not come first"
    assert epochs[0] != epochs[1]


def test_any_step_of_an_epoch_of_similar_lengths_can_be_entered():
    lengths = [3, 1, 2, 9, 9, 1, 3, 2, 4, 4]
    walked = order(lengths=lengths)
    epochs = [keys(walked) for _ in range(3)]
    entered = order(lengths=lengths, position=tf.Variable((2, 1), dtype=tf.int64))
    assert keys(entered) == epochs[2][1:]


@pytest.mark.parametrize("given", [{"seed": 1}, {"position": tf.Variable((0, 0))}, {"limit": 3}])
def test_a_run_gives_everything_or_nothing(given):
    run, nothing = SimpleNamespace(seed=3, position="there", limit=7), {"seed": 0, "position": None, "limit": None}
    assert of_run(run, **nothing) == (3, "there", 7)
    for found, expected in zip(of_run(None, **nothing | given), (nothing | given).values()):
        assert found is expected
    with pytest.raises(ValueError, match="a run beside seed, position or limit; the run has them"):
        of_run(run, **nothing | given)


def test_labels_and_lengths_together_are_refused():
    with pytest.raises(ValueError, match="balanced by labels or bucketed by lengths; give one of the two"):
        order(labels=[0] * 10, lengths=[1] * 10)
