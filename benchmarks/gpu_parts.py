"""The parts of `gpu.sh`; each writes OUT/parts/PART.json, whatever becomes of the others.

python benchmarks/gpu_parts.py edit-float16 --out runs/gpu --size full --device cuda
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from gpu_models import Size, write_clip, write_language_model, write_pipelines
from PIL import Image

from overpaint.cli import main as overpaint
from overpaint.digests import digest
from overpaint.files import write_json

Figures = dict[str, Any]


@dataclass(frozen=True)
class Setup:
    """Where a part works, on what, and how large everything is."""

    out: Path
    size: Size
    device: str

    def pick(self, full: Any, smoke: Any) -> Any:
        """The value for this size."""
        return full if self.size == "full" else smoke

    @property
    def models(self) -> Path:
        """The folder of the models that the first part writes."""
        return self.out / "models"

    def wait(self) -> None:
        """Until the device has done all it was given."""
        if self.device.startswith("cuda"):
            torch.cuda.synchronize()

    def seconds(self, work: Callable[[], object], times: int) -> float:
        """The median of `times` runs, after one that is not counted."""
        found = []
        for _ in range(times + 1):
            self.wait()
            began = time.perf_counter()
            work()
            self.wait()
            found.append(time.perf_counter() - began)
        return median(found[1:])

    def command(self, *words: object) -> float:
        """Run an `overpaint` command in this process; the seconds it took.

        Raises:
            RuntimeError: it failed.
        """
        began = time.perf_counter()
        if code := overpaint([str(word) for word in words]):
            raise RuntimeError(f"overpaint {words[0]} ended with exit code {code}")
        return time.perf_counter() - began

    def fresh(self, name: str) -> Path:
        """A folder of this part that nothing stands in."""
        folder = self.out / "work" / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.parent.mkdir(parents=True, exist_ok=True)
        return folder


def write_models(setup: Setup) -> Figures:
    """Models of random weights, a folder of scenes to train on, and the triplets of pairs."""
    shutil.rmtree(setup.models, ignore_errors=True)
    setup.models.mkdir(parents=True)
    found = {
        "parameters": {
            "U-Net": write_pipelines(setup.models, setup.size, setup.device),
            "CLIP": write_clip(setup.models / "clip", setup.size, setup.device),
            "language model": write_language_model(
                setup.models / "writer", setup.size, setup.device
            ),
        }
    }
    scenes = setup.models / "scenes"
    side = setup.pick(256, 64)
    setup.command("scenes", "-n", setup.pick(256, 24), "--size", side, "-o", scenes)
    rows = [
        {"original_prompt": f"a cat {n} on a chair", "edit_prompt": "turn the cat into a dog",
         "edited_prompt": f"a dog {n} on a chair"} for n in range(setup.pick(16, 3))
    ]  # fmt: skip
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (setup.models / "triplets.jsonl").write_text(text, encoding="utf-8")
    return found


def edit(setup: Setup, dtype: str) -> Figures:
    """Ours beside the stock pipeline: pictures of equal settings first, then the seconds."""
    from diffusers import StableDiffusionInstructPix2PixPipeline

    from overpaint import Editor

    editor = Editor.from_pretrained(setup.models / "editor", device=setup.device, dtype=dtype)
    stock = StableDiffusionInstructPix2PixPipeline.from_pretrained(
        setup.models / "editor", dtype=getattr(torch, dtype), safety_checker=None
    ).to(setup.device)
    stock.set_progress_bar_config(disable=True)
    side, steps = setup.pick(512, 64), setup.pick(20, 3)
    picture = Image.effect_noise((side, side), 64).convert("RGB")

    def ours(count: int) -> list[Image.Image]:
        return editor.edit(
            picture, "make it night", num=count, num_inference_steps=steps, resolution=side,
            guidance_scale=7.5, image_guidance_scale=1.5,
        )  # fmt: skip

    def theirs(count: int) -> list[Image.Image]:
        generators = [torch.Generator().manual_seed(seed) for seed in range(count)]
        return stock(
            ["make it night"] * count, [picture] * count, num_inference_steps=steps,
            guidance_scale=7.5, image_guidance_scale=1.5, generator=generators,
        ).images  # fmt: skip

    pairs = list(zip(ours(2), theirs(2), strict=True))
    far = [np.abs(np.asarray(a).astype(int) - np.asarray(b)) for a, b in pairs]
    found: Figures = {
        "steps": steps,
        "pixels": side,
        "largest_difference_of_255": int(max(d.max() for d in far)),
        "mean_difference_of_255": float(np.mean(far)),
    }
    if dtype == "float32" and found["largest_difference_of_255"] > 2:
        raise RuntimeError(f"ours and the stock pipeline's pictures differ: {found}")
    for count in setup.pick((1, 4), (1, 2)):
        times = {
            "ours": setup.seconds(lambda n=count: ours(n), 3),  # type: ignore[misc]
            "stock": setup.seconds(lambda n=count: theirs(n), 3),  # type: ignore[misc]
        }
        found[f"batch {count}"] = {
            "seconds_a_picture": times["ours"] / count,
            "seconds_a_picture_stock": times["stock"] / count,
            "times_as_fast_as_stock": times["stock"] / times["ours"],
        }
    return found | memory(setup)


def pairs(setup: Setup, method: str, *more: object) -> Figures:
    """`overpaint pairs` with candidates that all pass; seconds a candidate and its folder's digest."""
    out = setup.fresh(f"pairs-{method}{'-ray' if more else ''}")
    words: list[object] = ["--method", method, "--steps", setup.pick(20, 2)]
    count = setup.pick(5, 2)
    if method == "controlnet":
        scales = (0.15, 0.18, 0.2, 0.25, 0.3)[:count]
        words += ["--controlnet", setup.models / "drawer" / "controlnet"]
        words += ["--controlnet-conditioning-scales", ",".join(map(str, scales))]
    else:
        words += ["--candidates", count]
    for name in ("original", "edited", "image", "direction"):
        words += ["--set", f"thresholds.clip_{name}=null"]
    seconds = setup.command(
        "pairs", "--triplets", setup.models / "triplets.jsonl", "--model", setup.models / "drawer",
        "--clip", setup.models / "clip", "--rows-per-shard", setup.pick(8, 1), "-o", out,
        *([] if more else ["--device", setup.device]), "--set", "keep=1", *words, *more,
    )  # fmt: skip
    rows = setup.pick(16, 3)
    return {
        "rows": rows,
        "candidates": rows * count,
        "seconds_with_loading": seconds,
        "candidates_a_second_with_loading": rows * count / seconds,
        "digest": digest(out / "data"),
    } | memory(setup)


