"""Hypothesis tests: p-values with and without an effect, the power of a test, and tests of flowers and digits.

Stage 1 (foundation) - Wasserman 2004, "All of Statistics", chapter 10; Student 1908; Fisher 1935; Pearson 1900
Run:     tfdl run test_hypotheses
Expect:  false positives 0.044; power 0.41 with 5 values, 0.99 with 20; irises differ, p = 0.0025 (seed 0)
"""

from dataclasses import dataclass

import numpy as np

import tfdl
from tfdl.data.embedded import digits, iris
from tfdl.figures.curves import curves
from tfdl.figures.densities import histograms
from tfdl.foundations.inference import chi_square_test, permutation_test, t_test
from tfdl.foundations.probability import Beta, Normal

EFFECTS = np.linspace(0.0, 1.5, 7)  # true means, in standard deviations; the hypothesis says 0
SIZES = (5, 10, 20, 50)  # of the samples
SHOWN = 10  # size of the samples whose p-values are drawn


@dataclass(frozen=True, kw_only=True)
class Config:
    """Measure errors and power of hypothesis tests."""

    significance: float = 0.05
    """largest p-value at which a hypothesis is rejected"""
    repetitions: int = 5_000
    """samples of each effect and size (a smoke run has 200)"""
    resamples: int = 10_000
    """permutations of the permutation test"""
    run: tfdl.Run = tfdl.Run()


def main(config: Config):
    if config.repetitions < 1:
        raise ValueError(f"--repetitions is {config.repetitions}; give 1 or more.")
    if config.resamples < 1:
        raise ValueError(f"--resamples is {config.resamples}; give 1 or more.")
    run = config.run.start(config, name="test_hypotheses")
    repetitions = 200 if config.run.smoke else config.repetitions
    rng = np.random.default_rng(run.seed)

    # How often does the t-test reject "the mean is 0"?
    power, panels = {}, {}
    for size in SIZES:
        samples = Normal().sample((len(EFFECTS), repetitions, size), seed=rng)
        p_values = t_test(samples + EFFECTS[:, None, None], mean=0.0).p_value  # (effects, repetitions)
        power[size] = np.mean(p_values <= config.significance, axis=-1)
        if size == SHOWN:
            for effect, values in zip(EFFECTS[:4], p_values):
                panels[f"true mean {effect:.2f}"] = (values, Beta(1, 1))
    metrics = {"false_positives": power[SHOWN][0]}
    for size in SIZES:
        metrics[f"power_at_1_sd/{size}_values"] = np.interp(1.0, EFFECTS, power[size])

    # Real data: do two kinds of iris differ in their sepals, and are all digits equally frequent?
    flowers, species, _ = iris()
    sepal_widths = flowers[:, 1]
    versicolor, virginica = sepal_widths[species == 1], sepal_widths[species == 2]
    test = permutation_test(versicolor, virginica, resamples=config.resamples, seed=run.seed)
    metrics["iris_difference_cm"] = test.statistic
    metrics["iris_p_value"] = test.p_value
    splits, labels = digits()
    counts = sum(np.bincount(split_labels, minlength=len(labels)) for _, split_labels in splits.values())
    expected = np.full(len(labels), counts.mean())
    metrics["digits_p_value"] = chi_square_test(counts, expected).p_value

    # Figures
    title = f"p-values of {SHOWN} values: uniform (black) only without an effect"
    run.show("p_values", histograms(panels, x_label="p-value", title=title))
    figure = curves(
        {f"{size} values": (EFFECTS, fraction) for size, fraction in power.items()},
        x_label="true mean (standard deviations)",
        y_label="fraction rejected",
        levels={"significance level": config.significance},
        title="Larger samples detect smaller effects",
    )
    run.show("power", figure)
    return run.finish(None, metrics)


if __name__ == "__main__":
    tfdl.launch(main, Config)
