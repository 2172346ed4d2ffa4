"""Fetching models from the Hugging Face hub: only the files that are read, of one commit.

What a name means on the hub may change while a process runs. The first look-up settles its commit,
and everything that the process takes from that repository is of this commit (`resolved_revision`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from overpaint.errors import UserError
from overpaint.models.folders import in_words
from overpaint.models.names import is_hub_id, place_of

PARTS = ("unet", "vae", "text_encoder", "tokenizer", "scheduler")
NETWORK = ("config.json", "adapter_config.json")  # either: a whole one, or a LoRA
VARIANTS = ("fp32", "fp16", "bf16", "non_ema")  # where a repository has no plain weights

_SMALL = ("config.json", "model_index.json", "adapter_config.json")
_BESIDE = (  # what lies beside the weights of a network of transformers
    *("config.json", "generation_config.json", "adapter_config.json", "overpaint.json"),
    *("preprocessor_config.json", "processor_config.json", "tokenizer_config.json"),
    *("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "merges.txt"),
    *("special_tokens_map.json", "added_tokens.json"),
)
_commits: dict[str, str] = {}


def resolved_revision(name: str | Path) -> str | None:
    """The commit (40 hex digits) that this process takes of a hub's repository; None for the rest.

    It is asked for once, by whoever asks first.

    Raises:
        UserError: as `download_pipeline`, less the question what the repository holds.
    """
    text = str(name).strip()
    if place_of(text).exists() or not is_hub_id(text):
        return None
    if text not in _commits:
        from huggingface_hub import snapshot_download

        with _in_words(text):
            _commits[text] = Path(snapshot_download(text, allow_patterns=list(_SMALL))).name
    return _commits[text]


def download_pipeline(repo_id: str) -> Path:
    """Bring the pipeline `repo_id` into the hub's cache (once) and return its folder.

    Raises:
        UserError: there is no such model, it needs a login, or the hub cannot be reached.
    """
    small = [f"{part}/*.{suffix}" for part in PARTS for suffix in ("json", "txt")]
    files = ["model_index.json", "overpaint.json", *small]
    folder = _with_weights(repo_id, files, [f"{part}/" for part in ("unet", "vae", "text_encoder")])
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
            files = [f"{within}config.json", f"{within}diffusion_pytorch_model.*.json"]
            return _with_weights(repo_id, files, [f"{within}diffusion_pytorch_model"]) / within
    raise UserError(
        f"{repo_id} on the hub has no ControlNet of its own: say which to take (controlnet)."
    )


def download_network(repo_id: str) -> Path:
    """Bring a network of transformers, or an adapter, with its tokenizer or processor, likewise.

    Raises:
        UserError: as `download_pipeline`, or it is neither.
    """
    look_up(repo_id, *NETWORK)
    return _with_weights(
        repo_id,
        [*_BESIDE, "model.safetensors.index*.json"],
        ["model", "adapter_model"],
        any_of=True,
    )


def look_up(repo_id: str, *files: str) -> None:
    """Make sure that there is such a model on the hub, or in its cache, by one of its small files.

    Raises:
        UserError: as `download_pipeline`.
    """
    if not any(_has(repo_id, file) for file in files):
        raise UserError(f"{repo_id} on the hub has no {files[0]}, which is needed here.")


def _has(repo_id: str, file: str) -> bool:
    """Whether the hub has this small file of a repository, which is brought into the cache."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    with _in_words(repo_id):
        try:
            hf_hub_download(repo_id, file, revision=resolved_revision(repo_id))
        except LocalEntryNotFoundError:  # is an EntryNotFoundError, and another matter
            raise
        except EntryNotFoundError:
            return False
    return True


def _with_weights(
    repo_id: str, files: Sequence[str], weights: Sequence[str], any_of: bool = False
) -> Path:
    """Fetch small files, and the weights whose names begin so: the plain ones, or of one variant.

    Each beginning is to be found, or, with `any_of`, one of them.
    """
    folder = _snapshot(repo_id, files, weights, None)
    for variant in VARIANTS:
        lacking = [name for name in weights if not list(folder.glob(f"{name}*.safetensors"))]
        if not lacking or (any_of and len(lacking) < len(weights)):
            break
        folder = _snapshot(repo_id, files, lacking, variant)
    return folder


def _snapshot(
    repo_id: str, files: Sequence[str], weights: Sequence[str], variant: str | None
) -> Path:
    """Fetch files by pattern, in which * goes across folders."""
    from huggingface_hub import snapshot_download

    ending = "*.safetensors" if variant is None else f"*.{variant}*.safetensors"
    patterns = [*files, *(f"{beginning}{ending}" for beginning in weights)]
    ignored = None if variant else [f"*.{name}*.safetensors" for name in VARIANTS]
    with _in_words(repo_id):
        return Path(
            snapshot_download(
                repo_id,
                revision=resolved_revision(repo_id),
                allow_patterns=patterns,
                ignore_patterns=ignored,
            )
        )


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
    except UserError:
        raise
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
        raise UserError(f"{repo_id!r} is no hub id: {in_words(error)}.") from None
    except (LocalEntryNotFoundError, OfflineModeIsEnabled, HfHubHTTPError, OSError) as error:
        raise UserError(
            f"{repo_id} is not in this machine's cache and the Hugging Face hub cannot be reached "
            f"({type(error).__name__}): connect to the internet once, or give a folder or file."
        ) from None
