"""`Editor`: the stock pipeline's picture, batches equal to singles, sizes, and bad input."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from overpaint import Editor
from overpaint.errors import UserError
from tiny import NATIVE_SIZE, build_tiny_pipeline, defaults_of

WORDS = "turn the cat into a dog"
QUICK = {"num_inference_steps": 4}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return build_tiny_pipeline(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture(scope="module")
def editor(folder) -> Editor:
    return Editor.from_pretrained(folder, device="cpu", dtype="float32")


@pytest.fixture(autouse=True)
def made_for_all(monkeypatch):
    """No picture is like those that the tiny model's random autoencoder was made for."""
    monkeypatch.setattr("overpaint.families.ip2p.MAX_LOSS", 256.0)


def scene(width: int = NATIVE_SIZE, height: int = NATIVE_SIZE) -> Image.Image:
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    red, green = 255 * x / width, 255 * y / height
    return Image.fromarray(np.stack([red, green, 255 - red], -1).astype(np.uint8))


def difference(a: Image.Image, b: Image.Image) -> int:
    """The largest difference of any channel, of 255."""
    assert a.size == b.size
    return int(np.abs(np.asarray(a).astype(int) - np.asarray(b).astype(int)).max())


@pytest.fixture(scope="module")
def stock(folder):
    from diffusers import StableDiffusionInstructPix2PixPipeline

    pipeline = StableDiffusionInstructPix2PixPipeline.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@pytest.mark.slow
@pytest.mark.parametrize(
    "scheduler", ["DDIMScheduler", "EulerAncestralDiscreteScheduler", "PNDMScheduler"]
)
@pytest.mark.parametrize(("s_t", "s_i"), [(7.5, 1.5), (3.0, 1.0)])
def test_gives_the_picture_of_the_stock_pipeline(folder, stock, scheduler, s_t, s_i):
    import diffusers

    kind = getattr(diffusers, scheduler)
    ours = Editor.from_pretrained(folder, device="cpu", dtype="float32")
    ours.model.scheduler = kind.from_config(ours.model.scheduler.config)
    stock.scheduler = kind.from_config(stock.scheduler.config)
    scales = {"guidance_scale": s_t, "image_guidance_scale": s_i}
    picture = scene(32, 24)
    theirs = stock(
        WORDS,
        image=picture,
        num_inference_steps=10,
        generator=torch.Generator().manual_seed(5),
        **scales,
    ).images[0]
    (mine,) = ours.edit(picture, WORDS, seed=5, num_inference_steps=10, **scales)
    assert difference(theirs, mine) <= 1
    assert np.asarray(mine).std() > 10, "a flat picture would compare equal to anything"


def test_seeds_in_one_batch_equal_single_edits(editor):
    together = editor.edit(scene(), WORDS, seed=3, num=5, **QUICK)
    chunked = editor.edit(scene(), WORDS, seed=3, num=5, batch_size=2, **QUICK)
    for i in range(5):
        (alone,) = editor.edit(scene(), WORDS, seed=3 + i, **QUICK)
        assert difference(together[i], alone) <= 1
        assert difference(chunked[i], alone) <= 1
    assert difference(together[0], together[1]) > 10


def test_several_seeds_are_one_batch(editor, monkeypatch):
    sizes = []
    forward = editor.model.unet.forward
    monkeypatch.setattr(
        editor.model.unet,
        "forward",
        lambda sample, *a, **k: sizes.append(len(sample)) or forward(sample, *a, **k),
    )
    editor.edit_each(scene(), [WORDS, "make it night"], num=3, **QUICK)
    assert sizes == [3 * 2 * 3] * 4
    sizes.clear()
    editor.edit(scene(), WORDS, num=5, batch_size=2, image_guidance_scale=1.0, **QUICK)
    assert sorted(set(sizes)) == [2, 4]
    assert len(sizes) == 3 * 4


def test_each_instruction_is_applied_to_the_original(editor):
    texts = [WORDS, "make it night"]
    edits = editor.edit_each(scene(), texts, seed=1, num=2, **QUICK)
    assert [(e.instruction, e.seed) for e in edits] == [(t, s) for t in texts for s in (1, 2)]
    for e in edits:
        (alone,) = editor.edit(scene(), e.instruction, seed=e.seed, **QUICK)
        assert difference(e.image, alone) <= 1


