"""Attention rollout: how much each patch contributes to a transformer's class token, through all layers.

Paper: Abnar and Zuidema 2020, arXiv:2005.00928, section 3, eq. 1.
Shapes: B batch, H W height and width of the images, T tokens, h heads, L layers.
"""

import functools
import math

import keras
import numpy as np

from tfdl.layers.attention import SelfAttention
from tfdl.layers.positions import GridPositions


def rollout(maps):
    """The product of (A + I) / 2 over all layers; the identity I stands for the residual connection.  -> (B, T, T).

    Row i holds the contributions of the input tokens to output token i; each row sums to 1.

    Args:
        maps: L arrays (B, h, T, T), the first layer first, whose rows sum to 1.

    Raises:
        ValueError: there are no maps, or their rows do not sum to 1.
    """
    maps = [np.asarray(a, "float64") for a in maps]
    if not maps or not all(a.ndim == 4 and np.allclose(a.sum(-1), 1, atol=1e-2) for a in maps):  # bfloat16's rounding
        raise ValueError(
            f"rollout needs attention (B, heads, T, T) of each layer, rows summing to 1, not {[a.shape for a in maps]}."
        )
    steps = [0.5 * a.mean(1) + 0.5 * np.eye(a.shape[-1]) for a in maps]  # (B, T, T): the mean over the heads
    return functools.reduce(lambda before, step: step @ before, steps)


def attention_rollout(model, images, *, batch_size=32):
    """Contribution of each patch to the class token.  (B, H, W, C) -> (B, rows, columns) of patches, float32.

    `batch_size`: images at a time.

    Raises:
        ValueError: the model is not a ViT with a class token.
    """
    _, positions = parts(model)
    batches = (images[i : i + batch_size] for i in range(0, len(images), batch_size))
    mixed = np.concatenate([rollout(attention_maps(model, batch).values())[:, 0] for batch in batches])  # (B, T)
    return on_grid(mixed, positions).astype("float32")


def class_attention(model, images):
    """The attention of the class token in each head: layer name -> (B, rows, columns, heads).

    Raises:
        ValueError: the model is not a ViT with a class token.
    """
    _, positions = parts(model)
    rows = {name: maps[:, :, 0] for name, maps in attention_maps(model, images).items()}  # (B, h, T)
    return {name: np.moveaxis(on_grid(row, positions), 1, -1) for name, row in rows.items()}


def attention_maps(model, images):
    """Layer name -> attention (B, h, T, T), the first layer first.  Raises ValueError if the model is not a ViT."""
    attentions, _ = parts(model)
    inputs = keras.Model(model.inputs[0], [layer.input for layer in attentions])(images, training=False)
    return {layer.name: keras.ops.convert_to_numpy(layer.attention_map(x)) for layer, x in zip(attentions, inputs)}


def is_transformer(model):
    """Whether the model has what `attention_rollout` needs: attention among all patches, and a class token."""
    layers = model.layers
    attends = any(isinstance(layer, SelfAttention) for layer in layers)
    return attends and any(isinstance(layer, GridPositions) and layer.extra for layer in layers)


def parts(model):
    """The model's attention layers and its positions.  Raises ValueError if there are none."""
    if not is_transformer(model):
        raise ValueError(
            f"{model.name!r} is not a ViT: it needs SelfAttention over all patches and a class token. Use `grad_cam`"
            " for networks with feature maps, such as convnets and Swin."
        )
    attentions = [layer for layer in model.layers if isinstance(layer, SelfAttention)]
    return attentions, next(layer for layer in model.layers if isinstance(layer, GridPositions))


def on_grid(tokens, positions):
    """Values of all tokens (..., T) as a map of the patches (..., rows, columns)."""
    count = math.prod(positions.grid)
    return tokens[..., -count:].reshape(*tokens.shape[:-1], *positions.grid)
