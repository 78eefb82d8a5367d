"""`Run`: the options that every recipe shares, nested in its flags as --run.seed, --run.strategy and so on."""

import dataclasses
from typing import Literal

from tfdl.session.session import Session


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
    """How to run, the same in every recipe."""

    seed: int = 0
    """seed of the weights, dropout, shuffling and augmentation"""
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = "float32"
    """number format of the computation; weights stay float32"""
    strategy: Literal["auto", "single", "mirrored", "multi_worker", "tpu"] = "auto"
    """where to train; auto: the cluster this process belongs to, or all GPUs of this machine, or one device"""
    accumulate: int = 1
    """micro-batches per update: the same result with less memory"""
    out: str = ""
    """folder of the run; default: runs/NAME, numbered if it exists"""
    resume: bool = False
    """continue the interrupted run in its folder; if nothing was saved there, start at the beginning"""
    smoke: bool = False
    """use a few examples and one epoch, to check that everything works"""
    tracker: Literal["none", "wandb", "mlflow"] = "none"
    """copy the metrics to Weights & Biases or MLflow (extra `track`)"""

    def start(self, config, *, name: str) -> Session:
        """Sets seed, precision and strategy, and finds the folder.  Writes nothing yet.  Returns the `Session`.

        Args:
            config: the recipe's whole Config, recorded in config.json.
            name: of the folder below runs/, unless `out` is given; paths and versions in it are shortened.

        Raises:
            ValueError: a flag is out of its range, this machine cannot do the strategy, or the flags differ from
                those of the run that is resumed.
            FileExistsError: the folder `out` is not empty and `resume` is off.
        """
        return Session(self, config, name)
