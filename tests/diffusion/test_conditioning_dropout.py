"""5/5/5: one draw a sample, exact boundaries, the right replacements."""

from __future__ import annotations

import pytest
import torch

from overpaint.diffusion.conditioning_dropout import choose, drop_image, drop_text


@pytest.mark.parametrize(
    ("u", "text", "image"),
    [
        (0.0, True, False),
        (0.0624, True, False),
        (0.0625, True, True),  # p itself: both
        (0.1249, True, True),
        (0.125, False, True),  # 2p itself: image only
        (0.1874, False, True),
        (0.1875, False, False),  # 3p itself: nothing
        (0.9999, False, False),
    ],
)
def test_boundaries(u: float, text: bool, image: bool) -> None:
    dropped = choose(torch.tensor([u]), 0.0625)  # a p that binary numbers hold exactly
    assert (bool(dropped.text), bool(dropped.image)) == (text, image)


def test_each_case_comes_five_times_in_a_hundred() -> None:
    n = 200_000
    u = torch.rand(n, generator=torch.Generator().manual_seed(0))
    text, image = choose(u, 0.05)
    for case in (text & ~image, text & image, ~text & image):
        assert abs(float(case.float().mean()) - 0.05) < 0.002  # four standard deviations


def test_samples_are_drawn_one_by_one() -> None:
    dropped = choose(torch.tensor([0.01, 0.07, 0.12, 0.5]), 0.05)
    assert dropped.text.tolist() == [True, True, False, False]
    assert dropped.image.tolist() == [False, True, True, False]


def test_nothing_is_dropped_at_zero() -> None:
    dropped = choose(torch.tensor([0.0, 0.5]), 0.0)
    assert not dropped.text.any()
    assert not dropped.image.any()


def test_dropped_text_is_the_null_prompt_and_dropped_image_is_zero() -> None:
    text, null = torch.randn(2, 3, 4), torch.randn(1, 3, 4)
    latents = torch.randn(2, 8, 4, 4)
    dropped = torch.tensor([True, False])
    assert torch.equal(drop_text(text, null, dropped), torch.stack([null[0], text[1]]))
    assert torch.equal(
        drop_image(latents, dropped), torch.stack([torch.zeros(8, 4, 4), latents[1]])
    )


def test_too_much_dropout_is_refused() -> None:
    with pytest.raises(ValueError, match=r"0\.4"):
        choose(torch.tensor([0.1]), 0.4)
