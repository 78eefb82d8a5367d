"""Chat templates: how the turns of a conversation become one text, and which of its tokens an assistant learns.

    template = TEMPLATES["chatml"]
    template.text([("user", "37+58"), ("assistant", "95")])
    # "<|im_start|>user\n37+58<|im_end|>\n<|im_start|>assistant\n95<|im_end|>\n"
    tokens, learned = template.encode(messages, tokenizer)     # (T,) int32, (T,) bool

An assistant learns its own words and the token that ends them; what others say is only read.  A role or an end that
is written in a message stays plain text, so that no message can pose as another turn.

Sources: loss on answers only: Ouyang et al. 2022, arXiv:2203.02155, appendix C.1; `chatml`: OpenAI 2023, "Chat Markup
Language"; `zephyr`: Tunstall et al. 2023, arXiv:2310.16944.
Shapes: T tokens.
"""

import dataclasses
import re
from dataclasses import dataclass

import numpy as np

from tfdl.core.task import Task

ROLES = ("system", "user", "assistant")
ASSISTANT = ROLES[2]
SPECIAL = re.compile(r"<\|\w+\|>|</s>")  # tokens of their own inside a template


@dataclass(frozen=True)
class ChatTemplate:
    """Every turn is `before`, its content, `end` and `after`.

    Attributes:
        before: with {role} where the role stands.
        end: the special token that ends a turn; generation stops at it.
        after: what separates turns.
    """

    before: str
    end: str
    after: str = ""

    @property
    def special(self):
        """The special tokens, each once, the end first."""
        found = [token for role in ROLES for token in SPECIAL.findall(self.before.format(role=role))]
        return tuple(dict.fromkeys([self.end, *found]))

    @property
    def jinja(self):
        """The same as a `chat_template` of Hugging Face's tokenizers."""
        before, after = self.before.split("{role}")
        turn = f"{quoted(before)} + message['role'] + {quoted(after)} + message['content'] + {quoted(self.close)}"
        prompt = quoted(self.before.format(role=ASSISTANT))
        return (
            "{% for message in messages %}{{ " + turn + " }}{% endfor %}"
            "{% if add_generation_prompt %}{{ " + prompt + " }}{% endif %}"
        )

    @property
    def close(self):
        return self.end + self.after

    def text(self, messages, *, prompt=False):
        """The text of (role, content) pairs; with `prompt`, an assistant's turn is opened at the end."""
        turns = [self.before.format(role=role) + content + self.close for role, content in messages]
        return "".join(turns) + (self.before.format(role=ASSISTANT) if prompt else "")

    def encode(self, messages, tokenizer, *, prompt=False):
        """The tokens of a conversation, and which of them an assistant wrote.

        Args:
            messages: (role, content) pairs.
            tokenizer: `tokenizers.Pieces` that knows the special tokens.
            prompt: open an assistant's turn at the end.

        Returns:
            tokens (T,) int32, and whether each is learned (T,) bool: an assistant's content and the end of its turn.

        Raises:
            ValueError: the tokenizer lacks a special token.
        """
        pieces = []  # (tokens, learned)
        for role, content in messages:
            is_assistant = role == ASSISTANT
            pieces.append((self.tokens(self.before.format(role=role), tokenizer), False))
            pieces.append((plain_tokens(content, tokenizer), is_assistant))
            pieces.append((self.tokens(self.end, tokenizer), is_assistant))
            pieces.append((self.tokens(self.after, tokenizer), False))
        if prompt:
            pieces.append((self.tokens(self.before.format(role=ASSISTANT), tokenizer), False))
        tokens = np.array([token for part, _ in pieces for token in part], "int32")
        return tokens, np.array([learned for part, learned in pieces for _ in part], bool)

    def tokens(self, text, tokenizer):
        """Token numbers of a part of the template itself, whose special tokens are single ones."""
        numbers, place = [], 0
        for found in SPECIAL.finditer(text):
            numbers += [*plain_tokens(text[place : found.start()], tokenizer), number_of(found[0], tokenizer)]
            place = found.end()
        return [*numbers, *plain_tokens(text[place:], tokenizer)]

    def stop_token(self, tokenizer):
        """The number of the token that ends an answer."""
        return number_of(self.end, tokenizer)


TEMPLATES = {
    "chatml": ChatTemplate("<|im_start|>{role}\n", "<|im_end|>", "\n"),
    "zephyr": ChatTemplate("<|{role}|>\n", "</s>", "\n"),
    "plain": ChatTemplate("{role}: ", "<|endoftext|>", "\n"),  # needs no token that GPT-2 lacks
    "tags": ChatTemplate("<|{role}|>", "<|end|>"),  # ours: as few tokens as possible, for small models
}


def template_of(name):
    """A row of TEMPLATES, or a `ChatTemplate` as it is.  Raises ValueError for an unknown name."""
    if isinstance(name, ChatTemplate):
        return name
    if name not in TEMPLATES:
        raise ValueError(f"There is no chat template {name!r}; choose {', '.join(TEMPLATES)}.")
    return TEMPLATES[name]


def chat_task(template, tokenizer, length):
    """The `Task` of a model that answers in this template."""
    return Task(
        kind="text_generation",
        tokenizer="tokenizer.json",
        length=length,
        padding=tokenizer.special.get("padding", 0),
        template=dataclasses.astuple(template),
    )


def plain_tokens(text, tokenizer):
    """Token numbers of a text in which special tokens are plain letters."""
    inner = tokenizer.tokenizer
    before, inner.encode_special_tokens = inner.encode_special_tokens, True
    try:
        return tokenizer.encode(text).tolist()
    finally:
        inner.encode_special_tokens = before


def number_of(token, tokenizer):
    number = tokenizer.tokenizer.token_to_id(token)
    if number is None:
        raise ValueError(f"The tokenizer has no token {token}; add it, or choose a template of its own tokens.")
    return number


def quoted(text):
    """A string of Jinja."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n") + "'"
