"""Which token of an edited caption is which of the original's."""

from __future__ import annotations

import pytest
import torch

from overpaint.pairs.token_alignment import mix_columns, words_of
from tiny import MAX_TOKENS, build_tiny_tokenizer


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    from transformers import CLIPTokenizer

    build_tiny_tokenizer(tmp_path_factory.mktemp("tokenizer"))
    return CLIPTokenizer.from_pretrained(tmp_path_factory.getbasetemp() / "tokenizer0")


def columns(mix, j: int) -> dict[int, float]:
    """Where column j comes from: {place in the original: share}; -1 is the picture's own."""
    found = {i: float(v) for i, v in enumerate(mix.from_original[:, j]) if v}
    return found | ({-1: float(mix.own[j])} if mix.own[j] else {})


def test_words_and_their_tokens(tokenizer):
    """Known words are one token each, `zebra` falls into several."""
    ids = tokenizer("a zebra and a tree").input_ids
    words = words_of(tokenizer, ids)
    assert [word.text for word in words] == ["a", "zebra", "and", "a", "tree"]
    places = [place for word in words for place in word.places]
    assert places == list(range(1, len(ids) - 1))
    assert len(words[1].places) > 1
    assert {len(words[i].places) for i in (0, 2, 3, 4)} == {1}


def test_a_caption_that_is_cut_off_still_has_its_words(tokenizer):
    ids = tokenizer("zebra " * 40, truncation=True, max_length=MAX_TOKENS).input_ids
    words = words_of(tokenizer, ids)
    assert [place for word in words for place in word.places] == list(range(1, MAX_TOKENS - 1))


def test_swapped_words_take_each_others_columns(tokenizer):
    mix = mix_columns(tokenizer, "a cat and a tree", "a house and a tree", "swap")
    torch.testing.assert_close(mix.from_original, torch.eye(MAX_TOKENS))
    assert not mix.own.any()


def test_a_word_of_more_tokens_shares_the_attention(tokenizer):
    """Its n tokens get 1/n of what each token of the other word had: nothing is lost."""
    mix = mix_columns(tokenizer, "a cat and a tree", "a zebra and a tree", "swap")
    n = len(words_of(tokenizer, tokenizer("zebra").input_ids)[0].places)
    for j in range(2, 2 + n):
        assert columns(mix, j) == {2: pytest.approx(1 / n)}
    assert columns(mix, 2 + n) == {3: 1.0}, "what follows moves with it"
    torch.testing.assert_close(mix.from_original[:7].sum(1), torch.ones(7))


def test_swap_leaves_captions_alone_that_do_not_align(tokenizer):
    assert mix_columns(tokenizer, "a cat", "a cat and a dog", "swap") is None
    assert mix_columns(tokenizer, "a cat", "a dog", "none") is None


def test_refined_captions_keep_their_new_words(tokenizer):
    mix = mix_columns(tokenizer, "a cat and a tree", "a red cat and a green tree", "refine")
    came_from = [columns(mix, j) for j in range(9)]
    new = {-1: 1.0}
    assert came_from == [
        {0: 1.0},
        {1: 1.0},
        new,
        {2: 1.0},
        {3: 1.0},
        {4: 1.0},
        new,
        {5: 1.0},
        {6: 1.0},
    ]
    assert columns(mix, MAX_TOKENS - 1) == {MAX_TOKENS - 3: 1.0}, "padding follows the end mark"


def test_new_words_are_weighted(tokenizer):
    mix = mix_columns(tokenizer, "a cat", "a red cat", "refine", reweight=3.0)
    assert [columns(mix, j) for j in (1, 2, 3)] == [{1: 1.0}, {-1: 3.0}, {2: 1.0}]
    swapped = mix_columns(tokenizer, "a cat", "a dog", "swap", reweight=0.5)
    assert [columns(swapped, j) for j in (1, 2, 3)] == [{1: 1.0}, {2: 0.5}, {3: 1.0}]
    own = mix_columns(tokenizer, "a cat", "a red cat", "none", reweight=2.0)
    assert [columns(own, j) for j in (1, 2, 3)] == [{-1: 1.0}, {-1: 2.0}, {-1: 1.0}]
    assert mix_columns(tokenizer, "a red cat", "a cat", "none", reweight=2.0) is None
