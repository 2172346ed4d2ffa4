"""nano's trainers: stock classes come out, the contrast is CLIP's, a rerun changes nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from transformers import CLIPModel

from nano.assemble import assemble_base
from nano.autoencoder import (
    AutoencoderRecipe,
    Reconstruct,
    build_autoencoder,
    measure,
    standardise,
    train_autoencoder,
)
from nano.clip import (
    ClipRecipe,
    contrast,
    look_drawn,
    place_loss,
    smaller,
    train_clip,
)
from nano.controlnet import ControlNetRecipe
from nano.pictures import UNTOLD, captioned, crowded, hard_captions, to_tensor
from nano.text import MAX_TOKENS, train_tokenizer
from nano.text_to_image import TextToImageRecipe
from overpaint.digests import digest
from overpaint.errors import UserError
from overpaint.recipe import read_block, read_settings
from overpaint.scenes.catalogue import catalogue
from overpaint.scenes.examples import sample_example
from overpaint.scenes.layout import PLACES
from overpaint.training.settings import LoopSettings, TrainSettings

pytestmark = pytest.mark.slow

RECIPES = Path(__file__).parents[2] / "recipes"
LOOP = LoopSettings(steps=2, batch_size=4, learning_rate=1e-3, seed=3, mixed_precision="no")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both parts, trained for two steps."""
    folder = tmp_path_factory.mktemp("nano")
    train_autoencoder(AutoencoderRecipe(loop=LOOP), folder / "autoencoder")
    train_clip(ClipRecipe(loop=LOOP, extra_scenes=2), folder / "clip")
    return folder


@pytest.mark.parametrize(
    ("folder", "version", "side", "channels"),
    [
        (RECIPES, 1, 64, 8),
        (RECIPES / "nano-gpu", 1, 64, 8),
        (RECIPES / "nano-v3", 2, 128, 16),
    ],
)
def test_shipped_recipes_are_valid(folder: Path, version: int, side: int, channels: int) -> None:
    autoencoder = read_settings(folder / "nano-autoencoder.yaml", AutoencoderRecipe)
    assert (autoencoder.size, autoencoder.latent_channels) == (side, channels)
    clip = read_settings(folder / "nano-clip.yaml", ClipRecipe)
    further = read_settings(folder / "nano-clip-drawn.yaml", ClipRecipe)
    for name in set(ClipRecipe.model_fields) - {"locked_text", "drawn", "loop"}:
        assert getattr(clip, name) == getattr(further, name)
    parent = read_settings(folder / "nano-text-to-image.yaml", TextToImageRecipe)
    assert parent.size == side
    assert (autoencoder.version, clip.version, parent.version) == (version,) * 3
    assert clip.size == 64
    assert (clip.rendered or clip.size) == side  # what its pictures are halved from
    controlnet = read_settings(folder / "nano-controlnet.yaml", ControlNetRecipe)
    # The same scenes: what was encoded for the parent serves the ControlNet.
    for name in ("world", "version", "size", "scenes", "edited"):
        assert getattr(parent, name) == getattr(controlnet, name)
    assert parent.loop.seed == controlnet.loop.seed
    halvings = len(autoencoder.channels) - 1  # of pictures to latents, and so of edges
    assert len(controlnet.conditioning_channels) == halvings + 1
    editor = read_block(folder / "nano-editor.yaml", "train", TrainSettings)
    assert editor.resolution == side
    assert editor.unet is None  # it goes on from the parent
    assert not editor.random_flip  # instructions name sides


def test_pictures_are_scaled_to_minus_one_and_one() -> None:
    example = sample_example(0)
    tensor = to_tensor([example.original])
    assert tensor.shape == (1, 3, 64, 64)
    back = ((tensor[0].permute(1, 2, 0) + 1) * 127.5).round().byte().numpy()
    assert (back == example.original).all()
    assert captioned([1, 2], "small", 32)[0].shape == (2, 3, 32, 32)
    assert crowded([1, 2, 3], "small", 64).abs().max() <= 1


def test_the_image_tower_alone_goes_on(runs: Path, tmp_path: Path) -> None:
    recipe = ClipRecipe(loop=LOOP, extra_scenes=2, locked_text=True, drawn=0.5)
    with pytest.raises(UserError, match="--autoencoder"):
        train_clip(recipe, tmp_path / "a", runs / "clip")
    with pytest.raises(UserError, match="--start-from"):
        train_clip(recipe, tmp_path / "a", None, runs / "autoencoder")
    again = train_clip(recipe, tmp_path / "b", runs / "clip", runs / "autoencoder")
    before = CLIPModel.from_pretrained(runs / "clip" / "model").state_dict()
    changed = set()
    for name, weight in CLIPModel.from_pretrained(again).state_dict().items():
        if not torch.equal(weight, before[name]):
            changed.add(name.split(".")[0])
    assert changed <= {"vision_model", "visual_projection", "logit_scale"}
    assert {"vision_model", "visual_projection"} <= changed


