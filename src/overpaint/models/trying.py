"""Whether what was loaded works: tried on small inputs before hours of work depend on it.

Settings that no library checks when it reads them fail in mid-run, or give figures that mean
nothing: a tokenizer without its vocabulary, a processor of another size, weights of NaN.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from overpaint.models.folders import cannot_load
from overpaint.models.loading import guarded

WORDS = ("a red cat", "two dogs on the green grass")
PICTURES = (Image.linear_gradient("L").resize((40, 24)).convert("RGB"),)
_SHORTEST = 3  # tokens: the first mark, a word, the last mark


def fit_length(tokenizer: Any, most: int, what: str) -> None:
    """Make the tokenizer's maximum that of its text tower, `most`, where it has none or more.

    Raises:
        UserError: it has no padding, or a maximum that leaves no room for words.
    """
    longest = tokenizer.model_max_length
    if not (isinstance(longest, int | float) and longest >= _SHORTEST):
        raise cannot_load(what, f"its model_max_length is {longest!r}")
    if tokenizer.pad_token_id is None:
        raise cannot_load(what, "it has no pad_token")
    tokenizer.model_max_length = int(min(longest, most))


def try_tokenizer(tokenizer: Any, rows: int, what: str) -> None:
    """Make sure that words become tokens, all of which a table of `rows` vectors has.

    Raises:
        UserError: they do not.
    """
    tokens = guarded(what, lambda: tokenizer(list(WORDS), verbose=False).input_ids)
    given = {token for row in tokens for token in row}
    outside = sorted(token for token in given if not 0 <= token < rows)
    if outside:
        raise cannot_load(what, f"it gives token {outside[0]}, and its network has {rows}")
    if not given - set(tokenizer.all_special_ids):
        raise cannot_load(what, "it knows no words: its vocabulary is missing")


@torch.inference_mode()
def try_writer(model: Any, tokenizer: Any, what: str) -> None:
    """Make sure that a language model says how likely each next token is.

    Raises:
        UserError: it does not, with the library's reason.
    """
    rows = int(model.get_input_embeddings().weight.shape[0])
    try_tokenizer(tokenizer, rows, f"the tokenizer of {what}")
    tokens = torch.tensor([tokenizer(WORDS[0]).input_ids], device=model.device)
    try_vectors(lambda: model(tokens).logits, what)


def try_vectors(make: Callable[[], Tensor], what: str) -> None:
    """Make sure that a network turns an input into numbers.

    Raises:
        UserError: it does not, with the library's reason.
    """
    if not bool(torch.isfinite(guarded(what, make)).all()):
        raise cannot_load(what, "what it makes of a picture or a text is not a number")
