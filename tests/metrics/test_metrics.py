"""Every metric against an independent reference, to 1e-5."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from fakes import build_tiny_clip
from PIL import Image
from torchmetrics.functional import (
    mean_absolute_error,
    mean_squared_error,
    pairwise_cosine_similarity,
)
from torchmetrics.functional.image import peak_signal_noise_ratio

from overpaint.errors import UserError
from overpaint.evaluation.cases import Case
from overpaint.evaluation.scoring import METRICS, Scorer
from overpaint.metrics.embedding import directional_similarity
from overpaint.metrics.pixelwise import l1_distance, l2_distance, psnr
from overpaint.models.clip import load_clip
from overpaint.models.dino import load_dino


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_clip(tmp_path_factory.mktemp("clip"))


def noise(seed: int, shape: tuple[int, ...] = (24, 32, 3)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def as_unit(pixels: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(pixels).double() / 255


def test_pixel_distances_equal_torchmetrics() -> None:
    a, b = noise(0), noise(1)
    unit = as_unit(a), as_unit(b)
    assert l1_distance(a, b) == pytest.approx(float(mean_absolute_error(*unit)), abs=1e-5)
    assert l2_distance(a, b) == pytest.approx(float(mean_squared_error(*unit)), abs=1e-5)
    reference = peak_signal_noise_ratio(*unit, data_range=1.0)
    assert psnr(a, b) == pytest.approx(float(reference), abs=1e-5)


def test_psnr_of_untouched_pixels_is_that_of_those_pixels_alone() -> None:
    a, b = noise(2), noise(3)
    mask = noise(4, (24, 32)) > 128
    reference = peak_signal_noise_ratio(as_unit(a[mask]), as_unit(b[mask]), data_range=1.0)
    assert psnr(a, b, mask) == pytest.approx(float(reference), abs=1e-5)


def test_direction_by_hand() -> None:
    draw = torch.Generator().manual_seed(0)
    i0, i1, t0, t1 = (
        torch.nn.functional.normalize(torch.randn(6, 8, generator=draw), dim=-1) for _ in range(4)
    )
    found = directional_similarity(i0, i1, t0, t1)
    for row in range(6):
        picture, caption = (i1 - i0)[row].numpy(), (t1 - t0)[row].numpy()
        cosine = picture @ caption / np.linalg.norm(picture) / np.linalg.norm(caption)
        assert float(found[row]) == pytest.approx(cosine, abs=1e-5)
    assert float(directional_similarity(i0, i0, t0, t1).abs().max()) == 0.0


@pytest.mark.parametrize("noise", [0.0, 1e-7, 1e-6])
def test_there_is_no_direction_where_nothing_changed_but_for_rounding(noise: float) -> None:
    draw = torch.Generator().manual_seed(1)
    i0, i1, t0, t1 = (
        torch.nn.functional.normalize(torch.randn(6, 512, generator=draw), dim=-1) for _ in range(4)
    )

    def again(vectors: torch.Tensor) -> torch.Tensor:
        return vectors + noise * torch.nn.functional.normalize(torch.randn(6, 512, generator=draw))

    assert directional_similarity(i0, i1, t0, again(t0)).isnan().all()
    assert (directional_similarity(i0, again(i0), t0, t1) == 0).all()
    assert directional_similarity(i0, again(i0), t0, again(t0)).isnan().all()
    mixed = directional_similarity(i0, i1, t0, torch.cat([t1[:3], t0[3:]]))
    assert mixed.isnan().tolist() == [False] * 3 + [True] * 3


def test_equal_captions_have_no_direction_and_an_unchanged_picture_has_none_of_rounding(
    clip_folder: Path,
) -> None:
    clip = load_clip(clip_folder)
    before, after = (Image.fromarray(noise(seed)) for seed in (5, 6))
    captions = [
        ("a cat", "a cat"),
        ("a cat", "a  cat "),
        ("a cat", "A cat"),
        ("a cat", "a dog"),
        (None, "a dog"),
    ]
    cases = [Case(str(i), "x", before, original_prompt=a, edited_prompt=b)
             for i, (a, b) in enumerate(captions)]  # fmt: skip
    found = [row["clip_direction"] for row in Scorer(clip).score(cases, [after] * 5)]
    assert [value is None for value in found] == [True, True, True, False, True]
    same = [row["clip_direction"] for row in Scorer(clip).score(cases, [before] * 5)]
    assert same == [None, None, None, 0.0, None]


def test_clip_cosines_equal_those_of_the_model_itself(clip_folder: Path) -> None:
    """transformers' own forward pass gives the cosines as its logits, over their scale."""
    clip = load_clip(clip_folder)
    pictures = [Image.fromarray(noise(i)) for i in range(3)]
    texts = ["make it night", "a red apple", "turn the cat into a dog"]
    cosines = clip.images(pictures) @ clip.texts(texts).T
    inputs = clip.processor(images=pictures, return_tensors="pt")
    tokens = clip.tokenizer(
        texts, padding=True, truncation=True, max_length=32, return_tensors="pt"
    )
    with torch.no_grad():
        output = clip.model(**inputs, **tokens)
        reference = output.logits_per_image / clip.model.logit_scale.exp()
    assert torch.allclose(cosines, reference, atol=1e-5)
    assert torch.allclose(clip.images(pictures).norm(dim=-1), torch.ones(3), atol=1e-5)


