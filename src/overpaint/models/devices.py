"""From the words of `--device` and `--dtype` to torch's own objects."""

from __future__ import annotations

from typing import TYPE_CHECKING

from overpaint.errors import UserError

if TYPE_CHECKING:
    import torch

DTYPES = {
    "float32": "float32",
    "fp32": "float32",
    "float16": "float16",
    "fp16": "float16",
    "bfloat16": "bfloat16",
    "bf16": "bfloat16",
}


def pick_device(device: str | torch.device | None) -> torch.device:
    """The device that is asked for; None takes the first GPU, or else the processor.

    Raises:
        UserError: torch knows no such device, or this machine has none.
    """
    import torch

    if device is None:
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError:
        raise UserError(
            f"there is no device called {str(device)!r}: take cpu, cuda, cuda:1 or mps."
        ) from None
    count = torch.cuda.device_count() if chosen.type == "cuda" else 1
    if (chosen.index or 0) >= count:
        have = f"{count} GPU(s)" if count else "no GPU that torch can use"
        raise UserError(f"device {device} is not here, this machine has {have}: take --device cpu.")
    if chosen.type == "mps" and not torch.backends.mps.is_available():
        raise UserError("device mps is not here (it is Apple's): take --device cpu.")
    if chosen.type not in ("cpu", "cuda", "mps"):
        raise UserError(f"device {device} is not one that we run on: take cpu, cuda or mps.")
    return chosen


def pick_dtype(dtype: str | torch.dtype | None, device: torch.device) -> torch.dtype:
    """The number format that is asked for; None takes float16 on a GPU and float32 elsewhere.

    Raises:
        UserError: the word is none of DTYPES.
    """
    import torch

    if dtype is None:
        return torch.float16 if device.type == "cuda" else torch.float32
    name = str(dtype).removeprefix("torch.")
    if name not in DTYPES:
        raise UserError(
            f"there is no number format called {name!r}: take float32, float16 or bfloat16."
        )
    chosen: torch.dtype = getattr(torch, DTYPES[name])
    return chosen


def pick_editing_dtype(dtype: str | torch.dtype | None, device: torch.device) -> torch.dtype:
    """As `pick_dtype`, but None takes bfloat16 on a processor that computes it.

    For editing alone: evaluation and training stay with float32, so that their figures are the same
    on every machine.
    """
    import torch

    if dtype is None and device.type == "cpu" and processor_computes_bfloat16():
        return torch.bfloat16
    return pick_dtype(dtype, device)


def processor_computes_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 in hardware, by its flags.

    Asked and not timed: a clock would choose otherwise on a busy machine, and so other pictures.
    """
    import torch

    names = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    return any(bool(getattr(torch.cpu, name, bool)()) for name in names)
