"""Digits from a few components, a photograph from a few singular vectors, an eigenvector from mere multiplication.

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
from tfdl.train.command_line import launch


@dataclass(frozen=True, kw_only=True)
class Config:
    components: int = 16  # principal components of the digits to keep, 1 to 64 (a smoke run has 48)
    ranks: tuple[int, ...] = (1, 5, 15, 40, 100)  # of the compressed photograph
    run: tfdl.Run = tfdl.Run()


def main(config: Config):
    run, count, ranks = config.run.start(config, name="linear_algebra"), config.components, config.ranks

    # data
    splits, image = digits()[0], (photo()[::4, ::4] if run.run.smoke else photo()) / 255
    train, test = (splits[name][0][: run.limit].reshape(-1, 64) / 255 for name in ("train", "test"))

    # compute
    pca, covariance, small = PCA.fit(train, min(train.shape)), np.cov(train.T), compress(image, ranks)
    errors = [pca.keep(n + 1).error(test) for n in range(len(pca.ratios))]
    eigen, power = symmetric_eigen(covariance), power_iteration(covariance, steps=120, seed=run.seed)
    theirs = np.linalg.svd(image.reshape(len(image), -1), compute_uv=False), np.linalg.eigvalsh(covariance)[::-1]
    svd_gap, eigen_gap = (np.abs(x - y).max() / y[0] for x, y in zip((small.values, eigen.values), theirs))
    metrics = {"digits_rmse": pca.keep(count).error(test), "svd_from_numpy": svd_gap, "eigen_from_numpy": eigen_gap,
               "power_rate": power.residuals[-1] / power.residuals[-2], "l2_by_l1": eigen.values[1] / eigen.values[0],
               **{f"psnr_of_rank_{rank}": x for rank, x in zip(ranks, small.psnr)}}  # fmt: skip

    # figures
    run.curve("rmse", errors)
    run.show("rmse", curves({"test digits": errors}, x_label="components kept", y_label="RMSE (white is 1)"))
    run.show("variance", linear_maps.spectrum(pca.ratios))
    run.show("components", linear_maps.component_grid(pca.components[:count].reshape(-1, 8, 8), pca.ratios))
    run.show("plane", linear_maps.scatter(pca.transform(test)[:, :2], splits["test"][1][: run.limit], range(10)))
    rows = {"original": test} | {f"{n} components": pca.keep(n).rebuild(test) for n in (2, 8, count)}
    run.show("digits", linear_maps.picture_rows({name: x[:12].reshape(-1, 8, 8) for name, x in rows.items()}))
    run.show("photo", linear_maps.rank_grid(image, small.images, ranks, small.psnr, small.savings))
    run.show("map", linear_maps.plane_map(matrix := rotation(0.5) @ shear(1.0), svd(matrix)))
    run.show("power_iteration", linear_maps.power_curves(power.values, power.residuals, eigen.values))
    return run.finish(None, metrics)


if __name__ == "__main__":
    launch(main, Config)
