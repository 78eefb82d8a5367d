"""The chain rule by hand: a NumPy network whose backward pass is checked, watched, and used to learn digits.

Stage 1 (foundation) - Rumelhart et al. 1986, Nature 323, 533-536
Run:     tfdl run backpropagate
Expect:  test error 0.035 in half a minute; gradients within 2e-9 of central differences
"""

from dataclasses import dataclass

import numpy as np

import tfdl
from tfdl.data import images
from tfdl.figures.curves import curves
from tfdl.figures.pictures import picture_grid
from tfdl.foundations import backpropagation as bp
from tfdl.train.command_line import launch


@dataclass(frozen=True, kw_only=True)
class Config:
    data: str = "digits"  # or mnist, fashion_mnist ...
    hidden: tuple[int, ...] = (300, 100)  # units of the hidden layers, as LeCun et al. 1998 had them for MNIST
    epochs: int = 20
    rate: float = 0.05  # of gradient descent with momentum 0.9
    run: tfdl.Run = tfdl.Run()


def main(config: Config):
    run = config.run.start(config, name=f"{config.data}_backpropagation")
    # data
    data = images.load(config.data, batch_size=32, seed=run.seed, limit=run.limit)
    batches, held_out = data.train.as_numpy_iterator, data.validation.as_numpy_iterator
    batch, widths = next(batches()), (int(np.prod(data.image_shape)), *config.hidden, data.num_classes)
    # train
    untrained, network = (bp.mlp(widths, seed=run.seed, dtype=dtype) for dtype in ("float64", "float32"))
    metrics, sizes = {"gradient_error": bp.gradient_error(untrained, *batch)}, {}
    history = bp.train(bp.Optimizer(network, rate=config.rate), batches, held_out, epochs=run.epochs(config.epochs))
    metrics["test_error"] = bp.error_rate(network, data.test.as_numpy_iterator())
    for name in bp.ACTIVATIONS:  # ten hidden layers: what is left of the gradient when it has come down to the first?
        (deep := bp.mlp((widths[0], *[100] * 10, widths[-1]), activation=name, seed=run.seed)).loss(*batch)
        first, *_, last = sizes[name] = bp.gradient_sizes(deep)
        metrics[f"{name}_gradient_first_over_last"] = first / last
    # figures
    series = {"training loss (nats)": history.losses, "validation error (share)": history.errors}
    for name, values in (series | {f"gradient of layer {i}": g for i, g in enumerate(history.gradients.T, 1)}).items():
        run.curve(name, values)
    run.show("learning", curves(series, x_label="epoch", y_label="loss, error", log_y=True))
    run.show("gradients", curves(sizes, x_label="layer", y_label="gradient (root mean square)", log_y=True))
    change = (network.parameters[0] - untrained.parameters[0]).T  # (units, pixels)
    change = change[np.abs(change).max(axis=1).argsort()[:-33:-1]].reshape(-1, *data.image_shape)
    change /= 2 * np.abs(change).max(axis=(1, 2, 3), keepdims=True)
    run.show("learned", picture_grid(0.5 + change, title="What training added to the 32 units that changed most"))
    return run.finish(None, metrics)


if __name__ == "__main__":
    launch(main, Config)
