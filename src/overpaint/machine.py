"""What this machine has and can run, found out without changing anything (`overpaint doctor`)."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from overpaint.errors import UserError, install_extra

GIB = 1 << 30

# Estimates for Stable Diffusion 1.5 (0.86 G parameters in the U-Net): weights and activations
# at 512 px in half precision, and training with AdamW and EMA in float32 at 256 px.
EDIT_SD15_BYTES = 5 * GIB
TRAIN_SD15_BYTES = 22 * GIB


@dataclass(frozen=True)
class Finding:
    """One thing looked at: `text` is a sentence for people."""

    name: str
    state: Literal["fine", "note", "broken"]
    text: str


@dataclass(frozen=True)
class Device:
    """Where tensors can live: `memory` in bytes; `bf16` is true where the hardware computes it."""

    name: str
    kind: str
    memory: int
    bf16: bool


@dataclass(frozen=True)
class Report:
    """All findings, the devices, and what follows from them in sentences."""

    overpaint: str
    python: str
    devices: list[Device]
    findings: list[Finding]
    abilities: list[str]


def examine() -> Report:
    """Look at this machine; takes some seconds, because torch and nano's weights are loaded."""
    from overpaint import __version__

    torch_finding, devices = _torch()
    nano = _nano()
    findings = [
        _python(),
        torch_finding,
        *(_device(device) for device in devices),
        _cores(),
        _disk(),
        _torchvision(),
        nano,
        *(_extra(name) for name in ("llm", "scale")),
    ]
    return Report(
        overpaint=__version__,
        python=platform.python_version(),
        devices=devices,
        findings=findings,
        abilities=_abilities(devices, nano_works=nano.state == "fine"),
    )


def _python() -> Finding:
    text = f"Python {platform.python_version()} on {platform.system()} {platform.machine()}"
    return Finding("python", "fine", f"{text}.")


def _torch() -> tuple[Finding, list[Device]]:
    try:
        import torch
    except (ImportError, OSError) as error:
        text = f"torch cannot be imported ({error}); install it again: pip install torch."
        return Finding("torch", "broken", text), []
    from overpaint.models.devices import processor_computes_bfloat16

    devices = [
        Device("cpu", platform.processor() or "CPU", memory_bytes(), processor_computes_bfloat16())
    ]
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        bf16 = properties.major >= 8  # emulated before Ampere
        devices.append(Device(f"cuda:{index}", properties.name, properties.total_memory, bf16))
    if torch.backends.mps.is_available():
        devices.append(Device("mps", "Apple GPU", memory_bytes(), True))
    return Finding("torch", "fine", f"torch {torch.__version__}."), devices


def _device(device: Device) -> Finding:
    how = "computes bfloat16" if device.bf16 else "has no bfloat16 of its own: use float32"
    if not device.bf16 and device.name != "cpu":
        how += " or float16"
    text = f"{device.kind}, {device.memory / GIB:.1f} GiB of memory, {how}."
    return Finding(device.name, "fine", text)


def _cores() -> Finding:
    count = usable_cores()
    return Finding("cores", "fine", f"{count} processor core{'s' * (count != 1)} to use.")


def _disk() -> Finding:
    free = shutil.disk_usage(Path.cwd()).free
    text = f"{free / GIB:.1f} GiB free in this folder"
    if free < 2 * GIB:
        return Finding("disk", "note", f"{text}: training and pairs need more.")
    return Finding("disk", "fine", f"{text}.")


def _torchvision() -> Finding:
    """A torchvision built for another torch breaks transformers' image processors.

    It is tried in a process of its own: a failed import leaves operators half registered.
    """
    if find_spec("torchvision") is None:
        return Finding("torchvision", "fine", "not installed, and not needed.")
    tried = subprocess.run([sys.executable, "-c", "import torchvision"], capture_output=True)
    if tried.returncode == 0:
        return Finding("torchvision", "fine", "installed and importable (not needed).")
    last = tried.stderr.decode(errors="replace").strip().splitlines()[-1:] or ["no message"]
    return Finding(
        "torchvision",
        "broken",
        f"installed but cannot be imported ({last[0]}), probably because it was built for another "
        "torch. Its presence alone breaks the image processors of transformers and diffusers; "
        "Overpaint does not need it: pip uninstall torchvision.",
    )


def _nano() -> Finding:
    """Load nano's weights through the package's own loader, as `overpaint edit` would."""
    try:
        from overpaint.editing import Editor

        Editor.from_pretrained("nano", device="cpu")
    except (UserError, ImportError, OSError, RuntimeError, ValueError) as error:
        return Finding("nano", "broken", f"the built-in model does not load: {error}")
    return Finding("nano", "fine", "the built-in model loads.")


def _extra(name: str) -> Finding:
    """Whether every package that the extra `name` asks for is installed."""
    missing = [package for package in packages_of_extra(name) if not _installed(package)]
    if missing:
        lacks = ", ".join(missing)
        text = f"extra not installed (lacks {lacks}): {install_extra(name)}."
        return Finding(name, "note", text)
    return Finding(name, "fine", "extra installed.")


def packages_of_extra(name: str) -> list[str]:
    """The packages that the extra `name` of this package asks for."""
    from packaging.requirements import Requirement

    wanted = []
    for line in requires("overpaint") or []:
        requirement = Requirement(line)
        marker = requirement.marker
        if marker and marker.evaluate({"extra": name}) and not marker.evaluate({"extra": ""}):
            wanted.append(requirement.name)
    return wanted


def _installed(package: str) -> bool:
    try:
        version(package)
    except PackageNotFoundError:
        return False
    return True


def usable_cores() -> int:
    """Cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def memory_bytes() -> int:
    """Memory that this process may use: the machine's, or its container's limit if lower."""
    import psutil

    machine: int = psutil.virtual_memory().total
    # psutil does not look at a container's limit.
    for limit_file in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            text = Path(limit_file).read_text().strip()
        except OSError:
            continue
        if text.isdigit():
            return min(machine, int(text))
    return machine


def _abilities(devices: list[Device], nano_works: bool) -> list[str]:
    """What follows for the user, a sentence each."""
    if not devices:
        return ["Nothing runs before torch does."]
    if nano_works:
        first = 'Editing with the built-in model runs here: overpaint edit IMAGE "INSTRUCTION".'
    else:
        first = "Editing with the built-in model does not run here (see above)."
    best = max(devices, key=lambda device: (device.name != "cpu", device.memory))
    where = f"{best.kind} ({best.memory / GIB:.0f} GiB)"
    if best.memory < EDIT_SD15_BYTES:
        second = f"Models of Stable Diffusion 1.5's size need about 5 GiB; {where} has too little."
    elif best.name == "cpu":
        second = (
            "Models of Stable Diffusion 1.5's size run on the processor, at minutes a picture; "
            "training them wants a GPU of 24 GB or more."
        )
    elif best.memory < TRAIN_SD15_BYTES:
        second = f"{where} edits with Stable Diffusion 1.5's size; training it wants 24 GB or more."
    else:
        second = f"{where} edits with Stable Diffusion 1.5's size and trains it."
    return [first, second]
