"""The adding problem: what is marked is what is summed, and every batch depends on seed, epoch and step alone."""

import numpy as np
import pytest
import tensorflow as tf

from tfdl.data.adding_problem import load

SMALL = dict(length=7, batch_size=8, examples=20, held_out=30)


def batches(dataset):
    return [(x.tolist(), y.tolist()) for x, y in dataset.as_numpy_iterator()]


def test_sum_is_that_of_the_two_marked_numbers_one_in_each_half():
    data = load(**SMALL)
    for dataset in (data.train, data.validation, data.test):
        assert dataset.element_spec[0].shape.as_list() == [None, 7, 2]
        x, y = (np.concatenate(part) for part in zip(*dataset.as_numpy_iterator()))
        numbers, marks = x[..., 0], x[..., 1]
        assert numbers.min() >= 0 and numbers.max() < 1 and len(np.unique(numbers)) > 0.9 * numbers.size
        assert (marks[:, :3].sum(1) == 1).all() and (marks[:, 3:].sum(1) == 1).all()
        expected = [row[mark == 1].sum() for row, mark in zip(numbers, marks)]
        np.testing.assert_allclose(y[:, 0], expected, rtol=1e-6)


def test_every_step_is_marked_as_often_in_its_half_and_the_answer_1_has_the_variance_of_two_uniform_numbers():
    (x, y), *_ = load(length=4, batch_size=20_000, held_out=20_000).test.as_numpy_iterator()
    np.testing.assert_allclose(x[..., 1].mean(0), 0.5, atol=0.02)
    assert np.square(y - 1).mean() == pytest.approx(2 / 12, abs=0.005)
    assert np.corrcoef(x[..., 0].T)[np.triu_indices(4, 1)] == pytest.approx(0, abs=0.03)
    assert abs(np.corrcoef(x[:, 0, 0], x[:, 0, 1])[0, 1]) < 0.03, "marks do not depend on numbers"


def test_epochs_and_seeds_differ_and_any_step_can_be_entered():
    walked = load(**SMALL)
    epochs = [batches(walked.train) for _ in range(3)]
    assert [len(x) for x, _ in epochs[0]] == [8, 8, 4]
    other = load(seed=1, **SMALL)
    assert len({str(epoch) for epoch in [*epochs, batches(other.train)]}) == 4
    assert len({str(batches(data)) for data in (walked.validation, walked.test, other.test)}) == 3
    position = tf.Variable((2, 1), dtype=tf.int64)
    assert batches(load(position=position, **SMALL).train) == epochs[2][1:]


def test_limit_and_arguments_out_of_range():
    assert load(limit=9, **SMALL).counts == {"train": 9, "validation": 9, "test": 9}
    with pytest.raises(ValueError, match="length is 1; two numbers are added, so give 2 or more"):
        load(length=1)
    with pytest.raises(ValueError, match="examples is 0; give 1 or more"):
        load(examples=0)
