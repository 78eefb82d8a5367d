"""Derivatives by the chain rule, finite differences and Taylor series, and descent methods at minima and saddle points.

Stage 1 (foundation) - Griewank and Walther 2008, "Evaluating Derivatives"; Nocedal and Wright 2006, chapters 2, 3, 8
Run:     tfdl run differentiate
Expect:  gradients right to 1e-10; Rosenbrock's minimum in 21374 steps of descent, 1943 with momentum, 6 of Newton
"""

from dataclasses import dataclass

import numpy as np

import tfdl
from tfdl.figures.curves import curves
from tfdl.figures.surfaces import heights, surface
from tfdl.foundations.autodiff import Tensor, draw, grad, log_softmax, sigmoid, sin, softmax
from tfdl.foundations.calculus import SURFACES, difference_errors, gradcheck, taylor
from tfdl.foundations.convolution import conv2d

# Functions whose derivatives are checked, and the shapes of their inputs; softmax_twice checks second derivatives.
OPERATIONS = {
    "matmul": (lambda x, y: x @ y, [(5, 2, 3), (3, 4)]),
    "log_softmax": (log_softmax, [(2, 3)]),
    "conv2d": (lambda x, kernel: conv2d(x, kernel, stride=2, padding="same"), [(2, 5, 6, 3), (3, 2, 3, 4)]),
    "softmax_twice": (lambda x: grad(softmax(x)[:, 0].sum(), x, create_graph=True), [(2, 3)]),
}
# Learning rates, and what the paths show; at Rosenbrock's minimum descent is stable up to 2 / curvature = 2 / 1002.
DESCENTS = {
    "rosenbrock": (1.5e-3, "Newton needs few steps to Rosenbrock's minimum"),
    "saddle": (0.1, "Newton stops at the saddle, the others pass it"),
}


@dataclass(frozen=True, kw_only=True)
class Config:
    """Compute derivatives and follow them to minima."""

    momentum: float = 0.9
    """of gradient descent with momentum, from 0 to below 1"""
    steps: int = 40_000
    """largest number of gradient descent steps"""
    order: int = 13
    """highest order of sin's Taylor polynomials"""
    run: tfdl.Run = tfdl.Run()


def main(config: Config):
    run = config.run.start(config, name="differentiate")

    # The recorded computation of a neuron, and its gradient by one backward pass
    inputs = Tensor(np.array([1.0, 2.0]), name="inputs")
    weights = Tensor(np.array([0.5, -0.25]), name="weights")
    neuron = sigmoid(inputs @ weights)
    print(draw(neuron))
    print(f"gradient of the weights: {grad(neuron, weights).value}")

    # The chain rule against central differences
    normal = np.random.default_rng(run.seed).normal
    metrics = {}
    for name, (function, shapes) in OPERATIONS.items():
        arrays = [normal(size=shape) for shape in shapes]
        metrics[f"error_{name}"] = gradcheck(function, *arrays)

    # Finite differences against the exact derivative
    errors = difference_errors(np.sin, np.cos, 1.0, np.logspace(-15, 0, 91))
    for scheme, (_, error) in errors.items():
        metrics[f"error_{scheme}_best"] = error.min()
    title = "Smaller steps are better until rounding takes over"
    figure = curves(errors, x_label="step h", y_label="error of sin'(1)", log_x=True, log_y=True, title=title)
    run.show("differences", figure)

    # Taylor polynomials of sin at 0
    x = np.linspace(-9, 9, 721)
    coefficients = taylor(sin, 0.0, config.order)
    polynomials = {"sin x": (x, np.sin(x))}
    for order in (1, 3, 7, 13):
        if order <= config.order:
            y = np.polyval(coefficients[order::-1], x)
            polynomials[f"order {order}"] = (x, np.where(np.abs(y) < 3, y, np.nan))
    title = "Each order follows the sine farther"
    run.show("taylor", curves(polynomials, x_label="x (radians)", y_label="Taylor polynomials of sin", title=title))

    # Optimization paths
    steps = 100 if config.run.smoke else config.steps
    for name, (learning_rate, title) in DESCENTS.items():
        place = SURFACES[name]
        descents = place.optimization_paths(rate=learning_rate, momentum=config.momentum, steps=steps)
        paths = {}
        for method, descent in descents.items():
            paths[method] = descent.points
            metrics[f"{name}_{method.lower().replace(' ', '_')}_steps"] = descent.steps
        run.show(name, surface(place.function, paths, **place.picture, title=title))
        run.show(f"{name}_heights", heights(place.function, paths, minima=place.minima, title=title))
    return run.finish(None, metrics)


if __name__ == "__main__":
    tfdl.launch(main, Config)
