"""What filtering and control are worth: one editor each from exact, made, and careless pairs.

    python benchmarks/pair_ablation.py --rows 1200 --steps 600 -o runs/pair-ablation

Triplets come from scenes, so exact pairs exist for the same rows. Every arm trains the same
editing U-Net from the same parent for the same steps:

    exact                         the scenes' own answers
    controlnet, prompt-to-prompt  made by the method; of five candidates the best that passes
    ...-unfiltered                one candidate of the same method, whatever its scores
    independent                   two samples without control; of five the best that passes

Printed are target retrieval@1 and the PSNR of untouched pixels with bootstrap 95 % intervals, and
the number of pairs, which the filter makes smaller; `--most` cuts all arms to one number.
OUT/report/report.html compares the arms case by case. Killed and started again with the same words,
it goes on where it was: OUT/pairs/ARM, OUT/models/ARM. Pairs are made as recipes/nano.yaml says, and
editors trained as recipes/nano-editor.yaml; `--set pairs.KEY=VALUE` and `--set train.KEY=VALUE` hold
for all arms.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from overpaint.cli import main as overpaint
from overpaint.errors import UserError
from overpaint.evaluation.cases import scene_cases, undecoded
from overpaint.evaluation.evaluate import Judges, evaluate
from overpaint.evaluation.intervals import Estimate
from overpaint.evaluation.report import Report
from overpaint.evaluation.runs import SamplingSettings
from overpaint.pairs.settings import PairsSettings
from overpaint.pairs.stage import make_pairs
from overpaint.recipe import read_block
from overpaint.rows import pair_features
from overpaint.scenes.examples import SPLITS
from overpaint.shards import missing_shards, read_pairs, write_shard
from overpaint.training.base import PARENT
from overpaint.training.editor import train_editor
from overpaint.training.settings import TrainSettings

RECIPES = Path(__file__).resolve().parent.parent / "recipes"
CANDIDATES = 5  # of a row, in each arm that chooses
_P2P = ("pairs.method=prompt-to-prompt", "pairs.cross_attention=refine", "pairs.keep=1")
_UNFILTERED = ("pairs.thresholds={clip_edited: null, clip_image: null, clip_direction: null}",)
# What each arm says to the stage that makes pairs; the exact pairs are not made.
ARMS: dict[str, tuple[str, ...]] = {
    "exact": (),
    "controlnet": ("pairs.controlnet_conditioning_scales=[0.2, 0.35, 0.5, 0.65, 0.8]",),
    "prompt-to-prompt": (*_P2P, f"pairs.candidates={CANDIDATES}"),
    "controlnet-unfiltered": ("pairs.controlnet_conditioning_scales=[0.2]", *_UNFILTERED),
    "prompt-to-prompt-unfiltered": (*_P2P, "pairs.candidates=1", *_UNFILTERED),
    "independent": (
        "pairs.controlnet_conditioning_scales=[0]",
        f"pairs.seeds_per_scale={CANDIDATES}",
        "pairs.shared_noise=false",
    ),
}
METRICS = ("retrieval", "untouched_psnr")


def main() -> None:
    """Make, train, evaluate, and print a line an arm."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parent", help="a text-to-image folder; default: nano's")
    parser.add_argument("--controlnet", help="default: the parent's own")
    parser.add_argument("--clip", default="nano")
    parser.add_argument("--arm", choices=ARMS, action="append", help="default: all")
    parser.add_argument("--rows", type=int, default=1200, help="triplets")
    parser.add_argument("--most", type=int, help="pairs of an arm at most; default: all it has")
    parser.add_argument("--steps", type=int, default=600, help="of training, in each arm")
    parser.add_argument("--scenes", type=int, default=208, help="cases of the evaluation")
    parser.add_argument("--split", choices=SPLITS, default="train", help="of the evaluation")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--set", action="append", default=[], metavar="BLOCK.KEY=VALUE")
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    exact: Path = options.output / "pairs" / "exact"
    if overpaint(
        ["scenes", "-n", str(options.rows), "--seed", str(options.seed), "-o", str(exact)]
    ):
        sys.exit(1)
    arms = options.arm or list(ARMS)
    suffix = f"-{options.most}" if options.most else ""
    models: Path = options.output / f"models{suffix}"
    counts = {}
    for arm in arms:
        print(f"{arm}:", file=sys.stderr)
        pairs = options.output / "pairs" / arm
        if arm != "exact":
            make_pairs(exact, pairs, pair_settings(arm, options))
        counts[arm] = count_pairs(pairs)
        if options.most and counts[arm] > options.most:
            pairs = cut(pairs, options.output / f"pairs{suffix}" / arm, options.most)
            counts[arm] = options.most
        if counts[arm]:
            train_editor(pairs, options.parent or PARENT, models / arm, train_settings(options))
    report = evaluate(
        [str(models / arm) for arm in arms if counts[arm]],
        scene_cases(options.scenes, options.seed, options.split),
        SamplingSettings(seed=options.seed),
        options.output / f"report{suffix}",
        judges=Judges(clip=options.clip),
    )
    print_table(report, arms, counts)


def pair_settings(arm: str, options: argparse.Namespace) -> PairsSettings:
    """How an arm makes its pairs; what is given with --set holds unless the arm says otherwise."""
    model = options.parent or "nano"
    general = [f"pairs.model={model}", f"pairs.controlnet={options.controlnet or model}"]
    general += [f"pairs.clip={options.clip}"]
    said = [*general, f"pairs.seed={options.seed}", *given(options.set, "pairs"), *ARMS[arm]]
    return read_block(RECIPES / "nano.yaml", "pairs", PairsSettings, said)


def train_settings(options: argparse.Namespace) -> TrainSettings:
    """nano's own settings, but from the parent and for the steps that are asked for."""
    said = [f"train.steps={options.steps}", f"train.seed={options.seed}"]
    said += given(options.set, "train")
    return read_block(RECIPES / "nano-editor.yaml", "train", TrainSettings, said)


def given(assignments: Sequence[str], block: str) -> list[str]:
    """Those `block.key=value` that are for one block."""
    return [assignment for assignment in assignments if assignment.startswith(f"{block}.")]


def count_pairs(folder: Path) -> int:
    """How many pairs there are; none, where every row was rejected."""
    try:
        return len(read_pairs(folder))
    except UserError as error:
        print(f"{folder.name} is left out: {error}", file=sys.stderr)
        return 0


def cut(pairs: Path, out: Path, count: int) -> Path:
    """The first pairs of a folder, whose order is that of their keys and so as good as random."""
    rows = undecoded(read_pairs(pairs)).select(range(count))
    if missing_shards(out, 1):
        write_shard(out, 0, 1, rows.to_list(), pair_features())
    return out


def print_table(report: Report, arms: Sequence[str], counts: dict[str, int]) -> None:
    """A line an arm: its pairs, and both metrics with their intervals."""
    scores = {model.label: model.scores["overall"] for model in report.models}
    print(f"{'arm':<30}{'pairs':>7}  {'retrieval@1 of 32':<24}{'untouched pixels, dB':<24}")
    for arm in arms:
        cells = "".join(f"{words(scores.get(arm, {}).get(name)):<24}" for name in METRICS)
        print(f"{arm:<30}{counts[arm]:>7}  {cells}")


def words(found: Estimate | None) -> str:
    """A mean with its interval."""
    if found is None:
        return "-"
    interval = "" if found.low is None else f" ({found.low:.3f} to {found.high:.3f})"
    return f"{found.mean:.3f}{interval}"


if __name__ == "__main__":
    main()