def on_ray(setup: Setup) -> Figures:
    """The same pairs by two workers that share one GPU: same bytes, or not."""
    alone = json.loads((setup.out / "parts" / "pairs-controlnet.json").read_text(encoding="utf-8"))
    found = pairs(setup, "controlnet", "--engine", "ray", "--workers", 2,
                  "--set", "gpus_per_worker=0.5")  # fmt: skip
    return found | {"same_bytes_as_one_process": found["digest"] == alone["figures"]["digest"]}


def score(setup: Setup) -> Figures:
    """CLIP over pictures and texts, in batches."""
    from overpaint.models.clip import load_clip

    clip = load_clip(setup.models / "clip", setup.device)
    count, side = setup.pick(256, 8), setup.pick(512, 64)
    pictures = [Image.effect_noise((side, side), 64).convert("RGB") for _ in range(count)]
    texts = [f"a cat on chair {n}" for n in range(count)]
    return {
        "pictures_a_second": count / setup.seconds(lambda: clip.images(pictures), 2),
        "texts_a_second": count / setup.seconds(lambda: clip.texts(texts), 2),
    } | memory(setup)


def canny_edges(setup: Setup) -> Figures:
    """Milliseconds of Canny's edges for a picture."""
    from overpaint.pairs.canny import canny

    side, count = setup.pick(512, 64), setup.pick(16, 2)
    noise = np.random.default_rng(0).integers(0, 256, (count, side, side, 3), dtype=np.uint8)
    return {
        "pixels": side,
        "milliseconds_a_picture": setup.seconds(lambda: canny(noise), 3) / count * 1e3,
    }


