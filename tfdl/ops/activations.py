"""Piecewise-linear stand-ins for sigmoid and swish: no exponential, which suits phones and 8-bit integers.

Paper: "Searching for MobileNetV3", Howard et al. 2019, arXiv:1905.02244, section 5.2.
"""

from keras import ops

# The float32 just above 3.  TensorFlow's converter makes one HARD_SWISH operator of x * relu6(x + 3) / 6, which
# XNNPACK cannot run in int8: MobileNetV3-small falls into 20 pieces and takes 5.1 ms in place of 2.1 (float: 2.7).
# With this constant it keeps the plain operators and one piece; the value changes by less than 2e-7.
THREE = 3.0000002


def hard_sigmoid(x):
    """relu6(x + 3) / 6: 0 up to -3, 1 from 3 on, a straight line between.  Any shape -> same."""
    return ops.relu6(x + 3.0) / 6.0


def hard_swish(x):
    """x * hard_sigmoid(x), eq. of section 5.2.  Any shape -> same."""
    return x * ops.relu6(x + THREE) / 6.0
