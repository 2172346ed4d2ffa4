"""The rules of the house: who imports whom, what may not be written, what must stay true.

Each rule stands for a mistake that codebases of this kind have made.
"""

from __future__ import annotations

import ast
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from importlib.metadata import entry_points
from itertools import groupby
from pathlib import Path

import pytest
import typer

from overpaint.cli import COMMANDS, build_app, main
from overpaint.errors import install_extra

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src" / "overpaint"
MODULES = sorted(SOURCE.rglob("*.py"))
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *SOURCE.rglob("*.md")])

# Every package or module of ours -> which others of ours it may import (beside itself and the
# leaves). The picture is in the design: data flows one way, and no stage sees another.
LEAVES = {
    "errors",
    "files",
    "digests",
    "sealed",
    "artifact",
    "seeds",
    "progress",
    "lazy",
    "tally",
    "text",
    "plain_yaml",
    "sampler",
}
BASE = {"diffusion", "rows", "pixels", "images", "net", "recipe", "contact_sheets", "html", "data"}
GROUND = BASE | {"shards", "metrics", "models", "scenes"}
MAY_IMPORT = {
    **{leaf: set() for leaf in LEAVES},
    "diffusion": set(),
    "rows": set(),
    "recipe": set(),
    "net": set(),
    "data": {"rows", "shards", "images"},
    "pixels": set(),
    "stills": set(),
    "contact_sheets": set(),
    "html": set(),
    "metrics": set(),
    "report": {"html", "metrics"},
    "audits": {"editing", "evaluation", "html", "images", "metrics", "models", "report", "scenes"},
    "images": {"net", "pixels", "stills"},
    "shards": BASE,
    "models": BASE,
    "scenes": {"rows", "images"},
    "engine": {"shards"},
    "instruct": GROUND | {"engine"},
    "pairs": GROUND | {"engine"},
    "families": GROUND,
    "training": GROUND | {"families"},
    "editing": GROUND | {"families"},
    "evaluation": GROUND | {"engine", "editing", "report"},
    "serving": GROUND | {"editing"},
    "runs": GROUND | {"engine", "instruct", "pairs", "training", "evaluation"},
    "machine": {"models", "editing"},
    "__init__": {"editing"},
    "__main__": {"cli"},
}
# Modules that may import more than their package. Audits stand on evaluation; its settings are
# composed with theirs, and the stage asks their registry which of them are wanted.
MAY_IMPORT_BESIDE = {
    "evaluation/settings.py": {"audits"},
    "evaluation/stage.py": {"audits"},
}
HEAVY = {
    *("accelerate", "datasets", "diffusers", "numpy", "pandas", "peft", "PIL", "pyarrow"),
    *("ray", "rich", "safetensors", "torch", "transformers", "trl", "gradio", "fastapi"),
}
# The runner of commands turns any error into a sentence, that of shards sets aside any bad row, and
# libraries raise anything on the files of a broken model.
MAY_CATCH_ALL = {"cli/__init__.py", "engine/shard.py", "models/loading.py"}
# Where foreign weights and settings are opened, and the ways past it (with the reason: the checks
# for missing weights, for code in a folder and for pickles are there alone).
LOADING = "models/loading.py"
WAYS_TO_LOAD = {
    "from_pretrained",
    "from_single_file",
    "load_lora_weights",
    "load_checkpoint_and_dispatch",
}
PICKLES = {"torch.load", "pickle.load", "pickle.loads", "joblib.load"}
LINES_A_MODULE = 400
LINES_A_FUNCTION = 60
# Functions that are longer, and class names that mean two things: these lists only grow shorter.
LONG_FUNCTIONS = {
    "cli/edit.py edit",  # its parameters are the options
    "models/single_file.py load_single_file",
}
SHARED_NAMES = {"Edit", "Report"}


def unit_of(path: Path) -> str:
    """The package or module directly under overpaint that a file belongs to."""
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


@cache
def trees() -> list[tuple[Path, ast.Module]]:
    return [(path, ast.parse(path.read_text(encoding="utf-8"), str(path))) for path in MODULES]


@cache
def nodes(tree: ast.Module) -> list[ast.AST]:
    return list(ast.walk(tree))


def imported_names(tree: ast.Module, path: Path) -> Iterator[str]:
    """Full dotted names of everything a module imports, at its top or inside functions."""
    package = ["overpaint", *path.relative_to(SOURCE).parts[:-1]]
    for node in nodes(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            start = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"{start}.{alias.name}" for alias in node.names)


def test_imports_follow_the_design() -> None:
    wrong = []
    for path, tree in trees():
        unit = unit_of(path)
        if unit == "cli":
            continue
        assert unit in MAY_IMPORT, f"{unit} is new: say in MAY_IMPORT what it may import"
        may = MAY_IMPORT[unit] | LEAVES
        may |= MAY_IMPORT_BESIDE.get(path.relative_to(SOURCE).as_posix(), set())
        for name in imported_names(tree, path):
            parts = name.split(".")
            if parts[0] != "overpaint" or len(parts) < 2 or parts[1] in ("__version__", unit):
                continue
            if parts[1] not in may:
                wrong.append(f"{path.relative_to(ROOT)} imports {name}")
    assert not wrong


