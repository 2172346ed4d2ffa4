"""Valid unique triplets a second: our generation against a faithful loop of one row at a time.

    python benchmarks/instruct_speed.py --model runs/writer --captions captions.txt -n 64

The loop is the mission's: one prompt at a time, 80 new tokens, no stop at the end. Both decode
greedily in this process and in float32, in turn, round by round; the texts up to END must be equal
row by row. A model that was fine-tuned is needed: one that was not writes no valid text.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence

import torch

from overpaint.data.formats import read_captions
from overpaint.instruct.filters import clean_triplet, fault_of_triplet, keep_captions
from overpaint.instruct.kinds import KINDS
from overpaint.instruct.models import LanguageModel, load_language_model
from overpaint.instruct.sampling import complete
from overpaint.instruct.settings import GenerateSettings
from overpaint.instruct.text_format import END, TextFormat
from overpaint.instruct.words import near_key
from overpaint.models import pick_device
from overpaint.rows import Triplet
from overpaint.tally import Tally

NEW_TOKENS = 80


def one_at_a_time(model: LanguageModel, prompts: Sequence[str]) -> list[str]:
    """The loop that we compare with."""
    texts = []
    for prompt in prompts:
        inputs = model.tokenizer(prompt, return_tensors="pt").to(model.model.device)
        with torch.inference_mode():
            written = model.model.generate(
                **inputs, do_sample=False, max_new_tokens=NEW_TOKENS, min_new_tokens=NEW_TOKENS
            )
        text = model.tokenizer.decode(written[0, inputs.input_ids.shape[1] :])
        texts.append(text)
    return texts


def up_to_end(text: str) -> str:
    """The text with its END, and nothing after it."""
    before, end, _ = text.partition(END)
    return before + end


def valid_unique(captions: Sequence[str], texts: Sequence[str], form: TextFormat) -> int:
    """How many different triplets pass the cleaning."""
    kept = set()
    for caption, text in zip(captions, texts, strict=True):
        pair = form.parse(text)
        if pair is None:
            continue
        triplet = clean_triplet(
            Triplet(original_prompt=caption, edit_prompt=pair[0], edited_prompt=pair[1])
        )
        if fault_of_triplet(triplet) is None:
            kept.add((caption, near_key(triplet.edit_prompt)))
    return len(kept)


def main() -> None:
    """Measure, and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True)
    parser.add_argument("--captions", required=True)
    parser.add_argument("-n", "--rows", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--device")
    options = parser.parse_args()
    tally = Tally()
    captions = list(keep_captions(read_captions(options.captions, tally), tally))[: options.rows]
    model = load_language_model(options.model, pick_device(options.device), torch.float32)
    form = TextFormat(model.format or "delimited")
    kinds = list(KINDS)
    prompts = [form.prompt(text, kinds[i % len(kinds)]) for i, text in enumerate(captions)]
    settings = GenerateSettings(
        temperature=0, max_new_tokens=NEW_TOKENS, batch_size=options.batch_size
    )
    ways = {
        "batched": lambda: complete(model, prompts, [0] * len(prompts), settings),
        "one at a time": lambda: one_at_a_time(model, prompts),
    }
    complete(model, prompts[:2], [0, 0], settings)  # what is made once is made before the clock
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    texts: dict[str, list[str]] = {}
    for _ in range(options.rounds):
        for name, write in ways.items():
            began = time.perf_counter()
            texts[name] = [up_to_end(text) for text in write()]
            seconds[name].append(time.perf_counter() - began)
    rates = {name: valid_unique(captions, texts[name], form) / min(seconds[name]) for name in ways}
    differ = [
        row
        for row, (a, b) in enumerate(zip(texts["batched"], texts["one at a time"], strict=True))
        if a != b
    ]
    report = {
        "rows": len(captions),
        "device": str(model.model.device),
        "threads": torch.get_num_threads(),
        "valid_unique_triplets_a_second": {n: round(rate, 3) for n, rate in rates.items()},
        "times_faster": round(rates["batched"] / max(rates["one at a time"], 1e-9), 2),
        "seconds": {name: [round(s, 2) for s in each] for name, each in seconds.items()},
        "rows_that_differ": differ,
    }
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
