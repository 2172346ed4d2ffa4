"""The whole evaluation: models over cases, the extra sections, and the report of all of it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from overpaint.claims import sole_owner
from overpaint.editing import Editor
from overpaint.engine import Engine, Stage
from overpaint.errors import UserError
from overpaint.evaluation import galleries
from overpaint.evaluation.bias import audit_drawn_people, audit_photos
from overpaint.evaluation.cases import WITHOUT_KIND, Case, CaseSet
from overpaint.evaluation.curve import remember, trade_off
from overpaint.evaluation.embedding import load_dino
from overpaint.evaluation.galleries import Gallery, Shot
from overpaint.evaluation.page import Pictures, ShownCase, shown_words, write_page
from overpaint.evaluation.report import (
    ModelReport,
    Report,
    make_report,
    model_report,
    write_report,
)
from overpaint.evaluation.runs import (
    CaseResult,
    CaseStage,
    ModelGaveNothingError,
    SamplingSettings,
    read_edited,
    run_cases,
)
from overpaint.evaluation.scoring import Scorer, nearest_target
from overpaint.evaluation.sections import BiasAudit, Drift
from overpaint.evaluation.settings import IMAGE_SCALES
from overpaint.evaluation.unedited import score_unedited, seen_in_training, unedited_stage
from overpaint.files import content_hash
from overpaint.models import find_model
from overpaint.models.clip import Clip, load_clip
from overpaint.pages.rendering import data_address
from overpaint.recipe import Recipe, lock

SHOWN = 6  # cases of each group on the page
Say = Callable[[str], None]


@dataclass(frozen=True)
class Extras:
    """The sections that take further edits."""

    curve: bool = False
    curve_cases: int = 104
    image_scales: tuple[float, ...] = IMAGE_SCALES
    text_scales: tuple[float, ...] = ()
    galleries: bool = False
    drift_scenes: int = 24
    picture: Image.Image | None = None
    instructions: tuple[str, ...] = ()
    bias: bool = False
    bias_folder: Path | None = None


@dataclass(frozen=True)
class Judges:
    """Which CLIP and DINO judge; None leaves their metrics out."""

    clip: str | None = None
    dino: str | None = None


def evaluate(
    models: Sequence[str],
    cases: CaseSet,
    settings: SamplingSettings,
    out: Path,
    *,
    judges: Judges,
    extras: Extras | None = None,
    device: str | None = None,
    dtype: str | None = None,
    command: str = "",
    say: Say = lambda _: None,
    engine: Engine | None = None,
) -> Report:
    """Evaluate models on cases; write `report.json`, its schema and `report.html` to `out`.

    One model is in memory at a time. Killed and started again, it does what is missing. What
    cannot be had (a judge, a broken picture, a model of NaN) is left out, said, and noted in the
    report. The cases go through `engine`; the extra sections are made in this process.

    Raises:
        UserError: there is nothing to evaluate, no model could be, or another process writes to
            `out`.
    """
    if cases.count == 0:
        raise UserError(f"there is nothing to evaluate: {cases.title} holds no cases.")
    notes = list(cases.notes)
    for sentence in notes:
        say(sentence)

    def note(sentence: str) -> None:
        notes.append(sentence)
        say(sentence)

    for name in models:
        find_model(name)  # a misspelt name must not cost an hour first
    with sole_owner(out):
        scorer = _load_judges(judges, device, note)
        found = Judges(judges.clip if scorer.clip else None, judges.dino if scorer.dino else None)
        done: list[ModelReport] = []
        pictures = Pictures()
        sections: dict[str, Any] = {"curves": {}, "drift": {}, "bias": {}}
        for name, label in zip(models, labels(models), strict=True):
            editor = Editor.from_pretrained(name, device, dtype, note=lambda _: None)
            folder = out / "work" / label
            sha256 = model_hash(name)
            record = {"model": name, "sha256": sha256, **vars(found)}
            open_stage: Callable[[], Stage] = partial(CaseStage, editor, cases, scorer, settings)
            if engine is not None and engine.kind == "ray":
                open_stage = partial(_open_stage, name, found, cases, settings, device, dtype)
            try:
                results = run_cases(open_stage, cases, settings, folder / "cases", record, engine)
            except ModelGaveNothingError as error:
                note(f"{name} was left out: {error}")
                continue
            sampling = _sampling(editor, settings)
            seen = seen_in_training(name, cases)
            done.append(model_report(label, name, sha256, sampling, results, seen))
            pictures.cases[label] = _shown_cases(cases, results, folder / "cases")
            _add_sections(editor, label, cases, scorer, settings, extras or Extras(), folder,
                          sections, pictures, note)  # fmt: skip
        if not done:
            raise UserError(f"no model could be evaluated: {notes[-1]}")
        open_unedited: Callable[[], Stage] = partial(unedited_stage, cases, scorer)
        if engine is not None and engine.kind == "ray":
            open_unedited = partial(_open_unedited, found, cases, device)
        unedited = score_unedited(open_unedited, cases, out / "unedited", vars(found), engine)
        report = make_report(
            title=cases.title,
            data=dict(cases.settings),
            models=done,
            notes=notes,
            command=command,
            versions=lock(Recipe(name="evaluate", seed=settings.seed))["versions"],
            unedited=unedited,
            **sections,
        )
        write_report(report, out)
        write_page(report, pictures, out / "report.html")
    return report


def _open_stage(
    name: str,
    judges: Judges,
    cases: CaseSet,
    settings: SamplingSettings,
    device: str | None,
    dtype: str | None,
) -> CaseStage:
    """The model and the judges of a worker in another process."""
    editor = Editor.from_pretrained(name, device, dtype, note=lambda _: None)
    return CaseStage(editor, cases, _load_judges(judges, device, lambda _: None), settings)


def _open_unedited(judges: Judges, cases: CaseSet, device: str | None) -> CaseStage:
    """The judges of a worker in another process, for the pictures as they came."""
    return unedited_stage(cases, _load_judges(judges, device, lambda _: None))


def labels(models: Sequence[str]) -> list[str]:
    """Short names, all different: the last part of a path or an id."""
    paths = [Path(name).resolve() if Path(name).exists() else Path(name) for name in models]
    short = [path.name.removesuffix(".safetensors") or "model" for path in paths]
    if len(set(short)) == len(short):
        return short
    return [f"{name}-{number}" for number, name in enumerate(short, start=1)]


def model_hash(name: str) -> str | None:
    """SHA-256 of a model's file, or of its folder less the cards; None for a hub id."""
    place = find_model(name)
    if place.kind == "hub":
        return None
    if place.kind == "file":
        return content_hash(place.where)
    folder, digest = Path(place.where), hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        hidden = any(part.startswith(".") for part in inside.parts)
        if path.is_file() and path.suffix != ".md" and not hidden:
            digest.update(f"{inside.as_posix()} {content_hash(path)}\n".encode())
    return digest.hexdigest()


