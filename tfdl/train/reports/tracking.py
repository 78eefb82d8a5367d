"""Experiment trackers besides TensorBoard: Weights & Biases or MLflow, both in the extra `track`."""

import importlib

import keras

TRACKERS = ("none", "wandb", "mlflow")


def tracker_callback(name, *, run_name, folder, config):
    """A Keras callback that copies every epoch's metrics, or None for "none".

    Args:
        config: the recipe's flags as a flat dict, logged as hyperparameters.

    Raises:
        ValueError: unknown tracker.
        ModuleNotFoundError: it isn't installed; the message names the extra.
    """
    if name not in TRACKERS:
        raise ValueError(f"Unknown tracker {name!r}; choose one of {', '.join(TRACKERS)}.")
    if name == "none":
        return None
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError:
        raise ModuleNotFoundError(f"--run.tracker {name} needs the extra `track`: pip install 'tfdl[track]'.") from None
    return {"wandb": WandbCallback, "mlflow": MlflowCallback}[name](module, run_name, folder, config)


class WandbCallback(keras.callbacks.Callback):
    """Logs to Weights & Biases; without a login it works in its offline mode (WANDB_MODE=offline)."""

    def __init__(self, wandb, run_name, folder, config):
        super().__init__()
        self.start = lambda: wandb.init(project="tfdl", name=run_name, dir=str(folder), config=config, resume="allow")

    def on_train_begin(self, logs=None):
        self.run = self.start()

    def on_epoch_end(self, epoch, logs=None):
        self.run.log({name: float(value) for name, value in (logs or {}).items()}, step=epoch)

    def on_train_end(self, logs=None):
        self.run.finish()


class MlflowCallback(keras.callbacks.Callback):
    """Logs to MLflow; without MLFLOW_TRACKING_URI into the folder `mlruns`."""

    def __init__(self, mlflow, run_name, folder, config):
        super().__init__()
        self.mlflow, self.run_name, self.config = mlflow, run_name, config

    def on_train_begin(self, logs=None):
        self.mlflow.set_experiment("tfdl")
        self.mlflow.start_run(run_name=self.run_name)
        self.mlflow.log_params(self.config)

    def on_epoch_end(self, epoch, logs=None):
        self.mlflow.log_metrics({name: float(value) for name, value in (logs or {}).items()}, step=epoch)

    def on_train_end(self, logs=None):
        self.mlflow.end_run()
