"""One Editor under many threads: no error, and each picture equal to the one made alone."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np
import pytest
from PIL import Image

from overpaint import Editor
from overpaint.editing import Edit
from overpaint.models.encoding import cut_texts, encode_texts
from tiny import MAX_TOKENS, build_tiny_pipeline

pytestmark = pytest.mark.slow

THREADS = 16
WORDS = ["make it night", "remove the tree", "turn the cat into a dog " * 12]


@pytest.fixture
def impatient() -> Iterator[None]:
    """Threads take turns often, so that what they share shows."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Editor:
    folder = build_tiny_pipeline(tmp_path_factory.mktemp("model") / "tiny")
    return Editor.from_pretrained(folder, device="cpu")


def at_once(work: Callable[[int], object], threads: int = THREADS) -> list[object]:
    """`work(0)`, `work(1)`, ..., each in a thread of its own, all started together."""
    start = Barrier(threads)

    def begin(number: int) -> object:
        start.wait()
        return work(number)

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(begin, range(threads)))


def picture(number: int) -> Image.Image:
    small = np.random.default_rng(number).integers(0, 256, (3, 4, 3 + number % 2), dtype=np.uint8)
    return Image.fromarray(small).resize(((32, 24), (32, 32))[number % 2])


def ask(editor: Editor, number: int, steps: int) -> list[tuple[object, ...]]:
    """One request, unlike its neighbours in form, picture, words, seed and scales."""
    words = [WORDS[number % 3], WORDS[(number + 1) % 3]]
    source, how = picture(number), {"seed": number, "num_inference_steps": steps}
    edits: list[Edit]
    if number % 4 == 0:
        edits = editor.edit_each(source, words, guidance_scale=2 + number % 3, **how)
    elif number % 4 == 1:
        edits = editor.edit_in_turn(source, words, **how)
    elif number % 4 == 2:
        edits = editor.edit_pairs([source, picture(number + 1)], words, **how)
    else:
        edits = editor.sweep(
            source, words[0], guidance_scales=[2, 4], image_guidance_scales=[1.2], **how
        )
    return [(e.image.tobytes(), e.instruction, e.seed, e.notes) for e in edits]


def test_sixteen_threads_get_what_each_would_get_alone(tiny):
    alone = [ask(tiny, number, 1) for number in range(THREADS)]
    assert at_once(lambda number: ask(tiny, number, 1)) == alone


def test_nano_serves_threads_too():
    editor = Editor.from_pretrained("nano", device="cpu")

    def edit(number: int) -> list[bytes]:
        words, how = WORDS[number % 3], {"seed": number, "num_inference_steps": 1}
        return [e.image.tobytes() for e in editor.edit_each(picture(number), [words], **how)]

    alone = [edit(number) for number in range(THREADS)]
    assert at_once(edit) == alone


@pytest.mark.parametrize("stored", [False, True], ids=["plain", "padding stored in the file"])
def test_texts_of_any_length_are_encoded_by_threads(tiny, stored, impatient):
    tokenizer = tiny.model.tokenizer
    texts = ["", *("a cat and a tree " * n for n in range(1, 16))]
    alone = [encode_texts(tiny.model, ["", text]) for text in texts]
    if stored:
        tokenizer.backend_tokenizer.enable_padding(length=MAX_TOKENS)
        tokenizer.backend_tokenizer.enable_truncation(MAX_TOKENS)

    def work(number: int) -> bool:
        for turn in range(number, number + 16):
            found = encode_texts(tiny.model, ["", text := texts[turn % 16]])
            cut_texts(tiny.model, [text])
            if not all((found[t] == alone[turn % 16][t]).all() for t in found):
                return False
        return True

    assert at_once(work) == [True] * THREADS


@pytest.mark.parametrize("text", ["", "make it night", "cat " * (MAX_TOKENS - 2), "cat " * 40])
def test_tokens_are_padded_and_cut_as_the_library_does(tiny, text, monkeypatch):
    shown = []
    forward = tiny.model.text_encoder.forward
    monkeypatch.setattr(
        tiny.model.text_encoder, "forward", lambda ids, **k: shown.append(ids) or forward(ids, **k)
    )
    encode_texts(tiny.model, [text])
    theirs = tiny.model.tokenizer(
        [text], padding="max_length", max_length=MAX_TOKENS, truncation=True, return_tensors="pt"
    )
    assert shown[0].tolist() == theirs.input_ids.tolist()
