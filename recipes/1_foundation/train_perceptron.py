"""A line that learns from its mistakes: two irises told apart, the proof in numbers, and XOR, where no line helps.

Stage 1 (foundation) - the perceptron, Rosenblatt 1958, and its bound, Novikoff 1962
Run:     tfdl run train_perceptron
Expect:  accuracy 1.0 after 9 mistakes on four features, where Novikoff's bound allows 150; on XOR never above 0.75
"""

from dataclasses import dataclass

import numpy as np

import tfdl
from tfdl.data.embedded import iris
from tfdl.figures.curves import curves
from tfdl.figures.decisions import decision
from tfdl.foundations import perceptron
from tfdl.train.command_line import launch

CORNERS, XOR = np.array([[-1, -1], [-1, 1], [1, -1], [1, 1]]), np.array([-1, 1, 1, -1])


@dataclass(frozen=True, kw_only=True)
class Config:
    run: tfdl.Run = tfdl.Run()


def main(config: Config):
    run = config.run.start(config, name="perceptron")

    # data: setosa -1, versicolor +1, in random order
    points, species, names = iris()
    order = np.random.default_rng(run.seed).permutation(np.flatnonzero(species < 2))
    flowers, labels = points[order], 2 * species[order] - 1
    sepals = flowers[:, :2]  # these two alone leave a narrow gap; with their mean at 0 it matters less
    views = {"four_features": flowers, "sepals": sepals, "sepals_centered": sepals - sepals.mean(axis=0)}

    # train
    metrics, runs = {}, {name: perceptron.train(points, labels) for name, points in views.items()}
    for name, points in views.items():
        run.curve(f"accuracy/{name}", right := perceptron.accuracy(runs[name].history, points, labels))
        metrics |= {f"{name}_accuracy": right[-1], f"{name}_mistakes": sum(runs[name].mistakes),
                    f"{name}_bound": perceptron.novikoff_bound(points, labels)}  # fmt: skip
    xor, history = perceptron.train(CORNERS, XOR), runs["sepals"].history
    right = perceptron.accuracy(xor.history, CORNERS, XOR)
    metrics |= {"xor_best_accuracy": right.max(), "xor_weights_repeat_after_epochs": xor.cycle}

    # figures
    run.show("iris", decision(lambda x: perceptron.scores(history[-1], x), sepals, labels, path=history,
                              names=names[:2], x_label="sepal length (cm)", y_label="sepal width (cm)"))  # fmt: skip
    run.show("xor", decision(lambda x: perceptron.scores(xor.history[right.argmax()], x), CORNERS, XOR,
                             names=("0", "1"), x_label="bit 1", y_label="bit 2", path=xor.history))  # fmt: skip
    gamma, m = perceptron.widest_margin(sepals, labels)[1], np.geomspace(1, bound := metrics["sepals_bound"], 99)
    lengths = np.linalg.norm(history[1:], axis=1)
    wedge = {"√M R, at most": (m, np.sqrt(m * bound) * gamma), "|w|": lengths, "M γ, at least": (m, m * gamma)}
    run.show("novikoff", curves(wedge, x_label="mistakes M", y_label="length of the weights", log_x=True, log_y=True))
    return run.finish(None, metrics)


if __name__ == "__main__":
    launch(main, Config)