def train_steps(setup: Setup, **options: Any) -> Figures:
    """Samples a second of the training loop on random latents, without its checkpoint."""
    from diffusers import UNet2DConditionModel
    from torch import Tensor, nn

    from overpaint.training import loop
    from overpaint.training.loop import fit
    from overpaint.training.micro_step import MicroStep
    from overpaint.training.settings import LoopSettings

    checkpointing = options.pop("gradient_checkpointing", False)
    unet = UNet2DConditionModel.from_pretrained(
        setup.models / "editor" / "unet", dtype=torch.float32
    )
    if checkpointing:
        unet.enable_gradient_checkpointing()
    loop.write_checkpoint = lambda *_: None  # 10 GB that say nothing of a step
    side, width = setup.pick(32, 8), unet.config.cross_attention_dim

    def loss(model: nn.Module, step: MicroStep) -> dict[str, Tensor]:
        seen, text = step.normal(8, side, side), step.normal(77, width)
        answer = model(seen, step.integers(1000), text, return_dict=False)[0]
        return {"loss": answer.float().square().mean()}

    steps = setup.pick(24, 4)
    values = {"steps": steps, "batch_size": setup.pick(32, 2), "learning_rate": 1e-5,
              "log_every": steps // 2, "ema_decay": 0.999, **options}  # fmt: skip
    work = setup.fresh("train-" + "-".join(f"{k}-{v}" for k, v in options.items()))
    if setup.device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats()
    fit(unet, loss, LoopSettings(**values), work)
    lines = (work / "log.jsonl").read_text(encoding="utf-8").splitlines()
    return {"samples_a_second": json.loads(lines[-1])["samples_per_second"]} | memory(setup)


def train_variants(setup: Setup, *names: str) -> Figures:
    """One figure a variant; one that fails (no memory, no compiler) says why and ends no other."""
    half = setup.pick("bf16", "bf16")
    known: dict[str, dict[str, Any]] = {
        "float32": {"mixed_precision": "no"},
        "bf16": {"mixed_precision": half},
        "bf16, channels last": {"mixed_precision": half, "channels_last": True},
        "bf16, gradient checkpointing": {"mixed_precision": half, "gradient_checkpointing": True},
        "bf16, batch x 4": {"mixed_precision": half, "batch_size": setup.pick(128, 8)},
        "bf16, muon": {"mixed_precision": half, "optimizer": "muon"},
        "bf16, compiled": {"mixed_precision": half, "compile": True},
    }
    found: Figures = {}
    for name in names:
        try:
            found[name] = train_steps(setup, **known[name])
        except (RuntimeError, torch.OutOfMemoryError) as error:
            found[name] = {"failed": str(error).splitlines()[0][:200]}
        if setup.device.startswith("cuda"):
            torch.cuda.empty_cache()
    return found


def train_stage(setup: Setup) -> Figures:
    """`overpaint train` from pictures to a saved editor."""
    steps = setup.pick(20, 2)
    seconds = setup.command(
        "train", "--pairs", setup.models / "scenes", "--model", setup.models / "drawer",
        "-o", setup.fresh("trained"), "--steps", steps, "--batch-size", setup.pick(32, 2),
        "--gradient-accumulation-steps", 2, "--resolution", setup.pick(256, 64),
        "--mixed-precision", setup.pick("bf16", "no"), "--validation-pairs", 2,
        "--num-inference-steps", 2, "--ema-decay", 0.99,
    )  # fmt: skip
    return {"steps": steps, "seconds_with_loading_and_saving": seconds} | memory(setup)


def instruct(setup: Setup, dtype: str) -> Figures:
    """`overpaint instruct generate` under the grammar: rows a second, loading left out."""
    from overpaint.instruct.models import load_language_model
    from overpaint.instruct.sampling import complete
    from overpaint.instruct.settings import GenerateSettings
    from overpaint.instruct.text_format import TextFormat

    model = load_language_model(
        setup.models / "writer", torch.device(setup.device), getattr(torch, dtype)
    )
    rows = setup.pick(64, 4)
    prompts = [TextFormat("delimited").prompt(f"a cat {n} on a chair", None) for n in range(rows)]
    found: Figures = {"rows": rows}
    for structure in (True, False):
        settings = GenerateSettings(
            batch_size=rows, max_new_tokens=setup.pick(80, 12), structure=structure
        )
        seconds = setup.seconds(
            lambda s=settings: complete(model, prompts, list(range(rows)), s),  # type: ignore[misc]
            1,
        )
        name = "with grammar" if structure else "without grammar"
        found[name] = {"rows_a_second": rows / seconds, "seconds_a_batch": seconds}
    return found | memory(setup)


def instruct_stage(setup: Setup) -> Figures:
    """`overpaint instruct generate` from captions to a folder; what random words survive is said."""
    captions = setup.models / "captions.txt"
    captions.write_text("".join(f"a cat on chair {n}\n" for n in range(setup.pick(32, 3))))
    seconds = setup.command(
        "instruct", "generate", "--captions", captions, "--model", setup.models / "writer",
        "-o", setup.fresh("triplets"), "--device", setup.device, "--attempts", 1,
        "--max-new-tokens", setup.pick(80, 12), "--batch-size", 32,
    )  # fmt: skip
    return {"seconds_with_loading": seconds} | memory(setup)


def evaluate_stage(setup: Setup) -> Figures:
    """`overpaint evaluate` on a few scenes."""
    scenes = setup.pick(24, 6)
    seconds = setup.command(
        "evaluate", setup.models / "editor", "--scenes", scenes, "--no-bias",
        "--no-galleries", "--clip", setup.models / "clip", "--steps", setup.pick(20, 2),
        "--size", 64, "--device", setup.device, "-o", setup.fresh("report"),
    )  # fmt: skip
    return {"scenes": scenes, "seconds_with_loading": seconds} | memory(setup)


def memory(setup: Setup) -> Figures:
    """The most memory that torch held on the device so far."""
    if not setup.device.startswith("cuda"):
        return {}
    return {"peak_memory_gb": torch.cuda.max_memory_allocated() / 2**30}


@dataclass(frozen=True)
class Part:
    """A part: what it does, and how many seconds it must have left at full size."""

    run: Callable[[Setup], Figures]
    least: int


PARTS: dict[str, Part] = {
    "models": Part(write_models, 90),
    "edit-float32": Part(lambda s: edit(s, "float32"), 60),
    "edit-float16": Part(lambda s: edit(s, "float16"), 45),
    "edit-bfloat16": Part(lambda s: edit(s, "bfloat16"), 45),
    "score": Part(score, 30),
    "canny": Part(canny_edges, 20),
    "pairs-controlnet": Part(lambda s: pairs(s, "controlnet"), 60),
    "pairs-prompt-to-prompt": Part(lambda s: pairs(s, "prompt-to-prompt"), 60),
    "ray": Part(on_ray, 75),
    "train-steps": Part(
        lambda s: train_variants(s, "float32", "bf16", "bf16, channels last", "bf16, muon"), 90
    ),
    "train-memory": Part(
        lambda s: train_variants(s, "bf16, gradient checkpointing", "bf16, batch x 4"), 60
    ),
    "train-compiled": Part(lambda s: train_variants(s, "bf16, compiled"), 120),
    "train": Part(train_stage, 90),
    "instruct-bfloat16": Part(lambda s: instruct(s, "bfloat16"), 60),
    "instruct": Part(instruct_stage, 45),
    "evaluate": Part(evaluate_stage, 60),
}


def machine(setup: Setup) -> Figures:
    """What the figures were taken on."""
    on_gpu = setup.device.startswith("cuda")
    return {
        "device": torch.cuda.get_device_name() if on_gpu else "CPU",
        "torch": torch.__version__,
        "size": setup.size,
    }


def main() -> None:
    """Run one part and write what it found, or say what is known of the parts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", nargs="?", choices=[*PARTS])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--size", choices=["full", "smoke"], default="full")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--list", action="store_true", help="print the names of the parts")
    parser.add_argument("--least", choices=[*PARTS], help="print the seconds that a part needs")
    parser.add_argument("--failed", type=int, help="note that the part ended with this exit code")
    given = parser.parse_args()
    if given.list:
        print(*PARTS)
    elif given.least:
        print(PARTS[given.least].least if given.size == "full" else 5)
    elif given.failed is not None:
        log = given.out / "parts" / f"{given.part}.log"
        last = [line for line in log.read_text(encoding="utf-8").splitlines() if line.strip()][-1:]
        write_json(log.with_suffix(".failed"), {"exit_code": given.failed, "last_line": last})
    else:
        setup = Setup(given.out, given.size, given.device)
        began = time.perf_counter()
        figures = PARTS[given.part].run(setup)
        seconds = time.perf_counter() - began
        path = given.out / "parts" / f"{given.part}.json"
        write_json(path, {"machine": machine(setup), "seconds": seconds, "figures": figures})
        path.with_suffix(".failed").unlink(missing_ok=True)


if __name__ == "__main__":
    sys.exit(main())