def _load_judges(judges: Judges, device: str | None, note: Say) -> Scorer:
    """CLIP and DINO, or a sentence for each that cannot be had."""
    from overpaint.models import pick_device

    scorer, at = Scorer(), pick_device(device)
    if judges.clip is None:
        note("CLIP similarities were left out: no CLIP was given (--clip).")
    else:
        try:
            scorer.clip = load_clip(judges.clip, at)
        except UserError as error:
            note(f"CLIP similarities were left out: {error}")
    if judges.dino is None:
        note("DINO similarity was left out: no DINO was given (--dino facebook/dino-vits16).")
    else:
        try:
            scorer.dino = load_dino(judges.dino, at)
        except UserError as error:
            note(f"DINO similarity was left out: {error}")
    return scorer


def _add_sections(
    editor: Editor,
    label: str,
    cases: CaseSet,
    scorer: Scorer,
    settings: SamplingSettings,
    extras: Extras,
    folder: Path,
    sections: dict[str, dict[str, Any]],
    pictures: Pictures,
    note: Say,
) -> None:
    """The curve, the galleries and the audit of one model, those that are asked for."""
    if extras.curve:
        if scorer.clip is None:
            note("The trade-off curve was left out: it needs a CLIP (--clip).")
        else:
            sections["curves"][label] = trade_off(
                editor,
                _first_cases(cases, extras.curve_cases),
                scorer,
                settings,
                folder / "curve",
                image_scales=extras.image_scales,
                text_scales=extras.text_scales,
            )
    if extras.galleries:
        drift, made = _galleries(editor, cases, settings, extras, folder)
        sections["drift"][label] = drift
        pictures.galleries[label] = made
    if extras.bias:
        found = _audit(editor, scorer.clip, settings, extras, folder, note)
        if found is not None:
            sections["bias"][label], pictures.bias[label] = found


