"""What is said of a picture costs one decoding of it, however many edits are made from it."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from overpaint.editing import Editor
from overpaint.families import ip2p

QUICK = {"num_inference_steps": 1, "guidance_scale": 1.0, "image_guidance_scale": 1.0}


def picture(seed: int) -> Image.Image:
    """Noise, which nano's autoencoder changes by far more than MAX_LOSS."""
    values = np.random.default_rng(seed).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    return Image.fromarray(values)


@pytest.fixture(scope="module")
def nano() -> Editor:
    return Editor.from_pretrained("nano", device="cpu", dtype="float32")


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many pictures each look at the autoencoder decoded."""
    counts: list[int] = []
    own = ip2p.decode_latents
    monkeypatch.setattr(
        ip2p, "decode_latents", lambda model, x: (counts.append(len(x)), own(model, x))[1]
    )
    return counts


def test_each_picture_is_looked_at_once(nano: Editor, decoded: list[int]) -> None:
    known, odd = Image.new("RGB", (64, 64), "white"), picture(0)
    edits = nano.edit_pairs([known, odd, known, odd], ["make it night"] * 4, **QUICK)
    assert decoded == [2]
    assert [len(edit.notes) for edit in edits] == [0, 1, 0, 1]
    assert "is unlike those" in edits[1].notes[0]


def test_also_in_several_batches(nano: Editor, decoded: list[int]) -> None:
    edits = nano.edit_each(picture(0), ["make it night"], num=3, batch_size=1, **QUICK)
    assert decoded == [1]
    assert len({edit.notes for edit in edits}) == 1
    assert len(edits[0].notes) == 1


def test_and_all_turns_have_the_remark_on_the_original(nano: Editor, decoded: list[int]) -> None:
    edits = nano.edit_in_turn(picture(1), ["make it night", "cat " * 90], num=2, **QUICK)
    assert decoded == [1]
    assert [len(edit.notes) for edit in edits] == [1, 1, 2, 2]
    assert len({edit.notes[0] for edit in edits}) == 1
    assert "too long" in edits[2].notes[1]


def test_what_the_condition_holds_gives_the_loss_of_the_picture_alone(nano: Editor) -> None:
    pictures = [picture(seed) for seed in range(3)]
    together = nano.edit_pairs(pictures, ["make it night"] * 3, **QUICK)
    for one, edit in zip(pictures, together, strict=True):
        assert nano.edit_each(one, ["make it night"], **QUICK)[0].notes == edit.notes
