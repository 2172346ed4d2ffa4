"""Train nano's `CLIPModel` on scenes, captions and instructions.

The contrast of images and captions is CLIP's (2103.00020, figure 3). Each example brings its
original and its edited picture with both captions, so every caption has a hard negative beside
it. A second contrast, of instructions and picture pairs, teaches the text tower the words
that only instructions use. And each tower says which object stands in which place: by contrasts
alone no places were learnt, for while one tower leaves them out, the other gains nothing by telling
them. The heads for both are thrown away afterwards.

`recipes/nano-clip-drawn.yaml` then goes on with the image tower alone, on pictures that went through
the autoencoder with some noise: drawn pictures are less clean than scenes, and are to be judged as
well. The text tower is locked (2111.07991), for the U-Nets read it.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import torch
import torch.nn.functional as F
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from pydantic import BaseModel, Field
from torch import Tensor, nn
from transformers import CLIPConfig, CLIPModel, CLIPTokenizer

from nano.pictures import UNTOLD, HardCaptions, hard_captions, sample_seeds, to_tensor
from nano.text import MAX_TOKENS, train_tokenizer
from overpaint.digests import digest
from overpaint.errors import UserError
from overpaint.files import dir_aside
from overpaint.models.fingerprints import hash_weights
from overpaint.models.loading import from_folder, load_network
from overpaint.scenes.catalogue import World, catalogue
from overpaint.scenes.examples import Example, sample_example
from overpaint.scenes.layout import PLACES, Version
from overpaint.training.checkpoints import read_newest
from overpaint.training.loop import fit
from overpaint.training.micro_step import MicroStep
from overpaint.training.settings import LoopSettings

_HELD_OUT_SEED = 7


class ClipRecipe(BaseModel, extra="forbid", frozen=True):
    """`recipes/nano-clip.yaml`; `loop.batch_size` counts examples (two pictures each)."""

    world: World = "small"
    version: Version = 1
    size: int = 64
    rendered: int | None = Field(
        None, description="side of the pictures that are halved to `size`; none: drawn at `size`"
    )
    patch: int = 16
    projection: int = 128
    text_width: int = 128
    text_layers: int = 2
    vision_width: int = 192
    vision_layers: int = 3
    extra_scenes: int = Field(
        32, ge=1, description="captioned scenes over the whole catalogue added to a batch"
    )
    hard_captions: int = Field(
        0, ge=0, description="captions of each extra scene that are wrong in one fact"
    )
    locked_text: bool = Field(False, description="train the image tower alone")
    drawn: float = Field(
        0, ge=0, le=1, description="share of the pictures that are made to look like drawn ones"
    )
    drawn_noise: float = Field(
        0.5, ge=0, description="their noise at most, in standard deviations of the latents"
    )
    loop: LoopSettings


class _Trained(nn.Module):
    """CLIP with the heads that only its training needs."""

    def __init__(self, clip: CLIPModel, recipe: ClipRecipe) -> None:
        super().__init__()
        self.clip = clip
        width = recipe.vision_width
        self.pair_head = nn.Sequential(
            nn.Linear(2 * width, 2 * width), nn.GELU(), nn.Linear(2 * width, recipe.projection)
        )
        objects = 1 + len(catalogue(recipe.world))  # the first is none
        self.shown_head = nn.Linear(width, len(PLACES) * objects)
        self.told_head = nn.Linear(recipe.text_width, len(PLACES) * objects)

    def forward(
        self, pictures: Tensor, tokens: Tensor, count: int, shown: Tensor, told: Tensor
    ) -> dict[str, Tensor]:
        """The losses. `pictures`: `count` originals, as many edited, then extra scenes; `tokens`:
        their captions in that order, the instructions that lead from each original to its edited
        picture, and captions that are wrong for all of them. `shown` and `told` are the layouts
        of the extra scenes and of their captions, right and wrong."""
        captions, edits_end = len(pictures), len(pictures) + count
        texts = self.clip.text_model(tokens).pooler_output
        seen = self.clip.vision_model(pictures).pooler_output
        pair = self.pair_head(torch.cat([seen[:count], seen[count : 2 * count]], dim=-1))
        text, image, pair = (
            F.normalize(embedding.float(), dim=-1)
            for embedding in (
                self.clip.text_projection(texts),
                self.clip.visual_projection(seen),
                pair,
            )
        )
        scale = self.clip.logit_scale.exp().clamp(max=100)
        # Nearly right captions lie nearer to each other than bfloat16 can tell apart.
        with torch.autocast(image.device.type, enabled=False):
            similar = scale * image @ text.T
            edits = scale * pair @ text[captions:edits_end].T
        about = torch.cat([texts[2 * count : captions], texts[edits_end:]])  # the extra scenes
        layout_loss = place_loss(self.shown_head(seen[2 * count :]), shown)
        layout_loss = layout_loss + place_loss(self.told_head(about), told)
        return {
            "caption_loss": contrast(similar[:, :captions], similar[:, edits_end:]),
            "edit_loss": contrast(edits),
            "layout_loss": layout_loss,
        }


def contrast(similarity: Tensor, wrong: Tensor | None = None) -> Tensor:
    """CLIP's symmetric cross-entropy; row i of the (n, n) similarities belongs to column i.

    `wrong` (n, m) are similarities of the rows to columns that belong to none (2210.01936, 4).
    """
    labels = torch.arange(len(similarity), device=similarity.device)
    all_columns = similarity if wrong is None else torch.cat([similarity, wrong], dim=1)
    return (F.cross_entropy(all_columns, labels) + F.cross_entropy(similarity.T, labels)) / 2


def place_loss(logits: Tensor, layout: Tensor) -> Tensor:
    """Mean cross-entropy of the object in each place; `logits` (n, places x objects), `layout`
    (n, places), entries of UNTOLD left out."""
    per_place = logits.float().unflatten(1, (layout.shape[1], -1))
    total = F.cross_entropy(per_place.flatten(0, 1), layout.flatten(), reduction="sum")
    return total / (layout != UNTOLD).sum().clamp(min=1)


def hits(fits: Tensor, own: Tensor) -> float:
    """The share of rows (n, m) whose largest entry is in the column `own` (n,)."""
    return (fits.argmax(-1) == own).float().mean().item()


def build_clip(recipe: ClipRecipe, tokenizer: CLIPTokenizer) -> CLIPModel:
    """The untrained model; its weights depend on the recipe's seed alone."""
    torch.manual_seed(recipe.loop.seed)
    text = {
        "vocab_size": len(tokenizer),
        "hidden_size": recipe.text_width,
        "intermediate_size": 4 * recipe.text_width,
        "num_hidden_layers": recipe.text_layers,
        "num_attention_heads": 4,
        "max_position_embeddings": MAX_TOKENS,
        "projection_dim": recipe.projection,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    vision = {
        "hidden_size": recipe.vision_width,
        "intermediate_size": 4 * recipe.vision_width,
        "num_hidden_layers": recipe.vision_layers,
        "num_attention_heads": 4,
        "image_size": recipe.size,
        "patch_size": recipe.patch,
        "projection_dim": recipe.projection,
    }
    config = CLIPConfig(text_config=text, vision_config=vision, projection_dim=recipe.projection)
    return CLIPModel(config)


def train_clip(
    recipe: ClipRecipe, out: Path, start: Path | None = None, autoencoder: Path | None = None
) -> Path:
    """Train tokenizer and CLIP; write `out/model` (CLIPModel) and `out/tokenizer`.

    Log and checkpoints go to `out/run`.

    `start` is the finished run to go on from, with its tokenizer. `autoencoder`, a run of that,
    is needed where the recipe asks for pictures that look drawn.

    Raises:
        UserError: a recipe that asks for such pictures, or for a locked text tower, came without.
    """
    if recipe.drawn and autoencoder is None:
        raise UserError("`drawn` needs an autoencoder: give --autoencoder.")
    if recipe.locked_text and start is None:
        raise UserError("`locked_text` needs a text tower that is trained: give --start-from.")
    side = recipe.rendered or recipe.size
    where = out / "tokenizer"
    if start is not None and not where.is_dir():
        with dir_aside(where) as aside:
            shutil.copytree(start / "tokenizer", aside, dirs_exist_ok=True)
    made = where if where.is_dir() else train_tokenizer(out, version=recipe.version)
    tokenizer = from_folder(CLIPTokenizer, made)
    vae = None if autoencoder is None else load_network(AutoencoderKL, autoencoder / "model")

    def encode(texts: list[str]) -> Tensor:
        tokens = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
        return tokens.input_ids

    def loss(model: nn.Module, step: MicroStep) -> dict[str, Tensor]:
        seeds = sample_seeds(step, step.size, "clip")
        batch = [
            sample_example(seed, world=recipe.world, size=side, version=recipe.version)
            for seed in seeds
        ]
        extra = sample_seeds(step, recipe.extra_scenes, "clip extra")
        more = hard_captions(extra, recipe.world, side, recipe.hard_captions, recipe.version)
        pictures, texts = _batch(batch, more)
        pictures = pictures.to(step.device)
        if vae is not None:
            pictures = look_drawn(pictures, vae.to(step.device), step.generator, recipe)
        pictures = smaller(pictures, recipe.size)
        losses: dict[str, Tensor] = model(
            pictures,
            encode(texts).to(step.device),
            len(batch),
            more.shown.to(step.device),
            more.told.to(step.device),
        )
        return {"loss": torch.stack([*losses.values()]).sum(), **losses}

    def validate(model: nn.Module, done: int) -> dict[str, float]:
        assert isinstance(model, _Trained)
        seeds = sample_seeds(MicroStep(0, 0, 1, 256, _HELD_OUT_SEED), 256, "measure")
        held_out = hard_captions(seeds, recipe.world, side, 6, recipe.version)
        device = model.clip.device
        tokens = encode(held_out.right + held_out.wrong).to(device)
        pictures = smaller(held_out.pictures.to(device), recipe.size)
        fits = model.clip(input_ids=tokens, pixel_values=pictures).logits_per_image
        own = torch.arange(len(seeds), device=device)
        return {
            "caption_retrieval_of_256": hits(fits[:, : len(seeds)], own),
            "caption_retrieval_with_nearly_right": hits(fits, own),
        }

    clip = build_clip(recipe, tokenizer)
    model = _Trained(clip, recipe)
    if start is not None:
        newest = read_newest(start / "run" / "checkpoints")
        if newest is None:
            raise UserError(f"{start} holds no checkpoint of a CLIP to go on from.")
        model.load_state_dict(newest.parts["weights"])
    if recipe.locked_text:
        for part in (clip.text_model, clip.text_projection):
            part.requires_grad_(False)
    fit(
        model,
        loss,
        recipe.loop,
        out / "run",
        validate=validate,
        describe={
            **recipe.model_dump(mode="json", exclude={"loop"}),
            "start": None if start is None else digest(start / "model"),
            "autoencoder": None if vae is None else hash_weights(vae),
        },
        name="clip",
    )
    with dir_aside(out / "model") as aside:
        clip.save_pretrained(aside, safe_serialization=True)
    return out / "model"


def smaller(pictures: Tensor, side: int) -> Tensor:
    """Pictures (n, 3, h, w) at a smaller side, each pixel the mean of those that it covers."""
    if pictures.shape[-1] == side:
        return pictures
    return F.interpolate(pictures, (side, side), mode="area")


@torch.no_grad()
def look_drawn(
    pictures: Tensor, vae: AutoencoderKL, generator: torch.Generator, recipe: ClipRecipe
) -> Tensor:
    """Pictures (n, 3, h, w) in [-1, 1], of which a share went through the autoencoder with noise
    on their latents, each with as much as is drawn for it."""
    chosen = (torch.rand(len(pictures), generator=generator) < recipe.drawn).nonzero()[:, 0]
    if not len(chosen):
        return pictures
    latents = vae.encode(pictures[chosen]).latent_dist.mode()
    level = recipe.drawn_noise * torch.rand(len(chosen), 1, 1, 1, generator=generator)
    noise = level * torch.randn(latents.shape, generator=generator) / vae.config.scaling_factor
    drawn = vae.decode(latents + noise.to(latents.device)).sample.clamp(-1, 1)
    return pictures.index_copy(0, chosen.to(pictures.device), drawn.to(pictures.dtype))


def _batch(examples: list[Example], more: HardCaptions) -> tuple[Tensor, list[str]]:
    """Pictures and texts in the order that `_Trained` takes them."""
    pictures = [e.original for e in examples] + [e.targets[0] for e in examples]
    captions = [e.original_prompt for e in examples] + [e.edited_prompt for e in examples]
    instructions = [e.edit_prompt for e in examples]
    texts = captions + more.right + instructions + more.wrong
    return torch.cat([to_tensor(pictures), more.pictures]), texts