def _galleries(
    editor: Editor,
    cases: CaseSet,
    settings: SamplingSettings,
    extras: Extras,
    folder: Path,
) -> tuple[Drift, list[Gallery]]:
    picture, text = extras.picture, (extras.instructions or ("",))[0]
    split, world = cases.settings.get("split", "heldout"), cases.settings.get("world", "small")
    if picture is None:
        first = _first_cases(cases, 1)[0]
        picture, text = first.original, text or first.instruction
    text = text or galleries.CONTEXTS[0]
    contexts = extras.instructions if len(extras.instructions) > 1 else galleries.CONTEXTS
    what = {"settings": settings.model_dump(), "texts": [text, *contexts]}
    what["picture"] = data_address(picture)
    still: list[tuple[str, Callable[[], Gallery]]] = [
        ("contexts", lambda: galleries.contextual_edits(editor, picture, settings, contexts)),
        ("noise", lambda: galleries.latent_noise(editor, picture, text, settings)),
        ("scales", lambda: galleries.scale_grid(editor, picture, text, settings)),
    ]
    made = [
        Gallery.model_validate(
            remember(folder / "galleries" / f"{name}.json", what, lambda f=make: f().model_dump())  # type: ignore[misc]
        )
        for name, make in still
    ]
    drift, in_turn = galleries.sequential_edits(
        editor,
        settings,
        folder / "galleries",
        scenes=extras.drift_scenes,
        seed=settings.seed,
        split=split,
        world=world,
    )
    return drift, [*made, in_turn]


def _audit(
    editor: Editor,
    clip: Clip | None,
    settings: SamplingSettings,
    extras: Extras,
    folder: Path,
    note: Say,
) -> tuple[BiasAudit, list[Shot]] | None:
    photos = extras.bias_folder
    if photos is not None and clip is None:
        note("The bias audit was left out: on photographs it needs a CLIP (--clip).")
        return None

    def compute() -> dict[str, Any]:
        if photos is not None and clip is not None:
            audit, shots = audit_photos(editor, clip, photos, settings)
        else:
            audit, shots = audit_drawn_people(editor, settings)
        return {"audit": audit.model_dump(), "shots": [shot.model_dump() for shot in shots]}

    what = {"settings": settings.model_dump(), "folder": str(photos)}
    try:
        kept = remember(folder / "bias.json", what, compute)
    except UserError as error:
        note(f"The bias audit was left out: {error}")
        return None
    shots = [Shot.model_validate(shot) for shot in kept["shots"]]
    return BiasAudit.model_validate(kept["audit"]), shots


def _first_cases(cases: CaseSet, count: int) -> list[Case]:
    """The first so many cases that can be read."""
    found: list[Case] = []
    for index in range(cases.count):
        if len(found) == count:
            break
        try:
            found.append(cases.read(index))
        except UserError:
            continue
    return found


def _shown_cases(
    cases: CaseSet, results: Sequence[CaseResult], folder: Path
) -> dict[str, list[ShownCase]]:
    """The best, the middle and the worst cases, as pictures."""
    ranked = sorted((r for r in results if r.left_out is None), key=_rank)
    groups = {"The best": ranked[:SHOWN]}
    if len(ranked) >= 3 * SHOWN:
        middle = (len(ranked) - SHOWN) // 2
        groups["The middle"] = ranked[middle : middle + SHOWN]
    if len(ranked) >= 2 * SHOWN:
        groups["The worst"] = ranked[-SHOWN:]
    chosen = [result.index for group in groups.values() for result in group]
    edited = read_edited(folder, cases.count, chosen)
    return {
        name: [_shown(cases.read(r.index), r, edited[r.index]) for r in group]
        for name, group in groups.items()
    }


def _rank(result: CaseResult) -> tuple[float, float]:
    """Best first: right before wrong, then nearest to the target, or most in its direction."""
    scores = result.scores
    distance = scores.get("l2")
    if distance is None:
        distance = -(scores.get("clip_direction") or scores.get("clip_text") or 0.0)
    return -(scores.get("retrieval") or 0.0), distance


def _shown(case: Case, result: CaseResult, edited: Image.Image) -> ShownCase:
    target = None
    if case.targets:
        target = data_address(Image.fromarray(nearest_target(case, np.asarray(edited))))
    return ShownCase(
        instruction=case.asked,
        kind=case.kind if case.kind != WITHOUT_KIND else "",
        before=data_address(case.original),
        after=data_address(edited),
        target=target,
        words=shown_words(
            result.scores, ("retrieval", "l2", "untouched_psnr", "clip_direction", "clip_image")
        ),
    )


def _sampling(editor: Editor, settings: SamplingSettings) -> dict[str, Any]:
    """How the model sampled, its own defaults filled in."""
    own = vars(editor.model.defaults)
    given = settings.model_dump(exclude={"batch_size"})
    filled = {key: own.get(key) if value is None else value for key, value in given.items()}
    return {
        **filled,
        "resolution": settings.resolution or editor.model.native_size,
        "device": editor.model.device.type,
        "dtype": str(editor.model.dtype).removeprefix("torch."),
    }
