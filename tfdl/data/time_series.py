"""Tables of numbers over time, in windows for forecasting: steps to read, and the steps that follow.

    data = load("etth1", length=336, horizon=96)
    model.fit(data.train, validation_data=data.validation, epochs=10)

Three kinds of names: `waves`, which is computed; a CSV file with a header, a row a step in the order of time; and the
name of such a file in the folder time_series/ of the data directory.  Training comes first in time, then validation,
then test.  The order of the training windows is a pure function of (seed, epoch, step), see `order`.
"""

import functools
import math
import pathlib
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from tfdl.core import static
from tfdl.core.names import nearest
from tfdl.data import records, sources
from tfdl.data.order import Order, finalized, of_run

FRACTIONS = (0.7, 0.1, 0.2)  # of the rows: train, validation, test; as Zhou et al. 2021 for sets without months
DAY = 24
MONTH = 30 * DAY  # of hours
# Rows of each split.  ETTh1 and ETTh2: 12, 4 and 4 months, and the rest unused (Zhou et al. 2021, arXiv:2012.07436,
# section 5.1).
ROWS = {"etth1": (12 * MONTH, 4 * MONTH, 4 * MONTH), "etth2": (12 * MONTH, 4 * MONTH, 4 * MONTH)}
SPLITS = ("train", "validation", "test")


@dataclass(frozen=True, eq=False)
class TimeSeriesData:
    """Batches of windows (B, length, D) and of the steps that follow (B, horizon, D), both standardized.

    Validation and test predict every step of their part of the time: their first windows begin `length` steps earlier.
    """

    name: str
    train: tf.data.Dataset
    validation: tf.data.Dataset
    test: tf.data.Dataset
    columns: tuple[str, ...]  # names of the D columns
    mean: np.ndarray  # (D) of the training rows
    deviation: np.ndarray  # (D) standard deviation of the training rows
    length: int
    horizon: int
    counts: dict[str, int]  # split -> windows
    position: tf.Variable
    splits: dict[str, np.ndarray]  # split -> its standardized rows (N, D) float32, those that it only reads included

    @property
    def short_name(self):
        """For folders of runs and titles: "sales" for /some/where/sales.csv."""
        return short_name(self.name)

    def windows(self, split="test"):
        """All windows of a split in the order of time: (N, length, D) and what follows, (N, horizon, D)."""
        steps = self.length + self.horizon
        views = np.lib.stride_tricks.sliding_window_view(self.splits[split], steps, axis=0)  # (N, D, steps)
        views = views.swapaxes(1, 2)
        return views[:, : self.length], views[:, self.length :]

    def repetition_error(self, period, split="test"):
        """Mean squared error of a forecast that repeats the last `period` steps: 1 repeats the last step.

        Raises:
            ValueError: a window has fewer steps.
        """
        if not 1 <= period <= self.length:
            raise ValueError(f"period is {period}; a window has 1 to {self.length} steps to repeat.")
        known, truth = self.windows(split)
        repeated = known[:, self.length - period + np.arange(self.horizon) % period]
        return float(np.mean(np.square(repeated - truth), dtype="float64"))

    def in_units(self, values):
        """Standardized values (..., D) in the units of the table."""
        return values * self.deviation + self.mean


def short_name(name):
    """Of a table, for folders of runs and titles."""
    path = pathlib.Path(name)
    return path.stem if path.suffix.lower() == ".csv" else str(name)


def load(
    name,
    *,
    length=336,
    horizon=96,
    columns=None,
    batch_size=32,
    run=None,
    seed=0,
    position=None,
    limit=None,
    data_dir=None,
):
    """Reads the table called `name`, and standardizes each column by its mean and deviation in the training rows.

    Args:
        length: steps to read.
        horizon: steps to predict.
        columns: names of those to use, in this order; None takes all columns of numbers.
        batch_size: windows in a global batch.
        run: a session, whose seed, position and limit are taken in place of the arguments.
        seed: of the order.
        position: an int64 variable (2) to start epochs from, made here if None.
        limit: use the first so many windows of each split.
        data_dir: the folder with time_series/; None is `sources.data_dir()`.

    Raises:
        FileNotFoundError: there is no such file or table.
        ValueError: an argument out of its range, a cell that is empty or no number (the message names file, line and
            column), a constant column, or a split that is shorter than a window.
    """
    seed, position, limit = of_run(run, seed, position, limit)
    numbers = {"length": length, "horizon": horizon, "batch_size": batch_size, "limit": limit}
    for argument, value in numbers.items():
        if value is not None and value < 1:
            raise ValueError(f"{argument} is {value}; give 1 or more.")
    names, rows = waves() if str(name) == "waves" else read(find(name, data_dir), columns)
    splits = parts(rows, short_name(name), length, horizon)
    mean, deviation = splits["train"].mean(0), splits["train"].std(0)
    if not deviation.all():
        constant = names[int(np.argmin(deviation))]
        raise ValueError(f"The column {constant!r} of {name} is constant in the training rows; leave it out.")
    steps = length + horizon
    if limit is not None:
        splits = {key: part[: limit + steps - 1] for key, part in splits.items()}
    splits = {key: ((part - mean) / deviation).astype("float32") for key, part in splits.items()}
    counts = {key: len(part) - steps + 1 for key, part in splits.items()}

    with tf.device("CPU:0"):
        order = Order.start(seed=seed, batch_size=batch_size, count=counts["train"], position=position)
        tables = {key: tf.constant(part) for key, part in splits.items()}

        def windows(key, starts):
            """Those that begin at the rows `starts` (B) of a split."""
            found = tf.gather(tables[key], starts[:, None] + tf.range(steps, dtype=tf.int64))
            found = tf.ensure_shape(found, (None, steps, len(names)))
            return found[:, :length], found[:, length:]

        train = order.keys().map(lambda starts, _: windows("train", starts), tf.data.AUTOTUNE)
        held_out = {}
        for key in SPLITS[1:]:
            starts = tf.data.Dataset.range(counts[key]).batch(static.evaluation_batch(counts[key], batch_size))
            held_out[key] = starts.map(functools.partial(windows, key), tf.data.AUTOTUNE)
    return TimeSeriesData(
        name=str(name),
        train=finalized(train, (0, 1)),
        **{key: finalized(dataset, (0, 1)) for key, dataset in held_out.items()},
        columns=names,
        mean=mean,
        deviation=deviation,
        length=length,
        horizon=horizon,
        counts=counts,
        position=order.position,
        splits=splits,
    )


