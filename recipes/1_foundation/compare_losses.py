"""Learn classes of which there are a hundred times fewer examples: plain, weighted and focal cross-entropy.

Stage 1 (foundation) - focal loss: Lin et al. 2017, arXiv:1708.02002, eqs. 4 and 5
Run:     tfdl run compare_losses
Expect:  mean recall of the rare classes 0.40 plain, 0.43 focal, 0.76 weighted, 0.75 focal and weighted (seeds 1, 2)
"""

from dataclasses import dataclass

import numpy as np
from sklearn.metrics import recall_score

import tfdl
from tfdl.data import images
from tfdl.figures.groups import grouped_bars
from tfdl.losses.classification import CrossEntropy, FocalLoss
from tfdl.metrics.classification import answers
from tfdl.models.foundation.mlp import MLPConfig, mlp
from tfdl.train.command_line import launch
from tfdl.train.compare import compare

BATCH, RARE = 128, np.arange(10) < 5  # of ten classes the first five are the rare ones


@dataclass(frozen=True, kw_only=True)
class Config:
    data: str = "fashion_mnist"  # or another set of ten classes: mnist, digits
    share: float = 0.01  # of the rare classes' training images that is kept
    epochs: int = 15
    run: tfdl.Run = tfdl.Run()


def main(config: Config):
    run = config.run.start(config, name=f"{config.data}_losses")

    # data
    share = np.where(RARE, config.share, 1.0)
    weights, keep = share.mean() / share, dict(enumerate(share))  # an image weighs 1 on average, all classes the same
    data = images.load(config.data, batch_size=BATCH, seed=run.seed, position=run.position, limit=run.limit, keep=keep)

    # train
    def compiled(loss):
        model = mlp(MLPConfig(hidden=(256,)), image_shape=data.image_shape, num_classes=data.num_classes)
        model.compile("adam", loss, metrics=["accuracy"])
        return model

    losses = {"cross-entropy": CrossEntropy(), "weighted": CrossEntropy(class_weights=weights),
              "focal": FocalLoss(gamma=2.0), "weighted-focal": FocalLoss(gamma=2.0, alpha=weights)}  # fmt: skip
    arms = {name: lambda loss=loss: compiled(loss) for name, loss in losses.items()}
    results = compare(run, data, arms, epochs=run.epochs(config.epochs), monitor="val_accuracy")

    # figures
    found = {name: answers(result.model, data.test) for name, result in results.items()}
    recall = {n: recall_score(*x, labels=range(10), average=None, zero_division=0) for n, x in found.items()}
    run.show("recall", grouped_bars(recall, data.labels, y_label="test recall", title="the first five are rare"))
    return run.finish(None, {f"rare_recall/{name}": values[RARE].mean() for name, values in recall.items()})


if __name__ == "__main__":
    launch(main, Config)
