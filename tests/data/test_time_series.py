"""Tables over time: splits in order, windows with what follows, standardized columns, and errors with file and line."""

import numpy as np
import pytest
import tensorflow as tf

from tfdl.data.time_series import load, waves

SMALL = dict(length=6, horizon=3, batch_size=4)


@pytest.fixture
def table():
    """(100, 2), whose first column is the number of the row."""
    return np.stack([np.arange(100.0), np.random.default_rng(0).normal(3, 2, 100)], axis=1)


@pytest.fixture
def file(tmp_path, table):
    return written(tmp_path / "sales.csv", ["date,row,noise", *(f"day {i},{a},{b}" for i, (a, b) in enumerate(table))])


def written(path, lines):
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def windows(dataset):
    """All windows and what follows, as arrays."""
    return tuple(np.concatenate(part) for part in zip(*dataset.as_numpy_iterator()))


def starts(data, dataset):
    """The rows of the table at which the windows begin."""
    return np.round(data.in_units(windows(dataset)[0])[:, 0, 0]).astype(int).tolist()


def test_windows_are_the_table_s_rows_and_what_follows_them(file, table):
    data = load(file, **SMALL)
    assert data.columns == ("row", "noise") and data.short_name == "sales"
    for dataset in (data.train, data.validation, data.test):
        assert [spec.shape.as_list() for spec in dataset.element_spec] == [[None, 6, 2], [None, 3, 2]]
        known, following = (data.in_units(part) for part in windows(dataset))
        both = np.concatenate([known, following], axis=1)  # (N, 9, 2)
        rows = np.round(both[..., 0]).astype(int)
        np.testing.assert_array_equal(np.diff(rows), 1)
        np.testing.assert_allclose(both, table[rows], atol=1e-4)


def test_splits_follow_one_another_in_time_and_only_read_across_their_borders(file):
    data = load(file, **SMALL)  # 70 rows, 10 and 20
    assert sorted(starts(data, data.train)) == list(range(70 - 8))
    assert starts(data, data.validation) == list(range(64, 80 - 8))
    assert starts(data, data.test) == list(range(74, 100 - 8))
    assert data.counts == {"train": 62, "validation": 8, "test": 18}
    known, following = data.windows("test")
    np.testing.assert_array_equal(known, windows(data.test)[0])
    np.testing.assert_array_equal(following, windows(data.test)[1])


