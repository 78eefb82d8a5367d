"""Mixed precision: computation in 16 bits, weights, losses and logits in 32.

Paper: Micikevicius et al. 2018, arXiv:1710.03740.

bfloat16 has float32's range and needs no loss scaling; use it on TPUs, recent GPUs and CPUs with AVX512-BF16.
float16 overflows at 65,504: `compile` wraps the optimizer in a `LossScaleOptimizer`, which doubles the loss scale every
2,000 finite updates and halves it, skipping the update, whenever a gradient is not finite.
"""

import warnings

import keras
import tensorflow as tf

PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")


def set_precision(name, *, is_tpu=False):
    """Sets Keras's global dtype policy; call it before any layer is created.

    Raises:
        ValueError: an unknown name, or float16 on a TPU, which computes in bfloat16.
    """
    if name not in PRECISIONS:
        raise ValueError(f"Unknown precision {name!r}; choose one of {', '.join(PRECISIONS)}.")
    if name == "mixed_float16" and is_tpu:
        raise ValueError("TPUs have no float16; use --run.precision mixed_bfloat16.")
    if name == "mixed_float16" and not tf.config.list_physical_devices("GPU"):
        warnings.warn(
            "mixed_float16 is slower than float32 without a GPU (0.25 to 0.6 times the speed); use mixed_bfloat16.",
            stacklevel=2,
        )
    keras.config.set_dtype_policy(name)
