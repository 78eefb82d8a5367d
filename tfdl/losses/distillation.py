"""The loss of distillation: how far a student's probabilities are from a teacher's.

Paper: Hinton et al. 2015, arXiv:1503.02531, section 2.
Shapes: "..." any axes, V classes or vocabulary.
"""

from keras import ops

from tfdl.losses.classification import float32


def soft_divergence(teacher, student, temperature):
    """KL(p || q) of p = softmax(teacher / T) and q = softmax(student / T).  Two of (..., V) logits -> (...) float32."""
    p = ops.log_softmax(float32(teacher) / temperature, axis=-1)
    q = ops.log_softmax(float32(student) / temperature, axis=-1)
    return ops.sum(ops.exp(p) * (p - q), axis=-1)
