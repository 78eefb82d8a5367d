"""Data parallelism: several devices with copies of the network sum their gradients; the same weights as one device.

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
from tfdl.train.step import exact


@dataclass(frozen=True, kw_only=True)
class Config:
    """Compare one device with several mirrored ones."""

    data: str = "digits"
    """digits, a tensorflow_datasets name (mnist, fashion_mnist ...), or a folder of class sub-folders"""
    model: str = "vit"
    """key of an image classifier without ReLU and max pooling: where these are not differentiable, rounding decides
    between two gradients, and the weights diverge"""
    variant: str = "small_images"
    """row of the model's VARIANTS: tfdl show MODEL"""
    image_size: int = 16
    """side of the images in pixels"""
    batch_size: int = 100
    """images per update; digits end with a batch of 66, 33 for each of two devices"""
    devices: int = 2
    """logical CPUs, if there are no GPUs"""
    learning_rate: float = 0.02
    """of SGD with momentum 0.9"""
    epochs: int = 3
    """passes over the training images"""
    run: tfdl.Run = tfdl.Run()


def main(config: Config):
    strategies.split_cpu(config.devices)  # before TensorFlow computes anything; several GPUs would be preferred
    run = config.run.start(config, name=f"{config.data}_mirrored")
    epochs = run.epochs(config.epochs)

    # Train: each time from the same seed, on the same batches
    def trained(strategy):
        data = images.load(
            config.data, batch_size=config.batch_size, image_size=config.image_size, seed=run.seed, limit=run.limit
        )
        order = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: data.position.assign((epoch, 0)))
        keras.utils.set_random_seed(run.seed)
        with strategies.create(strategy).scope():
            model = tfdl.build(config.model, config.variant, image_shape=data.image_shape, num_classes=data.num_classes)
            optimizer = keras.optimizers.SGD(config.learning_rate, momentum=0.9)
            model.compile(optimizer, CrossEntropy(), metrics=["accuracy"])
        exact(model)
        history = model.fit(
            data.train,
            validation_data=data.validation,
            epochs=epochs,
            callbacks=[order],
            verbose=0,
            shuffle=False,
        ).history
        print(f"trained on {strategy}", flush=True)
        return model.get_weights(), history

    single_weights, single_history = trained("single")
    mirrored_weights, mirrored_history = trained("mirrored")

    # Compare
    losses = {"one device": single_history["loss"], f"{config.devices} devices": mirrored_history["loss"]}
    title = "Mirrored devices give the same training loss"
    run.show("training_loss", curves(losses, x_label="epoch", y_label="loss (nats)", title=title))
    pairs = zip(single_weights, mirrored_weights)
    weights_differ = max(np.abs(ours - theirs).max() for ours, theirs in pairs)
    logs_differ = max(
        np.abs(np.array(single_history[name]) - np.array(mirrored_history[name])).max() for name in single_history
    )
    return run.finish(None, {"weights_differ": weights_differ, "logs_differ": logs_differ})


if __name__ == "__main__":
    tfdl.launch(main, Config)
