"""Gradient accumulation: micro-batches need less memory than one batch and give the same weights.

Stage 6 (advanced) - Ott et al. 2018, arXiv:1806.00187, section 3.3
Run:     tfdl run accumulate_gradients
Expect:  weights within 2e-7 of those without micro-batches (digits, seed 0)
"""

from dataclasses import dataclass

import keras
import numpy as np

import tfdl
from tfdl.data import images
from tfdl.figures.curves import curves
from tfdl.losses.classification import CrossEntropy
from tfdl.train.step import exact


@dataclass(frozen=True, kw_only=True)
class Config:
    """Compare training with and without gradient accumulation."""

    data: str = "digits"
    """digits, a tensorflow_datasets name (mnist, fashion_mnist ...), or a folder of class sub-folders"""
    model: str = "lenet"
    """key of an image classifier without BatchNorm: tfdl list --stage 2"""
    variant: str = "lenet5"
    """row of the model's VARIANTS: tfdl show MODEL"""
    image_size: int = 32
    """side of the images in pixels"""
    batch_size: int = 256
    """images per update"""
    micro_batches: tuple[int, ...] = (1, 2, 4, 8)
    """numbers of micro-batches per update; the others are compared with the first"""
    learning_rate: float = 0.1
    """of SGD with momentum 0.9"""
    epochs: int = 2
    """passes over the training images"""
    run: tfdl.Run = tfdl.Run()


def main(config: Config):
    run = config.run.start(config, name=f"{config.data}_accumulated")
    epochs = run.epochs(config.epochs)

    # Train: each time from the same seed, on the same batches
    def trained(micro_batches):
        data = images.load(
            config.data, batch_size=config.batch_size, image_size=config.image_size, seed=run.seed, limit=run.limit
        )
        keras.utils.set_random_seed(run.seed)
        with run.scope():
            model = tfdl.build(config.model, config.variant, image_shape=data.image_shape, num_classes=data.num_classes)
            optimizer = keras.optimizers.SGD(config.learning_rate, momentum=0.9, global_clipnorm=1.0)
            model.compile(optimizer, CrossEntropy())
        exact(model, accumulate=micro_batches)
        history = model.fit(data.train, epochs=epochs, verbose=0, shuffle=False).history
        return model.get_weights(), np.array(history["loss"])

    weights, losses = {}, {}
    for micro_batches in config.micro_batches:
        weights[micro_batches], losses[f"{micro_batches} micro-batches"] = trained(micro_batches)
        print(f"trained with {micro_batches} micro-batches per update", flush=True)

    # Compare
    expected = weights[config.micro_batches[0]]
    metrics = {}
    for micro_batches in config.micro_batches[1:]:
        pairs = zip(weights[micro_batches], expected)
        metrics[f"difference/{micro_batches}"] = max(np.abs(ours - theirs).max() for ours, theirs in pairs)
    title = "Accumulated gradients give the same training loss"
    run.show("training_loss", curves(losses, x_label="epoch", y_label="loss (nats)", log_y=True, title=title))
    return run.finish(None, metrics)


if __name__ == "__main__":
    tfdl.launch(main, Config)
