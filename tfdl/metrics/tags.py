"""How good tags of words are: word by word, and of names in the B-I-O scheme also name by name.

Source: Tjong Kim Sang & De Meulder 2003, "Introduction to the CoNLL-2003 shared task", section 2.3, whose program
counts a name as found if its first word, its last word and its kind are right.
"""

import itertools

from sklearn.metrics import f1_score


def tag_scores(found, truth):
    """{"accuracy", "macro_f1"} of words, and {"chunk_f1"} where tags are B-..., I-... and O.

    Args:
        found, truth: for each sentence its tags; words without a tag in `found` are wrong.

    Raises:
        ValueError: not as many sentences, or no words.
    """
    if len(found) != len(truth) or not any(truth):
        raise ValueError(f"There are tags of {len(found)} sentences for {len(truth)}; give some for each.")
    filled = [[*tags, *[""] * (len(right) - len(tags))] for tags, right in zip(found, truth)]
    words, right = (list(itertools.chain.from_iterable(sentences)) for sentences in (filled, truth))
    known = sorted(set(right))
    scores = {
        "accuracy": sum(a == b for a, b in zip(words, right)) / len(right),
        "macro_f1": float(f1_score(right, words, labels=known, average="macro", zero_division=0.0)),
    }
    if all(tag == "O" or tag[:2] in ("B-", "I-") for tag in known) and known != ["O"]:
        scores["chunk_f1"] = chunk_f1(filled, truth)
    return scores


def chunk_f1(found, truth):
    """Harmonic mean of precision and recall of chunks: their first word, last word and kind have to be right."""
    answers, wanted = (
        {(n, *chunk) for n, tags in enumerate(rows) for chunk in chunks(tags)} for rows in (found, truth)
    )
    return 2 * len(answers & wanted) / (len(answers) + len(wanted)) if answers or wanted else 1.0


def chunks(tags):
    """[(first, last, kind)] of the B-kind, I-kind ... of a sentence; an I- that goes on with nothing begins one too."""
    found, first, kind = [], None, None
    for place, tag in enumerate([*tags, "O"]):
        goes_on = tag[:2] == "I-" and tag[2:] == kind
        if kind is not None and not goes_on:
            found.append((first, place - 1, kind))
            kind = None
        if kind is None and tag[:2] in ("B-", "I-"):
            first, kind = place, tag[2:]
    return found
