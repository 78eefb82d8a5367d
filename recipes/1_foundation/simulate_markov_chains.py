"""Markov chains: weather that converges to its stationary distribution, and the Metropolis algorithm for a posterior.

Stage 1 (foundation) - Metropolis et al. 1953, J. Chem. Phys. 21; Wasserman 2004, "All of Statistics", chapters 23, 24
Run:     tfdl run simulate_markov_chains
Expect:  sun on 0.6 of all days; posterior mean 0.6427 by Metropolis, 0.6429 exact; 0.45 of the steps accepted (seed 0)
"""

from dataclasses import dataclass

import numpy as np

import tfdl
from tfdl.figures.curves import curves
from tfdl.figures.densities import histograms
from tfdl.foundations.inference import metropolis, propagate, stationary
from tfdl.foundations.probability import Beta

POSTERIOR = Beta(9, 5)  # of a coin's probability of heads: 7 heads and 3 tails after the prior Beta(2, 2)


@dataclass(frozen=True, kw_only=True)
class Config:
    """Follow two Markov chains to their stationary distributions."""

    stays_sunny: float = 0.8
    """probability of sun after a day of sun, from 0 to 1"""
    becomes_sunny: float = 0.3
    """probability of sun after a day of rain, from 0 to 1"""
    days: int = 9
    """days of weather to simulate"""
    chains: int = 100
    """Metropolis chains, all of which start at probability 0.05"""
    steps: int = 2_000
    """of each chain (a smoke run has 200)"""
    burn_in: int = 100
    """first steps to discard, which depend on the start"""
    scale: float = 0.3
    """standard deviation of a proposed step"""
    run: tfdl.Run = tfdl.Run()


def main(config: Config):
    if config.chains < 1:
        raise ValueError(f"--chains is {config.chains}; give 1 or more.")
    run = config.run.start(config, name="markov_chains")
    steps = 200 if config.run.smoke else config.steps
    if not 0 < config.burn_in < steps:
        raise ValueError(f"--burn-in is {config.burn_in}; give 1 or more, below the {steps} steps of a chain.")

    # Weather: states are sun and rain; every row of the transition matrix sums to 1
    transition = np.array(
        [
            [config.stays_sunny, 1 - config.stays_sunny],
            [config.becomes_sunny, 1 - config.becomes_sunny],
        ]
    )
    after_sun, after_rain = propagate(np.eye(2), transition, steps=config.days)[..., 0].T
    limit = stationary(transition)[0]
    metrics = {"sun_in_the_long_run": limit, "sun_on_the_last_day_after_rain": after_rain[-1]}

    # Metropolis: draws from a density that need not be normalized
    starts = np.full(config.chains, 0.05)
    draws, accepted = metropolis(POSTERIOR.log_density, starts, steps=steps, scale=config.scale, seed=run.seed)
    kept = draws[config.burn_in :].ravel()
    metrics["accepted_fraction"] = accepted.mean()
    metrics["posterior_mean"] = POSTERIOR.mean
    metrics["posterior_mean/metropolis"] = kept.mean()

    # Figures
    days = np.arange(config.days + 1)
    figure = curves(
        {"after sun": (days, after_sun), "after rain": (days, after_rain)},
        x_label="day",
        y_label="probability of sun",
        levels={"stationary": limit},
        title="The weather does not depend on the first day for long",
    )
    run.show("weather", figure)
    traces = {}
    for number in range(min(3, config.chains)):
        traces[f"chain {number + 1}"] = draws[: config.burn_in, number]
    title = "Metropolis chains leave their start"
    run.show("traces", curves(traces, x_label="step", y_label="probability of heads", title=title))
    panels = {
        f"steps 1 to {config.burn_in}": (draws[: config.burn_in].ravel(), POSTERIOR),
        f"steps {config.burn_in + 1} to {steps}": (kept, POSTERIOR),
    }
    title = "Later draws follow the posterior (black)"
    run.show("posterior", histograms(panels, x_label="probability of heads", title=title))
    return run.finish(None, metrics)


if __name__ == "__main__":
    tfdl.launch(main, Config)
