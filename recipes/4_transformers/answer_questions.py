"""Train a network to point at the answer to a question in a paragraph, and compare it with a logistic regression.

Stage 4 (transformers) - SQuAD: Rajpurkar et al. 2016, arXiv:1606.05250; BERT: Devlin et al. 2018, arXiv:1810.04805,
section 4.2; questions without an answer: section 4.3
Run:     tfdl run answer_questions
         tfdl run answer_questions --weights /path/to/all-MiniLM-L6-v2 --variant minilm_l6 --length 256 \\
             --batch-size 16 --learning-rate 1e-4 --epochs 6
         tfdl run answer_questions --data /path/to/squad --weights hf:google-bert/bert-base-uncased ...
Expect:  on 130 questions on other paragraphs of XQuAD, 46 % exact matches and an F1 of 54 % with the second command,
         after 23 minutes on two CPU cores that other programs shared (one run, seed 0); the logistic regression has
         29 % and 36 %
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import keras

import tfdl
from tfdl.data import question_answering
from tfdl.inference.question_answering import ask
from tfdl.losses.spans import SpanCrossEntropy
from tfdl.metrics.answers import SpanAccuracy, answer_scores
from tfdl.session.defaults import QUESTION_ANSWERERS, with_defaults
from tfdl.train.schedules import after_warm_up, linear


@dataclass(frozen=True, kw_only=True)
class Config:
    """Train a model that answers questions on paragraphs."""

    DEFAULTS: ClassVar = QUESTION_ANSWERERS

    data: str = "xquad/en"
    """a tensorflow_datasets name such as squad, a .json file in SQuAD's form, a folder with such a file a split, or
    records with the columns question, context and answers"""
    model: Literal["bert", "roberta"] = "bert"
    """the encoder"""
    variant: str | None = None
    """row of the model's VARIANTS: tfdl show bert"""
    weights: str | None = None
    """published ones to start from, a file or folder or hf:owner/name; default: random"""
    tokenizer: str | None = None
    """file or folder of a published tokenizer; default: that of the folder of weights, or one made for the data"""
    vocabulary_size: int | None = None
    """word pieces at most of a tokenizer that is made here"""
    length: int | None = None
    """tokens of a question and its paragraph; longer paragraphs are read in windows that overlap"""
    batch_size: int | None = None
    """rows per update, over all devices"""
    learning_rate: float | None = None
    """peak of a linear warm-up over a tenth of the updates, followed by a line to zero"""
    weight_decay: float | None = None
    """decoupled from the gradient, as in AdamW"""
    clipnorm: float = 1.0
    """largest norm of the gradients together (the authors' program)"""
    epochs: int | None = None
    """passes over the training questions"""
    run: tfdl.Run = tfdl.Run()


def main(config: Config):
    config = with_defaults(config)
    run = config.run.start(config, name=f"{config.data}_{config.model}")

    # Data
    published = config.tokenizer or config.weights
    data = question_answering.load(
        config.data,
        length=config.length,
        batch_size=config.batch_size,
        tokenizer=published or "word_pieces",
        vocabulary_size=config.vocabulary_size,
        run=run,
    )

    # Model
    with run.scope():
        if config.weights:
            model = tfdl.build(config.model, config.variant, head="span", weights=config.weights)
        else:
            sizes = {"vocabulary_size": len(data.tokenizer), "context": config.length, "padding": data.padding}
            model = tfdl.build(config.model, config.variant, head="span", **sizes)
        learning_rate = after_warm_up(linear, config.learning_rate, run.updates(data, config.epochs))
        model.compile(
            optimizer=keras.optimizers.AdamW(
                learning_rate, weight_decay=config.weight_decay, global_clipnorm=config.clipnorm
            ),
            loss=SpanCrossEntropy(),
            metrics=[SpanAccuracy()],
        )

    # Train; the model keeps the weights of the epoch that pointed best
    run.fit(model, data, epochs=config.epochs, monitor="val_span_accuracy")

    # Evaluate by SQuAD's rules, beside a classifier of spans; as many training questions show what was learned by heart
    metrics = run.evaluate(model, data, "validation") | run.evaluate(model, data)
    count = len(data.questions["test"])
    for split in ("train", "validation", "test"):
        answers = ask(model, data, split, limit=count)
        scores = answer_scores([answer.answer for answer in answers], data.references(split)[:count])
        metrics |= {f"{split}_{name}": score for name, score in scores.items()}
    for name, score in answer_scores(data.baseline(), data.references()).items():
        metrics[f"test_{name}/logistic_regression"] = score
    examples = [
        {"question": answer.question, "people": people, "model": answer.answer}
        for answer, people in zip(answers[:8], data.references())
    ]
    run.tell("answers", examples)

    # Export for servers and phones, with the tokenizer beside the files
    run.export(model, data, formats=("savedmodel", "tflite", "tflite_float16", "tflite_dynamic"))
    return run.finish(model, metrics, examples=examples)


if __name__ == "__main__":
    tfdl.launch(main, Config)
