"""Channel shuffle: interleaves the channels of all groups, so that the next grouped convolution sees some of each.

Paper: Zhang et al. 2017, arXiv:1707.01083, section 3.1, Fig. 1.
Shapes: B batch, H W height and width, C channels, g groups.
"""

from keras import layers, ops

from tfdl.core.serial import serializable


@serializable
class ChannelShuffle(layers.Layer):
    """Channels (g, C/g) become (C/g, g): the first of each group, then the second of each.  (B, H, W, C) -> same.

    `ChannelShuffle(C // groups)` is the inverse.  The layer is a reshape, a transpose and a reshape of at most four
    axes, which every mobile runtime supports.  H and W may be None when the model is built.

    Raises:
        ValueError: the groups do not divide the channels.
    """

    def __init__(self, groups, **kwargs):
        super().__init__(**kwargs)
        self.groups = groups

    def build(self, shape):
        if self.groups < 1 or shape[-1] % self.groups:
            raise ValueError(f"{self.groups} groups do not divide {shape[-1]} channels; choose a divisor.")

    def call(self, x):
        _, height, width, channels = ops.shape(x)
        x = ops.reshape(x, (-1, height * width, self.groups, channels // self.groups))  # (B, HW, g, C/g)
        x = ops.transpose(x, (0, 1, 3, 2))  # (B, HW, C/g, g)
        return ops.reshape(x, (-1, height, width, channels))

    def compute_output_shape(self, shape):
        return shape
