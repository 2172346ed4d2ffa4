"""What filtering and control are worth: one editor each from exact, made, and careless pairs.

    python benchmarks/pair_ablation.py --rows 1200 -o runs/ablation

Triplets come from scenes, so exact pairs exist for the same rows. Three ways to make pairs draw five
candidates of every row, once:

    controlnet        steered by the edges of the original, at five strengths
    prompt-to-prompt  with the attention of the original
    independent       two samples that share neither noise nor control

An arm takes the best candidate of a row that passes (what `overpaint pairs` keeps), or as
WAY-unfiltered one of the row's five by lot; `exact` are the scenes' own answers. Every arm trains the
same editing U-Net from the same parent for the same steps.

Printed are target retrieval@1 and the PSNR of untouched pixels with bootstrap 95 % intervals, the
number of pairs, which the filter makes smaller (`--most` cuts all arms to one number), and what filter
and control add, case by case. OUT/report/report.html shows the arms side by side. Killed and started
again with the same words, it goes on where it was. Pairs are made as recipes/nano.yaml says, editors
trained as recipes/nano-editor.yaml; `--set pairs.KEY=VALUE` and `--set train.KEY=VALUE` hold for all.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

from overpaint.cli import main as overpaint
from overpaint.evaluation.evaluate import evaluate
from overpaint.evaluation.judges import Judges
from overpaint.evaluation.settings import SamplingSettings
from overpaint.evaluation.sources import scene_cases
from overpaint.metrics.intervals import Estimate
from overpaint.models.names import PARENT
from overpaint.pairs.scores import SCORES, Thresholds, choose
from overpaint.pairs.settings import PairsSettings
from overpaint.pairs.stage import make_pairs
from overpaint.recipe import read_block
from overpaint.report.build import compare_models
from overpaint.report.comparison import show_difference
from overpaint.report.schema import OVERALL, Report
from overpaint.rows import TRIPLET_COLUMNS, pair_features
from overpaint.scenes.examples import SPLITS
from overpaint.shards import read_pairs, row_key, row_seed, write_card, write_shard
from overpaint.training.editor import train_editor
from overpaint.training.settings import TrainSettings

Row = dict[str, Any]

RECIPES = Path(__file__).resolve().parent.parent / "recipes"
CANDIDATES = 5  # of a row
# What each way of making pairs says to the stage that makes them.
WAYS: dict[str, tuple[str, ...]] = {
    "controlnet": ("pairs.controlnet_conditioning_scales=[0.2, 0.35, 0.5, 0.65, 0.8]",),
    "prompt-to-prompt": (
        "pairs.method=prompt-to-prompt",
        "pairs.cross_attention=refine",
        f"pairs.candidates={CANDIDATES}",
    ),
    "independent": (
        "pairs.controlnet_conditioning_scales=[0]",
        f"pairs.seeds_per_scale={CANDIDATES}",
        "pairs.shared_noise=false",
    ),
}
_KEEP_ALL = (
    f"pairs.keep={CANDIDATES}",
    "pairs.thresholds={" + ", ".join(f"{score}: null" for score in SCORES) + "}",
)
EXACT, UNFILTERED = "exact", "-unfiltered"
ARMS = (EXACT, *WAYS, *(way + UNFILTERED for way in WAYS))
CONTROLS = [way for way in WAYS if way != "independent"]
# What is claimed, and the arms that show it: the second should be better than the first.
CLAIMS = {
    **{f"the filter, {way}": (way + UNFILTERED, way) for way in WAYS},
    **{f"control, {way}": ("independent", way) for way in CONTROLS},
    **{
        f"control, {way}{UNFILTERED}": ("independent" + UNFILTERED, way + UNFILTERED)
        for way in CONTROLS
    },
}
METRICS = ("retrieval", "untouched_psnr")


def main() -> None:
    """Make, train, evaluate, and print a line an arm and a line a claim."""
    options = parse()
    out: Path = options.output
    suffix = f"-{options.most}" if options.most else ""
    scenes = ["-n", str(options.rows), "--seed", str(options.seed), "-o", str(out / "scenes")]
    if overpaint(["scenes", *scenes]):
        sys.exit(1)
    counts, models = {}, []
    for arm in options.arm or ARMS:
        print(f"{arm}:", file=sys.stderr)
        rows = rows_of(arm, out, options)[: options.most]
        counts[arm] = len(rows)
        if rows:
            pairs, model = out / f"pairs{suffix}" / arm, out / f"models{suffix}" / arm
            write_card(pairs, arm, f"{len(rows)} pairs of the ablation.")
            write_shard(pairs, 0, 1, rows, pair_features())
            train_editor(pairs, options.parent or PARENT, model, train_settings(options))
            models.append(str(model))
    report = evaluate(
        models,
        scene_cases(options.scenes, options.seed, options.split),
        SamplingSettings(seed=options.seed),
        out / f"report{suffix}",
        judges=Judges(clip=options.clip),
    )
    print_arms(report, counts)
    print_claims(report)


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parent", help="a text-to-image folder; default: nano's")
    parser.add_argument("--controlnet", help="default: the parent's own")
    parser.add_argument("--clip", default="nano")
    parser.add_argument("--arm", choices=ARMS, action="append", help="default: all")
    parser.add_argument("--rows", type=int, default=1200, help="triplets")
    parser.add_argument("--most", type=int, help="pairs of an arm at most; default: all it has")
    parser.add_argument("--steps", type=int, default=600, help="of training, in each arm")
    parser.add_argument("--scenes", type=int, default=312, help="cases of the evaluation")
    parser.add_argument("--split", choices=SPLITS, default="train", help="of the evaluation")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--set", action="append", default=[], metavar="BLOCK.KEY=VALUE")
    parser.add_argument("-o", "--output", type=Path, required=True)
    return parser.parse_args()


def rows_of(arm: str, out: Path, options: argparse.Namespace) -> list[Row]:
    """The pairs of an arm, one a row at most; the candidates that it needs are drawn first."""
    if arm == EXACT:
        return stored(out / "scenes")
    way = arm.removesuffix(UNFILTERED)
    drawn = out / "candidates" / way
    make_pairs(out / "scenes", drawn, pair_settings([*WAYS[way], *_KEEP_ALL], options))
    by_row: dict[str, list[Row]] = {}
    for pair in stored(drawn):
        by_row.setdefault(row_key(*(pair[name] for name in TRIPLET_COLUMNS)), []).append(pair)
    if arm.endswith(UNFILTERED):
        return [by_lot(found, row_seed(options.seed, key)) for key, found in by_row.items()]
    thresholds = pair_settings(WAYS[way], options).thresholds
    return [pair for found in by_row.values() for pair in the_best(found, thresholds)]


def stored(folder: Path) -> list[Row]:
    """The rows of a folder of pairs, pictures as they are stored."""
    return list(read_pairs(folder))


def by_lot(candidates: Sequence[Row], seed: int) -> Row:
    """One of a row's candidates, whatever its scores."""
    return Random(seed).choice(candidates)


