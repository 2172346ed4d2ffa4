"""Which words of an edited caption are which of the original's, token by token.

Prompt-to-Prompt's cross-attention variants (arXiv:2208.01626, section 3) put the attention that
the original picture pays to a word into the place of that word in the edited caption.
"""

from __future__ import annotations

from collections.abc import Sequence
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, Literal, NamedTuple

import torch
from torch import Tensor

if TYPE_CHECKING:
    from transformers import CLIPTokenizer

CrossAttention = Literal["none", "swap", "refine"]

_END_OF_WORD = "</w>"


class ColumnMix(NamedTuple):
    """How the edited picture's cross-attention maps are put together.

    Maps are (pixels, L), a column a token. The mixed map is
    `original @ from_original + edited * own`, with `from_original` (L, L) and `own` (L,).
    """

    from_original: Tensor
    own: Tensor


class Word(NamedTuple):
    """A word of a caption and the places of its tokens."""

    text: str
    places: range


def words_of(tokenizer: CLIPTokenizer, ids: Sequence[int]) -> list[Word]:
    """The words of a tokenised caption: `ids` from the start mark to the end mark, both in it."""
    words, start, letters = [], 1, ""
    for place, token in enumerate(tokenizer.convert_ids_to_tokens(list(ids))[1:-1], start=1):
        letters += token.removesuffix(_END_OF_WORD)
        if token.endswith(_END_OF_WORD) or place == len(ids) - 2:
            words.append(Word(letters, range(start, place + 1)))
            start, letters = place + 1, ""
    return words


def mix_columns(
    tokenizer: CLIPTokenizer,
    original: str,
    edited: str,
    variant: CrossAttention,
    reweight: float = 1.0,
) -> ColumnMix | None:
    """The mix for one row; None where all columns are the edited picture's own.

    Variants (arXiv:2208.01626, section 3.2):
        swap: word by word, the attention of the original; only captions of as many words align,
            others are left alone.
        refine: words that both captions have, in the same order, take the original's attention;
            words that are new keep their own.
    With either, what follows the words (end mark, padding) is the original's too. `reweight` is
    a factor on the columns of the words that the edited caption gains.
    """
    length = int(tokenizer.model_max_length)
    ids = [
        tokenizer(text, truncation=True, max_length=length).input_ids for text in (original, edited)
    ]
    theirs, ours = (words_of(tokenizer, one) for one in ids)
    if variant == "swap" and len(theirs) != len(ours):
        variant = "none"
    kept = _kept(theirs, ours)
    if variant == "swap":
        pairs = list(zip(theirs, ours, strict=True))
        gained = [word for before, word in pairs if before.text != word.text]
    else:
        pairs = [(theirs[i], ours[j]) for i, j in kept]
        gained = [word for j, word in enumerate(ours) if j not in {j for _, j in kept}]
    if variant == "none" and (reweight == 1 or not gained):
        return None
    columns = torch.zeros(length, length)
    if variant != "none":
        _fill(columns, pairs, len(ids[0]) - 1, len(ids[1]) - 1)
    own = (columns.sum(0) == 0).float()
    for word in gained:
        columns[:, word.places.start : word.places.stop] *= reweight
        own[word.places.start : word.places.stop] *= reweight
    return ColumnMix(columns, own)


def _kept(theirs: Sequence[Word], ours: Sequence[Word]) -> list[tuple[int, int]]:
    """(i, j) for every word i of the original that the edited caption keeps as its word j."""
    matcher = SequenceMatcher(
        None, [w.text for w in theirs], [w.text for w in ours], autojunk=False
    )
    blocks = matcher.get_matching_blocks()
    return [(b.a + k, b.b + k) for b in blocks for k in range(b.size)]


def _fill(columns: Tensor, pairs: Sequence[tuple[Word, Word]], end: int, our_end: int) -> None:
    """Write where each column comes from; `end` and `our_end` are the places of the end marks."""
    columns[0, 0] = 1.0
    for before, word in pairs:
        if len(before.places) == len(word.places):
            for i, j in zip(before.places, word.places, strict=True):
                columns[i, j] = 1.0
        else:
            # As many tokens do not stand there: the attention to the word is shared out evenly.
            rows = slice(before.places.start, before.places.stop)
            columns[rows, word.places.start : word.places.stop] = 1.0 / len(word.places)
    last = len(columns) - 1
    for j in range(our_end, last + 1):
        columns[min(end + j - our_end, last), j] = 1.0
