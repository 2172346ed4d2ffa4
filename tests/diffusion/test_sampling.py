"""The sampling loop: equal to a small oracle, one random stream a picture, rows that come and go."""

from __future__ import annotations

import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    HeunDiscreteScheduler,
    PNDMScheduler,
    UniPCMultistepScheduler,
)

from overpaint.diffusion.guidance import PICTURE, TEXT, edit_asks, guide, text_asks
from overpaint.diffusion.sampling import SampleRow, Steps, draw_noise, sample, seeded_generators
from overpaint.sampler import SamplerSettings
from tiny import DDIM, defaults_of

SHAPE = (4, 6, 6)
SCHEDULERS = [
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    HeunDiscreteScheduler,
    PNDMScheduler,
    UniPCMultistepScheduler,
]


class FakeModel:
    """A cheap function of everything that a network is given; remembers how often it was asked."""

    def __init__(self, kind=DDIMScheduler) -> None:
        options = {"skip_prk_steps": True} if kind is PNDMScheduler else {}
        self.scheduler = kind.from_config(DDIMScheduler(**DDIM).config, **options)
        self.rows: list[int] = []

    def asks(self, settings):
        return edit_asks(settings.guidance_scale, settings.image_guidance_scale)

    def hide(self, condition, what, rows=None):
        shown = dict(condition)
        if TEXT in what:
            shown["text"] = condition["null_text"]
        if PICTURE in what:
            shown["picture"] = torch.zeros_like(condition["picture"])
        return shown

    def combine(self, answers, plan):
        return guide(answers, plan)

    def noise(self, generators, size):
        return draw_noise(SHAPE, generators, torch.device("cpu"), torch.float32)

    def steps(self, number, size):
        scheduler = type(self.scheduler).from_config(self.scheduler.config)
        scheduler.set_timesteps(number)
        return Steps(scheduler)

    def predict(self, noisy, times, condition):
        self.rows.append(len(noisy))
        assert times.shape == (len(noisy),)
        words = condition["text"].mean(dim=(1, 2)).view(-1, 1, 1, 1)
        picture = condition["picture"]
        late = times.view(-1, 1, 1, 1) / 1000
        return torch.tanh(noisy + 0.3 * picture) + words * picture.cos() + late


@pytest.fixture
def condition():
    generator = torch.Generator().manual_seed(1)
    picture = torch.randn(3, *SHAPE, generator=generator)
    text = torch.randn(3, 5, 8, generator=generator)
    null = torch.randn(1, 5, 8, generator=generator)
    return {"picture": picture, "text": text, "null_text": null.expand(3, -1, -1)}


def some(condition, which):
    return {name: value[which] for name, value in condition.items()}


def rows_of(seeds, scales, steps):
    return [
        SampleRow(seed, defaults_of(number, *two))
        for seed, two, number in zip(seeds, scales, steps, strict=True)
    ]


SEEDS, SCALES = [5, 6, 7], [(3.0, 1.4), (1.0, 1.0), (2.0, 1.0)]


def run(model, condition, rows, before_step=None):
    return sample(model, condition, rows, (24, 24), before_step)


def test_ddim_equals_its_equations(condition):
    """DDIM (arXiv:2010.02502, eq. 12, sigma 0) for v-prediction, written out."""
    model, (s_t, s_i) = FakeModel(), (3.0, 1.4)
    one = some(condition, slice(0, 1))
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2
    alphas = torch.cumprod(1 - betas, 0)
    x = torch.randn((1, *SHAPE), generator=torch.Generator().manual_seed(7))
    for t in range(801, 0, -200):
        time = torch.tensor([t])
        full, image, none = (
            model.predict(x, time, model.hide(one, what)) for what in ((), (TEXT,), (TEXT, PICTURE))
        )
        v = none + s_i * (image - none) + s_t * (full - image)
        a, a_next = alphas[t], alphas[max(t - 200, 0)]
        x0, eps = a.sqrt() * x - (1 - a).sqrt() * v, a.sqrt() * v + (1 - a).sqrt() * x
        x = a_next.sqrt() * x0 + (1 - a_next).sqrt() * eps
    ours = run(FakeModel(), one, rows_of([7], [(s_t, s_i)], [5])).latents
    torch.testing.assert_close(ours, x)


