"""What data tell: Bayes' rule, intervals and how often they hold, averages of chance, and how briefly a text is said.

Stage 1 (foundation) - Wasserman 2004, "All of Statistics"; Cover and Thomas 2006, "Elements of Information Theory"
Run:     tfdl run infer
Expect:  ill after one positive test: 0.092; coverage 0.951; pi 3.140 +- 0.002; entropy 4.93, code 4.95 bits
"""

from dataclasses import dataclass

import numpy as np
from sklearn.datasets import load_digits

import tfdl
from tfdl.figures import curves, densities
from tfdl.foundations import inference
from tfdl.foundations import information_theory as info
from tfdl.foundations.probability import Bernoulli, Beta, Gamma, Normal
from tfdl.train.command_line import launch


@dataclass(frozen=True, kw_only=True)
class Config:
    run: tfdl.Run = tfdl.Run()


def main(config: Config):
    run = config.run.start(config, name="infer")
    rng, repeats, digits = np.random.default_rng(run.seed), 500 if run.run.smoke else 20_000, load_digits()

    # beliefs: ill?  1 % are; 90 % of them test positive and 9 % of the others (Gigerenzer 2002).  A mean; a coin
    metrics = {f"ill_if_{n}_positive": inference.bayes([0.01, 0.99], np.power([0.90, 0.09], n))[0] for n in (1, 2)}
    samples = {n: Normal().sample((repeats, n), seed=rng) for n in (5, 2, 3, 10, 20, 50, 100)}  # of mean 0
    student = {n: inference.mean_interval(x) for n, x in samples.items()}
    normal = {n: inference.monte_carlo(x).interval() for n, x in samples.items()}
    run.show("coverage", densities.coverage({"Student's t": student, "normal": normal}, truth=0, x_label="mean"))
    tosses = Bernoulli(0.7).sample((400,), seed=rng)
    coins = {f"{n} tosses": inference.beta_bernoulli(Beta(2, 2), tosses[:n]) for n in (0, 4, 40, 400)}
    run.show("coin", densities.beliefs(coins, x_range=(0, 1), x_label="probability of heads", truth=0.7))
    # averages: a circle's area from random points, means of waiting times, the weather in the long run
    pi = inference.running_monte_carlo(4.0 * ((rng.random((50 * repeats, 2)) ** 2).sum(-1) < 1))
    run.show("pi", densities.settling(pi.value, *pi.interval(), truth=np.pi, y_label="estimate of pi"))
    means = {n: inference.standardized_means(Gamma(1), size=n, repetitions=repeats, seed=rng) for n in (1, 3, 10, 100)}
    run.show("averages", densities.histograms({f"mean of {n}": (x, Normal()) for n, x in means.items()}, x_label="z"))
    sun = inference.propagate(np.eye(2), [[0.8, 0.2], [0.3, 0.7]], steps=9)[..., 0].T  # it stays on 80 %, comes on 30 %
    run.show("weather", curves.curves(dict(zip(("after sun", "after rain"), sun)), x_label="day", y_label="P(sun)"))
    # information: a text and its code, what a pixel tells of its digit, how far the ink of the digits differs
    counts = dict(zip(*np.unique([*digits.DESCR], return_counts=True)))
    run.show("code", densities.code_lengths(counts, code := info.huffman_code(counts)))
    told = info.mutual_information(info.joint_table(digits.data // 4, digits.target), base=info.BITS).reshape(8, 8)
    ink = inference.Dirichlet(1 + np.eye(10)[digits.target].T @ digits.data).mean  # (10, 64), smoothed: none is 0
    maps = {"a pixel on its digit (bits)": told, "KL of two digits' ink (nats)": info.kl_divergence(ink[:, None], ink)}
    run.show("digits", densities.heat_maps(maps))
    share = np.array([*counts.values()]) / len(digits.DESCR)
    metrics |= {"coverage": np.mean(np.prod(student[5], 0) < 0), "pi": pi.value[-1], "pi_error": pi.standard_error[-1]}
    metrics |= {"entropy_bits": info.entropy(share, base=info.BITS), "huffman_bits": info.mean_length(counts, code)}
    return run.finish(None, metrics)


if __name__ == "__main__":
    launch(main, Config)
