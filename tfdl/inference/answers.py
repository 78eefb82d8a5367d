"""What a language model answers to the prompts of conversations, as texts, and side by side for a report.

after = answers(model, data, data.conversations["test"][:8], new_tokens=16)
run.tell("answers", samples(questions, before=before, after=after))
"""

PART = 512  # prompts that are answered at once


def answers(model, data, conversations, *, new_tokens, sampling=None, seed=0, compiled=True):
    """The texts that a model answers.

    Args:
        model: a language model or a learner around one.
        data: has `prompt`, `stop_token` and `tokenizer`, as `data.instructions.InstructionData`.
        conversations: whose last messages are answered.
        new_tokens: the most tokens of an answer.
        sampling: a `sampling.Sampling`; None takes the likeliest tokens.
        seed, compiled: as of `generation.generate`.

    Returns:
        list of texts.
    """
    prompts, texts = [data.prompt(row.prompt) for row in conversations], []
    for first in range(0, len(prompts), PART):
        written = model.generate(
            prompts[first : first + PART],
            new_tokens=new_tokens,
            sampling=sampling,
            stop_tokens=(data.stop_token,),
            seed=seed + first,
            compiled=compiled,
        )
        texts += map(data.tokenizer.decode, written.tokens)
    return texts


def several_answers(model, data, conversations, number, **options):
    """`number` answers to each prompt, as lists of texts; options as of `answers`."""
    repeated = [row for row in conversations for _ in range(number)]
    given = answers(model, data, repeated, **options)
    return [given[i : i + number] for i in range(0, len(given), number)]


def samples(questions, **columns):
    """A dict for each question with its answers, name -> text: for TensorBoard and summary.json."""
    return [dict(zip(("question", *columns), row)) for row in zip(questions, *columns.values())]
