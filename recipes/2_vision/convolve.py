"""Convolution and pooling from scratch on a photograph: kernels, strides, gaps, and how far a deep value sees.

Stage 2 (vision) - Dumoulin and Visin 2016, arXiv:1603.07285; receptive fields: Araujo et al. 2019, Distill
Run:     tfdl run convolve
Expect:  within 1e-6 of Keras; after six layers a value sees 13 pixels a side, 29 with strides, 127 with gaps
"""

from dataclasses import dataclass

import numpy as np
from keras import ops

import tfdl
from tfdl.data.photos import read_photo
from tfdl.figures.curves import curves
from tfdl.figures.linear_maps import picture_rows
from tfdl.figures.maps import to_scale
from tfdl.figures.pictures import picture_grid
from tfdl.foundations.autodiff import Tensor
from tfdl.foundations.convolution import KERNELS, average_pool2d, conv2d, max_pool2d, receptive_field, seen_by_center
from tfdl.train.command_line import launch

FORMS = [("same", 1, 1), ("valid", 1, 1), ("same", 2, 1), ("same", 4, 1), ("same", 1, 4), ("valid", 1, 8)]
POOLS = {"max": (max_pool2d, ops.max_pool), "mean": (average_pool2d, ops.average_pool)}
STACKS = {"plain": [(3, 1, 1)] * 6, "strided": [(3, 1, 1), (3, 2, 1)] * 3, "gaps": [(3, 1, 2**i) for i in range(6)]}


@dataclass(frozen=True, kw_only=True)
class Config:
    photo: str = "embedded"  # or an image file; this one comes with scikit-learn
    run: tfdl.Run = tfdl.Run()


def main(config: Config):
    run = config.run.start(config, name="convolve")
    # data: and a kernel for each of the three colors, (K, L, 1, 3)
    photo = read_photo(config.photo, (128, 192, 3))[None]
    kernels = {name: np.tile(k[:, :, None, None], 3).astype("float32") for name, k in KERNELS.items()}
    # compute, and compare with Keras
    filtered = {n: conv2d(Tensor(photo), Tensor(k), padding="same", groups=3).value for n, k in kernels.items()}
    theirs = {n: ops.depthwise_conv(photo, k.swapaxes(2, 3), padding="same") for n, k in kernels.items()}
    pooled = {(n, w): ours(Tensor(photo), w).value for n, (ours, _) in POOLS.items() for w in (4, 8, 16)}
    metrics = {"convolution_from_keras": max(np.abs(x - theirs[n]).max() for n, x in filtered.items())}
    metrics |= {"pooling_from_keras": max(np.abs(x - POOLS[n][1](photo, w)).max() for (n, w), x in pooled.items())}
    forms = {f"{p}, stride {s}, dilation {d}": conv2d(Tensor(photo), Tensor(kernels["Laplace"]), groups=3, padding=p,
             stride=s, dilation=d).value for p, s, d in FORMS}  # fmt: skip
    sides = {name: receptive_field(layers) for name, layers in STACKS.items()}
    # figures: where the weights of a kernel add up to 0, gray stands for it
    shown = {n: np.clip(x[0] + (abs(KERNELS[n].sum()) < 1e-9) / 2, 0, 1) for n, x in filtered.items()}
    run.show("kernels", picture_grid([*shown.values()], [*shown], columns=4, width=2.4))
    run.show("forms", to_scale({n: np.clip(x[0] / 2 + 0.5, 0, 1) for n, x in forms.items()}, columns=3))
    blocks = {f"{n} of {w} x {w}": x[0].repeat(w, 0).repeat(w, 1) for (n, w), x in pooled.items()}
    run.show("pooling", picture_grid([*blocks.values()], [*blocks], columns=3, width=2.4))
    run.show("sides", curves(sides, x_label="layers of 3 x 3 kernels", y_label="pixels seen, a side", log_y=True))
    run.show("seen", picture_rows({n: seen_by_center(x, 65) ** 0.5 for n, x in STACKS.items()}, title="layers 1 to 6"))
    return run.finish(None, metrics | {f"pixels_{name}": side[-1] for name, side in sides.items()})


if __name__ == "__main__":
    launch(main, Config)
