"""One device, and several that hold a copy of the network each and sum their gradients: the same weights and logs.

Stage 6 (advanced) - Goyal et al. 2017, arXiv:1706.02677, section 3
Run:     tfdl run train_mirrored
Expect:  weights within 9e-7 of those of one device, logs within 7e-6, after 3 epochs of digits (seed 0)
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

BATCH, DEVICES = 100, 2  # digits end with a batch of 93 in each epoch: 47 on one device and 46 on the other


@dataclass(frozen=True, kw_only=True)
class Config:
    data: str = "digits"  # or mnist, fashion_mnist ...
    model: str = "vit"  # smooth functions only: where relu or max pooling bend, a last bit decides, and weights part
    variant: str = "small_images"  # row of the model's VARIANTS: tfdl show vit
    epochs: int = 3
    run: tfdl.Run = tfdl.Run()


def main(config: Config):
    strategies.split_cpu(DEVICES)  # before TensorFlow computes anything; GPUs, if there are several, go first
    run = config.run.start(config, name=f"{config.data}_mirrored")
    epochs = run.epochs(config.epochs)

    # train
    def trained(name):
        data = images.load(config.data, batch_size=BATCH, image_size=16, seed=run.seed, limit=run.limit)
        order = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: data.position.assign((epoch, 0)))
        keras.utils.set_random_seed(run.seed)
        with strategies.create(name).scope():
            model = tfdl.build(config.model, config.variant, image_shape=data.image_shape, num_classes=data.num_classes)
            model.compile(keras.optimizers.SGD(0.02, momentum=0.9), CrossEntropy(), metrics=["accuracy"])
        exact(model)
        logs = model.fit(data.train, validation_data=data.validation, epochs=epochs, callbacks=[order], verbose=0,
                         shuffle=False).history  # fmt: skip
        return model.get_weights(), np.array([logs["loss"], logs["val_loss"], logs["accuracy"], logs["val_accuracy"]])

    (single, rows), (mirrored, other_rows) = trained("single"), trained("mirrored")
    costs = {"one device": rows[0], f"{DEVICES} devices": other_rows[0]}
    run.show("training_cost", curves(costs, x_label="epoch", y_label="training cost (nats)"))
    weights = max(np.abs(a - b).max() for a, b in zip(single, mirrored))
    return run.finish(None, {"weights_differ": weights, "logs_differ": np.abs(rows - other_rows).max()})


if __name__ == "__main__":
    launch(main, Config)
