"""Estimate parameters from data: Bayes' rule, the posterior of a coin, and how often confidence intervals are right.

Stage 1 (foundation) - Wasserman 2004, "All of Statistics", chapters 6 and 11; Gigerenzer 2002, "Calculated Risks"
Run:     tfdl run estimate_parameters
Expect:  probability of illness after one positive test 0.092, after two 0.502; coverage of 95 % intervals 0.951
"""

from dataclasses import dataclass

import numpy as np

import tfdl
from tfdl.figures import densities
from tfdl.foundations.inference import bayes, beta_bernoulli, mean_interval, monte_carlo
from tfdl.foundations.probability import Bernoulli, Beta, Normal

# A medical test, Gigerenzer 2002: the fraction of ill people, and how many of ill and of healthy people test positive.
ILL, POSITIVE_IF_ILL, POSITIVE_IF_HEALTHY = 0.01, 0.90, 0.09
SIZES = (5, 2, 3, 10, 20, 50, 100)  # of the samples whose mean is estimated; the first is drawn in detail
TOSSES = (0, 4, 40, 400)  # after which the posterior of the coin is drawn


@dataclass(frozen=True, kw_only=True)
class Config:
    """Estimate parameters with their uncertainty."""

    heads: float = 0.7
    """true probability of heads, from 0 to 1"""
    prior: tuple[float, float] = (2.0, 2.0)
    """alpha and beta of the Beta prior: as if so many heads and tails had been seen, plus one each"""
    level: float = 0.95
    """of the intervals, above 0 and below 1"""
    repetitions: int = 20_000
    """samples of each size (a smoke run has 500)"""
    run: tfdl.Run = tfdl.Run()


def main(config: Config):
    run = config.run.start(config, name="estimate_parameters")
    repetitions = 500 if config.run.smoke else config.repetitions
    rng = np.random.default_rng(run.seed)

    # Confidence intervals of the mean of normal samples: Student's allow for the estimated standard deviation
    student, normal = {}, {}
    for size in SIZES:
        samples = Normal().sample((repetitions, size), seed=rng)  # of mean 0
        student[size] = mean_interval(samples, level=config.level)
        normal[size] = monte_carlo(samples).interval(config.level)
    low, high = student[SIZES[0]]
    metrics = {"coverage": np.mean((low < 0) & (high > 0))}

    # Bayes' rule: the probability of illness after a positive test
    for tests in (1, 2):
        likelihood = [POSITIVE_IF_ILL**tests, POSITIVE_IF_HEALTHY**tests]
        metrics[f"ill_if_{tests}_positive"] = bayes([ILL, 1 - ILL], likelihood)[0]

    # The posterior of a coin's probability of heads
    tosses = Bernoulli(config.heads).sample((TOSSES[-1],), seed=rng)
    posteriors = {}
    for count in TOSSES:
        posteriors[f"{count} tosses"] = beta_bernoulli(Beta(*config.prior), tosses[:count])
    metrics["heads_posterior_mean"] = posteriors[f"{TOSSES[-1]} tosses"].mean

    # Figures
    figure = densities.coverage(
        {"Student's t": student, "normal": normal},
        truth=0,
        x_label="mean",
        level=config.level,
        title="Student's intervals keep their level in small samples",
    )
    run.show("coverage", figure)
    figure = densities.beliefs(
        posteriors,
        x_range=(0, 1),
        x_label="probability of heads",
        truth=config.heads,
        level=config.level,
        title="Every toss narrows the posterior",
    )
    run.show("coin", figure)
    return run.finish(None, metrics)


if __name__ == "__main__":
    tfdl.launch(main, Config)
