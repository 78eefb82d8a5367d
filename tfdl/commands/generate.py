"""`tfdl generate SOURCE --prompt TEXT`: how a trained language model goes on, letter by letter as it writes."""

import json
import sys
import time
from pathlib import Path

import tfdl
from tfdl.commands.arguments import parser_of, positive
from tfdl.core.chat_templates import TEMPLATES

EXAMPLES = """examples:
  tfdl generate runs/tiny_shakespeare_gpt --prompt "ROMEO:" --temperature 0.8 --top-k 20
  tfdl generate runs/tiny_shakespeare_gpt --prompt "KING" --prompt "QUEEN" --new-tokens 200 --json
  tfdl generate runs/tiny_shakespeare_gpt --file model_dynamic.tflite --prompt "ROMEO:"
  tfdl generate runs/texts_gpt --prompt "Born in " --pattern "[0-9]{4}" --new-tokens 4
  tfdl generate runs/texts_gpt --prompt "{" --schema person.json
  tfdl generate runs/large_gpt --draft runs/small_gpt --prompt "Once" --new-tokens 100
  tfdl generate runs/add_reverse_sort_gpt_instructed --chat
  echo "To be" | tfdl generate runs/tiny_shakespeare_gpt --prompt - --stop "."

Without --temperature each token is the likeliest one.  Several prompts are written side by side and printed at the end,
as are texts of --beams, --contrastive and --draft, which must fit what the model sees.

exit code: 0 success, 2 bad arguments
"""


def main(argv):
    args = arguments(argv)
    from tfdl.inference.text_generation import TextWriter

    writer = tfdl.load(args.source, file=args.file)
    if not isinstance(writer, TextWriter):
        raise ValueError(f"{args.source} is no language model; `tfdl predict` tells what it answers.")
    if args.chat:
        return chat(writer, args)
    prompts = [sys.stdin.read().rstrip("\n") if prompt == "-" else prompt for prompt in args.prompt]
    sampling = sampling_of(args)
    method, options = search_of(args, sampling)
    constraint = constraint_of(args, writer, method)
    streams = len(prompts) == 1 and not args.json and not method
    if streams:
        print(prompts[0], end="", flush=True)
    started, shown = time.perf_counter(), (lambda pieces: print(pieces[0], end="", flush=True)) if streams else None
    if method:
        texts = writer.search(prompts, method, new_tokens=args.new_tokens, stop=args.stop, **options)
    else:
        texts = writer.write(
            prompts,
            new_tokens=args.new_tokens,
            sampling=sampling,
            stop=args.stop,
            constraint=constraint,
            seed=args.seed,
            stream=shown,
            compiled=args.compile,
        )
    seconds = time.perf_counter() - started
    if args.json:
        for prompt, text in zip(prompts, texts):
            print(json.dumps({"prompt": prompt, "text": text}, ensure_ascii=False))
    elif not streams:
        print("\n\n".join(prompt + text for prompt, text in zip(prompts, texts)))
    else:
        print()
    count = sum(len(writer.tokenizer.encode(text, add_special_tokens=False).ids) for text in texts)
    print(f"{count:,} tokens in {seconds:.1f} s, {count / seconds:,.0f} a second, compiling included", file=sys.stderr)
    return 0


def sampling_of(args):
    """How the next token is chosen."""
    from tfdl.inference.sampling import Sampling

    return Sampling(
        temperature=args.temperature,
        top_k=args.top_k,
        top_p=args.top_p,
        min_p=args.min_p,
        repetition_penalty=args.repetition_penalty,
    )


def chat(writer, args):
    """Answers each line of standard input."""
    from tfdl.inference.text_generation import Chat

    talk = Chat(writer, TEMPLATES.get(args.template), args.system)
    options = dict(new_tokens=args.new_tokens, sampling=sampling_of(args), seed=args.seed, compiled=args.compile)
    is_terminal = sys.stdin.isatty()
    while True:
        if is_terminal:
            print("> ", end="", flush=True)
        question = sys.stdin.readline()
        if not question:  # the end of the input
            return 0
        question = question.rstrip("\n")
        if args.json:
            print(json.dumps({"question": question, "answer": talk.answer(question, **options)}, ensure_ascii=False))
        else:
            talk.answer(question, stream=lambda piece: print(piece, end="", flush=True), **options)
            print(flush=True)


