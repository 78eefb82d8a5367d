"""Train a tagger of words: a recurrent network that reads in both directions, or an encoder in BERT's way.

Stage 3 (sequential data) - BiLSTM: Huang et al. 2015, arXiv:1508.01991; BERT: Devlin et al. 2018, arXiv:1810.04805,
section 5.3; restoring capitals: Lita et al. 2003, "tRuEcasIng", ACL
Run:     tfdl run tag_words
         tfdl run tag_words --data /path/to/conll2003 --casing ""
Expect:  90.8 % of the words of 1,600 news items written as people wrote them after 2 minutes on two CPU cores (one run,
         seed 0); how each word was written most often in 5,381 others is right for 88.4 %.  The mean F1 of the four
         ways is 0.766, below that baseline's 0.780: rare ways are few
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import keras

import tfdl
from tfdl.data import tagged_text
from tfdl.inference.tagging import tag
from tfdl.metrics.tags import tag_scores
from tfdl.metrics.tokens import TokenAccuracy
from tfdl.session.defaults import TAGGERS, with_defaults
from tfdl.train.schedules import after_warm_up, cosine


@dataclass(frozen=True, kw_only=True)
class Config:
    """Train a tagger of words."""

    DEFAULTS: ClassVar = TAGGERS

    data: str = "ag_news_mini"
    """a file of the CoNLL kind, a folder with such a file for each split, or records: see tfdl.data.tagged_text"""
    casing: str = "title,description"
    """columns of records whose words' capitals are the tags, to be restored; empty: the data have words and tags"""
    model: Literal["bilstm", "bert"] = "bilstm"
    """long short-term memory in both directions, or an encoder of attention"""
    variant: str | None = None
    """row of the model's VARIANTS: tfdl show rnn, tfdl show bert"""
    tokenizer: str = "word_pieces"
    """word_pieces (of the training texts), characters, bytes, or the file or folder of a published tokenizer"""
    vocabulary_size: int | None = None
    """word pieces at most"""
    length: int | None = None
    """tokens of a text at most; longer texts are cut"""
    batch_size: int | None = None
    """texts per update, over all devices"""
    learning_rate: float | None = None
    """peak of a linear warm-up over a tenth of the updates, followed by a cosine"""
    weight_decay: float | None = None
    """decoupled from the gradient, as in AdamW"""
    clipnorm: float = 1.0
    """largest norm of the gradients together"""
    epochs: int | None = None
    """passes over the training texts"""
    samples: int = 8
    """test sentences that TensorBoard shows with their tags"""
    run: tfdl.Run = tfdl.Run()


def main(config: Config):
    config = with_defaults(config)
    run = config.run.start(config, name=f"{config.data}_{config.model}_tagger")

    # Data
    data = tagged_text.load(
        config.data,
        length=config.length,
        batch_size=config.batch_size,
        tokenizer=config.tokenizer,
        vocabulary_size=config.vocabulary_size,
        casing=config.casing or None,
        run=run,
    )

    # Model
    with run.scope():
        options = {"vocabulary_size": len(data.tokenizer), "padding": data.padding, "num_classes": data.num_classes}
        if config.model == "bert":
            options |= {"context": config.length, "head": "tagger"}
        model = tfdl.build(TAGGERS[config.model].topic, config.variant, **options)
        learning_rate = after_warm_up(cosine, config.learning_rate, run.updates(data, config.epochs))
        model.compile(
            optimizer=keras.optimizers.AdamW(
                learning_rate, weight_decay=config.weight_decay, global_clipnorm=config.clipnorm
            ),
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=tagged_text.PADDING),
            metrics=[TokenAccuracy()],
        )

    # Train; afterwards the model has the weights of the best epoch
    run.fit(model, data, epochs=config.epochs)

    # Evaluate, beside what is known of each word by itself
    metrics = run.evaluate(model, data, "validation") | run.evaluate(model, data)
    sentences = data.sentences["test"]
    truth, found = [sentence.tags for sentence in sentences], tag(model, data, "test")
    metrics |= {f"test_{name}": score for name, score in tag_scores(found, truth).items()}
    metrics |= {f"test_{name}/single_words": score for name, score in tag_scores(data.baseline(), truth).items()}

    # Look, in TensorBoard: some sentences with their tags
    texts = [" ".join(sentence.words) for sentence in sentences[: config.samples]]
    columns = zip(texts, map(" ".join, truth), map(" ".join, found))
    run.tell("tags", [{"text": text, "people": people, "model": model_s} for text, people, model_s in columns])

    # Export for servers and phones, with the tokenizer beside the files
    run.export(model, data)
    return run.finish(model, metrics, cut=data.cut)


if __name__ == "__main__":
    tfdl.launch(main, Config)
