"""What a model's name means: nano, a folder, a single file, or an id on the Hugging Face hub."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal, NamedTuple

from overpaint.errors import UserError

ACCEPTED = (
    "give `nano`, a diffusers folder, a single .safetensors file, "
    "or a hub id such as timbrooks/instruct-pix2pix, which edits, or "
    "stable-diffusion-v1-5/stable-diffusion-v1-5, which draws"
)
NANO = Path(__file__).parent / "nano"
PARENT = "nano-text-to-image"  # what draws from words, and nano's editor was trained from
PICKLES = (".ckpt", ".pt", ".pth", ".bin", ".pkl")

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


class Place(NamedTuple):
    """Where a model is. `where` is a path, or the id when `kind` is "hub"."""

    kind: Literal["directory", "file", "hub"]
    where: str


def find_model(name: str | Path) -> Place:
    """Say what `name` means, without opening anything big.

    `nano` is the model inside this package (write `./nano` for a folder of that name); what
    exists on the disk comes before the hub.

    Raises:
        UserError: nothing is there, or it is a pickle, or no kind of model that we read.
    """
    text = str(name).strip()
    if text == "nano":
        if not (NANO / "model_index.json").is_file():
            raise UserError(
                "this installation of overpaint carries no nano weights: install the released "
                "package, or train them with the recipes."
            )
        return Place("directory", str(NANO))
    path = Path(text).expanduser()
    if path.is_dir() and text:
        return _folder(path)
    if path.is_file():
        return _file(path)
    if not is_hub_id(text):
        raise UserError(f"there is no model {text!r}: {ACCEPTED}.")
    return Place("hub", text)


def is_hub_id(name: str | Path) -> bool:
    """Whether a name that is nothing here may be a repository of the hub."""
    weights = Path(name).suffix in (*PICKLES, ".safetensors")
    return bool(_HUB_ID.fullmatch(str(name))) and not weights


def clip_folders(name: str | Path) -> tuple[str | Path, str | Path]:
    """Where a CLIP and its tokenizer are: two folders, or a hub id twice."""
    folder = place_of(name)
    if (folder / "clip").is_dir():
        return folder / "clip", folder / "tokenizer"
    if folder.is_dir():
        has_own = any((folder / n).is_file() for n in ("tokenizer.json", "vocab.json"))
        return folder, folder if has_own else folder.parent / "tokenizer"
    return str(name), str(name)


def place_of(name: str | Path) -> Path:
    """The file or folder that a name means if it is one: nano's for nano's names."""
    return NANO if str(name) in ("nano", PARENT) else Path(name).expanduser()


def refuse_pickle(path: Path | str) -> UserError:
    """The sentence for weights that run code when they are read."""
    return UserError(
        f"{path} is a pickle, which can run any code when it is opened, so it is refused: "
        "get the .safetensors version of this model, or convert it on a machine you can spare."
    )


def _folder(path: Path) -> Place:
    if not (path / "model_index.json").is_file():
        raise UserError(
            f"{path} is no diffusers pipeline (it holds no model_index.json): {ACCEPTED}."
        )
    return Place("directory", str(path))


def _file(path: Path) -> Place:
    if path.suffix.lower() in PICKLES:
        raise refuse_pickle(path)
    if path.suffix.lower() != ".safetensors":
        raise UserError(f"{path} is no model that we can read: {ACCEPTED}.")
    return Place("file", str(path))