def module_name(path: Path) -> str:
    """The dotted name of a file of ours; that of its package for an `__init__.py`."""
    return ".".join(["overpaint", *path.relative_to(SOURCE).with_suffix("").parts]).removesuffix(
        ".__init__"
    )


def import_graph() -> dict[str, set[str]]:
    """Module → the modules of ours that it imports, at its top, inside functions or for types."""
    names = {module_name(path) for path in MODULES}

    def imported(name: str) -> str:  # a name within a module is that module's
        return name if name in names else name.rpartition(".")[0]

    return {
        module_name(path): {imported(name) for name in imported_names(tree, path)} & names
        for path, tree in trees()
    }


def circles(graph: dict[str, set[str]]) -> set[frozenset[str]]:
    """The groups of modules that all import each other, directly or by way of others."""
    reached: dict[str, set[str]] = {}
    for start in graph:
        found: set[str] = set()
        due = [start]
        while due:
            new = graph[due.pop()] - found
            found |= new
            due += new
        reached[start] = found
    return {
        frozenset(other for other in reached[name] if name in reached[other])
        for name in graph
        if name in reached[name]
    }


def test_no_modules_import_each_other_in_a_circle() -> None:
    """Whoever reads one module of a circle has to read them all."""
    assert not circles(import_graph())


def test_circles_are_found() -> None:
    graph = {"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}, "e": {"e"}, "f": set()}
    assert circles(graph) == {frozenset("abc"), frozenset("e")}


def test_no_import_of_torchvision() -> None:
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path, tree in trees()
        for name in imported_names(tree, path)
        if name.split(".")[0] == "torchvision"
    ]
    assert not wrong


def test_only_the_runners_catch_everything() -> None:
    wrong = []
    for path, tree in trees():
        if path.relative_to(SOURCE).as_posix() in MAY_CATCH_ALL:
            continue
        for node in nodes(tree):
            if isinstance(node, ast.ExceptHandler) and _catches_all(node.type):
                wrong.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert not wrong


def _catches_all(kind: ast.expr | None) -> bool:
    if isinstance(kind, ast.Tuple):
        return any(_catches_all(item) for item in kind.elts)
    return kind is None or getattr(kind, "id", "") in ("Exception", "BaseException")


# Our own drawings, which come with the package that draws them.
MAY_DECODE = {"images.py", "scenes/rendering.py"}


def test_pictures_are_decoded_in_one_place() -> None:
    """What opens a picture or lets the `datasets` library open it is another decoder."""
    wrong = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path, tree in trees()
        if path.relative_to(SOURCE).as_posix() not in MAY_DECODE
        for node in nodes(tree)
        if isinstance(node, ast.Call)
        and ast.unparse(node.func).endswith(("Image.open", "from_parquet", "decode_example"))
    ]
    assert not wrong


def test_weights_are_loaded_strictly() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path, tree in trees()
        for node in nodes(tree)
        if isinstance(node, ast.Call) and "load" in ast.unparse(node.func)
        for keyword in node.keywords
        if keyword.arg == "strict"
        and isinstance(keyword.value, ast.Constant)
        and keyword.value.value is False
    ]
    assert not wrong


def ways_past_loading(tree: ast.Module) -> Iterator[int]:
    """The lines where a library's loader is named, called or not; our own Editor has one, too."""
    for node in nodes(tree):
        if isinstance(node, ast.Attribute):
            ours = ast.unparse(node.value) in ("Editor", "cls")
            if (node.attr in WAYS_TO_LOAD and not ours) or ast.unparse(node) in PICKLES:
                yield node.lineno
        elif isinstance(node, ast.Constant) and node.value in WAYS_TO_LOAD:  # getattr
            yield node.lineno
        elif isinstance(node, ast.keyword) and node.arg in ("trust_remote_code", "weights_only"):
            yield node.value.lineno


def test_models_are_loaded_in_one_place() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line}"
        for path, tree in trees()
        if path.relative_to(SOURCE).as_posix() != LOADING
        for line in ways_past_loading(tree)
    ]
    assert not wrong


@pytest.mark.parametrize(
    ("line", "past"),
    [
        ("CLIPModel.from_pretrained(x)", True),
        ("load = getattr(diffusers, name).from_pretrained", True),
        ("getattr(kind, 'from_pretrained')(x)", True),
        ("UNet2DConditionModel.from_single_file(x)", True),
        ("torch.load(x)", True),
        ("AutoConfig.from_config(x, trust_remote_code=True)", True),
        ("Editor.from_pretrained('nano')", False),
        ("model.load_state_dict(x)", False),
    ],
)
def test_a_way_past_the_loading_is_found(line: str, past: bool) -> None:
    assert bool(list(ways_past_loading(ast.parse(line)))) is past


def test_modules_stay_short() -> None:
    lengths = {p: len(p.read_text(encoding="utf-8").splitlines()) for p in MODULES}
    assert not {str(p.relative_to(ROOT)): n for p, n in lengths.items() if n >= LINES_A_MODULE}


