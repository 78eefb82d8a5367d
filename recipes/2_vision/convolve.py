"""Convolution and pooling from scratch on a photograph: kernels, strides, dilation, and receptive fields.

Stage 2 (vision) - Dumoulin and Visin 2016, arXiv:1603.07285; receptive fields: Araujo et al. 2019, Distill
Run:     tfdl run convolve
Expect:  within 1e-6 of Keras; after six layers a value sees 13 pixels a side, 29 with strides, 127 with dilation
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

# Padding, stride and dilation of a 3 x 3 convolution.
FORMS = [
    ("same", 1, 1),
    ("valid", 1, 1),
    ("same", 2, 1),
    ("same", 4, 1),
    ("same", 1, 4),
    ("valid", 1, 8),
]
# Six layers each: kernel, stride, dilation.
STACKS = {
    "plain": [(3, 1, 1)] * 6,
    "strided": [(3, 1, 1), (3, 2, 1)] * 3,
    "dilated": [(3, 1, 2**i) for i in range(6)],
}


@dataclass(frozen=True, kw_only=True)
class Config:
    """Convolve a photograph by hand."""

    photo: str = "embedded"
    """an image file; "embedded" is the photograph that comes with scikit-learn"""
    windows: tuple[int, ...] = (4, 8, 16)
    """sides of the pooling windows"""
    run: tfdl.Run = tfdl.Run()


def main(config: Config):
    run = config.run.start(config, name="convolve")

    # Data: a photograph (1, H, W, 3), and each kernel (K, L) for the three colors (K, L, 1, 3)
    photo = read_photo(config.photo, (128, 192, 3))[None]
    kernels = {name: np.tile(kernel[:, :, None, None], 3).astype("float32") for name, kernel in KERNELS.items()}

    # Convolve and pool, and compare with Keras
    filtered, differences = {}, []
    for name, kernel in kernels.items():
        filtered[name] = conv2d(Tensor(photo), Tensor(kernel), padding="same", groups=3).value
        expected = ops.depthwise_conv(photo, kernel.swapaxes(2, 3), padding="same")
        differences.append(np.abs(filtered[name] - expected).max())
    metrics = {"convolution_from_keras": max(differences)}

    pooled, differences = {}, []
    pools = {"max": (max_pool2d, ops.max_pool), "mean": (average_pool2d, ops.average_pool)}
    for name, (ours, keras_pool) in pools.items():
        for window in config.windows:
            values = ours(Tensor(photo), window).value
            differences.append(np.abs(values - keras_pool(photo, window, strides=window)).max())
            pooled[f"{name} of {window} x {window}"] = values[0].repeat(window, 0).repeat(window, 1)
    metrics["pooling_from_keras"] = max(differences)

    forms = {}
    for padding, stride, dilation in FORMS:
        values = conv2d(
            Tensor(photo), Tensor(kernels["Laplace"]), groups=3, padding=padding, stride=stride, dilation=dilation
        ).value
        forms[f"{padding}, stride {stride}, dilation {dilation}"] = np.clip(values[0] / 2 + 0.5, 0, 1)

    # Receptive fields
    sides = {name: receptive_field(layers) for name, layers in STACKS.items()}
    metrics |= {f"pixels_{name}": side[-1] for name, side in sides.items()}

    # Figures
    shown = {name: visible(values[0], KERNELS[name]) for name, values in filtered.items()}
    run.show("kernels", picture_grid([*shown.values()], [*shown], columns=4, width=2.4, title="Kernels"))
    run.show("forms", to_scale(forms, columns=3))
    run.show("pooling", picture_grid([*pooled.values()], [*pooled], columns=3, width=2.4, title="Pooling"))
    run.show(
        "sides",
        curves(
            sides,
            x_label="layers of 3 x 3 kernels",
            y_label="receptive field (pixels a side)",
            log_y=True,
            title="Strides and dilation widen the receptive field",
        ),
    )
    seen = {name: seen_by_center(layers, 65) ** 0.5 for name, layers in STACKS.items()}
    run.show("seen", picture_rows(seen, title="Receptive field of the center after 1 to 6 layers"))
    return run.finish(None, metrics)


def visible(values, kernel):
    """Values in [0, 1]; of a kernel that sums to 0, gray stands for 0."""
    offset = 0.5 if abs(kernel.sum()) < 1e-9 else 0.0
    return np.clip(values + offset, 0, 1)


if __name__ == "__main__":
    tfdl.launch(main, Config)
