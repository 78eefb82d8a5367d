"""Train a translator, with attention or without, draw where it looks, and compare what it writes with what people do.

Stage 3 (sequential data) - Sutskever et al. 2014, arXiv:1409.3215; Bahdanau et al. 2014, arXiv:1409.0473; Luong et al.
2015, arXiv:1508.04025; Vaswani et al. 2017, arXiv:1706.03762
Run:     tfdl run translate
         tfdl run translate --model transformer --variant tiny
         tfdl run translate --data reverse --model transformer --variant nano --tokenizer words --length 16 \\
             --batch-size 128 --learning-rate 5e-3 --epochs 6
         tfdl run translate --data /path/to/talk.tsv --source 0 --target 1
Expect:  on Multi30k, after 2 epochs in 13 minutes on two CPU cores that other programs shared: test perplexity 27 with
         attention, 34 of a GRU that sees the encoder's last state, 68 of an LSTM that only starts from it; BLEU 7 and
         less.  A Transformer has 7.9 per byte pair and a BLEU of 33.4 after 3 epochs, and 5.4 and 36.5 after 10
         (--epochs 10), each in 16 minutes, the latter with both cores to itself; the smallest one writes all
         of 500 strings of digits from behind in 2 minutes (one run each, seed 0)
"""

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import keras

import tfdl
from tfdl.data import text_pairs
from tfdl.figures.alignments import alignments
from tfdl.inference.translation import alignment, translate
from tfdl.losses.tokens import TokenCrossEntropy
from tfdl.metrics.text import Perplexity, translation_scores
from tfdl.session.defaults import TRANSLATORS, with_defaults
from tfdl.train.schedules import InverseRoot, WarmUp


@dataclass(frozen=True, kw_only=True)
class Config:
    """Train a model that reads one text and writes another."""

    DEFAULTS: ClassVar = TRANSLATORS

    data: str = "multi30k_en_de"
    """pairs of texts: a .tsv, .csv or .jsonl file, a folder with such a file for each split, the name of a set in the
    data directory, or reverse: strings of digits, to be written from behind"""
    source: str = "1"
    """column to read: its name, or its number from 0 on in a file without names; German in Multi30k"""
    target: str = "0"
    """column to write: English in Multi30k"""
    model: Literal["seq2seq", "transformer"] = "seq2seq"
    """recurrent networks or a Transformer"""
    variant: str | None = None
    """row of the model's VARIANTS: tfdl show seq2seq"""
    tokenizer: Literal["words", "byte_pairs", "word_pieces"] | None = None
    """words in lower case that occur twice; byte pairs; word pieces in lower case"""
    vocabulary_size: int = 4000
    """of byte pairs and word pieces"""
    length: int = 64
    """the most tokens of a text; pairs with a longer one are left out"""
    batch_size: int | None = None
    """pairs per update, over all devices"""
    learning_rate: float | None = None
    """peak, after a warm-up over a tenth of the updates; then it falls with the square root of their number"""
    label_smoothing: float | None = None
    """fraction of every target that is spread over the vocabulary"""
    clipnorm: float = 1.0
    """largest norm of the gradients together: steep places of recurrent networks throw weights far off"""
    epochs: int | None = None
    """passes over the training pairs"""
    samples: int = 4
    """test sentences whose alignments are drawn"""
    run: tfdl.Run = tfdl.Run()


def main(config: Config):
    config = with_defaults(config)
    run = config.run.start(config, name=f"{config.data}_{config.model}_{config.variant}")

    # Data
    data = text_pairs.load(
        config.data,
        source=config.source,
        target=config.target,
        length=config.length,
        batch_size=config.batch_size,
        tokenizer=config.tokenizer,
        vocabulary_size=config.vocabulary_size,
        shared=config.model == "transformer",  # whose table of embeddings is one (section 3.4)
        run=run,
    )

    # Model
    with run.scope():
        model = tfdl.build(config.model, config.variant, **data.vocabularies())
        warm_up = -(-run.updates(data, config.epochs) // 10)
        learning_rate = WarmUp(InverseRoot(config.learning_rate, warm_up), warm_up)
        model.compile(
            # Vaswani et al. 2017, section 5.3
            optimizer=keras.optimizers.Adam(learning_rate, beta_2=0.98, epsilon=1e-9, global_clipnorm=config.clipnorm),
            loss=TokenCrossEntropy(config.label_smoothing),
            metrics=[Perplexity()],
        )

    # Train; the best epoch's weights stay in the model
    run.fit(model, data, epochs=config.epochs, monitor="val_perplexity", mode="min")

    # Evaluate: perplexity per token, per word, which can be compared between vocabularies, and what the model writes
    metrics = run.evaluate(model, data, "validation") | run.evaluate(model, data)
    for split in ("validation", "test"):
        nats = math.log(metrics[f"{split}_perplexity"])
        metrics[f"{split}_nats"] = nats
        metrics[f"{split}_perplexity/word"] = math.exp(nats * data.tokens_per_word(split))
    sources, targets = data.texts("test")
    translations, tokens = translate(model, data.test, data.target_tokenizer, length=config.length)
    scores = translation_scores(translations, targets, lowercase=config.tokenizer != "byte_pairs")
    metrics |= {f"test_{name}": score for name, score in scores.items()}

    # Look: where in the source the model looked for each word, in sentences of middling length
    rows = range(len(sources) // 3, len(sources), -(-len(sources) // (2 * config.samples)))[: config.samples]
    for row in rows:
        print(f"\n{sources[row]}\n  people: {targets[row]}\n  model:  {translations[row]}")
    samples = [{"source": sources[row], "people": targets[row], "model": translations[row]} for row in rows]
    run.tell("translations", samples)
    if model.attends:
        looks = [alignment(model, data, sources[row], tokens[row]) for row in rows]
        run.show("alignments", alignments(*zip(*looks), title=f"{model.name}: where it looks"))

    # Export for servers and phones: the encoder and a step of the decoder in one file
    if config.model == "transformer":
        run.export(model, data)
    return run.finish(model, metrics)


if __name__ == "__main__":
    tfdl.launch(main, Config)
