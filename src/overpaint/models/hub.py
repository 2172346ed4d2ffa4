"""Fetching a diffusers pipeline from the Hugging Face hub: only the parts that an edit needs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from overpaint.errors import UserError

PARTS = ("unet", "vae", "text_encoder", "tokenizer", "scheduler")


def download_pipeline(repo_id: str) -> Path:
    """Bring the pipeline `repo_id` into the hub's cache (once) and return its folder.

    Raises:
        UserError: there is no such model, it needs a login, or the hub cannot be reached.
    """
    folder = _snapshot(repo_id, PARTS, half=False)
    if not list(folder.glob("unet/*.safetensors")):
        folder = _snapshot(repo_id, PARTS, half=True)
    if not (folder / "model_index.json").is_file():
        raise UserError(
            f"{repo_id} on the hub is no diffusers pipeline: it has no model_index.json."
        )
    return folder


def download_controlnet(repo_id: str) -> Path:
    """Bring the ControlNet `repo_id` into the hub's cache (once) and return its folder.

    Raises:
        UserError: as `download_pipeline`.
    """
    folder = _snapshot(repo_id, (), half=False)
    return folder if list(folder.glob("*.safetensors")) else _snapshot(repo_id, (), half=True)


def look_up(repo_id: str, file: str = "model_index.json") -> None:
    """Make sure that there is such a model on the hub, or in its cache, by one small file of it.

    Raises:
        UserError: as `download_pipeline`.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    with _in_words(repo_id):
        try:
            hf_hub_download(repo_id, file)
        except LocalEntryNotFoundError:  # is an EntryNotFoundError, and another matter
            raise
        except EntryNotFoundError:
            raise UserError(f"{repo_id} on the hub has no {file}, which is needed here.") from None


def _snapshot(repo_id: str, parts: Sequence[str], *, half: bool) -> Path:
    """Download configurations, tokenizer and weights; `half` takes those stored in float16.

    Without `parts` the weights lie beside the configuration, in no folder of their own.
    """
    from huggingface_hub import snapshot_download

    weights = "*.fp16*.safetensors" if half else "*.safetensors"
    patterns = ["model_index.json", "overpaint.json"] if parts else ["config.json", weights]
    for part in parts:
        patterns += [f"{part}/*.json", f"{part}/*.txt", f"{part}/{weights}"]
    ignored = None if half else ["*.fp16*.safetensors", "*.non_ema*"]
    with _in_words(repo_id):
        return Path(snapshot_download(repo_id, allow_patterns=patterns, ignore_patterns=ignored))


@contextmanager
def _in_words(repo_id: str) -> Iterator[None]:
    """The hub's many errors as one sentence each."""
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
    )

    try:
        yield
    except GatedRepoError:
        raise UserError(
            f"{repo_id} is on the hub behind an agreement: accept it on its page and "
            "run `hf auth login`."
        ) from None
    except RepositoryNotFoundError:
        raise UserError(
            f"there is no model {repo_id!r}, neither a folder here nor (that you may see) "
            "on the Hugging Face hub."
        ) from None
    except HFValidationError as error:
        raise UserError(f"{repo_id!r} is no hub id: {error}") from None
    except (LocalEntryNotFoundError, OfflineModeIsEnabled, HfHubHTTPError, OSError) as error:
        raise UserError(
            f"{repo_id} is not in this machine's cache and the Hugging Face hub cannot be reached "
            f"({type(error).__name__}): connect to the internet once, or give a folder or file."
        ) from None
