"""Flip a bit of a finished run's files, or cut one, and rerun: is the damage ever used in silence?

    python benchmarks/damage.py --times 500

A recipe of tiny models runs once into a temporary folder. Then, again and again, one file that a stage
reads of the one before is damaged, the same command is started once more, and what it does is counted by
kind of file:

    refused      exit code 1 and one sentence
    made again   exit code 0, and the file is as it was, or a report was put together anew
    harmless     exit code 0, the file still differs, and no stage reads from it what differs
    SILENT       exit code 0, and a damaged file was taken for what was made
    RAW          anything else: a traceback, another exit code

The file is put back afterwards. Exit code 1 when anything was silent or raw.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import random
import sys
import tempfile
from collections import Counter
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent / "tests"
KINDS = {
    "shard of triplets": "triplets/data/*.parquet",
    "tally": "*/tallies/*.json",
    "shard of pairs": "pairs/data/*.parquet",
    "origin": "*/origin.json",
    "weights": "model/*/*.safetensors",
    "configuration": "model/**/*.json",
    "tokenizer": "model/tokenizer/*",
    "report": "report/report.json",
    "kept results": "report/*/**/*.json",
    "cache of latents": "model.training/cache/**/*.npy",
    "checkpoint": "model.training/checkpoints/*/*",
    "captions": "../captions.txt",
    "recipe": "../tiny.yaml",
}
# What a finished run has no need to look at: the next that reads them checks them.
NOT_READ = ("tally", "kept results", "cache of latents", "checkpoint")


def rerun(recipe: Path, out: Path) -> tuple[int, str]:
    """The exit code of `overpaint run`, and what it said."""
    from overpaint.cli import main

    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
        code = main(["run", str(recipe), "-o", str(out)])
    return code, said.getvalue()


def outcome(kind: str, path: Path, whole: bytes, code: int, said: str) -> str:
    """What became of one damaged file; see the module."""
    sentences = [line for line in said.splitlines() if line.startswith("overpaint: ")]
    if "Traceback" in said or code not in (0, 1) or (code == 1 and len(sentences) != 1):
        return "RAW"
    if code == 1:
        return "refused"
    if path.read_bytes() == whole or "is made again" in said:
        return "made again"
    return "harmless" if kind in (*NOT_READ, "recipe", "captions") else "SILENT"


def main() -> int:
    """Run it; see the module."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    sys.path[:0] = [str(TESTS), str(TESTS / "evaluation"), str(TESTS / "runs")]
    from world import build_world, damage

    draw, table = random.Random(arguments.seed), dict[str, Counter[str]]()
    with tempfile.TemporaryDirectory(prefix="damage-") as name:
        recipe = build_world(Path(name))
        out = Path(name, "run")
        code, said = rerun(recipe, out)
        assert code == 0, said
        for number in range(arguments.times):
            kind = list(KINDS)[number % len(KINDS)]
            path = draw.choice(sorted(p for p in out.glob(KINDS[kind]) if p.is_file()))
            whole = path.read_bytes()
            damage(path, draw)
            found = outcome(kind, path, whole, *(result := rerun(recipe, out)))
            table.setdefault(kind, Counter())[found] += 1
            if found in ("SILENT", "RAW"):
                print(f"{found}: {path}\n{result[1]}", file=sys.stderr)
            if path.read_bytes() != whole:
                path.write_bytes(whole)
        code, said = rerun(recipe, out)
        assert code == 0, said
    for kind, counts in table.items():
        print(f"{kind:<20}" + ", ".join(f"{words} {n}" for words, n in sorted(counts.items())))
    wrong = sum(counts["SILENT"] + counts["RAW"] for counts in table.values())
    print(f"{arguments.times} damaged files, {wrong} silent or raw")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
