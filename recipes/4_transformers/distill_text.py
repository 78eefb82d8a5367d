"""Distill a language model into a small one: few questions have answers, the teacher answers the others.

Stage 4 (transformers) - the teacher's texts: Kim & Rush 2016, arXiv:1606.07947, section 3.2; its probabilities: Hinton
et al. 2015, arXiv:1503.02531
Run:     tfdl run distill_text
         tfdl run distill_text --source runs/my_gpt --data reverse,sort --keep 1000
Expect:  of 500 held-out questions a student with an eighth of the teacher's weights answers 0.13 after 100 answers,
         0.52 after the teacher's texts, and 0.98 after its probabilities too, as many updates each; 8 minutes on two
         CPU cores that other programs shared (one run, seed 0)
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

import tfdl
from tfdl.core.chat_templates import ASSISTANT
from tfdl.data import instructions
from tfdl.data.conversations import Conversation
from tfdl.inference.answers import answers, samples
from tfdl.learners.transfer.distillation import Distillation
from tfdl.losses.tokens import TokenCrossEntropy
from tfdl.session.first_lessons import first_lessons
from tfdl.train.optimizers import language_model_optimizer


@dataclass(frozen=True, kw_only=True)
class Config:
    """Teach a small language model by few answers, by a teacher's answers, and by its probabilities too."""

    data: str = "reverse"
    """tasks or conversations: the teacher learns from all of them"""
    template: Literal["chatml", "zephyr", "plain", "tags"] = "tags"
    """how turns become text"""
    model: Literal["gpt", "llama"] = "gpt"
    """key of a causal language model, for teacher and students"""
    teacher: str = "char_small"
    """row of the model's VARIANTS: tfdl show gpt"""
    variant: str = "short_answers"
    """the same, of the students"""
    source: str = ""
    """the teacher's weights: a run folder, a file, a published name; default: it is trained first"""
    length: int = 32
    """the most tokens of a conversation"""
    first_epochs: int = 4
    """passes over all questions and answers, without `source`"""
    first_learning_rate: float = 3e-3
    """peak of that training"""
    keep: int = 100
    """training questions of which the students have the answers"""
    prompts: int = 6000
    """further ones that the teacher answers"""
    temperature: float = 1.0
    """divides the logits of both where the student learns the teacher's probabilities; 1 as Kim & Rush have it"""
    weight: float = 0.5
    """of that part of the loss; the rest is the cross entropy of the text"""
    batch_size: int = 64
    """conversations per update, over all devices"""
    learning_rate: float = 5e-3
    """peak of a linear warm-up over a twentieth of the updates, followed by a cosine to zero"""
    epochs: int = 12
    """passes of the students over the questions; few answers are repeated until there are as many updates"""
    new_tokens: int = 8
    """the most tokens of an answer"""
    samples: int = 12
    """test questions whose answers are shown"""
    run: tfdl.Run = tfdl.Run()


def main(config: Config):
    run = config.run.start(config, name=f"{config.data}_{config.model}_distilled")

    # Data, and the teacher that learns from all of it
    def load(rows=None, tokenizer=None):
        return instructions.load(
            config.data,
            rows=rows,
            template=config.template,
            tokenizer=tokenizer,
            length=config.length,
            batch_size=config.batch_size,
            run=run,
        )

    every = load()

    def network(variant):
        return tfdl.build(config.model, variant, vocabulary_size=len(every.tokenizer), context=config.length)

    teacher = first_lessons(
        run,
        every,
        lambda: network(config.teacher),
        source=config.source,
        epochs=config.first_epochs,
        learning_rate=config.first_learning_rate,
    )

    # What the students read: few answers again and again, or as many questions once, most answered by the teacher
    known = every.conversations["train"][: config.keep]
    asked = every.conversations["train"][config.keep :][: config.prompts]
    written = answers(teacher, every, asked, new_tokens=config.new_tokens)
    taught = tuple(Conversation((*row.prompt, (ASSISTANT, answer))) for row, answer in zip(asked, written))
    repeated = tuple(known[i % len(known)] for i in range(len(known) + len(taught)))
    texts = load(every.conversations | {"train": (*known, *taught)}, every.tokenizer)
    data = {
        "few_answers": load(every.conversations | {"train": repeated}, every.tokenizer),
        "teachers_texts": texts,
        "teachers_probabilities": texts,
    }

    # Students, which start alike and learn for as many updates
    updates = run.updates(texts, config.epochs)

    def student():
        model = network(config.variant)
        model.compile(language_model_optimizer(config.learning_rate, updates), TokenCrossEntropy())
        return model

    def distilled():
        model = Distillation(network(config.variant), teacher, config.temperature, config.weight)
        model.compile(language_model_optimizer(config.learning_rate, updates))
        return model

    models = {"few_answers": student, "teachers_texts": student, "teachers_probabilities": distilled}
    results = run.compare(data, models, epochs=config.epochs)

    # Evaluate: the share of test questions that each answers as the data do
    students = {name: result.model for name, result in results.items()}
    students["teachers_probabilities"] = students["teachers_probabilities"].network
    test = every.conversations["test"]
    wanted = [row.answer for row in test]
    given = {
        name: answers(model, every, test, new_tokens=config.new_tokens)
        for name, model in {"teacher": teacher, **students}.items()
    }
    metrics = {f"right/{name}": float(np.mean([a == b for a, b in zip(given[name], wanted)])) for name in given}
    metrics["right"] = max(metrics["right/teachers_texts"], metrics["right/teachers_probabilities"])
    metrics["gain"] = metrics["right"] - metrics["right/few_answers"]
    metrics["weights_of_the_teacher"] = teacher.count_params() / students["teachers_texts"].count_params()

    # Look, and export the student that learned most
    questions = [row.prompt[-1][1] for row in test]
    columns = {name: texts[: config.samples] for name, texts in {"wanted": wanted, **given}.items()}
    rows = samples(questions[: config.samples], **columns)
    run.tell("answers", rows)
    best = max(("teachers_texts", "teachers_probabilities"), key=lambda name: metrics[f"right/{name}"])
    run.export(students[best], every, formats=("savedmodel",))
    return run.finish(None, metrics, samples=rows)


if __name__ == "__main__":
    tfdl.launch(main, Config)
