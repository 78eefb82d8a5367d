"""Text as token numbers and back, for models that start from nothing: characters or bytes.

tokenizer = Characters.of(text)
tokens = tokenizer.encode("To be")          # (5,) int32
tokenizer.decode(tokens)                    # "To be"

Source: the character vocabulary is that of Karpathy 2015, "The unreasonable effectiveness of recurrent neural
networks"; bytes need none: Xue et al. 2022, arXiv:2105.13626 (ByT5).
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Characters:
    """One token for each character of a vocabulary, in the order of their code points."""

    vocabulary: tuple[str, ...]

    @classmethod
    def of(cls, text):
        """The characters that a text contains.  Raises ValueError for an empty text."""
        if not text:
            raise ValueError("A vocabulary of characters needs a text that has some; this one is empty.")
        return cls(tuple(sorted(set(text))))

    def __len__(self):
        return len(self.vocabulary)

    def encode(self, text):
        """Token numbers (T,) int32.  Raises ValueError for a character that is not in the vocabulary."""
        points = np.frombuffer(text.encode("utf-32-le"), "<u4")
        known = np.array([ord(character) for character in self.vocabulary], "<u4")
        places = np.searchsorted(known, points).clip(max=len(known) - 1)
        wrong = np.flatnonzero(known[places] != points)
        if len(wrong):
            raise ValueError(
                f"The character {chr(points[wrong[0]])!r} at place {wrong[0]} is none of the {len(self)} that the"
                " training text has; replace it, or use bytes."
            )
        return places.astype("int32")

    def decode(self, tokens):
        """The text of token numbers (T,)."""
        return "".join(self.vocabulary[token] for token in np.asarray(tokens).tolist())


@dataclass(frozen=True)
class Bytes:
    """One token for each byte of UTF-8."""

    def __len__(self):
        return 256

    def encode(self, text):
        """Token numbers (T,) int32."""
        return np.frombuffer(text.encode(), "uint8").astype("int32")

    def decode(self, tokens):
        """The text of token numbers (T,); what is no UTF-8 becomes U+FFFD."""
        return np.asarray(tokens, "uint8").tobytes().decode(errors="replace")


TOKENIZERS = {"characters": Characters.of, "bytes": lambda text: Bytes()}
