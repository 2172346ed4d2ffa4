"""The one place where networks, tokenizers, schedulers and processors are loaded.

Every `from_pretrained` of a library is called here, on a folder of this machine: no code of the
folder is run, no pickle opened, nothing fetched. Weights that are missing or of another shape are
refused by name (the libraries draw them at random), surplus ones are said. A network is first built
without memory and compared with what its file holds, so that a configuration cannot ask for more.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from overpaint.errors import UserError
from overpaint.models.adapter_patterns import check_patterns
from overpaint.models.folders import (
    Header,
    Weights,
    cannot_load,
    check_spelling,
    check_tables,
    find_weights,
    read_table,
)
from overpaint.models.quiet import quiet_libraries

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

_FLOATS = ("F64", "F32", "F16", "BF16")
_LARGEST_BUFFERS = 1 << 28  # numbers that a network may make up for itself: masks, positions


class _TooLargeError(Exception):
    """A configuration asks for more than its weights could fill."""


def load_network(
    kind: Any,
    folder: Path,
    what: str | None = None,
    *,
    dtype: torch.dtype | None = None,
    may_lack: tuple[str, ...] = (),
) -> Any:
    """Load a network of diffusers or transformers from its folder, on the CPU.

    Args:
        kind: its class, or one of transformers' `Auto...` classes.
        folder: with config.json and weights as safetensors, whole or in parts, of any variant.
        what: how messages name it.
        dtype: of the loaded weights (None: float32).
        may_lack: beginnings of the names of weights that are not used; a file may lack all of one
            beginning.

    Raises:
        UserError: it is missing, broken, a pickle, asks for code, or its weights are not all there.
    """
    import torch

    what, dtype = what or str(folder), dtype or torch.float32
    if not (folder / "config.json").is_file():
        raise cannot_load(what, f"{folder} has no config.json")
    check_tables(folder, what)
    if (folder / "adapter_config.json").exists():  # transformers would load its base instead
        raise cannot_load(what, "it is an adapter (adapter_config.json), no whole model")
    stem = "diffusion_pytorch_model" if _of(kind, "diffusers") else "model"
    weights = find_weights(folder, what, str(dtype).removeprefix("torch."), stem)
    check_shapes(_outline(kind, folder, what, weights), weights.tensors, what)
    options: dict[str, Any] = {"dtype": dtype, "variant": weights.variant}
    if not _of(kind, "diffusers"):  # its error would not name the tensor
        options["ignore_mismatched_sizes"] = True
    model, found = from_folder(
        kind, folder, what, use_safetensors=True, output_loading_info=True, **options
    )
    missing = _not_excused(found["missing_keys"], model, may_lack)
    report(what, missing, found["mismatched_keys"], found["unexpected_keys"])
    check_numbers(model, what)
    return model


def from_folder(kind: Any, folder: Path | None, what: str | None = None, **options: Any) -> Any:
    """`kind.from_pretrained(folder)`, which may do no more than read that folder.

    Serves by itself for what has no weights: tokenizers, schedulers, processors, configurations.

    Raises:
        UserError: in the place of whatever the library raised, in one sentence.
    """
    what = what or str(folder)
    if folder is not None:
        if not folder.is_dir():
            raise cannot_load(what, f"there is no folder {folder}")
        check_tables(folder, what)
        if "Tokenizer" in kind.__name__:
            check_spelling(folder, what)
    if _of(kind, "transformers"):
        options["trust_remote_code"] = False
    return guarded(what, kind.from_pretrained, folder, local_files_only=True, **options)


def guarded(what: str, load: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """Call a library on files that may hold anything.

    Raises:
        UserError: in the place of whatever it raised, in one sentence.
    """
    try:
        with quiet_libraries():
            return load(*args, **options)
    except UserError:
        raise
    except Exception as error:  # on broken files, tokenizers raises just that
        raise cannot_load(what, error) from error


def load_adapter(base: Any, folder: Path, what: str) -> Any:
    """Add the weights of a LoRA to those of the language model it was made for.

    Raises:
        UserError: it is no LoRA, broken, a pickle, or does not fit `base`.
    """
    from peft import PeftModel, get_peft_model_state_dict

    config = read_table(folder / "adapter_config.json", what)
    kind = config.get("peft_type")
    if kind != "LORA":
        raise cannot_load(what, f"its peft_type is {kind!r}, and only LORA is read")
    check_tables(folder, what)
    check_patterns(config, [name for name, _ in base.named_modules()], what)
    weights = find_weights(folder, what, stem="adapter_model")
    if weights.variant is not None:
        raise cannot_load(what, "it holds no adapter_model.safetensors")
    # Without `low_cpu_mem_usage` the rank that it claims would be memory before it is compared.
    load, options = PeftModel.from_pretrained, {"torch_device": "cpu", "low_cpu_mem_usage": True}
    try:
        model = guarded(what, load, base, folder, **options)
    except UserError as error:  # in the model, peft puts its own name into those of the file
        raise UserError(str(error).replace(".default.weight", ".weight")) from error
    names = set(guarded(what, get_peft_model_state_dict, model))
    report(what, names - weights.tensors.keys(), (), weights.tensors.keys() - names)
    merged = guarded(what, model.merge_and_unload)
    check_numbers(merged, what)
    return merged


def load_original(
    kind: Any,
    tensors: dict[str, Tensor],
    configs: Path,
    what: str,
    *,
    dtype: torch.dtype,
    **changes: Any,
) -> Any:
    """A network of diffusers from the tensors of a file in the original layout.

    `configs` holds its config.json, of which `changes` are replaced. That every tensor is there is
    for the caller to see to: diffusers draws what is missing.
    """
    load = kind.from_single_file
    options = {"config": str(configs), "local_files_only": True, "dtype": dtype}
    model = guarded(what, load, tensors, extract_ema=True, **options, **changes)
    check_numbers(model, what)
    return model


def load_tensors(
    kind: Any, tensors: dict[str, Tensor], configs: Path, what: str, dtype: torch.dtype
) -> Any:
    """A network of transformers from its tensors and the folder of its config.json."""
    config = from_folder(kind.config_class, configs, what)
    options = {"config": config, "state_dict": tensors, "dtype": dtype}
    options |= {"ignore_mismatched_sizes": True, "output_loading_info": True}
    model, found = from_folder(kind, None, what, **options)
    report(what, found["missing_keys"], found["mismatched_keys"], found["unexpected_keys"])
    check_numbers(model, what)
    return model


def report(
    what: str, missing: Iterable[str], misshapen: Iterable[Any], surplus: Iterable[str]
) -> None:
    """Refuse missing and misshapen weights, and say which are there and not used.

    Raises:
        UserError: naming the first of them.
    """
    first = sorted(missing)
    if first:
        raise cannot_load(what, f"{_names(first)} missing in its weights")
    other = sorted(str(item[0]) if isinstance(item, tuple) else str(item) for item in misshapen)
    if other:
        raise cannot_load(what, f"{other[0]} has another shape in its weights")
    unused = sorted(surplus)
    if unused:
        sentence = f"note: {what} has weights that its class does not: {_names(unused)} not used."
        line = "".join(letter if letter.isprintable() else "?" for letter in sentence)
        print(line, file=sys.stderr, flush=True)


def check_shapes(
    model: nn.Module,
    tensors: Mapping[str, Header],
    what: str,
    names: Mapping[str, str] | None = None,
) -> None:
    """Compare a network that was built without memory with what its file holds.

    `names` are the file's own, where they differ.

    Raises:
        UserError: a tensor is of another shape or no number with a fraction, or the network is so
            much larger than the file that most of it would be made up.
    """
    for name, empty in model.state_dict().items():
        there = tensors.get(name)
        if there is None:
            continue
        if there.shape != tuple(empty.shape):
            shapes = f"{there.shape} in its weights, {tuple(empty.shape)} by its configuration"
            raise cannot_load(what, f"{(names or {}).get(name, name)} is {shapes}")
        if empty.is_floating_point() and there.dtype not in _FLOATS:
            stored = f"{(names or {}).get(name, name)} is stored as {there.dtype}"
            raise cannot_load(what, f"{stored}, which is not read here")
    wanted = sum(parameter.numel() for parameter in model.parameters())
    held = sum(header.count for header in tensors.values())
    if wanted > 2 * held + 1_000_000 or _made_up(model) > _LARGEST_BUFFERS:
        raise cannot_load(what, f"its configuration asks for {wanted:.3g} numbers, not {held:.3g}")


def check_numbers(model: nn.Module, what: str) -> None:
    """Make sure that all weights are finite: a network with one that is not may still answer.

    Raises:
        UserError: naming the first that is not.
    """
    import torch

    for name, weights in model.named_parameters():
        # A sum is twenty times faster than looking at each; it is not finite where one of them is not.
        total = weights.detach().sum(dtype=torch.float32)
        if not torch.isfinite(total) and not torch.isfinite(weights.detach()).all():
            kind = str(weights.dtype).removeprefix("torch.")
            raise cannot_load(what, f"{name} has weights that are no numbers as {kind}")


def _made_up(model: nn.Module) -> int:
    return sum(buffer.numel() for buffer in model.buffers())


def _outline(kind: Any, folder: Path, what: str, weights: Weights) -> nn.Module:
    """The network that a folder describes, without memory for its weights."""
    if _of(kind, "diffusers"):
        from diffusers.models.modeling_utils import no_init_weights

        config = guarded(what, kind.load_config, folder, local_files_only=True)
        with no_init_weights():  # drawing first weights, even where nothing is, takes half the time
            return build_empty(what, weights.tensors, kind.from_config, config)
    if hasattr(kind, "_model_mapping"):  # AutoModel and its like
        from transformers import AutoConfig

        config = from_folder(AutoConfig, folder, what)
        return build_empty(what, weights.tensors, kind.from_config, config, trust_remote_code=False)
    config = from_folder(kind.config_class, folder, what)
    return build_empty(what, weights.tensors, kind, config)


def build_empty(
    what: str, tensors: Mapping[str, Header], build: Callable[..., Any], *args: Any, **options: Any
) -> Any:
    """Build a network on torch's device without memory, of no more parts than a file could fill.

    Raises:
        UserError: its configuration asks for more, or describes no network.
    """
    import torch

    try:
        with _at_most(4 * len(tensors) + 1000), torch.device("meta"):
            return guarded(what, build, *args, **options)
    except UserError as error:
        if isinstance(error.__cause__, _TooLargeError):
            why = f"its configuration asks for far more than its {len(tensors)} tensors"
            raise cannot_load(what, why) from None
        raise


@contextmanager
def _at_most(count: int) -> Iterator[None]:
    """Let this thread make so many parameters, and stop it at the next."""
    from torch.nn.modules.module import register_module_parameter_registration_hook

    thread, made = threading.get_ident(), 0

    def counted(module: nn.Module, name: str, parameter: Any) -> None:
        nonlocal made
        if threading.get_ident() == thread:
            made += 1
            if made > count:
                raise _TooLargeError

    hook = register_module_parameter_registration_hook(counted)
    try:
        yield
    finally:
        hook.remove()


def _not_excused(missing: Iterable[str], model: nn.Module, may_lack: tuple[str, ...]) -> set[str]:
    """The missing weights less the groups that are not used and missing as a whole."""
    absent = set(missing)
    for beginning in may_lack:
        group = {name for name in model.state_dict() if name.startswith(beginning)}
        if group <= absent:
            absent -= group
    return absent


def _of(kind: Any, library: str) -> bool:
    return str(kind.__module__).partition(".")[0] == library


def _names(names: list[str]) -> str:
    rest = len(names) - 2
    if rest > 0:
        return f"{names[0]}, {names[1]} and {rest} more are"
    return f"{' and '.join(names)} {'is' if len(names) == 1 else 'are'}"
