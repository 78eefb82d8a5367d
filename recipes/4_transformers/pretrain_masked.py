"""Pre-train BERT or RoBERTa on masked words, and compare the loss with the entropy of the words themselves.

Stage 4 (transformers) - Devlin et al. 2018, arXiv:1810.04805, section 3.1; RoBERTa: Liu et al. 2019, arXiv:1907.11692,
section 4.1
Run:     tfdl run pretrain_masked
         tfdl run pretrain_masked --model roberta
         tfdl run pretrain_masked --model roberta --masking static
Expect:  test loss 4.837 nats per masked token in 2 minutes on two CPU cores, where the frequencies of the tokens have
         5.125; RoBERTa 2.464 in 4 minutes, with static masks 2.41, frequencies 4.210 (one run each, seed 0)
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import keras

import tfdl
from tfdl.data import corrupted_text
from tfdl.explain.text_attention import text_attention
from tfdl.figures.alignments import alignments
from tfdl.metrics.tokens import TokenAccuracy
from tfdl.session.defaults import MASKED_MODELS, with_defaults
from tfdl.train.schedules import after_warm_up, linear


@dataclass(frozen=True, kw_only=True)
class Config:
    """Pre-train an encoder on masked tokens."""

    DEFAULTS: ClassVar = MASKED_MODELS

    data: str = "tiny_shakespeare"
    """tiny_shakespeare or another tensorflow_datasets name, a text file, a folder of *.txt, descriptions, or records"""
    column: str | None = None
    """of records, such as a .tsv file: each row is an example; a text has none and is cut into blocks"""
    model: Literal["bert", "roberta"] = "bert"
    """BERT has word pieces in lower case, RoBERTa byte pairs"""
    variant: str | None = None
    """row of the model's VARIANTS: tfdl show bert"""
    masking: Literal["dynamic", "static"] = "dynamic"
    """other masks in each epoch, or the same ones"""
    tokenizer: str | None = None
    """file or folder of a published tokenizer; default: one is made from the training text"""
    vocabulary_size: int | None = None
    """tokens of a tokenizer that is made here"""
    length: int | None = None
    """tokens that the model reads at once"""
    batch_size: int | None = None
    """examples per update, over all devices"""
    learning_rate: float | None = None
    """peak of a linear warm-up over a tenth of the updates, followed by a line to zero"""
    weight_decay: float = 0.01
    """decoupled from the gradient, as in AdamW (BERT, appendix A.2)"""
    epochs: int | None = None
    """passes over the training text"""
    run: tfdl.Run = tfdl.Run()


def main(config: Config):
    config = with_defaults(config)
    run = config.run.start(config, name=f"{config.data}_{config.model}_{config.masking}")

    # Data
    data = corrupted_text.load(
        config.data,
        config.model,
        column=config.column,
        length=config.length,
        batch_size=config.batch_size,
        tokenizer=config.tokenizer,
        vocabulary_size=config.vocabulary_size,
        masking=config.masking,
        run=run,
    )

    # Model
    with run.scope():
        model = tfdl.build(
            config.model,
            config.variant,
            vocabulary_size=data.vocabulary_size,
            context=config.length,
            head="masked_lm",
        )
        learning_rate = after_warm_up(linear, config.learning_rate, run.updates(data, config.epochs))
        model.compile(
            optimizer=keras.optimizers.AdamW(learning_rate, weight_decay=config.weight_decay),
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=corrupted_text.PADDING),
            metrics=[TokenAccuracy()],
        )

    # Train; the best epoch's weights stay in the model
    run.fit(model, data, epochs=config.epochs)

    # Evaluate: nats per masked token, and what is known without looking at others
    metrics = run.evaluate(model, data, "validation") | run.evaluate(model, data)
    for split in ("validation", "test"):
        metrics[f"{split}_loss/unigram"] = data.unigram_nats(split)

    # Look, in TensorBoard: examples, and where the tokens of two of them look
    examples = data.examples(model)
    run.tell("examples", examples)
    damaged = next(iter(data.test.unbatch().batch(2)))[0].numpy()
    looks, labels = text_attention(model, data.tokenizer, damaged)
    run.show("attention", alignments(looks, labels, labels, names=("is looked at", "looks")))

    # Export for servers and phones, with the tokenizer beside the files
    run.export(model, data, formats=("savedmodel", "tflite", "tflite_float16", "tflite_dynamic"))
    return run.finish(model, metrics, examples=examples)


if __name__ == "__main__":
    tfdl.launch(main, Config)