def test_a_share_of_the_pictures_looks_drawn() -> None:
    vae = build_autoencoder(AutoencoderRecipe(loop=LOOP)).eval()
    pictures = captioned(range(20), "small", 64)[0]

    def drawn(**settings: float) -> torch.Tensor:
        recipe = ClipRecipe(loop=LOOP, **settings)
        return look_drawn(pictures, vae, torch.Generator().manual_seed(1), recipe)

    same = (drawn(drawn=0.5) == pictures).flatten(1).all(1)
    assert 4 < same.sum() < 16
    assert torch.equal(drawn(drawn=0), pictures)
    clean = vae.decode(vae.encode(pictures).latent_dist.mode()).sample.clamp(-1, 1)
    torch.testing.assert_close(drawn(drawn=1, drawn_noise=0), clean, atol=1e-4, rtol=1e-4)
    assert torch.equal(drawn(drawn=1), drawn(drawn=1))


def test_the_autoencoder_makes_sixteen_by_sixteen_latents() -> None:
    autoencoder = build_autoencoder(AutoencoderRecipe(loop=LOOP))
    latents = autoencoder.encode(torch.zeros(1, 3, 64, 64)).latent_dist.mode()
    assert latents.shape == (1, 8, 16, 16)
    assert autoencoder.decode(latents).sample.shape == (1, 3, 64, 64)


def test_third_edition_has_latents_of_the_same_side_for_pictures_twice_as_wide() -> None:
    recipe = read_settings(RECIPES / "nano-v3/nano-autoencoder.yaml", AutoencoderRecipe)
    autoencoder = build_autoencoder(recipe)
    latents = autoencoder.encode(torch.zeros(1, 3, 128, 128)).latent_dist.mode()
    assert latents.shape == (1, 16, 16, 16)
    assert autoencoder.decode(latents).sample.shape == (1, 3, 128, 128)
    assert recipe.version == 2


def test_latent_noise_moves_each_samples_latents_by_its_level() -> None:
    recipe = AutoencoderRecipe(loop=LOOP, size=64, channels=(8, 8, 8), latent_channels=4)
    autoencoder = build_autoencoder(recipe).requires_grad_(False)
    seen: list[torch.Tensor] = []
    autoencoder.post_quant_conv.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    pictures = crowded(range(3), "small", 64, 2)
    noise = torch.randn(3, 4, 16, 16, generator=torch.Generator().manual_seed(0))
    level = torch.tensor([0.0, 0.1, 0.4])
    Reconstruct(autoencoder)(pictures, noise, level)
    own = autoencoder.encode(pictures).latent_dist
    wanted = (own.var + (level[:, None, None, None] * own.mean.std()) ** 2).sqrt() * noise
    torch.testing.assert_close(seen[0] - own.mean, wanted)
    torch.testing.assert_close(seen[0][0] - own.mean[0], own.std[0] * noise[0])  # level 0


def test_standardised_latents_show_the_same_pictures() -> None:
    recipe = AutoencoderRecipe(loop=LOOP, size=64, channels=(8, 8, 8), latent_channels=4)
    autoencoder = build_autoencoder(recipe).eval().requires_grad_(False)
    pictures = captioned(range(6), "small", 64)[0]
    before = autoencoder.encode(pictures).latent_dist
    drawn = autoencoder.decode(before.mode()).sample
    decibel, means, deviations = measure(autoencoder, recipe)
    standardise(autoencoder, means, deviations)
    again, zeros, ones = measure(autoencoder, recipe)
    torch.testing.assert_close(zeros, torch.zeros(4), atol=1e-4, rtol=0)
    torch.testing.assert_close(ones, torch.ones(4), atol=1e-4, rtol=0)
    assert abs(again - decibel) < 1e-3
    after = autoencoder.encode(pictures).latent_dist
    torch.testing.assert_close(autoencoder.decode(after.mode()).sample, drawn, atol=1e-4, rtol=1e-4)
    scaled = before.std / deviations[:, None, None]
    torch.testing.assert_close(after.std, scaled, atol=1e-4, rtol=1e-4)


def test_pictures_are_halved_for_clip() -> None:
    recipe = ClipRecipe(loop=LOOP, extra_scenes=2, version=2, rendered=128)
    assert recipe.size == 64
    large, small = (captioned([1, 2], "small", side, 2)[0] for side in (128, 64))
    assert torch.equal(smaller(small, 64), small)
    halved = smaller(large, 64)
    assert torch.allclose(halved[0, 0, 3, 5], large[0, 0, 6:8, 10:12].mean(), atol=1e-6)
    assert (halved - small).abs().mean() < 0.05


def test_contrast_is_the_symmetric_cross_entropy_of_clip() -> None:
    similarity = torch.randn(5, 5, generator=torch.Generator().manual_seed(0))
    rows = -torch.log_softmax(similarity, dim=1).diagonal().mean()
    columns = -torch.log_softmax(similarity, dim=0).diagonal().mean()
    torch.testing.assert_close(contrast(similarity), (rows + columns) / 2)


