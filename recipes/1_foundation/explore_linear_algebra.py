"""Digits from a few principal components, a photograph from a few singular values, an eigenvector by power iteration.

Stage 1 (foundation) - PCA, Pearson 1901; low rank, Eckart and Young 1936; Golub and Van Loan 2013, Matrix Computations
Run:     tfdl run explore_linear_algebra
Expect:  digits rebuilt to RMSE 0.107 from 16 numbers of 64, photo 25.9 dB at rank 100, numpy.linalg within 2e-13
"""

from dataclasses import dataclass

import numpy as np

import tfdl
from tfdl.data.embedded import digits, photo
from tfdl.figures import linear_maps
from tfdl.figures.curves import curves
from tfdl.foundations.linear_algebra import PCA, compress, rotation, shear
from tfdl.foundations.spectra import power_iteration, svd, symmetric_eigen

SIDE = 8  # pixels of a digit
SHOWN = 12  # digits in a row


@dataclass(frozen=True, kw_only=True)
class Config:
    """Decompose digits and a photograph."""

    components: int = 16
    """principal components of the digits to keep, 1 to 64 (a smoke run has 48)"""
    ranks: tuple[int, ...] = (1, 5, 15, 40, 100)
    """of the compressed photograph"""
    steps: int = 120
    """of power iteration"""
    run: tfdl.Run = tfdl.Run()


def main(config: Config):
    if config.steps < 2:
        raise ValueError(f"--steps is {config.steps}; give 2 or more, to measure the convergence from the last two.")
    run = config.run.start(config, name="linear_algebra")

    # Data
    splits, labels = digits()
    train = splits["train"][0][: run.limit].reshape(-1, SIDE * SIDE) / 255
    test = splits["test"][0][: run.limit].reshape(-1, SIDE * SIDE) / 255
    test_labels = splits["test"][1][: run.limit]
    image = photo() / 255
    if config.run.smoke:
        image = image[::4, ::4]

    # Principal components: from the training digits, measured on the test digits
    pca = PCA.fit(train, min(train.shape))
    errors = [pca.keep(count).error(test) for count in range(1, len(pca.ratios) + 1)]
    kept = pca.keep(config.components)
    metrics = {"digits_rmse": kept.error(test)}

    # Singular values and eigenvalues against NumPy's; the convergence of power iteration against theory
    compressed = compress(image, config.ranks)
    covariance = np.cov(train.T)
    eigen = symmetric_eigen(covariance)
    power = power_iteration(covariance, steps=config.steps, seed=run.seed)
    singular_values = np.linalg.svd(image.reshape(len(image), -1), compute_uv=False)
    eigenvalues = np.linalg.eigvalsh(covariance)[::-1]
    metrics["svd_from_numpy"] = np.abs(compressed.values - singular_values).max() / singular_values[0]
    metrics["eigen_from_numpy"] = np.abs(eigen.values - eigenvalues).max() / eigenvalues[0]
    metrics["power_rate"] = power.residuals[-1] / power.residuals[-2]
    metrics["l2_by_l1"] = eigen.values[1] / eigen.values[0]
    for rank, psnr in zip(config.ranks, compressed.psnr):
        metrics[f"psnr_of_rank_{rank}"] = psnr

    # Figures: principal components of the digits
    run.curve("rmse", errors)
    title = "More components, smaller error"
    series = {"test digits": errors}
    run.show("rmse", curves(series, x_label="components kept", y_label="RMSE (white is 1)", title=title))
    run.show("variance", linear_maps.spectrum(pca.ratios, title="A few components explain most of the variance"))
    pictures = kept.components.reshape(-1, SIDE, SIDE)
    title = "The first principal components of digits, and the variance that each explains"
    run.show("components", linear_maps.component_grid(pictures, pca.ratios, title=title))
    title = "Two components already separate some digits"
    run.show("plane", linear_maps.scatter(pca.transform(test)[:, :2], test_labels, labels, title=title))
    rows = {"original": test[:SHOWN].reshape(-1, SIDE, SIDE)}
    for count in (2, 8, config.components):
        rows[f"{count} components"] = pca.keep(count).rebuild(test[:SHOWN]).reshape(-1, SIDE, SIDE)
    run.show("digits", linear_maps.picture_rows(rows, title="Digits rebuilt from few numbers"))

    # Figures: singular values and eigenvalues
    figure = linear_maps.rank_grid(
        image,
        compressed.images,
        config.ranks,
        compressed.psnr,
        compressed.savings,
        title="A photograph rebuilt from its largest singular values",
    )
    run.show("photo", figure)
    matrix = rotation(0.5) @ shear(1.0)
    title = "A linear map turns the circle into an ellipse"
    run.show("map", linear_maps.plane_map(matrix, svd(matrix), title=title))
    title = "Power iteration converges at the ratio of two eigenvalues"
    run.show("power_iteration", linear_maps.power_curves(power.values, power.residuals, eigen.values, title=title))
    return run.finish(None, metrics)


if __name__ == "__main__":
    tfdl.launch(main, Config)
