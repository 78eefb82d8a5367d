"""Entropy and Huffman code of a text, mutual information of pixels and digits, and divergence between digits.

Stage 1 (foundation) - Shannon 1948; Huffman 1952; Cover and Thomas 2006, "Elements of Information Theory", 2 and 5
Run:     tfdl run measure_information
Expect:  entropy 4.93 bits per character, Huffman code 4.95; the most informative pixel has 0.57 bits about the digit
"""

from collections import Counter
from dataclasses import dataclass

import numpy as np
from sklearn.datasets import load_digits

import tfdl
from tfdl.figures import densities
from tfdl.foundations.inference import Dirichlet
from tfdl.foundations.information_theory import (
    BITS,
    entropy,
    expected_length,
    huffman_code,
    joint_table,
    kl_divergence,
    mutual_information,
)


@dataclass(frozen=True, kw_only=True)
class Config:
    """Measure the information in a text and in images of digits."""

    levels: int = 5
    """gray levels of a pixel, 2 to 17; with many levels the information is overestimated"""
    run: tfdl.Run = tfdl.Run()


def main(config: Config):
    if not 2 <= config.levels <= 17:
        raise ValueError(f"--levels is {config.levels}; give 2 to 17.")
    run = config.run.start(config, name="information")

    # Data: images of 8 x 8 pixels from 0 to 16, and the text that describes them
    digits = load_digits()
    counts = Counter(digits.DESCR)

    # A text: the expected length of its Huffman code is at least the entropy
    code = huffman_code(counts)
    frequencies = np.array(list(counts.values())) / len(digits.DESCR)
    metrics = {"entropy_bits": entropy(frequencies, base=BITS), "huffman_bits": expected_length(counts, code)}

    # A pixel: its mutual information with the digit
    levels = digits.data * config.levels // 17
    pixels = mutual_information(joint_table(levels, digits.target), base=BITS).reshape(8, 8)
    metrics["best_pixel_bits"] = pixels.max()

    # Two digits: the divergence between their distributions of ink, plus one unit so that no probability is 0
    one_hot = np.eye(10)[digits.target]
    ink = Dirichlet(1 + one_hot.T @ digits.data).mean  # (10, 64)
    divergence = kl_divergence(ink[:, None], ink)

    # Figures
    run.show("code", densities.code_lengths(counts, code, title="Rare characters get long codewords"))
    maps = {"a pixel on its digit (bits)": pixels}
    run.show("pixels", densities.heat_maps(maps, title="The outer columns have no information about the digit"))
    maps = {"KL divergence of ink (nats)": divergence}
    figure = densities.heat_maps(
        maps, x_label="expected digit", y_label="true digit", title="How much the ink of two digits differs"
    )
    run.show("digits", figure)
    return run.finish(None, metrics)


if __name__ == "__main__":
    tfdl.launch(main, Config)
