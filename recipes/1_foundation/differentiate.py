"""Derivatives by the chain rule, by differences and by series; then downhill with them, or into a saddle.

Stage 1 (foundation) - Griewank and Walther 2008, "Evaluating Derivatives"; Nocedal and Wright 2006, chapters 2, 3, 8
Run:     tfdl run differentiate
Expect:  gradients right to 1e-10; Rosenbrock's minimum in 21374 steps of descent, 1943 with momentum, 6 of Newton
"""

from dataclasses import dataclass

import numpy as np

import tfdl
from tfdl.figures.curves import curves
from tfdl.figures.surfaces import heights, surface
from tfdl.foundations.autodiff import grad, log_softmax, sin, softmax
from tfdl.foundations.calculus import SURFACES, difference_errors, gradcheck, taylor
from tfdl.foundations.convolution import conv2d
from tfdl.train.command_line import launch

OPERATIONS = {  # name: function, shapes of its inputs
    "matmul": (lambda x, y: x @ y, [(5, 2, 3), (3, 4)]),
    "log_softmax": (log_softmax, [(2, 3)]),
    "conv2d": (lambda x, k: conv2d(x, k, stride=2, padding="same"), [(2, 5, 6, 3), (3, 2, 3, 4)]),
    "softmax_twice": (lambda x: grad(softmax(x)[:, 0].sum(), x, create_graph=True), [(2, 3)]),  # second derivatives
}
RATES = {"rosenbrock": 1.5e-3, "saddle": 0.1}  # Rosenbrock allows up to 2 / curvature = 2 / 1002 at its minimum


@dataclass(frozen=True, kw_only=True)
class Config:
    momentum: float = 0.9  # of the heavy ball
    run: tfdl.Run = tfdl.Run()


def main(config: Config):
    run = config.run.start(config, name="differentiate")
    normal, steps = np.random.default_rng(run.seed).normal, 100 if run.run.smoke else 40_000

    # compute: the engine against central differences, and these against the truth
    metrics = {f"error_{k}": gradcheck(f, *(normal(size=s) for s in shapes)) for k, (f, shapes) in OPERATIONS.items()}
    errors = difference_errors(np.sin, np.cos, 1.0, np.logspace(-15, 0, 91))
    metrics |= {f"error_{scheme}_best": error.min() for scheme, (_, error) in errors.items()}
    x, series = np.linspace(-9, 9, 721), taylor(sin, 0.0, 13)
    sines = {"sin x": np.sin(x)} | {f"order {n}": np.polyval(series[n::-1], x) for n in (1, 3, 7, 13)}

    # figures
    run.show("differences", curves(errors, x_label="step h", y_label="error of sin'(1)", log_x=True, log_y=True))
    sines = {name: (x, np.where(np.abs(y) < 3, y, np.nan)) for name, y in sines.items()}
    run.show("taylor", curves(sines, x_label="x (radians)", y_label="Taylor polynomials of sin at 0"))
    for name, rate in RATES.items():
        ways = (place := SURFACES[name]).ways_down(rate=rate, momentum=config.momentum, steps=steps)
        paths = {method: way.points for method, way in ways.items()}
        run.show(name, surface(place.function, paths, **place.picture, title=name))
        run.show(f"{name}_heights", heights(place.function, paths, minima=place.minima, title=name))
        metrics |= {f"{name}_{method.lower().replace(' ', '_')}_steps": way.steps for method, way in ways.items()}
    return run.finish(None, metrics)


if __name__ == "__main__":
    launch(main, Config)
