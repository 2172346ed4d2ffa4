"""Ours and the stock InstructPix2Pix pipeline of diffusers in one run, on the same weights.

    python benchmarks/edit_speed.py --model nano --batch 1 4 --steps 20 --repeats 5 -o speed.json

First both make the same pictures (at most one of 255 apart; else the script ends with 1), then each
round times one after the other, so that whatever else the machine does hits both. Figures are
medians: seconds, CPU seconds, rows of the U-Net, and crossings between processor and device: reads
of a value (`aten::_local_scalar_dense`, `nonzero`, `equal`), which wait for the device, and copies
from one to the other. On the processor alone there are no such copies, and only reads are counted.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils._python_dispatch import TorchDispatchMode

from overpaint.editing import Editor
from overpaint.models.names import find_model
from overpaint.models.quiet import quiet_libraries

SCALES = {"three branches": (4.0, 1.5), "two branches": (4.0, 1.0), "one branch": (1.0, 1.0)}
INSTRUCTION = "make it night"


READS = ("_local_scalar_dense", "nonzero", "equal", "is_nonzero")


class Counted(TorchDispatchMode):
    """Counts reads of values and copies between devices."""

    def __init__(self) -> None:
        super().__init__()
        self.reads = self.copies = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func._can_decompose():  # inference mode shows operations that consist of others
            with self:
                return func.decompose(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        out = func(*args, **(kwargs or {}))
        self.reads += name in READS
        if name == "_to_copy":
            self.copies += out.device != args[0].device
        elif name == "copy_":
            self.copies += args[0].device != args[1].device
        return out


def picture(side: int) -> Image.Image:
    draw = np.random.default_rng(0).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return Image.fromarray(draw).resize((side, side), Image.Resampling.BICUBIC)


def stock_pipeline(model: str, device: str, dtype: torch.dtype) -> Any:
    from diffusers import StableDiffusionInstructPix2PixPipeline

    with quiet_libraries():
        pipeline = StableDiffusionInstructPix2PixPipeline.from_pretrained(
            find_model(model).where, torch_dtype=dtype, safety_checker=None
        ).to(device)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def rows_of(unet: Any, work: Callable[[], object]) -> int:
    """Rows that the U-Net is asked for."""
    rows: list[int] = []
    hook = unet.register_forward_pre_hook(lambda _, args: rows.append(len(args[0])))
    try:
        work()
    finally:
        hook.remove()
    return sum(rows)


def timed(work: Callable[[], object], device: str) -> tuple[float, float]:
    """Seconds and CPU seconds."""
    began, cpu = time.perf_counter(), time.process_time()
    work()
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    return time.perf_counter() - began, time.process_time() - cpu


def compare(editor: Editor, stock: Any, batch: int, scales: str, options: Any) -> dict[str, Any]:
    """One row of the table. Raises: SystemExit: the pictures differ."""
    s_t, s_i = SCALES[scales]
    source = picture(editor.card.native_size)
    how = {"num_inference_steps": options.steps, "guidance_scale": s_t, "image_guidance_scale": s_i}

    def ours() -> list[Image.Image]:
        return editor.edit(source, INSTRUCTION, num=batch, **how)

    def theirs() -> list[Image.Image]:
        seeds = [torch.Generator().manual_seed(seed) for seed in range(batch)]
        found = stock([INSTRUCTION] * batch, image=[source] * batch, generator=seeds, **how)
        return list(found.images)

    # diffusers drops all guidance where s_T <= 1, which is the same with both scales at 1.
    pairs = zip(ours(), theirs(), strict=True)
    apart = max(int(np.abs(np.asarray(a, int) - np.asarray(b, int)).max()) for a, b in pairs)
    if apart > (1 if editor.card.dtype == "float32" else 24):
        raise SystemExit(f"batch {batch}, {scales}: the pictures are {apart} of 255 apart")
    counts = {}
    for name, unet, work in (("ours", editor.model.unet, ours), ("stock", stock.unet, theirs)):
        counts[f"{name} rows"] = rows_of(unet, work)
        with Counted() as counted:
            work()
        counts |= {f"{name} reads": counted.reads, f"{name} copies": counted.copies}
    times: dict[str, list[tuple[float, float]]] = {"ours": [], "stock": []}
    for _ in range(options.repeats):
        times["ours"].append(timed(ours, options.device))
        times["stock"].append(timed(theirs, options.device))
    medians = {
        f"{name} {unit}": statistics.median(one[at] for one in found)
        for name, found in times.items()
        for at, unit in enumerate(("seconds", "CPU seconds"))
    }
    ratio = medians["stock CPU seconds"] / medians["ours CPU seconds"]
    place = {"batch": batch, "scales": scales, "apart": apart}
    return {**place, **counts, **medians, "times as fast by CPU seconds": ratio}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", default="nano", help="a diffusers folder, or nano")
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32", choices=["float32", "float16", "bfloat16"])
    parser.add_argument("-o", "--output", type=Path)
    options = parser.parse_args()
    editor = Editor.from_pretrained(options.model, options.device, options.dtype)
    stock = stock_pipeline(options.model, options.device, getattr(torch, options.dtype))
    rows = []
    for batch in options.batch:
        for scales in SCALES:
            rows.append(compare(editor, stock, batch, scales, options))
            print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    at = {"model": options.model, "device": options.device, "dtype": options.dtype}
    at |= {"steps": options.steps, "threads": torch.get_num_threads()}
    text = json.dumps({"at": at, "rows": rows}, indent=1) + "\n"
    if options.output:
        options.output.write_text(text)
    else:
        print(text, end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
