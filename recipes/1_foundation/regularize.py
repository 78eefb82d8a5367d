"""Train a network that is far too large for its few examples, and hold it back: by its weights, its units, its time.

Stage 1 (foundation) - Srivastava et al. 2014, JMLR 15; Loshchilov and Hutter 2019, arXiv:1711.05101; Prechelt 1998
Run:     tfdl run regularize
Expect:  test cross-entropy 0.42 without, 0.40 dropout, 0.39 L2, 0.35 decay, 0.37 early stopping (seed 0)
"""

from dataclasses import dataclass

import keras

import tfdl
from tfdl.data import images
from tfdl.figures.curves import curves
from tfdl.figures.groups import grouped_bars
from tfdl.losses.classification import CrossEntropy, cross_entropy
from tfdl.models.foundation.mlp import MLPConfig, mlp
from tfdl.train.command_line import launch
from tfdl.train.compare import compare


@dataclass(frozen=True, kw_only=True)
class Config:
    data: str = "digits"  # or another set of ten classes: mnist, fashion_mnist
    share: float = 0.2  # of the training images that is kept
    epochs: int = 40
    run: tfdl.Run = tfdl.Run()


def main(config: Config):
    run = config.run.start(config, name=f"{config.data}_regularized")
    # data
    data = images.load(config.data, batch_size=32, seed=run.seed, position=run.position, limit=run.limit,
                       keep=dict.fromkeys(range(10), config.share))  # fmt: skip

    # train
    def compiled(decay=0.0, **options):
        model = mlp(MLPConfig(hidden=(512,) * 3, **options), image_shape=data.image_shape, num_classes=10)
        model.compile(keras.optimizers.AdamW(1e-3, decay), CrossEntropy(), metrics=["accuracy", cross_entropy])
        return model

    arms = {"none": compiled, "dropout": lambda: compiled(dropout=0.5, input_dropout=0.2),
            "l2": lambda: compiled(l2=1e-3), "decay": lambda: compiled(decay=0.5)}  # fmt: skip
    results = compare(run, data, arms, epochs=run.epochs(config.epochs), monitor="loss")  # to the end, not to the best
    results |= compare(run, data, {"early_stopping": compiled}, epochs=run.epochs(config.epochs), patience=10)

    # figures
    losses = {name: result.series("val_cross_entropy") for name, result in results.items()}
    run.show("validation", curves(losses, x_label="epoch", y_label="validation cross-entropy (nats)", log_y=True))
    run.position.assign((0, 0))  # where the training set begins
    rows = {"training": data.train, "test": data.test}
    found = {k: [r.model.evaluate(d, return_dict=True, verbose=0) for r in results.values()] for k, d in rows.items()}
    gap = {k: [scores["cross_entropy"] for scores in found[k]] for k in rows}  # of the trained network
    run.show("gap", grouped_bars(gap, list(results), y_label="cross-entropy (nats)"))
    metrics = {f"test_cross_entropy/{name}": x for name, x in zip(results, gap["test"])}
    return run.finish(None, metrics | {f"test_error/{n}": 1 - x["accuracy"] for n, x in zip(results, found["test"])})


if __name__ == "__main__":
    launch(main, Config)
