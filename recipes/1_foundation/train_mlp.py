"""Train a multi-layer perceptron on handwritten digits, look at what its first layer has learned, and export it.

Stage 1 (foundation) - Rumelhart et al. 1986, Nature 323; 800 hidden units: Simard et al. 2003, ICDAR (1.6 % error)
Run:     tfdl run train_mlp
Expect:  test error 0.0162 on MNIST in 3 minutes on two CPU cores (seeds 1, 2; --variant simard_800: 0.0174)
"""

from dataclasses import dataclass

import keras
import numpy as np

import tfdl
from tfdl.data import images
from tfdl.export.card import write_card
from tfdl.figures import curves, pictures
from tfdl.models.foundation.mlp import mlp
from tfdl.train.command_line import launch


@dataclass(frozen=True, kw_only=True)
class Config:
    variant: str = "simard_800_dropout"  # row of VARIANTS: tfdl show mlp
    data: str = "mnist"  # or digits, fashion_mnist ...
    epochs: int = 20
    run: tfdl.Run = tfdl.Run()


def main(config: Config):
    run = config.run.start(config, name=f"{config.data}_mlp_{config.variant}")
    # data
    data = images.load(config.data, batch_size=128, seed=run.seed, position=run.position, limit=run.limit)
    updates = (epochs := run.epochs(config.epochs)) * len(data.train)
    # model
    with run.scope():
        model = mlp(config.variant, image_shape=data.image_shape, num_classes=data.num_classes)
        optimizer = keras.optimizers.AdamW(keras.optimizers.schedules.CosineDecay(1e-3, updates), weight_decay=0.1)
        model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    # train
    model.fit(data.train, validation_data=data.validation, epochs=epochs, shuffle=False, verbose=run.verbose,
              callbacks=run.prepare(model, data, epochs=epochs), initial_epoch=run.initial_epoch)  # fmt: skip
    run.load_best(model)
    metrics = {f"test_{name}": x for name, x in model.evaluate(data.test, return_dict=True, verbose=0).items()}
    metrics["test_error"] = 1 - metrics["test_accuracy"]
    # figures
    series = {key: [row[key] for row in run.log.rows()] for key in ("loss", "val_loss")}
    run.show("loss", curves.curves(series, x_label="epoch", y_label="cross-entropy (nats)", log_y=True))
    weights = model.get_layer("hidden0").get_weights()[0].T[:48].reshape(-1, *data.image_shape)
    gray = 0.5 + 0.5 * weights / np.abs(weights).max((1, 2, 3), keepdims=True)
    run.show("filters", pictures.picture_grid(gray, title="weights of hidden units: black negative, white positive"))
    # export
    report = tfdl.export_model(model, run.folder / "export", representative=data.validation, labels=data.labels)
    write_card(run.folder / "MODEL_CARD.md", title=run.name, report=report, metrics=metrics, command=run.command,
               summary=f"Images: {', '.join(data.labels)}.", data=f"{data.counts} images of {data.name}.")  # fmt: skip
    return run.finish(model, metrics, export=report)


if __name__ == "__main__":
    launch(main, Config)
