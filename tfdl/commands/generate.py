"""`tfdl generate SOURCE --prompt TEXT`: how a trained language model goes on, letter by letter as it writes."""

import json
import sys
import time

import tfdl
from tfdl.commands.arguments import parser_of, positive

EXAMPLES = """examples:
  tfdl generate runs/tiny_shakespeare_gpt --prompt "ROMEO:" --temperature 0.8 --top-k 20
  tfdl generate runs/tiny_shakespeare_gpt --prompt "KING" --prompt "QUEEN" --new-tokens 200 --json
  tfdl generate runs/tiny_shakespeare_gpt --file model_dynamic.tflite --prompt "ROMEO:"
  echo "To be" | tfdl generate runs/tiny_shakespeare_gpt --prompt - --stop "."

Without --temperature each token is the likeliest one.  Several prompts are written side by side and printed at the end.

exit code: 0 success, 2 bad arguments
"""


def main(argv):
    args = arguments(argv)
    from tfdl.inference.generation import Sampling
    from tfdl.inference.text_generation import TextWriter

    writer = tfdl.load(args.source, file=args.file)
    if not isinstance(writer, TextWriter):
        raise ValueError(f"{args.source} is no language model; `tfdl predict` tells what it answers.")
    prompts = [sys.stdin.read().rstrip("\n") if prompt == "-" else prompt for prompt in args.prompt]
    streams = len(prompts) == 1 and not args.json
    if streams:
        print(prompts[0], end="", flush=True)
    started, shown = time.perf_counter(), (lambda pieces: print(pieces[0], end="", flush=True)) if streams else None
    texts = writer.write(
        prompts,
        new_tokens=args.new_tokens,
        sampling=Sampling(
            temperature=args.temperature,
            top_k=args.top_k,
            top_p=args.top_p,
            min_p=args.min_p,
            repetition_penalty=args.repetition_penalty,
        ),
        stop=args.stop,
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


def arguments(argv):
    parser = parser_of("generate", description=__doc__, examples=EXAMPLES)
    parser.add_argument("--file", metavar="NAME", help="of an export: which file, such as model_dynamic.tflite")
    parser.add_argument(
        "--prompt", action="append", required=True, metavar="TEXT", help="where to go on from; - reads standard input"
    )
    parser.add_argument("--new-tokens", type=positive, default=256, metavar="N", help="tokens to write; default: 256")
    parser.add_argument(
        "--temperature", type=float, default=0.0, metavar="X", help="0 takes the likeliest token; 1 draws as trained"
    )
    parser.add_argument("--top-k", type=int, metavar="K", help="draw from the K likeliest tokens")
    parser.add_argument("--top-p", type=float, metavar="P", help="draw from the likeliest tokens of probability P")
    parser.add_argument("--min-p", type=float, metavar="P", help="leave out what is less likely than P times the best")
    parser.add_argument("--repetition-penalty", type=float, default=1.0, metavar="X", help="above 1 repeats less")
    parser.add_argument("--stop", action="append", default=[], metavar="TEXT", help="end before this text")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the draws; default: 0")
    parser.add_argument(
        "--compile", action="store_true", help="compile by XLA first: seconds at the start, faster afterwards"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a line: prompt and text")
    return parser.parse_args(argv)
