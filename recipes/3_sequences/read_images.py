"""An LSTM reads images row by row, from top to bottom, and says what they show from its last state.

Stage 3 (sequential data) - Hochreiter & Schmidhuber 1997, Neural Computation 9(8), with the forget gate of Gers et al.
2000, Neural Computation 12(10)
Run:     tfdl run read_images
Expect:  test accuracy 0.987 in 4 minutes on two CPU cores that other programs shared (one run, seed 0)
"""

from dataclasses import dataclass
from typing import Literal

import keras

import tfdl
from tfdl.data import images


@dataclass(frozen=True, kw_only=True)
class Config:
    """Classify images that are read as sequences of rows."""

    data: str = "mnist"
    """digits, a tensorflow_datasets name (mnist, fashion_mnist ...), or a folder of class sub-folders"""
    variant: Literal["nano", "small", "lstm", "gru"] = "lstm"
    """row of the model's VARIANTS: tfdl show recurrent_topology"""
    batch_size: int = 64
    """images per update, over all devices"""
    learning_rate: float = 0.003
    """of Adam; it falls to 0 along a cosine"""
    clipnorm: float = 1.0
    """largest norm of the gradients together: steep places of recurrent networks throw weights far off"""
    epochs: int = 4
    """passes over the training images"""
    run: tfdl.Run = tfdl.Run()


def main(config: Config):
    run = config.run.start(config, name=f"{config.data}_rows_{config.variant}")

    # Data
    data = images.load(config.data, batch_size=config.batch_size, run=run)

    # Model
    with run.scope():
        model = tfdl.build(
            "recurrent_topology", config.variant, image_shape=data.image_shape, num_classes=data.num_classes
        )
        learning_rate = keras.optimizers.schedules.CosineDecay(config.learning_rate, run.updates(data, config.epochs))
        model.compile(
            optimizer=keras.optimizers.Adam(learning_rate, global_clipnorm=config.clipnorm),
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=["accuracy"],
        )

    # Train; the best epoch's weights stay in the model
    run.fit(model, data, epochs=config.epochs)

    # Evaluate, and export for servers and phones
    metrics = run.evaluate(model, data)
    run.export(model, data)
    return run.finish(model, metrics)


if __name__ == "__main__":
    tfdl.launch(main, Config)
