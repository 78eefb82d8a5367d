"""Forecast a table of measurements: the next days of every column from the weeks before, by a linear map or an LSTM.

Stage 3 (sequential data) - Zeng et al. 2022, arXiv:2205.13504, section 4; data: Zhou et al. 2021, arXiv:2012.07436
Run:     tfdl run forecast
Expect:  standardized test error 0.370 in 1 minute on two CPU cores, where repeating the last hour has 1.294, and the
         same hour yesterday 0.512 (one run, seed 0)
"""

from dataclasses import dataclass
from typing import Literal

import keras
import numpy as np

import tfdl
from tfdl.data import time_series
from tfdl.figures.curves import curve_panels


@dataclass(frozen=True, kw_only=True)
class Config:
    """Predict the steps that follow."""

    data: str = "etth1"
    """name of a table in time_series/ of the data directory, a CSV file, or waves, which needs no file"""
    model: Literal["linear", "nlinear", "dlinear", "lstm"] = "nlinear"
    """linear over time; from differences to the last step; with the trend split off; or recurrent"""
    length: int = 336
    """steps to read: two weeks of hours"""
    horizon: int = 96
    """steps to predict: four days of hours"""
    day: int = 24
    """steps in a day, for the forecast that repeats the last one"""
    batch_size: int = 32
    """windows per update"""
    learning_rate: float = 0.005
    """of Adam; it falls to 0 along a cosine"""
    epochs: int = 8
    """passes over the training windows"""
    run: tfdl.Run = tfdl.Run()


def main(config: Config):
    run = config.run.start(config, name=f"{config.data}_{config.model}")

    # Data
    data = time_series.load(
        config.data,
        length=config.length,
        horizon=config.horizon,
        batch_size=config.batch_size,
        run=run,
    )

    # Model
    with run.scope():
        columns = len(data.columns)
        shapes = {"input_shape": (config.length, columns), "output_shape": (config.horizon, columns)}
        if config.model == "lstm":
            model = tfdl.build("recurrent_regressor", "lstm_forecaster", **shapes)
        else:
            model = tfdl.build("linear_forecaster", config.model, **shapes)
        learning_rate = keras.optimizers.schedules.CosineDecay(config.learning_rate, run.updates(data, config.epochs))
        model.compile(keras.optimizers.Adam(learning_rate, global_clipnorm=1.0), loss="mse", metrics=["mae"])

    # Train; the best epoch's weights stay in the model
    run.fit(model, data, epochs=config.epochs)

    # Evaluate: mean squared error of standardized columns, and what repeating the last hour or day would have
    metrics = run.evaluate(model, data)
    metrics["test_loss/repeat_last"] = data.repetition_error(1)
    metrics["test_loss/same_hour_yesterday"] = data.repetition_error(config.day)

    # Figure: the middle of the test split, in the units of the table, with as much of the past as of the future
    known, truth = (windows[len(windows) // 2] for windows in data.windows())
    predicted = keras.ops.convert_to_numpy(model(known[None]))[0]
    past = known[-config.horizon :]
    before, after = np.arange(-len(past), 0), np.arange(config.horizon)
    series = {"history": (before, past), "truth": (after, truth), "forecast": (after, predicted)}
    panels = {
        column: {name: (steps, data.in_units(values)[:, i]) for name, (steps, values) in series.items()}
        for i, column in enumerate(data.columns)
    }
    title = f"{config.horizon} steps of {data.short_name} by {config.model}"
    run.show("forecast", curve_panels(panels, x_label="step", y_label="value", title=title, same_y=False))
    return run.finish(model, metrics)


if __name__ == "__main__":
    tfdl.launch(main, Config)
