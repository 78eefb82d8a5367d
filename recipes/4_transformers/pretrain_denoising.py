"""Pre-train T5 on missing spans or BART on masked and mixed text; with --data reverse, write digits backwards.

Stage 4 (transformers) - T5: Raffel et al. 2019, arXiv:1910.10683, section 3.1.4; BART: Lewis et al. 2019,
arXiv:1910.13461, section 2.2
Run:     tfdl run pretrain_denoising --data multi30k_en_de --column 0 --rate 0.15
         tfdl run pretrain_denoising --model t5
         tfdl run pretrain_denoising --model t5 --data reverse
Expect:  on two CPU cores, one run each, seed 0: BART writes 90 % of the tokens of held-out captions of which 15 % were
         damaged (the tokens before given), 83 % with the paper's 30 %, each after 5 minutes; T5 writes all
         strings of digits backwards after 7, shared with other programs.  T5 on texts is not recorded yet
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import keras

import tfdl
from tfdl.data import corrupted_text, text_pairs
from tfdl.metrics.tokens import RowAccuracy, TokenAccuracy
from tfdl.session.defaults import DENOISING_MODELS, with_defaults
from tfdl.train.schedules import after_warm_up, linear


@dataclass(frozen=True, kw_only=True)
class Config:
    """Pre-train an encoder and decoder on damaged text."""

    DEFAULTS: ClassVar = DENOISING_MODELS

    data: str = "tiny_shakespeare"
    """tiny_shakespeare or another tensorflow_datasets name, a text file, a folder of *.txt, descriptions, or records;
    or reverse: digits to write backwards, for T5"""
    column: str | None = None
    """of records, such as a .tsv file: each row is an example; a text has none and is cut into blocks"""
    model: Literal["t5", "bart"] = "bart"
    """T5 writes the missing spans, BART the whole text"""
    variant: str | None = None
    """row of the model's VARIANTS: tfdl show t5"""
    tokenizer: str | None = None
    """file or folder of a published tokenizer; default: one is made from the training text"""
    vocabulary_size: int | None = None
    """tokens of a tokenizer that is made here"""
    length: int | None = None
    """tokens that the model reads at once"""
    rate: float | None = None
    """share of the tokens that are damaged; default: the papers', 0.15 for T5 and 0.3 for BART"""
    batch_size: int | None = None
    """examples per update, over all devices"""
    learning_rate: float | None = None
    """peak of a linear warm-up over a tenth of the updates, followed by a line to zero"""
    weight_decay: float = 0.01
    """decoupled from the gradient, as in AdamW"""
    epochs: int | None = None
    """passes over the training text"""
    run: tfdl.Run = tfdl.Run()


def main(config: Config):
    config = with_defaults(config)
    run = config.run.start(config, name=f"{config.data}_{config.model}")

    # Data
    options = dict(length=config.length, batch_size=config.batch_size, vocabulary_size=config.vocabulary_size, run=run)
    is_reverse = config.data == "reverse"
    if is_reverse:
        data = text_pairs.load(config.data, **options)
        vocabulary_size = len(data.target_tokenizer)
    else:
        data = corrupted_text.load(
            config.data,
            config.model,
            column=config.column,
            tokenizer=config.tokenizer,
            rate=config.rate,
            **options,
        )
        vocabulary_size = data.vocabulary_size

    # Model
    with run.scope():
        model = tfdl.build(config.model, config.variant, vocabulary_size=vocabulary_size)
        learning_rate = after_warm_up(linear, config.learning_rate, run.updates(data, config.epochs))
        model.compile(
            optimizer=keras.optimizers.AdamW(learning_rate, weight_decay=config.weight_decay),
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=corrupted_text.PADDING),
            metrics=[TokenAccuracy(), RowAccuracy()],
        )

    # Train; the best epoch's weights stay in the model
    run.fit(model, data, epochs=config.epochs)

    # Export, and evaluate: nats per token, the right ones before it given; summary.json has examples
    metrics = run.evaluate(model, data, "validation") | run.evaluate(model, data)
    run.export(model, data)
    if is_reverse:
        return run.finish(model, metrics)
    for split in ("validation", "test"):
        metrics[f"{split}_loss/unigram"] = data.unigram_nats(split)
    examples = data.examples(model)
    run.tell("examples", examples)
    return run.finish(model, metrics, examples=examples)


if __name__ == "__main__":
    tfdl.launch(main, Config)
