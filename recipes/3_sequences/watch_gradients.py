"""The vanishing gradient: how much of the loss's gradient is left k steps back, before and after training.

Stage 3 (sequential data) - Hochreiter 1991; Bengio et al. 1994, IEEE Trans. Neural Networks 5(2); Pascanu et al. 2013,
arXiv:1211.5063, section 2
Run:     tfdl run watch_gradients
Expect:  untrained, each step back multiplies the gradient by 0.79 where all singular values are 0.8 (the bound), by
         0.96 where they are 1 and by 1.04 where they are 1.2, by 0.82 in an LSTM and by 0.63 in a GRU; trained, by 0.99
         in the LSTM and 0.98 in the GRU, which learn to add, and by less than 0.6 in the others, which do not; in 4.9
         minutes on two CPU cores that other programs shared (one run, seed 0)
"""

from dataclasses import dataclass
from functools import partial

import keras
import numpy as np

import tfdl
from tfdl.data import adding_problem
from tfdl.explain.state_gradients import decay_bound, decay_per_step, gradient_norms
from tfdl.figures.curves import curve_panels


@dataclass(frozen=True, kw_only=True)
class Config:
    """Follow gradients back through the steps of recurrent networks that learn to add two numbers."""

    singular_values: tuple[float, ...] = (0.8, 1.0, 1.2)
    """of the recurrent matrix of the vanilla networks, all of which are equal before training"""
    length: int = 50
    """steps of a sequence"""
    examples: int = 10_000
    """new sequences in each epoch"""
    batch_size: int = 50
    """sequences per update"""
    learning_rate: float = 0.005
    """of Adam"""
    clipnorm: float = 1.0
    """largest norm of the gradients together: where they explode, they would throw the weights far off"""
    epochs: int = 5
    """passes, each over new sequences"""
    run: tfdl.Run = tfdl.Run()


def main(config: Config):
    run = config.run.start(config, name="gradients")

    # Data
    data = adding_problem.load(
        length=config.length,
        batch_size=config.batch_size,
        examples=config.examples,
        run=run,
    )

    # Models
    def compiled(variant, singular_value=1.0):
        model = tfdl.build("recurrent_regressor", variant, input_shape=(config.length, 2))
        matrix = model.get_layer("layer0").scan.cell.recurrent.kernel  # orthogonal
        matrix.assign(singular_value * matrix)
        model.compile(keras.optimizers.Adam(config.learning_rate, global_clipnorm=config.clipnorm), loss="mse")
        return model

    models = {f"vanilla_{value}": partial(compiled, "vanilla", value) for value in config.singular_values}
    models |= {"lstm": partial(compiled, "lstm"), "gru": partial(compiled, "gru")}

    # Measure, train, and measure again
    numbers, sums = next(iter(data.validation))

    def norms(model):
        def loss(states):
            return keras.ops.mean(keras.ops.square(model.get_layer("head")(states) - sums), axis=-1)

        return gradient_norms(model.get_layer("layer0"), numbers, loss)

    untrained = {}
    for name, make in models.items():
        keras.utils.set_random_seed(run.seed)
        untrained[name] = make()
    results = run.compare(data, models, epochs=config.epochs)
    trained = {name: result.model for name, result in results.items()}

    panels, metrics = {}, {}
    for title, networks in (("untrained", untrained), ("trained", trained)):
        found = {name: norms(model) for name, model in networks.items()}
        panels[title] = {name: (np.arange(config.length), values / values[0]) for name, values in found.items()}
        for name, model in networks.items():
            metrics[f"decay_{title}/{name}"] = decay_per_step(found[name])
            if name.startswith("vanilla"):
                metrics[f"bound_{title}/{name}"] = decay_bound(model.get_layer("layer0"))
    for name, result in results.items():
        metrics[f"test_loss/{name}"] = result.metrics["test_loss"]

    # Figure
    figure = curve_panels(
        panels,
        x_label="steps back",
        y_label="norm of the gradient",
        log_y=True,
        title="Gradients through time, relative to the last step",
    )
    run.show("gradients", figure)
    return run.finish(None, metrics)


if __name__ == "__main__":
    tfdl.launch(main, Config)
