"""One device, and two that hold a copy of the network each and sum their gradients: the same weights and logs.

Stage 6 (advanced) - Goyal et al. 2017, arXiv:1706.02677, section 3; Ioffe and Szegedy 2015, arXiv:1502.03167
Run:     tfdl run train_mirrored
Expect:  0.0
"""

from dataclasses import dataclass

import keras
import numpy as np

import tfdl
from tfdl.data import images
from tfdl.distribution import strategies
from tfdl.figures.curves import curves
from tfdl.losses.classification import CrossEntropy
from tfdl.train.command_line import launch
from tfdl.train.step import exact

BATCH, DEVICES = 100, 2  # digits end with a batch of 37 in each epoch: 19 on one device and 18 on the other


@dataclass(frozen=True, kw_only=True)
class Config:
    data: str = "digits"  # or mnist, fashion_mnist ...
    model: str = "resnet"  # key of an image classifier without dropout, whose masks each device draws for itself
    variant: str = "cifar20"  # row of the model's VARIANTS: tfdl show resnet
    epochs: int = 3
    run: tfdl.Run = tfdl.Run()


def main(config: Config):
    strategies.split_cpu(DEVICES)  # before TensorFlow computes anything; GPUs, if there are several, go first
    run = config.run.start(config, name=f"{config.data}_mirrored")
    epochs = run.epochs(config.epochs)

    # train
    def trained(name):
        data = images.load(config.data, batch_size=BATCH, image_size=16, seed=run.seed, limit=run.limit)
        keras.utils.set_random_seed(run.seed)
        with strategies.create(name).scope():
            model = tfdl.build(config.model, config.variant, image_shape=data.image_shape, num_classes=data.num_classes)
            model.compile(keras.optimizers.SGD(0.02, momentum=0.9), CrossEntropy(), metrics=["accuracy"])
        exact(model)
        logs = model.fit(data.train, validation_data=data.validation, epochs=epochs, verbose=0, shuffle=False).history
        return model.get_weights(), np.array([logs["loss"], logs["val_loss"], logs["accuracy"], logs["val_accuracy"]])

    (single, rows), (mirrored, other_rows) = trained("single"), trained("mirrored")
    costs = {"one device": rows[0], "several devices": other_rows[0]}
    run.show("training_cost", curves(costs, x_label="epoch", y_label="training cost (nats)"))
    weights = max(np.abs(a - b).max() for a, b in zip(single, mirrored))
    return run.finish(None, {"weights_differ": weights, "logs_differ": np.abs(rows - other_rows).max()})


if __name__ == "__main__":
    launch(main, Config)