def test_functions_stay_short() -> None:
    long = {
        f"{path.relative_to(SOURCE).as_posix()} {node.name}"
        for path, tree in trees()
        for node in nodes(tree)
        if isinstance(node, ast.FunctionDef) and node.end_lineno is not None
        if node.end_lineno - node.lineno >= LINES_A_FUNCTION
    }
    assert long == LONG_FUNCTIONS


def test_a_class_has_its_name_for_itself() -> None:
    """One word means one thing, wherever in the package it is read."""
    homes: dict[str, set[str]] = {}
    for path, tree in trees():
        for node in nodes(tree):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes.setdefault(node.name, set()).add(path.relative_to(SOURCE).as_posix())
    shared = {name: sorted(where) for name, where in homes.items() if len(where) > 1}
    assert shared.keys() == SHARED_NAMES, shared


def public_without_docstring(body: list[ast.stmt]) -> Iterator[tuple[int, str]]:
    """(line, name) of the functions, classes and methods that are public and say nothing."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            if ast.get_docstring(node) is None:
                yield node.lineno, node.name
            if isinstance(node, ast.ClassDef):
                yield from public_without_docstring(node.body)


def test_public_functions_have_docstrings() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line} {name}"
        for path, tree in trees()
        for line, name in public_without_docstring(tree.body)
    ]
    assert not wrong


def test_help_and_import_load_nothing_heavy() -> None:
    """Every command module is imported for the help, so none may import heavily at its top."""
    code = (
        "import sys, overpaint\n"
        "from overpaint.cli import main\n"
        "assert main(['--help']) == 0\n"
        f"heavy = {sorted(HEAVY)!r}\n"
        "print('loaded:', *[name for name in heavy if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "loaded:"


def test_how_to_install_an_extra_is_said_in_one_place() -> None:
    """With the constraints file, or pip takes versions that were never tested together."""
    said = [p.name for p in MODULES if "overpaint[" in p.read_text(encoding="utf-8")]
    assert said == ["errors.py"]
    assert install_extra("llm") == "pip install -c constraints.txt 'overpaint[llm]'"


def test_console_script_resolves() -> None:
    (script,) = entry_points(group="console_scripts", name="overpaint")
    assert script.load() is main


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_a_help_line(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--help"]) == 0
    lines = [line.strip() for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert lines[0].startswith(f"Usage: overpaint {name}")
    assert len(lines) > 1


def documented_commands() -> list[tuple[str, list[str]]]:
    """(document, words) for every `overpaint ...` in the fenced shell blocks of the documents."""
    found = []
    for path in DOCUMENTS:
        text = path.read_text(encoding="utf-8")
        for language, block in re.findall(r"^```(\w*)[^\n]*\n(.*?)^```", text, re.M | re.S):
            if language not in ("", "bash", "sh", "shell", "console"):
                continue
            for line in block.replace("\\\n", " ").splitlines():
                found += [(path.name, words) for words in _overpaint_calls(line)]
    return found


def _overpaint_calls(line: str) -> Iterator[list[str]]:
    """The words after each `overpaint` in one line of shell, up to the next operator."""
    lexer = shlex.shlex(line.removeprefix("$ "), posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    for operator, words in groupby(lexer, key=lambda word: set(word) <= set("();<>|&")):
        call = list(words)
        if not operator and call[0] == "overpaint":
            yield call[1:]


def test_a_documented_command_is_found() -> None:
    line = '$ pip install . && overpaint edit a.png "make it; night" > b.txt  # look'
    assert list(_overpaint_calls("pip list")) == []
    assert list(_overpaint_calls(line)) == [["edit", "a.png", "make it; night"]]


@cache
def program() -> typer.core.TyperGroup:
    group = typer.main.get_command(build_app())
    assert isinstance(group, typer.core.TyperGroup)
    return group


@pytest.mark.parametrize(("document", "words"), documented_commands())
def test_documented_commands_parse(document: str, words: list[str]) -> None:
    """A command in the README must be one that the program understands."""
    group = program()
    if words and words[0].startswith("-"):
        assert words[0] in ("--help", "--version", "-h")
        return
    context = group.make_context("overpaint", [words[0]])
    command: object = group
    rest = words
    while isinstance(command, typer.core.TyperGroup):
        name, command, rest = command.resolve_command(context, rest)
    command.make_context(name, list(rest), parent=context)  # type: ignore[attr-defined]


def test_every_pin_is_a_plain_version(root: Path) -> None:
    """A path or an address in the constraints would work on one machine only."""
    lines = (root / "constraints.txt").read_text().splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+==[0-9][A-Za-z0-9_.]*", pin) for pin in pins)
    assert "torch==2.13.0" in pins


def test_every_direct_dependency_is_pinned(root: Path) -> None:
    import tomllib

    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    direct = [*project["dependencies"], *extras["test"], *extras["dev"], *extras["docs"]]
    names = {re.split(r"[<>=\[;]", line)[0].lower().replace("_", "-") for line in direct}
    pins = (root / "constraints.txt").read_text().lower().replace("_", "-")
    assert not {name for name in names if not re.search(rf"^{re.escape(name)}==", pins, re.M)}
