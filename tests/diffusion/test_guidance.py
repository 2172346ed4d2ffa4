"""Equation 3 of arXiv:2211.09800, and the branches it needs."""

from __future__ import annotations

import pytest
import torch

from overpaint.diffusion.guidance import PICTURE, TEXT, edit_asks, guide, plan_branches

BRANCHES = (frozenset(), frozenset({TEXT}), frozenset({TEXT, PICTURE}))

SCALES = [
    (7.5, 1.5),
    (3.0, 2.0),
    (7.5, 1.0),
    (1.5, 1.5),
    (1.0, 1.0),
    (0.5, 0.8),
    (1.0, 1.5),
    (0.0, 1.5),
    (0.0, 1.0),
    (0.0, 0.0),
]


def equation_3(full, image, none, s_t, s_i):
    """The equation as the paper prints it."""
    return none + s_i * (image - none) + s_t * (full - image)


@pytest.fixture
def branches():
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(4, 3, 5, 5, generator=generator) for _ in BRANCHES]


@pytest.mark.parametrize(("s_t", "s_i"), SCALES)
def test_skipping_branches_gives_the_equation(branches, s_t, s_i):
    plan = plan_branches([edit_asks(s_t, s_i)] * 4)
    asked = {rows.hide for rows in plan}
    predictions = torch.cat([p for b, p in zip(BRANCHES, branches, strict=True) if b in asked])
    torch.testing.assert_close(guide(predictions, plan), equation_3(*branches, s_t, s_i))


@pytest.mark.parametrize(
    ("s_t", "s_i", "count"),
    [(7.5, 1.5, 3), (7.5, 1.0, 2), (1.5, 1.5, 2), (1.0, 1.0, 1), (0.0, 1.5, 2), (0.0, 1.0, 1)],
)
def test_number_of_branches(s_t, s_i, count):
    assert len(plan_branches([edit_asks(s_t, s_i)])) == count
    assert sum(ask.weight for ask in edit_asks(s_t, s_i)) == pytest.approx(1.0)


def test_each_sample_of_a_batch_has_its_own_scales(branches):
    scales = [(7.5, 1.5), (1.0, 1.0), (2.0, 1.0), (0.0, 1.2)]
    plan = plan_branches([edit_asks(*one) for one in scales])
    assert len(plan.samples) == 3 + 1 + 2 + 2
    every = dict(zip(BRANCHES, branches, strict=True))
    predictions = torch.cat([every[rows.hide][rows.samples] for rows in plan])
    guided = guide(predictions, plan)
    for i, (s_t, s_i) in enumerate(scales):
        one = equation_3(*(b[i] for b in branches), s_t, s_i)
        torch.testing.assert_close(guided[i], one)


def test_a_branch_that_is_not_needed_cannot_spoil_the_result(branches):
    full, _, _ = branches
    plan = plan_branches([edit_asks(1.0, 1.0)] * 4)
    assert torch.equal(guide(full, plan), full)


def test_half_precision_is_summed_in_float32(branches):
    plan = plan_branches([edit_asks(7.5, 1.5)] * 4)
    half = [b.half() for b in branches]
    exact = equation_3(*(b.double() for b in half), 7.5, 1.5)
    guided = guide(torch.cat(half), plan)
    assert guided.dtype == torch.float16
    torch.testing.assert_close(guided.double(), exact, rtol=1e-3, atol=1e-5)


def test_a_wrong_number_of_predictions_is_an_error(branches):
    with pytest.raises(ValueError, match="4 answers for 12 rows"):
        guide(branches[0], plan_branches([edit_asks(7.5, 1.5)] * 4))
