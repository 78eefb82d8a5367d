"""One batch in one piece, or in micro-batches that need less memory: the same weights at the end.

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
from tfdl.train.command_line import launch
from tfdl.train.step import exact

BATCH = 256


@dataclass(frozen=True, kw_only=True)
class Config:
    data: str = "digits"  # or mnist, fashion_mnist ...
    micro_batches: tuple[int, ...] = (1, 2, 4, 8)  # per batch of 256; 1 is compared with
    epochs: int = 2
    run: tfdl.Run = tfdl.Run()


def main(config: Config):
    run = config.run.start(config, name=f"{config.data}_accumulated")
    epochs = run.epochs(config.epochs)

    # train
    def trained(micro_batches):
        data = images.load(config.data, batch_size=BATCH, image_size=32, seed=run.seed, limit=run.limit)
        keras.utils.set_random_seed(run.seed)
        with run.scope():
            model = tfdl.build("lenet", "lenet5", image_shape=data.image_shape, num_classes=data.num_classes)
            model.compile(keras.optimizers.SGD(0.1, momentum=0.9, global_clipnorm=1.0), CrossEntropy())
        exact(model, accumulate=micro_batches)
        costs = model.fit(data.train, epochs=epochs, verbose=0, shuffle=False).history["loss"]
        return model.get_weights(), np.array(costs)

    found = {k: trained(k) for k in config.micro_batches}

    # compare
    first = found[config.micro_batches[0]][0]
    gaps = {k: max(np.abs(a - b).max() for a, b in zip(weights, first)) for k, (weights, _) in found.items()}
    costs = {f"{k} micro-batches": costs for k, (_, costs) in found.items()}
    run.show("training_cost", curves(costs, x_label="epoch", y_label="training cost (nats)", log_y=True))
    return run.finish(None, {f"difference/{k}": gap for k, gap in gaps.items() if k > 1})


if __name__ == "__main__":
    launch(main, Config)
