"""The network that a recipe aligns: taught to answer within the same run, or with weights from elsewhere."""

from tfdl.interop.weights import load_weights
from tfdl.losses.tokens import TokenCrossEntropy
from tfdl.metrics.tokens import RowAccuracy
from tfdl.train.optimizers import language_model_optimizer


def first_lessons(run, data, make, *, source="", epochs, learning_rate):
    """Instruction tuning as the first part of a run; it trains in variants/first, see `Session.compare`.

    Args:
        run: the recipe's session.
        data: `data.instructions.InstructionData`.
        make: a function of no arguments that builds a causal language model.
        source: weights to take in place of a training: a run folder, a file or a published name.
        epochs, learning_rate: of the training.

    Returns:
        the network, with `RowAccuracy`, the share of answers that are right, as its metric.
    """

    def compiled():
        network = make()
        if source:
            load_weights(network, source)
        optimizer = language_model_optimizer(learning_rate, run.updates(data, epochs))
        network.compile(optimizer, TokenCrossEntropy(), metrics=[RowAccuracy()])
        return network

    if source:
        with run.scope():
            return compiled()
    return run.compare(data, {"first": compiled}, epochs=epochs)["first"].model
