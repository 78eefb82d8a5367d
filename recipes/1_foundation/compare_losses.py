"""Learn from classes with a hundred times fewer examples than others: plain, weighted and focal cross-entropy.

Stage 1 (foundation) - focal loss: Lin et al. 2017, arXiv:1708.02002, eqs. 4 and 5
Run:     tfdl run compare_losses
Expect:  mean recall of the rare classes 0.40 plain, 0.43 focal, 0.76 weighted, 0.75 focal and weighted (seeds 1, 2)
"""

from dataclasses import dataclass
from functools import partial

import numpy as np
from sklearn.metrics import recall_score

import tfdl
from tfdl.data import images
from tfdl.figures.groups import grouped_bars
from tfdl.losses.classification import CrossEntropy, FocalLoss
from tfdl.metrics.classification import true_and_predicted_labels
from tfdl.models.foundation.mlp import MLPConfig, mlp

RARE = np.arange(10) < 5  # of ten classes the first five are the rare ones


@dataclass(frozen=True, kw_only=True)
class Config:
    """Compare losses on imbalanced classes."""

    data: str = "fashion_mnist"
    """a data set of ten classes: fashion_mnist, mnist, digits"""
    fraction: float = 0.01
    """of the rare classes' training images that are kept"""
    gamma: float = 2.0
    """of the focal loss: larger values reduce the weight of easy examples"""
    batch_size: int = 128
    """images per update"""
    epochs: int = 15
    """passes over the training images"""
    run: tfdl.Run = tfdl.Run()


def main(config: Config):
    run = config.run.start(config, name=f"{config.data}_losses")

    # Data
    fractions = np.where(RARE, config.fraction, 1.0)
    data = images.load(config.data, batch_size=config.batch_size, keep=dict(enumerate(fractions)), run=run)

    # Train; with these weights all classes count equally, and an image counts 1 on average
    weights = fractions.mean() / fractions

    def compiled(loss):
        model = mlp(MLPConfig(hidden=(256,)), image_shape=data.image_shape, num_classes=data.num_classes)
        model.compile("adam", loss, metrics=["accuracy"])
        return model

    losses = {
        "cross-entropy": CrossEntropy(),
        "weighted": CrossEntropy(class_weights=weights),
        "focal": FocalLoss(gamma=config.gamma),
        "weighted-focal": FocalLoss(gamma=config.gamma, alpha=weights),
    }
    models = {name: partial(compiled, loss) for name, loss in losses.items()}
    results = run.compare(data, models, epochs=config.epochs, monitor="val_accuracy")

    # Figures
    recall = {}
    for name, result in results.items():
        truth, predicted = true_and_predicted_labels(result.model, data.test)
        recall[name] = recall_score(truth, predicted, labels=range(10), average=None, zero_division=0)
    title = "Class weights improve the recall of the five rare classes"
    run.show("recall", grouped_bars(recall, data.labels, y_label="test recall", title=title))
    return run.finish(None, {f"rare_recall/{name}": values[RARE].mean() for name, values in recall.items()})


if __name__ == "__main__":
    tfdl.launch(main, Config)
