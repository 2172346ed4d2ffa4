"""Does a full-size Stable Diffusion 1.5-shaped editor load and edit on this machine?

Builds an InstructPix2Pix pipeline of random weights from its configurations (1.07 billion
parameters), saves it as a diffusers folder and as a single file in the original layout, loads
each as a user would, edits one picture with each for one step, and compares the two results.

    python benchmarks/full_size_smoke.py --json

Needs about 10 GB of memory and 5 GB of disk, which it gives back.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from gpu_models import frozen_parts, unet
from original_layout import (
    original_text_name,
    original_unet_name,
    original_vae_name,
)
from PIL import Image

from overpaint import Editor
from overpaint.models import Components, save_pipeline
from overpaint.models.quiet import quiet_libraries

SECONDS: dict[str, float] = {}


def main() -> None:
    """Run all of it and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--resolution", type=int, default=512, help="longer side in pixels")
    parser.add_argument("--folder", help="where to put the weights for a while [the system's]")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    args = parser.parse_args()
    picture = Image.linear_gradient("L").resize((640, 480)).convert("RGB")
    results = {}
    with tempfile.TemporaryDirectory(dir=args.folder) as name:
        folder = Path(name)
        parameters = write_both_layouts(folder)
        for layout, path in (("folder", folder / "sd15"), ("file", folder / "sd15.safetensors")):
            with clock(f"load {layout}"):
                editor = Editor.from_pretrained(path, device="cpu", dtype="float32")
            with clock(f"edit {layout}"):
                (results[layout],) = editor.edit(
                    picture, "make it night", num_inference_steps=1, resolution=args.resolution
                )
            del editor
    pixels = [np.asarray(image).astype(int) for image in results.values()]
    report = {
        "parameters": parameters,
        "resolution": args.resolution,
        "result_size": list(results["folder"].size),
        "largest_difference": int(np.abs(pixels[0] - pixels[1]).max()),
        "peak_memory_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 2),
        "seconds": SECONDS,
    }
    print(json.dumps(report) if args.json else json.dumps(report, indent=2))
    if report["largest_difference"] > 1 or results["folder"].size != picture.size:
        raise SystemExit("the two layouts do not give the same picture of the input's size")


def write_both_layouts(folder: Path) -> int:
    """Write `sd15/` and `sd15.safetensors` in bfloat16; returns the number of parameters."""
    from safetensors.torch import save_file

    with clock("build"):
        model = random_model()
    parts = {"unet": model.unet, "vae": model.vae, "text_encoder": model.text_encoder}
    with clock("save folder"):
        tokenizer, scheduler = model.tokenizer, model.scheduler
        save_pipeline(folder / "sd15", **parts, tokenizer=tokenizer, scheduler=scheduler)
    with clock("save file"):
        save_file(original_tensors(model), folder / "sd15.safetensors")
    return sum(p.numel() for part in parts.values() for p in part.parameters())


def random_model() -> Components:
    """An InstructPix2Pix model of SD 1.5's shape that has learnt nothing."""
    torch.manual_seed(0)
    half = torch.bfloat16
    with quiet_libraries():
        return Components(unet=unet("full", half, channels=8), **frozen_parts("full", half))


def original_tensors(model: Components) -> dict[str, torch.Tensor]:
    """The weights under the names of the original code, as its checkpoints have them."""
    tensors = {original_unet_name(k): v for k, v in model.unet.state_dict().items()}
    for key, value in model.vae.state_dict().items():
        name = original_vae_name(key)
        # The original autoencoder's attention was made of 1 x 1 convolutions.
        convolution = ".attn_1." in name and value.ndim == 2
        tensors[name] = value[:, :, None, None] if convolution else value
    tensors |= {original_text_name(k): v for k, v in model.text_encoder.state_dict().items()}
    return {name: tensor.contiguous() for name, tensor in tensors.items()}


@contextmanager
def clock(name: str) -> Iterator[None]:
    """Note how many seconds a block took."""
    began = time.perf_counter()
    yield
    SECONDS[name] = round(time.perf_counter() - began, 2)


if __name__ == "__main__":
    main()
