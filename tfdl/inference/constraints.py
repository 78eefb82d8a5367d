"""What a text may be: a regular expression or a JSON schema as a table of the tokens that may follow.

    constraint = Constraint.matching(r"[0-9]{1,3}(\\.[0-9]+)?", tokenizer)
    answer = model.generate(prompts, constraint=constraint)

The expression becomes a finite automaton over tokens, as in Willard & Louf 2023, arXiv:2307.09702, section 3, by their
library outlines-core; the loop that writes then masks the logits by a row of the table.
Shapes: Q states, V vocabulary.
"""

import json
from dataclasses import dataclass

import numpy as np

from tfdl.core.token_rows import pieces_as_bytes

NO_STATE = -1
LARGEST = 2**30  # bytes of a table


@dataclass(frozen=True, eq=False)
class Constraint:
    """An automaton.

    Attributes:
        table: (Q, V) int32, the state after each token; -1 where the token may not follow.
        final: (Q,) bool, where a text may end.
        start: the state before the first token.
    """

    table: np.ndarray
    final: np.ndarray
    start: int

    @classmethod
    def matching(cls, pattern, tokenizer, vocabulary_size=None):
        """Texts that match a regular expression as a whole.

        Args:
            pattern: in the syntax of Rust's `regex`: no look-around, no references.
            tokenizer: a `tokenizers.Tokenizer`.
            vocabulary_size: of the model, where it has more tokens than the tokenizer.

        Raises:
            ImportError: outlines-core is missing; the message names the extra.
            ValueError: no expression, one that the tokens cannot write, or one with too many states.
        """
        try:
            import outlines_core
        except ImportError as error:
            raise ImportError("Constraints need outlines-core: pip install 'tfdl[constrain]'.") from error
        pieces = pieces_as_bytes(tokenizer)
        size = vocabulary_size or tokenizer.get_vocab_size()
        tokens = {}
        for number, piece in pieces.items():
            if piece and number < size:
                tokens.setdefault(piece, []).append(number)
        try:
            index = outlines_core.Index(pattern, outlines_core.Vocabulary(size, tokens))  # V stands for the end
        except ValueError as error:
            raise ValueError(f"The pattern {pattern!r} cannot be followed: {str(error).rstrip('.')}.") from None
        return cls.of(index.get_transitions(), index.get_initial_state(), index.get_final_states(), size)

    @classmethod
    def following(cls, schema, tokenizer, vocabulary_size=None):
        """JSON that follows a schema, a dict or the text of one, with at most one space between its parts.

        Raises:
            ImportError, ValueError: as `matching`, or outlines-core does not know what the schema says.
        """
        try:
            from outlines_core.json_schema import build_regex_from_schema
        except ImportError as error:
            raise ImportError("Constraints need outlines-core: pip install 'tfdl[constrain]'.") from error
        text = schema if isinstance(schema, str) else json.dumps(schema)
        try:
            pattern = build_regex_from_schema(text)
        except Exception as error:  # the library raises several kinds
            raise ValueError(f"The schema {text:.80} cannot be followed: {str(error).rstrip('.')}.") from None
        return cls.matching(pattern, tokenizer, vocabulary_size)

    @classmethod
    def of(cls, transitions, start, final, size):
        """From {state: {token: next state}} with any numbers for the states."""
        states = sorted({start, *final, *transitions, *(q for row in transitions.values() for q in row.values())})
        if 4 * len(states) * size > LARGEST:
            raise ValueError(
                f"The pattern has {len(states):,} states, whose table for {size:,} tokens would take"
                f" {4 * len(states) * size / 2**30:.1f} GiB; make it simpler."
            )
        place = {state: i for i, state in enumerate(states)}
        table = np.full((len(states), size), NO_STATE, "int32")
        for state, row in transitions.items():
            numbers = np.array([token for token in row if token < size], "int64")
            table[place[state], numbers] = [place[row[token]] for token in numbers.tolist()]
        return cls(table, np.isin(states, list(final)), place[start])
