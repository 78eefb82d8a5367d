"""Grad-CAM: the last feature maps, weighted by the mean gradient of a class's score and summed.

Paper: Selvaraju et al. 2016, arXiv:1610.02391, eq. 1 and 2.  For a network that ends in a convolution, global average
pooling and one dense layer, it equals the class activation map of Zhou et al. 2015, arXiv:1512.04150, except for a
factor 1 / (h w) and the ReLU.
Shapes: B batch, H W height and width of the images, h w of a feature map, C channels.
"""

import keras
import numpy as np
import tensorflow as tf

from tfdl.explain.filters import last_map, map_tensors
from tfdl.explain.occlusion import check_classes


def grad_cam(model, images, classes, *, layer=None, batch_size=32):
    """ReLU(sum_k a_k A^k), where a_k is the mean gradient of the class's logit over the map A^k.  -> (B, h, w) float32.

    Args:
        model: functional or sequential: images -> logits (B, num_classes), before the softmax.
        images: (B, H, W, C) as the model takes them.
        classes: (B,) the class to explain in each image.
        layer: name of the operation that computes the maps; None: the last one before the pooling, as the paper
            advises, whose maps carry the most class information and still have positions.
        batch_size: images at a time.

    Raises:
        ValueError: the model returns no logits, has no feature maps or none of this name, or there is no such class.
    """
    classes = check_classes(model, images, classes)
    tensors = map_tensors(model)
    layer = layer or last_map(model)
    if layer not in tensors:
        raise ValueError(f"{model.name!r} has no feature maps called {layer!r}; it has {', '.join(tensors)}.")
    both = keras.Model(model.inputs[0], [tensors[layer], model.outputs[0]])

    @tf.function  # a graph omits the gradients of the kernels, which are not needed
    def explain(images, classes):
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(images)
            maps, logits = both(images, training=False)
            scores = tf.gather(logits, classes, batch_dims=1)  # (B,): y^c
        slopes = tf.cast(tape.gradient(scores, maps), tf.float32)  # (B, h, w, C): of each image separately
        weights = tf.reduce_mean(slopes, (1, 2), keepdims=True)  # eq. 1
        return tf.nn.relu(tf.reduce_sum(weights * tf.cast(maps, tf.float32), -1))  # eq. 2

    starts = range(0, len(images), batch_size)
    batches = [(tf.convert_to_tensor(images[i : i + batch_size]), classes[i : i + batch_size]) for i in starts]
    return np.concatenate([explain(*batch).numpy() for batch in batches])
