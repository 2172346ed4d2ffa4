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
    small = [f"{part}/*.{suffix}" for part in PARTS for suffix in ("json", "txt")]
    files = ["model_index.json", "overpaint.json", *small]
    weights = [f"{part}/" for part in PARTS]
    folder = _snapshot(repo_id, files, weights, half=False)
    if not list(folder.glob("unet/*.safetensors")):
        folder = _snapshot(repo_id, files, weights, half=True)
    if not (folder / "model_index.json").is_file():
        raise UserError(
            f"{repo_id} on the hub is no diffusers pipeline: it has no model_index.json."
        )
    return folder


def download_controlnet(repo_id: str) -> Path:
    """Bring the ControlNet `repo_id`, or that of a pipeline, into the hub's cache (once).

    Returns its folder, which a pipeline calls `controlnet`.

    Raises:
        UserError: as `download_pipeline`, or it is neither.
    """
    for within in ("", "controlnet/"):
        if _has(repo_id, f"{within}config.json"):
            files, weights = [f"{within}config.json"], [f"{within}diffusion_pytorch_model"]
            folder = _snapshot(repo_id, files, weights, half=False) / within
            if not list(folder.glob("*.safetensors")):
                _snapshot(repo_id, files, weights, half=True)
            return folder
    raise UserError(
        f"{repo_id} on the hub has no ControlNet of its own: say which to take (controlnet)."
    )


def look_up(repo_id: str, file: str = "model_index.json") -> None:
    """Make sure that there is such a model on the hub, or in its cache, by one small file of it.

    Raises:
        UserError: as `download_pipeline`.
    """
    if not _has(repo_id, file):
        raise UserError(f"{repo_id} on the hub has no {file}, which is needed here.")


def _has(repo_id: str, file: str) -> bool:
    """Whether the hub has this small file of a repository, which is brought into the cache."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    with _in_words(repo_id):
        try:
            hf_hub_download(repo_id, file)
        except LocalEntryNotFoundError:  # is an EntryNotFoundError, and another matter
            raise
        except EntryNotFoundError:
            return False
    return True


def _snapshot(repo_id: str, files: Sequence[str], weights: Sequence[str], *, half: bool) -> Path:
    """Download files, and weights whose names begin so; `half` takes those stored in float16.

    In a pattern, * goes across folders.
    """
    from huggingface_hub import snapshot_download

    ending = "*.fp16*.safetensors" if half else "*.safetensors"
    patterns = [*files, *(f"{beginning}{ending}" for beginning in weights)]
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


def resolved_revision(repo_id: str) -> str:
    """The commit of a repository on the hub that is in this machine's cache, else the newest.

    Raises:
        UserError: as `download_pipeline`.
    """
    from huggingface_hub import HfApi, constants
    from huggingface_hub.file_download import repo_folder_name

    folder = repo_folder_name(repo_id=repo_id, repo_type="model")
    kept = Path(constants.HF_HUB_CACHE, folder, "refs", "main")
    if kept.is_file():
        return kept.read_text().strip()
    with _in_words(repo_id):
        return str(HfApi().model_info(repo_id).sha)
