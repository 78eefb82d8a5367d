"""The perceptron rule: two kinds of iris, Novikoff's bound on the mistakes, and XOR, which no line can separate.

Stage 1 (foundation) - the perceptron, Rosenblatt 1958; its bound, Novikoff 1962; XOR, Rumelhart et al. 1986
Run:     tfdl run train_perceptron
Expect:  accuracy 1.0 after 9 mistakes on four features (Novikoff's bound: 150); on XOR never above 0.75, and 1.0 with a
         hidden layer
"""

from dataclasses import dataclass

import numpy as np

import tfdl
from tfdl.data.embedded import iris
from tfdl.figures.curves import curves
from tfdl.figures.decisions import decision, decision_panels
from tfdl.foundations import backpropagation, perceptron

CORNERS = np.array([[-1, -1], [-1, 1], [1, -1], [1, 1]])
XOR = np.array([-1, 1, 1, -1])


@dataclass(frozen=True, kw_only=True)
class Config:
    """Train a perceptron on two kinds of iris, and on XOR."""

    hidden: int = 4
    """units of the hidden layer that solves XOR"""
    learning_rate: float = 0.1
    """of this network, for gradient descent with momentum 0.9"""
    epochs: int = 200
    """of this network, with one update each (a smoke run has 1)"""
    run: tfdl.Run = tfdl.Run()


def main(config: Config):
    run = config.run.start(config, name="perceptron")

    # Data: setosa -1, versicolor +1, in random order
    points, species, names = iris()
    order = np.random.default_rng(run.seed).permutation(np.flatnonzero(species < 2))
    flowers, labels = points[order], 2 * species[order] - 1
    sepals = flowers[:, :2]
    views = {
        "four_features": flowers,
        "sepals": sepals,  # with these two features the margin is narrow
        "sepals_centered": sepals - sepals.mean(axis=0),  # with mean 0 this matters less
    }

    # Train
    metrics, trained = {}, {}
    for name, points in views.items():
        trained[name] = perceptron.train(points, labels)
        accuracies = perceptron.accuracy(trained[name].history, points, labels)
        run.curve(f"accuracy/{name}", accuracies)
        metrics[f"{name}_accuracy"] = accuracies[-1]
        metrics[f"{name}_mistakes"] = sum(trained[name].mistakes)
        metrics[f"{name}_bound"] = perceptron.novikoff_bound(points, labels)
    xor = perceptron.train(CORNERS, XOR)
    xor_accuracies = perceptron.accuracy(xor.history, CORNERS, XOR)
    metrics["xor_best_accuracy"] = xor_accuracies.max()
    metrics["xor_weights_repeat_after_epochs"] = xor.cycle

    # A hidden layer solves XOR; its classes are 0 and 1
    classes = (XOR + 1) // 2
    network = backpropagation.mlp((2, config.hidden, 2), activation="tanh", seed=run.seed)
    optimizer = backpropagation.Optimizer(network, rate=config.learning_rate)
    corners = [(CORNERS, classes)]
    backpropagation.train(optimizer, lambda: corners, lambda: corners, epochs=run.epochs(config.epochs))
    metrics["xor_hidden_layer_accuracy"] = 1 - backpropagation.error_rate(network, corners)

    # Figures
    history = trained["sepals"].history
    figure = decision(
        lambda x: perceptron.scores(history[-1], x),
        sepals,
        labels,
        path=history,
        names=names[:2],
        x_label="sepal length (cm)",
        y_label="sepal width (cm)",
        title="The perceptron's line, and earlier ones",
    )
    run.show("iris", figure)
    best = xor.history[xor_accuracies.argmax()]
    figure = decision(
        lambda x: perceptron.scores(best, x),
        CORNERS,
        XOR,
        path=xor.history,
        names=("0", "1"),
        x_label="bit 1",
        y_label="bit 2",
        title="XOR: every line misclassifies a corner",
    )
    run.show("xor", figure)

    def network_score(points):
        logits = network.forward(points)
        return logits[:, 1] - logits[:, 0]

    scores = {
        "the perceptron": lambda points: perceptron.scores(best, points),
        f"{config.hidden} hidden units": network_score,
    }
    figure = decision_panels(
        scores,
        CORNERS,
        XOR,
        names=("0", "1"),
        x_label="bit 1",
        y_label="bit 2",
        title="A hidden layer solves XOR",
    )
    run.show("xor_hidden_layer", figure)

    # Novikoff's bound: the length of the weights grows at least like M, and at most like the root of M
    margin = perceptron.widest_margin(sepals, labels)[1]
    bound = metrics["sepals_bound"]
    mistakes = np.geomspace(1, bound, 99)
    lengths = {
        "√M R, at most": (mistakes, np.sqrt(mistakes * bound) * margin),
        "|w|": np.linalg.norm(history[1:], axis=1),
        "M γ, at least": (mistakes, mistakes * margin),
    }
    figure = curves(
        lengths,
        x_label="mistakes M",
        y_label="length of the weights",
        log_x=True,
        log_y=True,
        title="No more mistakes beyond the point where the bounds meet",
    )
    run.show("novikoff", figure)
    return run.finish(None, metrics)


if __name__ == "__main__":
    tfdl.launch(main, Config)