def test_pictures_of_a_plain_clip_lie_in_minus_one_to_one(clip_folder: Path) -> None:
    clip = load_clip(clip_folder)
    white = Image.new("RGB", (32, 32), "white")
    assert torch.allclose(clip.processor(images=[white], return_tensors="pt").pixel_values,
                          torch.ones(1, 3, 32, 32), atol=1e-6)  # fmt: skip


def test_scores_of_cases_with_and_without_captions_and_targets(clip_folder: Path) -> None:
    clip = load_clip(clip_folder)
    before, after, target = noise(5), noise(6), noise(7)
    words = {"original_prompt": "a cat", "edited_prompt": "a dog"}
    mask = np.zeros((24, 32), dtype=bool)
    mask[:10] = True
    picture, edited = Image.fromarray(before), Image.fromarray(after)
    full = Case("1", "x", picture, targets=(noise(8), target), untouched=mask, **words,
                wrong=lambda: [before])  # fmt: skip
    bare = Case("2", "x", picture)
    rows = Scorer(clip).score([full, bare], [edited, edited])
    assert set(rows[0]) == {metric.name for metric in METRICS}
    image = clip.images([picture, edited, Image.fromarray(target), Image.fromarray(noise(8))])
    text = clip.texts(["a cat", "a dog"])
    cosines = pairwise_cosine_similarity(image, torch.cat([image, text]))
    assert rows[0]["clip_image"] == pytest.approx(float(cosines[0, 1]), abs=1e-5)
    assert rows[0]["clip_text"] == pytest.approx(float(cosines[1, 5]), abs=1e-5)
    nearest = 2 if l2_distance(after, target) < l2_distance(after, noise(8)) else 3
    assert rows[0]["clip_target"] == pytest.approx(float(cosines[1, nearest]), abs=1e-5)
    assert rows[0]["l1"] == pytest.approx(
        l1_distance(after, (before, before, target, noise(8))[nearest])
    )
    direction = pairwise_cosine_similarity(image[1:2] - image[:1], text[1:] - text[:1])
    assert rows[0]["clip_direction"] == pytest.approx(float(direction), abs=1e-5)
    assert rows[0]["untouched_psnr"] == pytest.approx(psnr(after, before, mask))
    known = {name for name, value in rows[1].items() if value is not None}
    assert known == {"clip_image"}
    assert rows[1]["clip_image"] == pytest.approx(rows[0]["clip_image"], abs=1e-6)


def test_any_dino_of_transformers_gives_class_tokens(tmp_path: Path) -> None:
    from transformers import ViTConfig, ViTImageProcessorPil, ViTModel

    config = ViTConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
                       intermediate_size=32, image_size=32, patch_size=8)  # fmt: skip
    ViTModel(config, add_pooling_layer=False).save_pretrained(tmp_path)
    ViTImageProcessorPil(size={"height": 32, "width": 32}).save_pretrained(tmp_path)
    dino = load_dino(tmp_path)
    pictures = [Image.fromarray(noise(i)) for i in range(2)]
    pixels = dino.processor(images=pictures, return_tensors="pt").pixel_values
    with torch.inference_mode():
        tokens = dino.model(pixels).last_hidden_state[:, 0]
    reference = pairwise_cosine_similarity(tokens)[0, 1]
    vectors = dino.images(pictures)
    assert float(vectors[0] @ vectors[1]) == pytest.approx(float(reference), abs=1e-5)
    case = Case("1", "x", pictures[0], targets=(np.asarray(pictures[0]),))
    (row,) = Scorer(None, dino).score([case], [pictures[1]])
    assert row["dino_image"] == pytest.approx(float(reference), abs=1e-5)
    assert row["dino_target"] == pytest.approx(float(reference), abs=1e-5)


def test_a_judge_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    for load, sentence in ((load_clip, "there is no CLIP"), (load_dino, "there is no DINO")):
        with pytest.raises(UserError, match=sentence):
            load(tmp_path / "nothing")