def the_best(candidates: Sequence[Row], thresholds: Thresholds) -> list[Row]:
    """The candidate that `overpaint pairs` keeps of a row, or none."""
    scores = [{name: pair[name] for name in SCORES} for pair in candidates]
    return [candidates[place] for place in choose(scores, thresholds, keep=1)]


def pair_settings(said: Sequence[str], options: argparse.Namespace) -> PairsSettings:
    """nano's way of making pairs; `said` comes last and so holds over what is given with --set."""
    model = options.parent or "nano"
    general = [f"pairs.model={model}", f"pairs.controlnet={options.controlnet or model}"]
    general += [f"pairs.clip={options.clip}", f"pairs.seed={options.seed}"]
    words = [*general, *given(options.set, "pairs"), *said]
    return read_block(RECIPES / "nano.yaml", "pairs", PairsSettings, words)


def train_settings(options: argparse.Namespace) -> TrainSettings:
    """nano's own settings, but from the parent and for the steps that are asked for."""
    said = [f"train.steps={options.steps}", f"train.seed={options.seed}"]
    said += given(options.set, "train")
    return read_block(RECIPES / "nano-editor.yaml", "train", TrainSettings, said)


def given(assignments: Sequence[str], block: str) -> list[str]:
    """Those `block.key=value` that are for one block."""
    return [assignment for assignment in assignments if assignment.startswith(f"{block}.")]


def print_arms(report: Report, counts: dict[str, int]) -> None:
    """A line an arm: its pairs, and both metrics with their intervals."""
    scores = {model.label: model.scores[OVERALL] for model in report.models}
    print(f"{'arm':<30}{'pairs':>7}  {'retrieval@1 of 32':<24}{'untouched pixels, dB':<24}")
    for arm, count in counts.items():
        cells = "".join(f"{words(scores.get(arm, {}).get(name)):<24}" for name in METRICS)
        print(f"{arm:<30}{count:>7}  {cells}")


def print_claims(report: Report) -> None:
    """A line a claim and metric: what its second arm has more than the first."""
    models = {model.label: model for model in report.models}
    print("what is added, over the same cases; * marks what is settled:")
    for claim, (without, with_it) in CLAIMS.items():
        if without not in models or with_it not in models:
            continue
        found = compare_models(models[without], models[with_it]).differences[OVERALL]
        for metric in METRICS:
            mark = "*" if found[metric].is_clear else " "
            print(f"{claim:<38}{mark} {metric:<16}{show_difference(found[metric], metric)}")


def words(found: Estimate | None) -> str:
    """A mean with its interval."""
    if found is None:
        return "-"
    interval = "" if found.low is None else f" ({found.low:.3f} to {found.high:.3f})"
    return f"{found.mean:.3f}{interval}"


if __name__ == "__main__":
    main()
