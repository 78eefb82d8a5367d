"""Linear, logistic and softmax regression by gradient descent, and polynomials until they fit the noise as well.

Stage 1 (foundation) - Goodfellow et al. 2016, "Deep Learning", sections 4.3, 5.1.4, 5.2 and 6.2.2
Run:     tfdl run fit_regression
Expect:  training accuracy 0.94 of two species, 0.953 of three; error of a polynomial of degree 5 on new points 0.24, of
         degree 12 0.35 (seed 0)
"""

from dataclasses import dataclass

import numpy as np

import tfdl
from tfdl.data.embedded import iris
from tfdl.figures.curves import curves
from tfdl.figures.decisions import decision
from tfdl.figures.fits import fits
from tfdl.foundations.autodiff import Tensor, grad, log, log_softmax, sigmoid
from tfdl.foundations.calculus import gradient_descent
from tfdl.foundations.linear_systems import least_squares

DRAWN = (1, 3, 12)  # degrees of the polynomials in the figure


@dataclass(frozen=True, kw_only=True)
class Config:
    """Fit lines, classes and polynomials."""

    learning_rate: float = 0.2
    """of gradient descent"""
    steps: int = 2_000
    """updates of gradient descent, at most (a smoke run has 100)"""
    samples: int = 15
    """points to which the polynomials are fitted, at least 13"""
    noise: float = 0.2
    """standard deviation of the noise in these points"""
    run: tfdl.Run = tfdl.Run()


def main(config: Config):
    if config.samples <= max(DRAWN):
        raise ValueError(f"--samples is {config.samples}; give {max(DRAWN) + 1} or more, one for each coefficient.")
    if config.noise < 0:
        raise ValueError(f"--noise is {config.noise}; give a standard deviation of 0 or more.")
    if config.steps < 1:
        raise ValueError(f"--steps is {config.steps}; give 1 or more.")
    run = config.run.start(config, name="regression")

    # Data: length and width of petals, standardized; 1 is the feature whose weight is the bias
    flowers, species, names = iris()
    petals = flowers[:, 2:]
    petals = (petals - petals.mean(axis=0)) / petals.std(axis=0)
    lengths, widths = petals.T
    ones = np.ones(len(petals))

    # Linear regression: the width from the length, by the mean squared error; one step of algebra gives the same
    line_features = np.stack([lengths, ones], axis=1)

    def squared_error(weights):
        return ((line_features @ weights - widths) ** 2).mean()

    line, line_losses = descend(squared_error, 2, config)
    solution = least_squares(line_features, widths)
    metrics = {"linear/squared_error": line_losses[-1], "linear/difference": np.abs(line - solution).max()}

    # Logistic regression: two species, by the cross-entropy -log P(label)
    two = species > 0
    labels = np.where(species[two] == 2, 1.0, -1.0)
    two_features = np.column_stack([petals, ones])[two]

    def logistic_loss(weights):
        return -log(sigmoid(labels * (two_features @ weights))).mean()

    border, logistic_losses = descend(logistic_loss, 3, config)
    metrics["logistic/cross_entropy"] = logistic_losses[-1]
    metrics["logistic/training_accuracy"] = np.mean(np.sign(two_features @ border) == labels)

    # Softmax regression: all three species, with a column of weights for each
    features = np.column_stack([petals, ones])
    one_hot = np.eye(3)[species]

    def softmax_loss(weights):
        return -(one_hot * log_softmax(features @ weights.reshape(3, 3))).sum(axis=1).mean()

    columns, softmax_losses = descend(softmax_loss, 9, config)
    columns = columns.reshape(3, 3)
    metrics["softmax/cross_entropy"] = softmax_losses[-1]
    metrics["softmax/training_accuracy"] = np.mean((features @ columns).argmax(axis=1) == species)

    # Overfitting: polynomials of rising degree through a few noisy points of a sine
    rng = np.random.default_rng(run.seed)
    x = np.linspace(-1, 1, config.samples)
    y = np.sin(np.pi * x) + config.noise * rng.normal(size=config.samples)
    grid = np.linspace(-1, 1, 401)
    truth = np.sin(np.pi * grid)
    degrees = np.arange(1, max(DRAWN) + 1)
    training, test, panels = [], [], {}
    for degree in degrees:
        coefficients = least_squares(np.vander(x, degree + 1), y)
        fitted = np.polyval(coefficients, grid)
        training.append(np.sqrt(np.mean((np.polyval(coefficients, x) - y) ** 2)))
        test.append(np.sqrt(np.mean((fitted - truth) ** 2) + config.noise**2))  # of new points with the same noise
        if degree in DRAWN:
            panels[f"degree {degree}"] = {"fit": (grid, fitted), "truth": (grid, truth)}
    metrics["polynomial/best_degree"] = degrees[np.argmin(test)]
    metrics["polynomial/best_test_error"] = min(test)
    metrics["polynomial/last_training_error"] = training[-1]
    metrics["polynomial/last_test_error"] = test[-1]

    # Figures: regression and classification
    shown = np.linspace(lengths.min(), lengths.max(), 201)
    fitted_widths = line[0] * shown + line[1]
    words = {"x_label": "petal length (standardized)", "y_label": "petal width (standardized)"}
    panels_of_line = {"": {"fit": (shown, fitted_widths)}}
    run.show("line", fits(petals, panels_of_line, **words, title="Longer petals are wider: linear regression"))
    figure = decision(
        lambda points: np.column_stack([points, np.ones(len(points))]) @ border,
        petals[two],
        labels,
        names=names[1:],
        **words,
        title="Logistic regression draws a line between two species",
    )
    run.show("logistic", figure)
    scores = np.column_stack([shown, fitted_widths, np.ones(len(shown))]) @ columns
    probabilities = np.exp(log_softmax(Tensor(scores)).value)
    series = {name: (shown, probabilities[:, number]) for number, name in enumerate(names)}
    title = "Softmax: three probabilities that sum to 1"
    run.show("softmax", curves(series, x_label=words["x_label"], y_label="probability of the species", title=title))
    losses = {"linear": line_losses, "logistic": logistic_losses, "softmax": softmax_losses}
    title = "Gradient descent lowers every loss"
    figure = curves(losses, x_label="point on the path (1 is the start)", y_label="loss", log_x=True, title=title)
    run.show("losses", figure)

    # Figures: overfitting
    title = "Degree 1 is too stiff, degree 12 follows the noise"
    figure = fits(np.stack([x, y], axis=1), panels, x_label="x", y_label="y", y_range=(-2, 2), title=title)
    run.show("polynomials", figure)
    errors = {"training": (degrees, training), "new points": (degrees, test)}
    title = "The training error falls on, the test error rises again: overfitting"
    figure = curves(errors, x_label="degree", y_label="root mean squared error", log_y=True, title=title)
    run.show("overfitting", figure)
    return run.finish(None, metrics)


def descend(loss, count, config):
    """Gradient descent from `count` weights of 0.  -> the weights at the end, the losses on the way."""

    def gradient(point):
        weights = Tensor(point)
        return grad(loss(weights), weights).value

    steps = 100 if config.run.smoke else config.steps
    descent = gradient_descent(gradient, np.zeros(count), rate=config.learning_rate, steps=steps)
    return descent.points[-1], [float(loss(Tensor(point)).value) for point in descent.points]


if __name__ == "__main__":
    tfdl.launch(main, Config)
