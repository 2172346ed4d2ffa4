"""`Editor.run`: requests of any mix, each as if it were alone; giving one up; nothing waits."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from overpaint import Editor
from overpaint.diffusion.sampling import SampleRow, sample
from overpaint.editing import EditRequest
from overpaint.errors import UserError
from overpaint.families.ip2p import load
from overpaint.models.encoding import encode_texts
from overpaint.sampler import SamplerSettings
from tiny import LATENT_CHANNELS, build_tiny_pipeline, defaults_of


@pytest.fixture(autouse=True)
def made_for_all(monkeypatch):
    monkeypatch.setattr("overpaint.families.ip2p.MAX_LOSS", 256.0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return build_tiny_pipeline(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture(scope="module")
def editor(folder):
    return Editor.from_pretrained(folder, device="cpu", dtype="float32")


def picture(number: int, size: tuple[int, int] = (32, 32)) -> Image.Image:
    small = np.random.default_rng(number).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return Image.fromarray(small).resize(size)


def mix() -> list[EditRequest]:
    clear = picture(0).convert("RGBA")
    clear.putalpha(100)
    return [
        EditRequest(clear, "make it night", 3, SamplerSettings(num_inference_steps=4)),
        EditRequest(picture(1, (40, 30)), "add a red apple", 4, defaults_of(3, 2.0, 1.2)),
        EditRequest(picture(2), "remove the tree " * 30, 5, defaults_of(2, 1.0, 1.0)),
        EditRequest(picture(3), "make it night", 6, defaults_of(4, 7.5, 1.0)),
    ]


def same(one, other) -> bool:
    """Equal but for the rounding of batches of another size."""
    a, b = (np.asarray(edit.image).astype(int) for edit in (one, other))
    return a.shape == b.shape and int(np.abs(a - b).max()) <= 1


def test_each_request_of_a_mix_is_as_if_it_were_alone(editor):
    together = editor.run(mix())
    for request, edit in zip(mix(), together, strict=True):
        (alone,) = editor.run([request])
        assert same(edit, alone)
        assert (edit.instruction, edit.seed, edit.notes) == (
            request.instruction,
            request.seed,
            alone.notes,
        )
    assert [len(edit.notes) for edit in together] == [1, 0, 1, 0]
    assert together[0].guidance_scale == editor.card.defaults.guidance_scale


def test_requests_of_one_size_share_a_batch(editor):
    shapes = []
    editor.run(mix(), before_step=lambda step, steps, x: shapes.append((len(x), steps)))
    assert shapes == [(3, 4), (3, 4), (2, 4), (2, 4), *[(1, 3)] * 3]


@pytest.mark.parametrize("kind", [set, list, np.array, iter])
def test_what_is_given_up_may_be_any_collection(editor, kind):
    found = editor.run(mix(), before_step=lambda *_: kind([1, 3]))
    assert [edit.cancelled for edit in found] == [False, True, False, True]
    assert not any(e.cancelled for e in editor.run(mix(), before_step=lambda *_: kind([])))


@pytest.mark.parametrize("batch_size", [None, 2])
def test_a_request_that_is_given_up_is_cancelled_and_the_others_are_not(editor, batch_size):
    whole = editor.run(mix(), batch_size=batch_size)
    found = editor.run(mix(), batch_size=batch_size, before_step=lambda *_: {1, 3})
    assert [edit.cancelled for edit in found] == [False, True, False, True]
    for i in (0, 2):
        assert same(found[i], whole[i])
    assert found[3].image.tobytes() == picture(3).tobytes()


def test_no_request_is_no_work(editor):
    with pytest.raises(UserError, match="there is no instruction"):
        editor.run([])


def test_a_scale_that_the_editor_has_not_is_refused(folder, monkeypatch):
    from dataclasses import replace

    from overpaint.families.ip2p import InstructPix2Pix

    editor = Editor.from_pretrained(folder, device="cpu")
    card = replace(editor.card, scales=("guidance_scale",), name="plain")
    monkeypatch.setattr(InstructPix2Pix, "card", property(lambda _: card))
    with pytest.raises(UserError, match="plain has no image_guidance_scale"):
        editor.run(mix()[1:2])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("steps", [(3, 3), (3, 2)], ids=["together", "apart"])
def test_nothing_in_the_loop_waits_for_the_device(folder, dtype, steps):
    """On a device without memory whatever would have to come back to the CPU is an error."""
    model = load(folder, device="cpu")
    for part in (model.unet, model.vae, model.text_encoder):
        part.to("meta", dtype)
    condition = {
        "picture": torch.empty(2, LATENT_CHANNELS, 8, 8, device="meta", dtype=dtype),
        "text": torch.empty(2, 32, 32, device="meta", dtype=dtype),
        "null_text": torch.empty(2, 32, 32, device="meta", dtype=dtype),
    }
    rows = [SampleRow(i, defaults_of(number, 3.0, 1.5)) for i, number in enumerate(steps)]
    copies = []
    from torch.utils._python_dispatch import TorchDispatchMode

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            out = func(*args, **(kwargs or {}))
            if "_to_copy" in func.__name__ and args[0].device.type != out.device.type:
                copies.append(tuple(out.shape))
            return out

    with Watch():
        seen = []
        found = sample(model, condition, rows, (32, 32), lambda *_: seen.append(len(copies)))
    assert found.latents.device.type == "meta"
    assert found.latents.dtype == dtype
    assert seen[0] == seen[1] == seen[-1] or steps == (3, 2), "a step copies to the device"


def test_texts_of_the_loop_are_encoded_once_a_batch(editor, monkeypatch):
    shown = []
    forward = editor.model.text_encoder.forward
    monkeypatch.setattr(
        editor.model.text_encoder,
        "forward",
        lambda ids, **k: shown.append(len(ids)) or forward(ids, **k),
    )
    editor.edit_each(picture(1), ["make it night", "add a red apple"], num=3, num_inference_steps=1)
    assert shown == [3]
    assert len(encode_texts(editor.model, ["a", "a", ""])) == 2


@pytest.mark.parametrize("computes", [True, False])
def test_bfloat16_is_taken_for_editing_where_the_processor_computes_it(
    folder, computes, monkeypatch
):
    """Training and measuring keep float32, and so does who asks for it."""
    from overpaint.models.devices import pick_dtype

    monkeypatch.setattr("overpaint.models.devices.processor_computes_bfloat16", lambda: computes)
    chosen = Editor.from_pretrained(folder, device="cpu").card.dtype
    assert chosen == ("bfloat16" if computes else "float32")
    assert Editor.from_pretrained(folder, "cpu", "float32").card.dtype == "float32"
    assert pick_dtype(None, torch.device("cpu")) == torch.float32
