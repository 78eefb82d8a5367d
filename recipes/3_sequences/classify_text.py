"""Train a classifier of texts from scratch: averaged words, a recurrent network, or an encoder in BERT's way.

Stage 3 (sequential data) - fastText: Joulin et al. 2016, arXiv:1607.01759; GRU: Cho et al. 2014, arXiv:1406.1078; both
directions: Schuster & Paliwal 1997, IEEE Trans. Signal Processing 45; BERT: Devlin et al. 2018, arXiv:1810.04805;
RoBERTa: Liu et al. 2019, arXiv:1907.11692
Run:     tfdl run classify_text --data sst2
         tfdl run classify_text --data reviews.csv --text review --label sentiment --model bert
Expect:  SST-2: a GRU has 0.797 of the test texts right after 2 minutes on two CPU cores, a BiLSTM 0.807, a BERT 0.772
         (seed 0), fastText on single words 0.817 ± 0.009 (3 seeds) after 1; naive Bayes on single words has 0.821,
         logistic regression 0.792.  ag_news_mini, 128 tokens: fastText 0.879 (2 seeds), BERT 0.862, naive Bayes 0.876.
         Some thousand texts are few for networks that begin with random weights
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import keras

import tfdl
from tfdl.core.token_rows import encode
from tfdl.data import labeled_text
from tfdl.explain.text_attention import text_attention
from tfdl.figures.alignments import alignments
from tfdl.inference.text_classification import mistakes
from tfdl.session.defaults import TEXT_CLASSIFIERS, with_defaults
from tfdl.train.schedules import after_warm_up, cosine


@dataclass(frozen=True, kw_only=True)
class Config:
    """Train a classifier of texts."""

    DEFAULTS: ClassVar = TEXT_CLASSIFIERS

    data: str = "sst2"
    """sst2, ag_news_mini, a file .tsv, .csv or .jsonl, a folder with a file a split or a sub-folder a class"""
    model: Literal["fast_text", "gru", "bilstm", "bert", "roberta"] = "gru"
    """averaged words and word pairs, gated recurrent units, long short-term memory in both directions, or an encoder
    of attention"""
    variant: str | None = None
    """row of the model's VARIANTS: tfdl show rnn, tfdl show bert"""
    text: str | None = None
    """column of the texts, or several, as in title,description; default: the ones with a usual name"""
    label: str | None = None
    """column of the classes; default: the one with a usual name"""
    labels: str | None = None
    """names of the classes, separated by commas, where the data have numbers, in the order of these"""
    tokenizer: str | None = None
    """word_pieces or words of the training texts, characters, bytes, or the file or folder of a published tokenizer"""
    vocabulary_size: int | None = None
    """word pieces or words at most"""
    length: int | None = None
    """tokens of a text at most; longer texts are cut"""
    batch_size: int | None = None
    """texts per update, over all devices"""
    learning_rate: float | None = None
    """peak of a linear warm-up over a tenth of the updates, followed by a cosine"""
    weight_decay: float | None = None
    """decoupled from the gradient, as in AdamW"""
    word_dropout: float | None = None
    """part of the training words that are hidden, others in each epoch"""
    clipnorm: float = 1.0
    """largest norm of the gradients together"""
    class_weights: bool = False
    """weight the loss of each class by the inverse of its frequency"""
    epochs: int | None = None
    """passes over the training texts"""
    patience: int | None = None
    """stop after so many epochs without a lower validation loss; default: train to the end"""
    run: tfdl.Run = tfdl.Run()


def main(config: Config):
    config = with_defaults(config)
    run = config.run.start(config, name=f"{config.data}_{config.model}")

    # Data
    data = labeled_text.load(
        config.data,
        length=config.length,
        batch_size=config.batch_size,
        tokenizer=config.tokenizer,
        vocabulary_size=config.vocabulary_size,
        word_dropout=config.word_dropout,
        text=config.text,
        label=config.label,
        labels=config.labels.split(",") if config.labels else None,
        run=run,
    )

    # Model
    with run.scope():
        options = {"vocabulary_size": len(data.tokenizer), "padding": data.padding, "num_classes": data.num_classes}
        if config.model in ("bert", "roberta"):
            options |= {"context": config.length, "head": "classifier"}
        model = tfdl.build(TEXT_CLASSIFIERS[config.model].topic, config.variant, **options)
        learning_rate = after_warm_up(cosine, config.learning_rate, run.updates(data, config.epochs))
        model.compile(
            optimizer=keras.optimizers.AdamW(
                learning_rate, weight_decay=config.weight_decay, global_clipnorm=config.clipnorm
            ),
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=["accuracy"],
        )

    # Train; afterwards the model has the weights of the best epoch
    class_weight = data.class_weights() if config.class_weights else None
    run.fit(model, data, epochs=config.epochs, patience=config.patience, class_weight=class_weight)

    # Evaluate, beside classifiers that count single words
    metrics = run.evaluate(model, data, "validation") | run.evaluate(model, data) | data.baselines()

    # Look, in TensorBoard: the surest mistakes, and where the tokens of short texts look
    run.tell("mistakes", mistakes(model, data))
    if config.model in ("bert", "roberta"):
        short = sorted(encode(data.tokenizer.tokenizer, data.texts["test"], config.length), key=lambda row: len(row[0]))
        looks, labels = text_attention(model, data.tokenizer, [tokens for tokens, _ in short[len(short) // 3 :][:4]])
        run.show("attention", alignments(looks, labels, labels, names=("is looked at", "looks")))

    # Export for servers and phones, with the tokenizer beside the files
    run.export(model, data)
    return run.finish(model, metrics, cut=data.cut)


if __name__ == "__main__":
    tfdl.launch(main, Config)
