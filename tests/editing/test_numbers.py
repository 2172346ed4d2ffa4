"""NumPy's integers are integers, wherever Python's are taken."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from PIL import Image

from overpaint import Editor
from overpaint.errors import UserError
from overpaint.seeds import derive_seed


@pytest.fixture(scope="module")
def editor() -> Editor:
    return Editor.from_pretrained("nano", device="cpu")


PICTURE = Image.new("RGB", (64, 64), "red")
PLAIN: dict[str, Any] = {"seed": 3, "num": 1, "num_inference_steps": 1, "resolution": 64}


@pytest.mark.parametrize("kind", [np.int64, np.int32, np.uint8])
@pytest.mark.parametrize("name", list(PLAIN))
def test_an_edit_takes_numpy_s_integers(editor: Editor, kind: type, name: str) -> None:
    plain = editor.edit_each(PICTURE, ["make it blue"], **PLAIN)
    (edit,) = editor.edit_each(PICTURE, ["make it blue"], **PLAIN | {name: kind(PLAIN[name])})
    assert edit.image.tobytes() == plain[0].image.tobytes()
    assert json.dumps(edit.seed) == "3"


@pytest.mark.parametrize("seed", [np.int64(3), [np.int32(3)], np.array([3])])
def test_pairs_take_numpy_s_seeds(editor: Editor, seed: Any) -> None:
    (edit,) = editor.edit_pairs([PICTURE], ["make it blue"], seed=seed, num_inference_steps=1)
    assert json.dumps(edit.seed) == "3"


def test_a_narrow_integer_does_not_overflow(editor: Editor) -> None:
    edits = editor.edit_each(
        PICTURE, ["make it blue"], seed=np.uint8(255), num=2, num_inference_steps=1
    )
    assert [edit.seed for edit in edits] == [255, 256]


@pytest.mark.parametrize("name", list(PLAIN))
def test_a_fraction_is_refused(editor: Editor, name: str) -> None:
    with pytest.raises(UserError, match="give a whole number"):
        editor.edit_each(PICTURE, ["make it blue"], **PLAIN | {name: 1.5})


@pytest.mark.parametrize("kind", [np.int64, np.int32, np.uint8])
def test_seeds_derive_alike_from_numpy_s_integers(kind: type) -> None:
    assert derive_seed(kind(3), kind(2), "x") == derive_seed(3, 2, "x")