def search_of(args, sampling):
    """(name of a method that looks further than at the next token, its options); ("", {}) for none.

    Raises:
        ValueError: several of them, or one with flags that it does not know.
    """
    chosen = [name for name in ("beams", "contrastive", "draft") if getattr(args, name)]
    if not chosen:
        return "", {}
    if len(chosen) > 1:
        raise ValueError(f"--{chosen[0]} and --{chosen[1]} are two ways to find a text; give one of them.")
    (name,) = chosen
    if name == "draft":
        return "speculate", {"draft": tfdl.load(args.draft), "sampling": sampling, "seed": args.seed}
    if sampling != type(sampling)():
        raise ValueError(f"--{name} draws nothing; leave out --temperature and what goes with it.")
    if name == "beams":
        return "beam_search", {"beams": args.beams}
    return "contrastive_search", {"penalty": args.contrastive}


def constraint_of(args, writer, method):
    """What the texts must match; None for nothing.  Raises ValueError for both flags, or a search beside one."""
    if not (args.pattern or args.schema):
        return None
    if (args.pattern and args.schema) or method:
        raise ValueError("Give one of --pattern and --schema, without --beams, --contrastive and --draft.")
    from tfdl.inference.constraints import Constraint

    size = writer.model.config.vocabulary_size
    if args.pattern:
        return Constraint.matching(args.pattern, writer.tokenizer, size)
    return Constraint.following(Path(args.schema).read_text(encoding="utf-8"), writer.tokenizer, size)


def arguments(argv):
    parser = parser_of("generate", description=__doc__, examples=EXAMPLES)
    parser.add_argument("--file", metavar="NAME", help="of an export: which file, such as model_dynamic.tflite")
    parser.add_argument(
        "--prompt", action="append", default=[], metavar="TEXT", help="where to go on from; - reads standard input"
    )
    parser.add_argument("--chat", action="store_true", help="answer each line of standard input, after those before")
    parser.add_argument("--template", choices=TEMPLATES, help="of a chat; default: that of the model's training")
    parser.add_argument("--system", default="", metavar="TEXT", help="of a chat: what stands before all turns")
    parser.add_argument("--new-tokens", type=positive, default=256, metavar="N", help="tokens to write; default: 256")
    parser.add_argument(
        "--temperature", type=float, default=0.0, metavar="X", help="0 takes the likeliest token; 1 draws as trained"
    )
    parser.add_argument("--top-k", type=int, metavar="K", help="draw from the K likeliest tokens")
    parser.add_argument("--top-p", type=float, metavar="P", help="draw from the likeliest tokens of probability P")
    parser.add_argument("--min-p", type=float, metavar="P", help="leave out what is less likely than P times the best")
    parser.add_argument("--repetition-penalty", type=float, default=1.0, metavar="X", help="above 1 repeats less")
    parser.add_argument("--stop", action="append", default=[], metavar="TEXT", help="end before this text")
    parser.add_argument("--pattern", metavar="REGEX", help="a regular expression that the new text matches as a whole")
    parser.add_argument("--schema", metavar="FILE", help="a JSON schema that the new text follows")
    parser.add_argument("--beams", type=positive, metavar="K", help="the likeliest text that K hypotheses find")
    parser.add_argument(
        "--contrastive", type=float, metavar="P", help="contrastive search with this penalty, such as 0.6: repeats less"
    )
    parser.add_argument("--draft", metavar="SOURCE", help="a smaller model that guesses, which the large one checks")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the draws; default: 0")
    parser.add_argument(
        "--compile", action="store_true", help="compile by XLA first: seconds at the start, faster afterwards"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a line: prompt and text")
    args = parser.parse_args(argv)
    if bool(args.prompt) == args.chat:
        raise ValueError("Give --prompt TEXT, once or more, or --chat.")
    return args