def test_wrong_captions_add_columns_for_the_pictures_alone() -> None:
    generator = torch.Generator().manual_seed(0)
    similarity = torch.randn(5, 5, generator=generator)
    wrong = torch.randn(5, 7, generator=generator)
    rows = -torch.log_softmax(torch.cat([similarity, wrong], 1), dim=1)[:, :5].diagonal().mean()
    columns = -torch.log_softmax(similarity, dim=0).diagonal().mean()
    torch.testing.assert_close(contrast(similarity, wrong), (rows + columns) / 2)


def test_hard_captions_are_nearly_right_and_never_right() -> None:
    drawn = hard_captions(range(40), "small", 64, 6)
    assert drawn.pictures.shape == (40, 3, 64, 64)
    assert len(drawn.right) == 40
    assert 3 * 40 < len(drawn.wrong) <= 6 * 40
    assert hard_captions(range(40), "small", 64, 6).wrong == drawn.wrong
    # Each is wrong of its own scene: drawn one by one, none is the caption of that scene.
    for seed in range(40):
        one = hard_captions([seed], "small", 64, 6)
        assert one.right[0] not in one.wrong
        assert len(set(one.wrong)) == len(one.wrong)
    placed = [text for text in drawn.wrong if " in the top " in text or " in the bottom " in text]
    assert len(placed) > 40


def test_layouts_say_what_stands_where_and_what_a_caption_tells_of_it() -> None:
    drawn = hard_captions(range(30), "small", 64, 6)
    names = [thing.name for thing in catalogue("small")]
    texts = drawn.right + drawn.wrong
    assert drawn.shown.shape == (30, len(PLACES))
    assert drawn.told.shape == (len(texts), len(PLACES))
    told = 0
    for text, layout in zip(texts, drawn.told.tolist(), strict=True):
        for place, number in zip(PLACES, layout, strict=True):
            assert (f"in the {place}" in text) == (number > 0)
            told += number > 0 and names[number - 1] in text  # not by a synonym
    assert told > 50
    right = drawn.told[:30]
    assert (right == drawn.shown)[right != UNTOLD].all()


def test_the_loss_of_places_leaves_out_what_is_untold() -> None:
    logits = torch.randn(2, 6, generator=torch.Generator().manual_seed(0))
    layout = torch.tensor([[1, UNTOLD], [0, 2]])
    known = torch.stack([logits[0, :3], logits[1, :3], logits[1, 3:]])
    wanted = F.cross_entropy(known, torch.tensor([1, 0, 2]))
    torch.testing.assert_close(place_loss(logits, layout), wanted)
    assert place_loss(logits, torch.full((2, 2), UNTOLD)) == 0


def test_the_tokenizer_is_clips_in_a_small_size(tmp_path: Path) -> None:
    from transformers import CLIPTokenizer

    tokenizer = CLIPTokenizer.from_pretrained(train_tokenizer(tmp_path, 600, examples=20))
    ids = tokenizer("Turn the CAT into a dog", padding="max_length", truncation=True).input_ids
    assert len(ids) == MAX_TOKENS
    assert ids[0] == tokenizer.bos_token_id
    assert ids[-1] == tokenizer.eos_token_id == tokenizer.pad_token_id
    assert tokenizer.decode(ids, skip_special_tokens=True) == "turn the cat into a dog"
    odd = tokenizer("żółw 🐢 أهلا").input_ids
    assert len(odd) > 2
    assert max(odd) < len(tokenizer)


def test_the_base_loads_in_stock_classes(runs: Path, tmp_path: Path) -> None:
    from diffusers import AutoencoderKL, DDIMScheduler
    from transformers import AutoTokenizer, CLIPModel, CLIPTextModel

    base = assemble_base(runs / "autoencoder", runs / "clip", tmp_path / "base")
    vae = AutoencoderKL.from_pretrained(base / "vae")
    assert vae.config.scaling_factor != 0.18215
    scheduler = DDIMScheduler.from_pretrained(base / "scheduler")
    assert scheduler.config.prediction_type == "v_prediction"
    assert not scheduler.config.clip_sample
    tokenizer = AutoTokenizer.from_pretrained(base / "tokenizer")
    tokens = tokenizer(["a cat", "a dog and a tree"], padding=True, return_tensors="pt").input_ids
    whole = CLIPModel.from_pretrained(base / "clip").eval()
    tower = CLIPTextModel.from_pretrained(base / "text_encoder").eval()
    with torch.no_grad():
        pooled = whole.text_projection(tower(tokens).pooler_output)
        features = whole.get_text_features(tokens).pooler_output
    torch.testing.assert_close(F.normalize(pooled, dim=-1), F.normalize(features, dim=-1))


def test_a_rerun_of_finished_training_changes_nothing(runs: Path) -> None:
    before = digest(runs / "autoencoder" / "model"), digest(runs / "clip" / "model")
    train_autoencoder(AutoencoderRecipe(loop=LOOP), runs / "autoencoder")
    train_clip(ClipRecipe(loop=LOOP, extra_scenes=2), runs / "clip")
    after = digest(runs / "autoencoder" / "model"), digest(runs / "clip" / "model")
    assert before == after


def test_an_unfinished_part_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="finish its training first"):
        assemble_base(tmp_path / "a", tmp_path / "c", tmp_path / "base")
