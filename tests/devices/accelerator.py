"""A pretended accelerator: tensors with values that behave as if they lay on another device.

A test has no GPU, and tensors on torch's `meta` device have no values. Here a tensor says that it
is on `meta` and holds a CPU tensor inside: so whole loops run, pictures come out, and what a GPU
would not forgive raises (an operation on tensors of both sides), or is counted (a read makes the
program wait for the device, a copy to it is small and late).

    with Accelerator() as device:
        move(model)                  # its weights go over
        loop(model)                  # whatever it makes with device=model.device is over there too
    device.reads, device.writes      # what crossed, and where in our code
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map_only

import overpaint

DEVICE = torch.device("meta")
_OURS = Path(overpaint.__file__).resolve().parent  # in a checkout or installed
_READS = {
    "aten._local_scalar_dense.default",
    "aten.equal.default",
    "aten.is_nonzero.default",
    "aten.nonzero.default",
}


class Remote(Tensor):
    """A tensor of the pretended accelerator; `inner` has its values."""

    inner: Tensor

    @staticmethod
    def __new__(cls, inner: Tensor) -> Remote:
        """Shape, strides and dtype are those of `inner`."""
        return Tensor._make_wrapper_subclass(  # type: ignore[attr-defined,no-any-return]
            cls,
            inner.shape,
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            device=DEVICE,
            requires_grad=inner.requires_grad,
        )

    def __init__(self, inner: Tensor) -> None:
        self.inner = inner

    def __repr__(self, *, tensor_contents: object = None) -> str:
        return f"Remote({tuple(self.shape)}, {self.dtype})"

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {}, None)


class _Tensors(TorchFunctionMode):
    """`torch.tensor` and lists of places make tensors unseen by dispatch modes: make them here."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func in (torch.tensor, torch.as_tensor) and _is_there(kwargs.get("device")):
            del kwargs["device"]
            return func(*args, **kwargs).to(DEVICE)
        if func is Tensor.tolist and isinstance(args[0], Remote):
            return args[0].cpu().tolist()
        if func in (Tensor.__getitem__, Tensor.__setitem__) and isinstance(args[1], list):
            args = (args[0], torch.tensor(args[1]), *args[2:])
        return func(*args, **kwargs)


class Accelerator(TorchDispatchMode):
    """While it is entered, `device="meta"` is the pretended accelerator."""

    def __init__(self) -> None:
        super().__init__()
        self.reads: list[str] = []
        self.writes: list[str] = []
        self._tensors = _Tensors()

    def __enter__(self) -> Accelerator:
        self._tensors.__enter__()
        super().__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self._tensors.__exit__(*error)

    @contextmanager
    def again(self) -> Iterator[None]:
        """Inside of an operation, where modes are off: see what it consists of."""
        super().__enter__()
        try:
            with torch._C.DisableTorchFunction():
                yield
        finally:
            super().__exit__(None, None, None)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {}, self)


def move(module: nn.Module) -> nn.Module:
    """Put the weights of a module on the pretended accelerator, in place."""
    for part in module.modules():
        for name, weight in list(part._parameters.items()):
            if weight is not None:
                part._parameters[name] = nn.Parameter(Remote(weight.detach()), weight.requires_grad)
        for name, buffer in list(part._buffers.items()):
            if buffer is not None:
                part._buffers[name] = Remote(buffer)
    return module


def value(tensor: Tensor) -> Tensor:
    """What a test sees of a tensor, without being counted."""
    return tensor.inner if isinstance(tensor, Remote) else tensor


def _is_there(device: Any) -> bool:
    return device is not None and torch.device(device) == DEVICE


def _run(func: Any, args: Any, kwargs: dict[str, Any], device: Accelerator | None) -> Any:
    if func._can_decompose() and device is not None:
        with device.again():  # inference mode shows operations that consist of others
            return func.decompose(*args, **kwargs)
    flat, _ = tree_flatten((args, kwargs))
    tensors = [item for item in flat if isinstance(item, Tensor)]
    remote = any(isinstance(tensor, Remote) for tensor in tensors)
    lost = [t for t in tensors if t.is_meta and not isinstance(t, Remote)]
    assert not lost, f"{func} is given a tensor without values: one was made past this device"
    name, target = str(func), kwargs.get("device")
    if name in _READS and remote:
        _note(device, "reads")
        remote = name == "aten.nonzero.default"
    elif name == "aten._to_copy.default" and target is not None:
        if remote and torch.device(target) == torch.device("cpu"):
            _note(device, "reads")
            remote = False
        elif not remote and _is_there(target):
            _note(device, "writes")
            remote = True
    elif name == "aten.copy_.default":
        _note_copy(args, device)
    else:
        if name.startswith(("aten.index.", "aten.index_put")) and remote:
            _note_places(args[1], device)
        else:
            _refuse_mixture(name, tensors)
        remote = remote or (_is_there(target))
    plain = dict(tree_map_only(Remote, lambda t: t.inner, kwargs))
    if _is_there(target):
        plain["device"] = torch.device("cpu")
    out = func(*tree_map_only(Remote, lambda t: t.inner, args), **plain)
    if not remote:
        return out
    written = {id(t.inner): t for t in tensors if isinstance(t, Remote)}
    return tree_map_only(Tensor, lambda t: written[id(t)] if id(t) in written else _remote(t), out)


def _remote(inner: Tensor) -> Remote:
    """Outside of inference mode, whose tensors allow too little; inside there is no gradient."""
    with torch.inference_mode(False):
        return Remote(inner)


def _note(device: Accelerator | None, kind: str) -> None:
    """Count a crossing, with the line of ours that made it."""
    if device is None:
        raise AssertionError("a tensor of the accelerator is used outside of `with Accelerator()`")
    lines = [f for f in traceback.extract_stack() if Path(f.filename).is_relative_to(_OURS)]
    where = lines[-1] if lines else traceback.extract_stack()[-3]
    getattr(device, kind).append(f"{Path(where.filename).name}:{where.lineno} {where.line}")


def _note_copy(args: Any, device: Accelerator | None) -> None:
    to, source = args[0], args[1]
    if isinstance(source, Remote) and not isinstance(to, Remote):
        _note(device, "reads")
    elif isinstance(to, Remote) and not isinstance(source, Remote):
        _note(device, "writes")


def _note_places(places: Any, device: Accelerator | None) -> None:
    """Numbers of rows may lie here, as CUDA allows: they are copied; a mask has to be read."""
    for place in places:
        if place is not None and not isinstance(place, Remote):
            _note(device, "writes")
        elif place is not None and place.dtype == torch.bool:
            _note(device, "reads")


def _refuse_mixture(name: str, tensors: list[Tensor]) -> None:
    """As CUDA does: a CPU tensor of one number may stand beside those of the device."""
    here = [t for t in tensors if not isinstance(t, Remote) and t.ndim > 0]
    if here and any(isinstance(t, Remote) for t in tensors):
        shapes = [("device" if isinstance(t, Remote) else "CPU", tuple(t.shape)) for t in tensors]
        raise RuntimeError(f"{name} is given tensors of two devices: {shapes}")


@contextmanager
def crossings(module: nn.Module, device: Accelerator) -> Iterator[list[tuple[int, int]]]:
    """How many (reads, writes) there were before each call of `module` in the block."""
    found: list[tuple[int, int]] = []
    hook = module.register_forward_pre_hook(
        lambda *_: found.append((len(device.reads), len(device.writes)))
    )
    try:
        yield found
    finally:
        hook.remove()
