"""Text generation reads the device once a token, whatever the number of rows."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from accelerator import Accelerator, move

from overpaint.instruct.models import load_language_model
from overpaint.instruct.sampling import complete
from overpaint.instruct.settings import GenerateSettings
from overpaint.instruct.text_format import TextFormat
from tiny_language import CAPTIONS, build_tiny_language_model

PROMPTS = [TextFormat("kinds").prompt(caption, "add") for caption in CAPTIONS[:3]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_language_model(tmp_path_factory.mktemp("gemma"))


@pytest.mark.parametrize(
    ("dtype", "structure", "temperature"),
    [(torch.float32, True, 1.0), (torch.bfloat16, True, 0.0), (torch.float16, False, 1.0)],
    ids=str,
)
def test_a_token_of_all_rows_is_one_read(
    folder: Path, dtype: torch.dtype, structure: bool, temperature: float
) -> None:
    if structure:
        pytest.importorskip("llguidance", reason="needs the extra llm")
    model = load_language_model(folder, torch.device("cpu"), dtype)
    tokens = 8
    settings = GenerateSettings(
        max_new_tokens=tokens, structure=structure, temperature=temperature, batch_size=3
    )
    wanted = complete(model, PROMPTS, [0, 1, 2], settings)
    with Accelerator() as device:
        move(model.model)
        found = complete(model, PROMPTS, [0, 1, 2], settings)
    # Reads that transformers makes itself stand under the line of ours that calls it.
    own = [where for where in device.reads if "generate(" not in where]
    assert len(own) <= tokens + 1  # and one of the whole text, when it is there
    if dtype == torch.float32:
        assert found == wanted
