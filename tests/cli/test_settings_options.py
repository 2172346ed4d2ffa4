"""Options come from the settings: every key has one, says what the model says, and reaches it."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import Literal

import pytest
import typer
from pydantic import BaseModel, Field

from overpaint.cli import COMMANDS, build_app, main
from overpaint.cli._settings import given, options_of
from overpaint.errors import UserError, WrongOption
from overpaint.evaluation.published import presets
from overpaint.evaluation.settings import EvaluateSettings
from overpaint.instruct.settings import InstructSettings
from overpaint.pairs.settings import PairsSettings
from overpaint.recipe import keys_of, read_block
from overpaint.training.settings import TrainSettings


class Inner(BaseModel):
    depth: int = Field(default=2, ge=1, le=9, description="How deep.")
    mix: dict[str, float] = {}


def places() -> dict[str, str]:
    """What `Outer.place` may be."""
    return {"here": "", "there": ""}


class Outer(BaseModel):
    """One key of every type that an option can say, and of some that it cannot."""

    num_steps: int = Field(default=5, ge=1, json_schema_extra={"option": "--steps"})
    rate: float | None = Field(default=None, description="The rate. Left out, it is the model's.")
    kind: Literal["a", "b"] = "a"
    flip: bool = True
    words: tuple[str, ...] = ()
    scales: tuple[float, ...] = (0.5, 1.0)
    span: tuple[float, float] = (0.1, 0.9)
    clip: float | None = Field(default=1.5, description="Where it is cut; null cuts nothing.")
    place: str | None = Field(
        default=None, json_schema_extra={"values": "outer_settings:places"}, description="Where."
    )
    model: str | None = Field(default=None, description="Of the command, not of the settings.")
    inner: Inner = Inner()


def options(module: str, **more: object) -> tuple[typer.Typer, list[dict[str, object]]]:
    """A command with the options of `module`, and what each call of it was given."""
    app, calls = typer.Typer(add_completion=False, rich_markup_mode=None), []

    @app.command(cls=options_of(module, **more))  # type: ignore[arg-type]
    def command(context: typer.Context, model: str = "own") -> None:
        """Do it."""
        calls.append(given(context))

    return app, calls


@pytest.fixture
def outer(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setitem(sys.modules, "outer_settings", sys.modules[__name__])
    return "outer_settings:Outer"


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ("", {}),
        ("--steps 7", {"num_steps": 7}),
        ("--rate 0", {"rate": 0.0}),
        ("--kind b --no-flip", {"kind": "b", "flip": False}),
        ("--words x --words y", {"words": ["x", "y"]}),
        ("--scales 1,2.5", {"scales": [1.0, 2.5]}),
        ("--span 0.2,0.4", {"span": [0.2, 0.4]}),
        ("--span 0.2", {"span": 0.2}),
        ("--depth 3", {"inner.depth": 3}),
        ("--place there", {"place": "there"}),
        ("--model mine", {}),
    ],
)
def test_only_what_was_said_is_handed_over(outer: str, words: str, wanted: object) -> None:
    app, calls = options(outer)
    typer.main.get_command(app).main(words.split(), standalone_mode=False)
    assert [{key: _plain(value) for key, value in call.items()} for call in calls] == [wanted]


def _plain(value: object) -> object:
    return list(value) if isinstance(value, (list, tuple)) else value


@pytest.mark.parametrize(
    "words",
    [
        "--steps 0",
        "--depth 10",
        "--kind c",
        "--place up",
        "--num-steps 3",
        "--mix x",
        *(f"--scales {text}" for text in ("x", "nan", "1,inf", "1e400", ",", "1,,2", "1,")),
        *("--scales=", "--span=", "--span 0.1,nan"),
    ],
)
def test_what_the_settings_refuse_is_a_usage_error(outer: str, words: str) -> None:
    app, calls = options(outer)
    with pytest.raises(typer.BadParameter.__mro__[1]):  # type: ignore[arg-type]
        typer.main.get_command(app).main(words.split(), standalone_mode=False)
    assert calls == []


def test_a_number_may_be_listed_and_a_block_left_out(outer: str) -> None:
    app, calls = options(outer, listed=("rate",), without=("inner",))
    command = typer.main.get_command(app)
    command.main(["--rate", "1,2"], standalone_mode=False)
    assert _plain(calls[0]["rate"]) == [1.0, 2.0]
    with pytest.raises(typer.BadParameter.__mro__[1]):  # type: ignore[arg-type]
        command.main(["--depth", "3"], standalone_mode=False)


def test_the_help_says_description_default_and_bounds(
    outer: str, capsys: pytest.CaptureFixture[str]
) -> None:
    app, _ = options(outer)
    typer.main.get_command(app).main(["--help"], standalone_mode=False)
    said = " ".join(capsys.readouterr().out.split())
    assert "How deep. [default: 2] [1<=x<=9]" in said
    assert "The rate. Left out, it is the model's." in said
    assert "[default: 0.5,1]" in said
    assert "--place <here|there>" in said
    assert "null cuts nothing. [default: 1.5; null by --set clip=null]" in said


def test_options_win_over_the_recipe(tmp_path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("pairs: {keep: 2, thresholds: {clip_edited: 0.5}}\n")
    chosen = {"thresholds.clip_edited": 0.25, "candidates": 7}
    values = read_block(recipe, "pairs", PairsSettings, [], chosen)
    assert (values.keep, values.candidates, values.thresholds.clip_edited) == (2, 7, 0.25)


def helps() -> dict[str, str]:
    """The help of the program and of every command."""
    app = typer.main.get_command(build_app())
    found = {"": app.get_help(context := app.make_context("overpaint", [], resilient_parsing=True))}
    for name in COMMANDS:
        command = app.get_command(context, name)  # type: ignore[attr-defined]
        inner = command.make_context(name, [], parent=context, resilient_parsing=True)
        found[name] = command.get_help(inner)
        for sub in getattr(command, "commands", {}).values():
            under = sub.make_context(sub.name, [], parent=inner, resilient_parsing=True)
            found[f"{name} {sub.name}"] = sub.get_help(under)
    return found


def test_no_help_is_cut_and_every_sentence_is_whole() -> None:
    for name, text in helps().items():
        assert not re.search(r"\w\.\.\.$", text, re.M), f"{name} is cut:\n{text}"
        commands = text.partition("Commands:\n")[2].splitlines()
        assert all(line.endswith(".") for line in commands if line), text


def options_with_help() -> list[tuple[str, str, str]]:
    """(command, option, help) of every option and argument of every command."""
    app = typer.main.get_command(build_app())
    context = app.make_context("overpaint", [], resilient_parsing=True)
    found = []
    for name in COMMANDS:
        command = app.get_command(context, name)  # type: ignore[attr-defined]
        for one in getattr(command, "commands", {name: command}).values():
            for param in one.get_params(one.make_context(name, [], resilient_parsing=True)):
                found.append((f"{name} {one.name}", param.opts[-1], param.help or ""))
    return found


def test_every_option_has_a_whole_sentence() -> None:
    wrong = []
    for command, option, words in options_with_help():
        sentence = re.sub(r"\s*\[(default|required).*", "", words, flags=re.S)
        if not re.match(r"^[\w`].*[.)]$", sentence, re.S) or sentence[0] != sentence[0].upper():
            wrong.append(f"{command} {option}: {words}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("kind", [TrainSettings, PairsSettings, InstructSettings, EvaluateSettings])
def test_every_key_is_described(kind: type[BaseModel]) -> None:
    blocks = {"finetune", "generate", "finetune.need_reflection"}
    assert not [key for key, known in keys_of(kind) if not known.description and key not in blocks]


def test_the_help_of_the_program_needs_no_settings() -> None:
    code = (
        "import sys; from overpaint.cli import main; main(['--help'])\n"
        "print([name for name in ('pydantic', 'ruamel.yaml') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_bad_option_of_a_recipe_s_block_is_a_sentence(
    tmp_path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["train", "--pairs", str(tmp_path), "-o", str(tmp_path / "m"), "--model", "nano"]
    assert main([*words, "--steps", "3", "--warmup-steps", "3"]) == 1
    assert "warmup_steps (3) must be below steps (3)" in capsys.readouterr().err


BLOCKS = {
    "train": TrainSettings,
    "pairs": PairsSettings,
    "instruct": InstructSettings,
    "evaluate": EvaluateSettings,
}


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("number", [".nan", ".inf", "-.inf", "1e999", "[1, .nan]"])
def test_no_setting_is_a_number_that_is_not_finite(block: str, number: str) -> None:
    for key, known in keys_of(BLOCKS[block]):
        if "float" in str(known.annotation):
            with pytest.raises(UserError, match=re.escape(key)):
                read_block(None, block, BLOCKS[block], [f"{block}.{key}={number}"])


@pytest.mark.parametrize(
    "words",
    [
        "train --pairs x -o m --learning-rate inf",
        "train --pairs x -o m --guidance-scale -1",
        "train --pairs x -o m --ema-decay 1",
        "pairs --triplets x -o p --guidance-scale 1,2,3",
        "pairs --triplets x -o p --guidance-scale 5,2",
        "instruct generate --captions x -o t --top-p 0",
        "edit picture.png night --guidance-scale -3",
        "edit picture.png night --sweep --image-guidance-scale 1,-0.5",
        "pairs --triplets x -o p --controlnet-conditioning-scales=",
        "evaluate nano -o r --guidance-scale inf",
        "evaluate nano -o r --curve-image-scales 1,-1",
        "evaluate nano -o r --clip=",
        "evaluate nano -o r --pairs x --preset wrong",
    ],
)
def test_what_only_the_settings_refuse_is_a_usage_error_that_names_the_option(
    words: str, tmp_path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(words.split()) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    option = [word for word in words.split() if word.startswith("--")][-1].rstrip("=")
    assert said.startswith("Error: Invalid value")
    assert option in said
    assert "on the command line" not in said
    assert "Value error" not in said


def test_a_wrong_recipe_is_not_put_down_to_the_option_beside_it(tmp_path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("pairs:\n  keep: 0\n")
    with pytest.raises(UserError, match=r"keep \(line 2\).*; --clip-image: ") as caught:
        flags = {"thresholds.clip_image": 2.0}
        read_block(
            recipe, "pairs", PairsSettings, [], flags, {"thresholds.clip_image": "--clip-image"}
        )
    assert not isinstance(caught.value, WrongOption)


def test_the_presets_that_are_found_are_named_by_the_help() -> None:
    for name in presets():
        assert re.search(rf"--preset <[^>]*\b{name}\b", " ".join(helps()["evaluate"].split()))
