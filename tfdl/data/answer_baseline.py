"""Answers to questions by logistic regression, without any network: what one of them has to beat.

    texts = answers(train, test)      # of `tfdl.data.question_answering.Question`s; one text for each of test

Every span of a few words of one sentence is a candidate, and features say how it fits the question: how many of the
question's words, and which rare ones, stand in its sentence and close beside it; what it looks like (a number, a name,
...), crossed with what is asked for (who, when, how many ...); its length and the words around it.  The classifier
learns to tell right candidates from others of the same paragraph, and the most probable one is the answer.

After Rajpurkar et al. 2016, arXiv:1606.05250, section 5, whose features also come from parse trees, and whose
candidates are constituents of these.
"""

import math
import re
from collections import Counter
from dataclasses import dataclass

import numpy as np
from sklearn.feature_extraction import DictVectorizer
from sklearn.linear_model import LogisticRegression

LONGEST = 8  # words of a candidate: of SQuAD's answers one in twenty is longer
NEGATIVES = 40  # wrong candidates of a question to learn from
NEAR = 4  # words beside a candidate that are looked at
WORD = re.compile(r"\w+(?:[-'’.,&]\w+)*|[^\w\s]")
ASKED = ("how many", "how much", "how long", "who", "whose", "whom", "when", "where", "which", "why", "how", "what")
LITTLE = frozenset(
    re.findall(
        r"\w+",
        "a an the of in on at to for from by with and or but is are was were be been as that which who this these those"
        " it its their his her he she they not",
    )
)


@dataclass(frozen=True)
class Token:
    """A word or sign: its text, and where it begins and ends in the paragraph."""

    text: str
    start: int
    stop: int

    @property
    def lower(self):
        return self.text.lower()


def answers(train, questions, *, seed=0):
    """The answer to each question, a text.

    Args:
        train: `Question`s with answers.
        questions: `Question`s; their answers are not looked at.
        seed: of the wrong candidates that are learned from.
    """
    rarity = rarities({question.paragraph for question in train})
    random, rows, labels = np.random.default_rng(seed), [], []
    for question in train:
        sentences, spans = candidates(question.paragraph)
        wanted = {(start, start + len(text)) for text, start in question.answers}
        right = [span for span in spans if limits(sentences, span) in wanted]
        wrong = [span for span in spans if limits(sentences, span) not in wanted]
        if not right:
            continue
        chosen = [wrong[i] for i in random.choice(len(wrong), min(NEGATIVES, len(wrong)), replace=False)]
        rows += [features(question.text, sentences, span, rarity) for span in (*right, *chosen)]
        labels += [1] * len(right) + [0] * len(chosen)
    if len(set(labels)) < 2:
        return [""] * len(questions)
    vectors = DictVectorizer()
    judge = LogisticRegression(max_iter=1000, C=0.3).fit(vectors.fit_transform(rows), labels)
    return [best(question, vectors, judge, rarity) for question in questions]


def best(question, vectors, judge, rarity):
    """The text of the most probable candidate."""
    sentences, spans = candidates(question.paragraph)
    if not spans:
        return ""
    scores = judge.decision_function(
        vectors.transform([features(question.text, sentences, span, rarity) for span in spans])
    )
    start, stop = limits(sentences, spans[int(np.argmax(scores))])
    return question.paragraph[start:stop]


def rarities(paragraphs):
    """Word -> log of one over the share of paragraphs that have it; of words in none, None -> the largest."""
    counts = Counter(word for text in paragraphs for word in {token.lower for token in tokens_of(text)})
    return {word: math.log(len(paragraphs) / count) for word, count in counts.items()} | {
        None: math.log(len(paragraphs) + 1)
    }


def tokens_of(text):
    return [Token(match[0], match.start(), match.end()) for match in WORD.finditer(text)]


def candidates(paragraph):
    """Sentences, lists of tokens, and all spans (sentence, first word, last word) that may be an answer."""
    sentences, current = [], []
    for token in tokens_of(paragraph):
        current.append(token)
        if token.text in ".!?":
            sentences.append(current)
            current = []
    sentences += [current] if current else []
    spans = [
        (number, first, last)
        for number, sentence in enumerate(sentences)
        for first in range(len(sentence))
        for last in range(first, min(first + LONGEST, len(sentence)))
        if is_content(sentence[first]) and is_content(sentence[last])
    ]
    return sentences, spans


def is_content(token):
    """Whether an answer may begin or end with it."""
    return token.text[0].isalnum() and (token.lower not in LITTLE or token.text[0].isupper())


def limits(sentences, span):
    """Where a span begins and ends in the paragraph, in characters."""
    number, first, last = span
    return sentences[number][first].start, sentences[number][last].stop


def features(question, sentences, span, rarity):
    """Name -> value."""
    number, first, last = span
    sentence = sentences[number]
    asked_words = [token.lower for token in tokens_of(question) if token.text[0].isalnum()]
    asked = {word: rarity.get(word, rarity[None]) for word in asked_words if word not in LITTLE}
    total = sum(asked.values()) or 1.0

    def shared(tokens):
        return sum(asked[word] for word in {token.lower for token in tokens} & asked.keys()) / total

    inside, left, right = sentence[first : last + 1], sentence[:first], sentence[last + 1 :]
    kind, looks = asked_for(question), look(inside, first == 0)
    target = next((word for word in asked_words[1:] if word not in LITTLE), "")  # "which year", "what company"
    shares = [shared(other) for other in sentences]
    values = {
        "sentence": shares[number],
        "sentence is best": float(shares[number] == max(shares)),
        "near left": shared(left[-NEAR:]),
        "near right": shared(right[:NEAR]),
        "inside": shared(inside),
        f"words={len(inside)}": 1.0,
        f"{kind} words={len(inside)}": 1.0,
        f"{kind} looks={looks}": 1.0,
        f"{target} looks={looks}": 1.0,
        f"looks={looks}": 1.0,
        f"before={left[-1].lower if left else '<'}": 1.0,
        f"{kind} before={left[-1].lower if left else '<'}": 1.0,
        f"after={right[0].lower if right else '>'}": 1.0,
        f"{kind} first={inside[0].lower}": 1.0,
        f"{kind} last={inside[-1].lower}": 1.0,
        "first sentence": float(number == 0),
    }
    capitals = [token.text[0].isupper() for token in (*left[-1:], *right[:1])]
    values["cut name"] = float(any(capitals) and inside[0].text[0].isupper())  # half of "New York"
    return values


def asked_for(question):
    """The question word, or "other"."""
    text = question.lower()
    return next((words for words in ASKED if re.search(rf"\b{words}\b", text)), "other")


def look(tokens, begins_sentence):
    """What a span looks like, in a word."""
    texts = [token.text for token in tokens]
    if any(re.fullmatch(r"1\d{3}s?|20\d\ds?", text) for text in texts):
        return "year"
    if any(text[0].isdigit() for text in texts):
        return "number"
    capitals = [text[0].isupper() for text in texts]
    if all(capitals) and not begins_sentence:
        return "name"
    return "mixed" if any(capitals[1:]) or (capitals[0] and not begins_sentence) else "words"