def test_in_turn_edits_the_result_of_the_turn_before(editor):
    texts = [WORDS, "make it night"]
    edits = editor.edit_in_turn(scene(), texts, seed=1, num=2, **QUICK)
    turns = [(e.turn, e.instruction, e.seed) for e in edits]
    assert turns == [(i, t, s) for i, t in enumerate(texts) for s in (1, 2)]
    (first,) = editor.edit(scene(), texts[0], seed=2, **QUICK)
    assert difference(edits[1].image, first) <= 1
    (second,) = editor.edit(edits[1].image, texts[1], seed=2, **QUICK)
    assert difference(edits[3].image, second) <= 1


def test_pairs_of_pictures_and_instructions(editor):
    pictures, texts = [scene(), scene(40, 30), scene(30, 40).rotate(180)], [WORDS, "make it night"]
    texts.append("add a red apple")
    edits = editor.edit_pairs(pictures, texts, seed=3, **QUICK)
    assert [(e.instruction, e.image.size) for e in edits] == [
        (text, picture.size) for text, picture in zip(texts, pictures, strict=True)
    ]
    for picture, e in zip(pictures, edits, strict=True):
        assert difference(e.image, editor.edit(picture, e.instruction, seed=3, **QUICK)[0]) <= 1
    with pytest.raises(UserError, match="3 pictures do not match 2 instructions"):
        editor.edit_pairs(pictures, texts[:2])


def test_sweep_covers_both_scales(editor):
    edits = editor.sweep(
        scene(), WORDS, guidance_scales=[1.0, 3.0], image_guidance_scales=[1.0, 1.5], **QUICK
    )
    grid = [(e.image_guidance_scale, e.guidance_scale) for e in edits]
    assert grid == [(1.0, 1.0), (1.0, 3.0), (1.5, 1.0), (1.5, 3.0)]
    for e in edits:
        scales = {"guidance_scale": e.guidance_scale}
        scales["image_guidance_scale"] = e.image_guidance_scale
        (alone,) = editor.edit(scene(), WORDS, **scales, **QUICK)
        assert difference(e.image, alone) <= 1


@pytest.mark.parametrize("size", [(32, 32), (100, 75), (75, 100), (31, 17), (640, 200)])
def test_the_result_has_the_size_of_the_input(editor, size):
    (edited,) = editor.edit(scene(*size), WORDS, **QUICK)
    assert edited.size == size
    assert edited.mode == "RGB"


def test_a_higher_resolution_is_worked_at(editor):
    picture = scene(64, 48)
    shapes = []
    hook = lambda step, steps, latents: shapes.append(tuple(latents.shape))  # noqa: E731
    editor.edit(picture, WORDS, resolution=64, before_step=hook, **QUICK)
    assert shapes == [(1, 8, 12, 16)] * 4


def test_arrays_paths_and_pil_are_the_same_picture(editor, tmp_path):
    picture = scene()
    picture.save(tmp_path / "in.png")
    sources = [picture, np.asarray(picture), tmp_path / "in.png", str(tmp_path / "in.png")]
    results = [editor.edit(source, WORDS, **QUICK)[0] for source in sources]
    assert all(difference(results[0], other) == 0 for other in results[1:])


def test_the_models_own_settings_are_the_defaults(editor, folder):
    own = Editor.from_pretrained(folder, device="cpu", dtype="float32")
    own.model.defaults = defaults_of(4, 2.0, 1.2)
    named = {"guidance_scale": 2.0, "image_guidance_scale": 1.2}
    assert (
        difference(own.edit(scene(), WORDS)[0], editor.edit(scene(), WORDS, **named, **QUICK)[0])
        == 0
    )


def test_a_long_instruction_is_cut_with_a_note(editor):
    long, short = editor.edit_each(scene(), ["cat " * 10_000, WORDS], **QUICK)
    assert len(long.notes) == 1
    assert "reads its first 30 of 10000 tokens" in long.notes[0]
    assert len(long.notes[0]) < 200
    assert short.notes == ()
    with pytest.warns(UserWarning, match="too long"):
        editor.edit(scene(), "cat " * 40, **QUICK)


def test_notes_belong_to_the_edits_of_their_picture(editor):
    clear = Image.new("RGBA", (32, 32), (255, 0, 0, 100))
    first, second = editor.edit_pairs([clear, scene()], [WORDS, WORDS], **QUICK)
    assert len(first.notes) == 1
    assert "laid on white" in first.notes[0]
    assert second.notes == ()
    in_turn = editor.edit_in_turn(clear, [WORDS, "make it night"], **QUICK)
    assert [e.notes for e in in_turn] == [first.notes] * 2