@pytest.mark.parametrize("steps", [[5, 5, 5], [5, 3, 5], [2, 7, 4]], ids=str)
@pytest.mark.parametrize("kind", SCHEDULERS)
def test_a_picture_is_the_same_alone_and_in_a_batch(kind, steps, condition):
    """Also beside pictures of other scales, seeds and numbers of steps."""
    rows = rows_of(SEEDS, SCALES, steps)
    together = run(FakeModel(kind), condition, rows).latents
    for i in range(3):
        alone = run(FakeModel(kind), some(condition, slice(i, i + 1)), rows[i : i + 1]).latents
        assert torch.equal(together[i : i + 1], alone)


@pytest.mark.parametrize("at", [0, 1, 3])
@pytest.mark.parametrize("kind", SCHEDULERS)
def test_samples_that_are_given_up_leave_the_others_as_they_were(kind, at, condition):
    rows = rows_of(SEEDS, SCALES, [5, 5, 4])
    whole = run(FakeModel(kind), condition, rows).latents
    model = FakeModel(kind)
    found = run(model, condition, rows, lambda step, steps, x: {0, 9} if step == at else None)
    assert found.dropped == {0}
    assert torch.equal(found.latents[1:], whole[1:])
    assert not torch.equal(found.latents[0], whole[0])
    assert model.rows[: at + 1] == [6] * at + [3]


def test_given_up_altogether_the_loop_ends(condition):
    model, rows = FakeModel(), rows_of(SEEDS, SCALES, [5, 5, 4])
    found = run(model, condition, rows, lambda step, steps, x: range(3) if step == 2 else ())
    assert found.dropped == {0, 1, 2}
    assert len(model.rows) == 2


def test_a_sample_that_is_done_cannot_be_given_up(condition):
    rows = rows_of(SEEDS, SCALES, [5, 2, 5])
    found = run(FakeModel(), condition, rows, lambda step, steps, x: {1} if step == 3 else None)
    assert found.dropped == frozenset()


def test_noise_of_a_seed_is_the_same_at_any_batch_size():
    cpu = torch.device("cpu")
    eight = draw_noise(SHAPE, seeded_generators(range(8)), cpu, torch.float32)
    for seed in range(8):
        one = draw_noise(SHAPE, seeded_generators([seed]), cpu, torch.float32)
        assert torch.equal(eight[seed : seed + 1], one)


def test_only_the_needed_branches_of_unfinished_samples_are_asked(condition):
    model = FakeModel()
    run(model, condition, rows_of(SEEDS, SCALES, [5, 2, 3]))
    assert model.rows == [3 + 1 + 2] * 2 + [3 + 2] + [3] * 2


def test_the_hook_comes_before_each_model_call_and_can_stop_it(condition):
    model, calls = FakeModel(), []

    def hook(step, steps, latents):
        calls.append((step, steps, len(model.rows), tuple(latents.shape)))
        if step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(model, condition, rows_of(SEEDS, SCALES, [5, 5, 2]), before_step=hook)
    assert calls == [(i, 5, i, (3 if i < 2 else 2, *SHAPE)) for i in range(4)]


class TextModel(FakeModel):
    """The same, guided by the text alone, on packed tokens (B, L, C)."""

    def asks(self, settings):
        return text_asks(settings.guidance_scale)

    def noise(self, generators, size):
        return super().noise(generators, size).flatten(2).transpose(1, 2)

    def predict(self, noisy, times, condition):
        self.rows.append(len(noisy))
        return torch.tanh(noisy) * (1 + condition["text"].mean(dim=(1, 2)).view(-1, 1, 1))


def test_plain_guidance_is_its_equation(condition):
    """arXiv:2207.12598, eq. 6, each sample with its own scale; a scale of 1 asks no second time."""
    model, (_, *scales) = TextModel(), (None, 7.5, 1.0, 0.0)
    text = {name: condition[name] for name in ("text", "null_text")}
    rows = [
        SampleRow(i, SamplerSettings(num_inference_steps=1, guidance_scale=scale))
        for i, scale in enumerate(scales)
    ]
    got = run(model, text, rows).latents
    assert model.rows == [4]
    for i, scale in enumerate(scales):
        one, time = some(text, slice(i, i + 1)), torch.tensor([1])
        noise = model.noise(seeded_generators([i]), (24, 24))
        none = model.predict(noise, time, model.hide(one, {TEXT}))
        guided = none + scale * (model.predict(noise, time, one) - none)
        want = model.steps(1, (24, 24)).step(guided, 0, noise, [])
        torch.testing.assert_close(got[i : i + 1], want)