def parts(rows, name, length, horizon):
    """Split -> its rows of the table (N, D); validation and test begin `length` rows early, to read them."""
    sizes = ROWS.get(name.lower()) or [math.floor(fraction * len(rows)) for fraction in FRACTIONS]
    ends = np.cumsum(sizes)
    if ends[-1] > len(rows):
        raise ValueError(f"{name} has {len(rows):,} rows, where {ends[-1]:,} were expected; get the whole file.")
    starts = [0, *(ends[:2] - length)]
    splits = {key: rows[start:end] for key, start, end in zip(SPLITS, starts, ends)}
    for key, part in splits.items():
        if len(part) < length + horizon:
            raise ValueError(
                f"The split {key!r} of {name} has {len(part):,} rows, too few for windows of {length} + {horizon}; give"
                " a shorter length or horizon, or more rows."
            )
    return splits


# Reading


def find(name, data_dir=None):
    """The file of a table.  Raises FileNotFoundError."""
    path = pathlib.Path(name).expanduser()
    if path.is_file():
        return path
    folder = pathlib.Path(data_dir or sources.data_dir()).expanduser() / "time_series"
    if path.suffix or len(path.parts) > 1:
        raise FileNotFoundError(f"There is no file {path}; give a CSV file, or the name of a table in {folder}.")
    known = {file.stem.lower(): file for file in sorted(folder.glob("*.csv"))}
    if str(name).lower() in known:
        return known[str(name).lower()]
    raise FileNotFoundError(
        f"There is no table {str(name)!r} in {folder}; the nearest are {nearest(str(name), ['waves', *known])}.  Set"
        " TFDL_DATA_DIR to a folder that contains time_series/, or give a CSV file."
    )


def read(path, columns=None):
    """Names of the columns, and their numbers (N, D) float64.

    A first column whose first cell is no number holds times, and is left out.  Raises ValueError, see `load`.
    """
    lines = records.read_quoted(path, records.read_text(path))
    header = lines[0][1] if lines else []
    lines = lines[1:]
    if not lines or any(is_number(name) for name in header):
        raise ValueError(f"{path} needs a line with the names of the columns, and below it a row for each step.")
    for line, cells in lines:
        if len(cells) != len(header):
            raise ValueError(f"{path}, line {line:,}, has {len(cells)} fields where there are {len(header)} columns.")
    if columns is None:
        columns = header[0 if is_number(lines[0][1][0]) else 1 :]
    places = [place_of(name, header, path) for name in columns]
    if not places:
        raise ValueError(f"{path} has no column of numbers.")
    table = [[number(cells[place], path, line, header[place]) for place in places] for line, cells in lines]
    return tuple(columns), np.array(table)


def place_of(name, header, path):
    """The number of a column."""
    if header.count(name) != 1:
        problem = "more than one column" if name in header else "no column"
        raise ValueError(f"{path} has {problem} {name!r}; its columns are {', '.join(header)}.")
    return header.index(name)


def number(text, path, line, column):
    """The finite number in a cell."""
    if is_number(text):
        return float(text)
    problem = "is empty" if not text.strip() else f"is {text!r}, which is no finite number"
    raise ValueError(f"{path}, line {line:,}: the column {column!r} {problem}; fill it in, or leave the column out.")


def is_number(text):
    """Whether a cell is a finite number."""
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def waves(steps=60 * DAY):
    """A table to try things on: two months of hours with a daily and a weekly wave and a little noise, in 2 columns."""
    hours = np.arange(steps)[:, None]
    phases = np.array([0.0, 1.0])
    daily, weekly = (np.sin(2 * np.pi * hours / period + phases) for period in (DAY, 7 * DAY))
    noise = np.random.default_rng(0).normal(0.0, 0.1, (steps, 2))
    return ("load", "temperature"), np.array([20.0, 10.0]) + 5 * daily + 2 * weekly + noise