def test_a_picture_much_larger_than_the_model_works_at_gets_a_note(editor):
    for side, said in ((8 * NATIVE_SIZE, 0), (8 * NATIVE_SIZE + 1, 1)):
        (edit,) = editor.edit_each(scene(side, side), [WORDS], num_inference_steps=1)
        assert len(edit.notes) == said
    assert f"edited at {NATIVE_SIZE} x {NATIVE_SIZE} and enlarged again" in edit.notes[0]


@pytest.mark.parametrize("kind", [int, np.int64, np.uint8, np.array])
def test_whole_numbers_of_any_kind_are_whole_numbers(editor, kind):
    settings = {"seed": 2, "num": 2, "num_inference_steps": 3, "resolution": 48, "batch_size": 1}
    plain = editor.edit_each(scene(), [WORDS], **settings)
    other = editor.edit_each(scene(), [WORDS], **{k: kind(v) for k, v in settings.items()})
    assert [e.seed for e in other] == [2, 3]
    assert all(type(e.seed) is int for e in other)
    assert [e.image.tobytes() for e in other] == [e.image.tobytes() for e in plain]
    seeds = np.array([2, 3], dtype=np.int16)
    pairs = editor.edit_pairs([scene()] * 2, [WORDS] * 2, seed=seeds, num_inference_steps=1)
    assert [e.seed for e in pairs] == [2, 3]
    (alone,) = editor.edit_pairs([scene()], [WORDS], seed=np.array(5), num_inference_steps=1)
    assert alone.seed == 5


@pytest.mark.parametrize("name", ["seed", "num", "num_inference_steps", "resolution", "batch_size"])
@pytest.mark.parametrize("value", [2.0, "2", np.float32(2), [2]])
def test_what_is_no_whole_number_is_one_sentence(editor, name, value):
    with pytest.raises(UserError, match="give a whole number"):
        editor.edit(scene(), WORDS, **{name: value})


def test_an_instruction_that_is_no_text_is_refused(editor):
    words = b"turn the caf\xe9 into a bar".decode(errors="surrogateescape")
    with pytest.raises(UserError, match="not valid text in UTF-8") as refused:
        editor.edit(scene(), words)
    str(refused.value).encode("ascii")


@pytest.mark.parametrize("text", ["", "   ", "\n\t"])
def test_an_empty_instruction_is_refused(editor, text):
    with pytest.raises(UserError, match="instruction is empty"):
        editor.edit(scene(), text)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"num": 0}, "num 0"),
        ({"seed": -1}, "seed -1"),
        ({"seed": 2**63}, "seed 9223372036854775808"),
        ({"num_inference_steps": 0}, "num_inference_steps 0"),
        ({"num_inference_steps": 1001}, "1001 steps"),
        ({"guidance_scale": float("nan")}, "guidance_scale nan"),
        ({"image_guidance_scale": -0.5}, "image_guidance_scale -0.5"),
        ({"resolution": 4}, "resolution 4"),
        ({"resolution": 100_000}, "resolution 100000"),
        ({"batch_size": 0}, "batch size 0"),
    ],
)
def test_a_setting_that_cannot_work_is_one_sentence(editor, settings, says):
    with pytest.raises(UserError, match=says):
        editor.edit(scene(), WORDS, **settings)


@pytest.mark.parametrize("size", [(1, 1), (5000, 10), (10, 5000), (640, 100)])
def test_a_picture_without_room_for_an_edit_is_refused(editor, size):
    with pytest.raises(UserError, match="pixels"):
        editor.edit(scene(*size), WORDS, **QUICK)


def test_a_picture_of_nan_is_an_error_and_not_a_black_square(folder):
    broken = Editor.from_pretrained(folder, device="cpu", dtype="float32")
    with torch.no_grad():
        broken.model.unet.conv_out.bias.fill_(float("nan"))
    with pytest.raises(UserError, match="not a number"):
        broken.edit(scene(), WORDS, **QUICK)
    broken.model.unet.to(torch.bfloat16)
    broken.model.vae.to(torch.bfloat16)
    with pytest.raises(UserError, match="bfloat16 is too coarse here, take the dtype float32"):
        broken.edit(scene(), WORDS, **QUICK)


def test_half_precision_edits(folder):
    half = Editor.from_pretrained(folder, device="cpu", dtype="bfloat16")
    (edited,) = half.edit(scene(), WORDS, **QUICK)
    assert edited.size == (NATIVE_SIZE, NATIVE_SIZE)