def test_columns_are_standardized_by_the_training_rows(file, table):
    data = load(file, **SMALL)
    np.testing.assert_allclose(data.mean, table[:70].mean(0))
    np.testing.assert_allclose(data.splits["train"].mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(data.splits["train"].std(0), 1, atol=1e-6)
    assert abs(data.splits["test"][:, 0].mean()) > 1, "later rows are not looked at"


def test_order_changes_from_epoch_to_epoch_and_can_be_entered_anywhere(file):
    data = load(file, **SMALL)
    epochs = [starts(data, data.train) for _ in range(3)]
    assert epochs[0] != epochs[1] != epochs[2]
    again = load(file, position=tf.Variable((2, 5), dtype=tf.int64), **SMALL)
    assert starts(again, again.train) == epochs[2][20:]
    other = load(file, seed=1, **SMALL)
    assert starts(other, other.train) != epochs[0]


def test_repetition_is_scored_by_hand(file, table):
    data = load(file, **SMALL)
    rows = (table - data.mean) / data.deviation
    errors = {1: [], 4: []}
    for start in range(74, 92):
        for step in range(3):
            truth = rows[start + 6 + step]
            errors[1].append((truth - rows[start + 5]) ** 2)
            errors[4].append((truth - rows[start + 2 + step]) ** 2)
    for period, found in errors.items():
        assert data.repetition_error(period) == pytest.approx(np.mean(found), rel=1e-5)
    with pytest.raises(ValueError, match="period is 7; a window has 1 to 6 steps"):
        data.repetition_error(7)


def test_columns_can_be_chosen_and_limits_set(file):
    data = load(file, columns=["noise"], limit=4, **SMALL)
    assert data.columns == ("noise",) and data.counts == {"train": 4, "validation": 4, "test": 4}


def test_table_without_times_keeps_its_first_column(tmp_path):
    file = written(tmp_path / "t.CSV", ["\ufeffa,b", *(f"{i}, {i % 7}" for i in range(90)), ""])
    data = load(file, **SMALL)
    assert data.columns == ("a", "b") and data.short_name == "t"


BAD = {
    "cell": (["d,a", "x,1", "y,2", "z,"], "t.csv, line 4: the column 'a' is empty; fill it in"),
    "nan": (["d,a", "x,1", "y,nan"], "line 3: the column 'a' is 'nan', which is no finite number"),
    "words": (["d,a,kind", "x,1,good"], "line 2: the column 'kind' is 'good', which is no finite number"),
    "cells": (["d,a", "x,1", "y,2,3"], "line 3, has 3 fields where there are 2 columns"),
    "header": (["1,2", "3,4"], "needs a line with the names of the columns"),
    "rows": (["d,a"], "and below it a row for each step"),
    "times": (["d", "x", "y"], "has no column of numbers"),
}


@pytest.mark.parametrize("name", BAD)
def test_error_names_file_line_and_column(name, tmp_path):
    lines, message = BAD[name]
    with pytest.raises(ValueError, match=message):
        load(written(tmp_path / "t.csv", lines))


def test_what_cannot_be_used_is_refused(file, tmp_path):
    with pytest.raises(ValueError, match="has no column 'price'; its columns are date, row, noise"):
        load(file, columns=["price"])
    with pytest.raises(ValueError, match="'validation' of sales has 16 rows, too few for windows of 6 \\+ 20; give"):
        load(file, length=6, horizon=20)
    with pytest.raises(ValueError, match="horizon is 0; give 1 or more"):
        load(file, horizon=0)
    constant = written(tmp_path / "c.csv", ["a,b", *(f"{i},5" for i in range(90))])
    with pytest.raises(ValueError, match="column 'b' of .* is constant in the training rows; leave it out"):
        load(constant, **SMALL)
    short = written(tmp_path / "ETTh1.csv", ["a", *(f"{i % 9}" for i in range(90))])
    with pytest.raises(ValueError, match="ETTh1 has 90 rows, where 14,400 were expected"):
        load(short, **SMALL)
    (tmp_path / "binary.csv").write_bytes(b"a,b\n\xff\xfe,1\n")
    with pytest.raises(ValueError, match="binary.csv, line 2, is no UTF-8; convert"):
        load(tmp_path / "binary.csv")


def test_tables_of_the_data_directory_are_found_by_name(file, tmp_path):
    folder = tmp_path / "time_series"
    folder.mkdir()
    file.rename(folder / "Sales.csv")
    assert load("sales", data_dir=tmp_path, **SMALL).counts["train"] == 62
    with pytest.raises(FileNotFoundError, match=r"no table 'sale' in .*time_series; the nearest are 'sales'"):
        load("sale", data_dir=tmp_path)
    with pytest.raises(FileNotFoundError, match=r"There is no file .*none\.csv"):
        load(tmp_path / "none.csv")


def test_waves_repeat_every_day_and_week():
    names, rows = waves()
    assert rows.shape == (1440, len(names))
    week = 7 * 24
    assert np.abs(rows[week:] - rows[:-week]).mean() < 0.2 < np.abs(rows[12:] - rows[:-12]).mean()


@pytest.mark.data
def test_etth1_has_informer_s_splits_and_its_baselines(data_dir):
    data = load("etth1")
    assert data.columns == ("HUFL", "HULL", "MUFL", "MULL", "LUFL", "LULL", "OT")
    assert data.counts == {"train": 8640 - 431, "validation": 2880 - 95, "test": 2880 - 95}
    assert data.repetition_error(1) == pytest.approx(1.294, abs=5e-4)
    assert data.repetition_error(24) == pytest.approx(0.512, abs=5e-4)
