"""Averages of random samples: pi by Monte Carlo, the central limit theorem, and the probability of a rare event.

Stage 1 (foundation) - Wasserman 2004, "All of Statistics", chapters 5 and 24
Run:     tfdl run average_samples
Expect:  pi 3.141 with standard error 0.002; P(z > 4) = 3.17e-5 found as 3.19e-5 +- 0.05e-5 (seed 0)
"""

from dataclasses import dataclass

import numpy as np

import tfdl
from tfdl.figures import densities
from tfdl.foundations.inference import importance_sampling, monte_carlo, running_monte_carlo, standardized_means
from tfdl.foundations.probability import Gamma, Normal

SIZES = (1, 3, 10, 100)  # waiting times in an average


@dataclass(frozen=True, kw_only=True)
class Config:
    """Estimate expectations from random samples."""

    points: int = 1_000_000
    """random points in the square around the circle (a smoke run has 25,000)"""
    repetitions: int = 20_000
    """averages of each size (a smoke run has 500)"""
    threshold: float = 4.0
    """of the rare event, a normal variable larger than this many standard deviations"""
    run: tfdl.Run = tfdl.Run()


def main(config: Config):
    run = config.run.start(config, name="average_samples")
    points = 25_000 if config.run.smoke else config.points
    repetitions = 500 if config.run.smoke else config.repetitions
    rng = np.random.default_rng(run.seed)

    # Monte Carlo: pi is four times the fraction of points inside a quarter circle
    inside = (rng.random((points, 2)) ** 2).sum(axis=1) < 1
    pi = running_monte_carlo(4.0 * inside)
    metrics = {"pi": pi.value[-1], "pi_error": pi.standard_error[-1]}

    # The central limit theorem: averages of waiting times, which are far from normal
    averages = {}
    for size in SIZES:
        means = standardized_means(Gamma(1), size=size, repetitions=repetitions, seed=rng)
        averages[f"mean of {size}"] = (means, Normal())

    # A rare event: plain samples hardly ever contain it, samples around the threshold do
    def exceeds(x):
        return x > config.threshold

    plain = monte_carlo(exceeds(Normal().sample((repetitions,), seed=rng)))
    proposal = Normal(config.threshold, 1.0)
    weighted = importance_sampling(exceeds, Normal(), proposal, draws=repetitions, seed=rng)
    metrics["rare_event"] = Normal().cdf(-config.threshold)
    metrics["rare_event/plain"] = plain.value
    metrics["rare_event/importance_sampling"] = weighted.value
    metrics["rare_event/importance_sampling_error"] = weighted.standard_error

    # Figures
    figure = densities.settling(
        pi.value,
        *pi.interval(),
        truth=np.pi,
        y_label="estimate of pi",
        title="100 times the points reduce the error to a tenth",
    )
    run.show("pi", figure)
    title = "Averages of waiting times become normal (black)"
    run.show("averages", densities.histograms(averages, x_label="standardized mean", title=title))
    return run.finish(None, metrics)


if __name__ == "__main__":
    tfdl.launch(main, Config)
