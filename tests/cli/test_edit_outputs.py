"""What `overpaint edit` writes: nothing of the user's is lost, no two results share a name."""

from __future__ import annotations

import io
import json
import os
import shlex
import signal
import sys
import unicodedata
from pathlib import Path

import pytest
from PIL import Image

from overpaint.cli import main
from overpaint.cli._edit_outputs import Origin, Outputs, model_without_place, plan_outputs, stem_of
from overpaint.cli.edit import _told_apart
from overpaint.errors import UserError
from tiny import build_tiny_pipeline


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return build_tiny_pipeline(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(folder, here, capfd):
    """Run the command in an empty folder; gives (exit code, stdout, stderr without notes)."""

    def edit(*words: object):
        flags = ["--model", str(folder), "--device", "cpu", "--steps", "1"]
        code = main(["edit", *map(str, words), *flags])
        out, err = capfd.readouterr()
        lines = [line for line in err.splitlines() if not line.startswith(("note: ", "editing"))]
        return code, out, "\n".join(lines)

    return edit


def picture(path: Path | str, colour: str = "red") -> Path:
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (16, 16), colour).save(path)
    return path


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.png"))


def outputs(path: Path | str, count: int = 1) -> Outputs:
    return Outputs(Path(path), count)


def written(path: Path, count: int) -> Outputs:
    """As if `edit` had written there."""
    made = outputs(path, count)
    origin = Origin("mine.png", ["make it night"], {"--seed": 0}, {"seed": 0})
    made.write([Image.new("RGB", (16, 16), (i, 0, 0)) for i in range(count)], [origin] * count)
    if made.has_sheet:
        made.write_sheet(Image.new("RGB", (32, 16)), origin)
    return made


# Which files may be replaced


@pytest.mark.parametrize(
    "way", ["same name", "other spelling", "link", "hard link", "result of it"]
)
def test_the_picture_itself_is_never_an_output(here, way):
    mine = picture("mine.png" if way != "result of it" else "out-1.png")
    out, count = "mine.png", 1
    if way == "other spelling":
        out = "../" + here.name + "/mine.png"
    elif way == "link":
        out = "other.png"
        Path(out).symlink_to(mine)
    elif way == "hard link":
        out = "other.png"
        os.link(mine, out)
    elif way == "result of it":
        out, count = "out.png", 2
    with pytest.raises(UserError, match="is a picture to be edited"):
        outputs(out, count).check([str(mine)])


def test_an_edited_picture_may_be_edited_but_not_onto_itself(here):
    written(Path("first.png"), 1)
    with pytest.raises(UserError, match="is a picture to be edited"):
        outputs("first.png").check(["first.png"])
    outputs("first.png").check(["another.png"])


def someones_png(path: Path) -> None:
    picture(path)


def someones_jpeg_with_words(path: Path) -> None:
    exif = Image.Exif()
    exif[0x010E] = "a holiday"
    Image.new("RGB", (16, 16)).save(path, format="JPEG", exif=exif)


def someones_text(path: Path) -> None:
    path.write_text("not a picture at all")


def someones_list(path: Path) -> None:
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add_text("overpaint", "[1, 2]")
    Image.new("RGB", (16, 16)).save(path, format="PNG", pnginfo=info)


@pytest.mark.parametrize(
    "make", [someones_png, someones_jpeg_with_words, someones_text, someones_list]
)
@pytest.mark.parametrize(("file", "count"), [("out.png", 1), ("out.png", 2), ("out-1.png", 2)])
def test_a_file_that_is_not_ours_is_never_replaced(here, make, file, count):
    make(Path(file))
    with pytest.raises(UserError, match=f"{file} exists and was not written by overpaint"):
        outputs("out.png", count).check([])


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tiff"])
@pytest.mark.parametrize("count", [1, 2])
def test_ours_may_be_replaced_in_every_format(here, suffix, count):
    written(Path(f"out{suffix}"), count)
    outputs(f"out{suffix}", count).check([])


def test_an_empty_file_holds_nothing_to_lose(here):
    Path("out.png").touch()
    outputs("out.png").check([])


def test_the_command_refuses_before_it_works(run, here):
    mine, other = picture("mine.png"), picture("other.png", "blue")
    before = mine.read_bytes(), other.read_bytes()
    for out, says in (("mine.png", "would be lost"), ("other.png", "was not written by overpaint")):
        code, said, err = run(mine, "make it night", "-o", out, "--model", "no-such-model")
        assert (code, said, err.count("\n")) == (1, "", 0)
        assert says in err
    assert (mine.read_bytes(), other.read_bytes()) == before


def test_a_file_that_appears_meanwhile_stays(run, here, monkeypatch):
    from overpaint import Editor

    edit = Editor.edit_in_turn

    def slow(self, *words, **settings):
        picture("out.png", "blue")
        return edit(self, *words, **settings)

    monkeypatch.setattr(Editor, "edit_in_turn", slow)
    code, _, err = run(picture("mine.png"), "make it night", "-o", "out.png")
    assert code == 1
    assert "was not written by overpaint" in err
    assert Image.open("out.png").getpixel((0, 0)) == (0, 0, 255)


def test_fewer_results_leave_no_stale_ones(here):
    written(Path("out.png"), 5)
    written(Path("out-9.png"), 1)  # of a run of its own
    picture("out-8.png")
    written(Path("out.jpg"), 3)
    for count in (3, 1):
        written(Path("out.png"), count).sweep([])
        mine = [f"out-{i}.png" for i in range(count if count > 1 else 0)]
        assert names(here) == sorted(["out.png", "out-8.png", "out-9.png", *mine])
    assert len(list(here.glob("out*.jpg"))) == 4


@pytest.mark.parametrize("count", [2, 10, 11, 25, 101])
def test_results_sort_by_name_in_their_order(count):
    results = [path.name for path in outputs("out.png", count).results]
    assert results == sorted(results)
    assert len(set(results)) == count


def test_results_of_another_count_are_cleared_whatever_their_digits(here):
    written(Path("out.png"), 12)
    assert "out-03.png" in names(here)
    written(Path("out.png"), 3).sweep([])
    assert names(here) == ["out-0.png", "out-1.png", "out-2.png", "out.png"]


def test_a_sweep_writes_its_sheet_alone_unless_asked(run, here):
    words = (picture("mine.png"), "make it night", "-o", "out.png", "--sweep")
    axes = ("--guidance-scale", "1,2", "--image-guidance-scale", "1,1.5")
    assert run(*words, *axes, "--singles")[0] == 0
    assert names(here) == ["mine.png", *(f"out-{i}.png" for i in range(4)), "out.png"]
    code, out, _ = run(*words, *axes, "--json")
    assert code == 0
    assert names(here) == ["mine.png", "out.png"]  # those of the run before would be stale
    assert [result["path"] for result in json.loads(out)["results"]] == [None] * 4
    assert run("mine.png", "make it night", "--singles")[0] == 2


# What is told in a picture of what made it


@pytest.mark.parametrize(
    "words",
    [
        ["make it night", "add a red apple", "--seed", "3", "--num", "2"],
        ["make it night", 'it\'s "dark"; $HOME', "--each", "--guidance-scale", "2.125"],
        ["-i", "--help", "--resolution", "24", "--num", "2", "--image-guidance-scale", "1.3"],
    ],
)
def test_a_picture_tells_the_command_that_makes_it_again(run, folder, here, words):
    Image.linear_gradient("L").resize((24, 24)).convert("RGB").save("mine.png")
    assert run("mine.png", *words, "-o", "out.png")[0] == 0
    with Image.open("out-1.png") as made:
        program, verb, *told = shlex.split(made.text["Description"])
        assert (program, verb) == ("overpaint", "edit")
        at = told.index("--model") + 1
        assert told[at] == folder.name  # whoever gets the picture learns no path of ours
        assert str(folder.parent) not in str(made.text)
        told[at] = str(folder)
        assert made.text["Software"].startswith("overpaint ")
        assert main([verb, "-o", "again.png", *told]) == 0
        assert Image.open("again.png").tobytes() == made.tobytes()


@pytest.mark.parametrize(
    "name", ["models/mine", "models/mine/", "./models/mine", "models/../models/mine"]
)
def test_of_a_model_s_folder_a_picture_tells_the_name_alone(name, here):
    (here / "models" / "mine").mkdir(parents=True)
    assert model_without_place(name) == model_without_place(str(here / name)) == "mine"
    assert model_without_place("someone/model") == "someone/model"
    assert model_without_place("nano") == "nano"


def test_a_scale_that_is_named_twice_is_one_of_a_sweep(run, folder, here):
    words = (
        "make it night",
        "--sweep",
        "--guidance-scale",
        "2,2,1",
        "--image-guidance-scale",
        "1,1",
    )
    code, out, _ = run(picture("mine.png"), *words, "--json", "-o", "out.png")
    assert code == 0
    scales = [(r["guidance_scale"], r["image_guidance_scale"]) for r in json.loads(out)["results"]]
    assert scales == [(2, 1), (1, 1)]


def test_a_sheet_tells_the_command_that_makes_it_again(run, folder, here):
    words = ("make it night", "--sweep", "--guidance-scale", "1,2", "--image-guidance-scale", "1")
    assert run(picture("mine.png"), *words, "-o", "out.png")[0] == 0
    with Image.open("out.png") as made:
        told = shlex.split(made.text["Description"])[1:]
        told[told.index("--model") + 1] = str(folder)
        assert main([*told, "-o", "again.png"]) == 0
        assert Image.open("again.png").tobytes() == made.tobytes()
        results = json.loads(made.text["overpaint"])["results"]
        assert [result["guidance_scale"] for result in results] == [1.0, 2.0]


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("/home/me/secret place/cat.png", "cat.png"),
        ("https://me:secret@example.com/cat.png?key=secret", "https://example.com/cat.png"),
    ],
)
def test_what_is_told_holds_no_folder_and_no_secret(source, told):
    texts = Origin(source, ["make it night"], {}, {}).metadata()
    assert shlex.split(texts["Description"])[2] == told
    assert "secret" not in str(texts)


def test_a_rerun_of_the_command_with_fewer_results(run, here):
    mine = picture("mine.png")
    assert run(mine, "make it night", "--num", 3, "-o", "out.png")[0] == 0
    assert run(mine, "make it night", "--num", 2, "-o", "out.png")[0] == 0
    assert names(here) == ["mine.png", "out-0.png", "out-1.png", "out.png"]
    assert run(mine, "make it night", "-o", "out.png")[0] == 0
    assert names(here) == ["mine.png", "out.png"]


@pytest.mark.parametrize("way", ["same name", "other spelling", "link to it"])
def test_an_earlier_result_that_is_edited_further_stays(run, here, way):
    written(Path("out.png"), 3)
    before = Path("out-2.png").read_bytes()
    mine = {"same name": "out-2.png", "other spelling": f"../{here.name}/out-2.png"}.get(
        way, "m.png"
    )
    if way == "link to it":
        Path(mine).symlink_to("out-2.png")
    assert run(mine, "make it night", "-o", "out.png")[0] == 0
    assert Path("out-2.png").read_bytes() == before
    assert {"out.png", "out-2.png"} == set(names(here)) - {"m.png"}


def test_a_link_is_written_through(run, here):
    Path("link.png").symlink_to("far/real.png")
    assert run(picture("mine.png"), "make it night", "-o", "link.png")[0] == 0
    assert Path("link.png").is_symlink()
    assert Image.open("far/real.png").size == (16, 16)


# Which words are pictures


@pytest.mark.parametrize(
    "words",
    [
        ["a.png", "b.png"],
        ["a.png", "b.png", "make it night"],
        ["a.png", "make it night", "b.png"],
        ["a.png", "-i", "b.png"],
        ["a.png", "https://example.com/b.png"],
        ["a.png", "c.png"],  # a typing error: it is not there
        ["a.png", "*.JPG"],  # a pattern that met nothing
        ["a.png"],
    ],
)
def test_a_picture_is_never_an_instruction(run, here, words):
    picture("a.png")
    picture("b.png")
    code, out, err = run(*words)
    assert (code, out) == (2, "")
    assert ("not an instruction" if len(words) > 1 else "say what to change") in " ".join(
        err.replace("│", " ").split()
    )
    assert names(here) == ["a.png", "b.png"]


def test_several_pictures_with_i(run, here):
    for name in ("x/cat.png", "y/cat.png", "dog.png"):
        picture(name)
    words = ("-i", "make it night", "-i", "remove the tree")
    code, out, _ = run("x/cat.png", "y/cat.png", "dog.png", *words, "-o", "out", "--json")
    assert code == 0
    report = json.loads(out)
    made = ["out/cat-2-edited.png", "out/cat-edited.png", "out/dog-edited.png"]
    assert sorted(entry["output"] for entry in report["pictures"]) == made
    assert [entry["image"] for entry in report["pictures"]] == [
        *("x/cat.png", "y/cat.png", "dog.png")
    ]
    assert names(here / "out") == [Path(name).name for name in made]
    for entry in report["pictures"]:
        assert entry["results"][0]["instructions"] == ["make it night", "remove the tree"]


def test_words_with_a_stop_are_instructions(run, here):
    mine = picture("a.png")
    assert run(mine, "Night.", "write 3.5 on it", "as in other.png", "-o", "b.png")[0] == 0


def test_a_note_on_one_of_several_pictures_names_it(folder, here, capfd):
    picture("plain.png")
    Image.new("RGBA", (16, 16), (255, 0, 0, 128)).save("glass.png")
    flags = ["--model", str(folder), "--steps", "1"]
    assert main(["edit", "plain.png", "glass.png", "-i", "make it night", *flags]) == 0
    notes = [line for line in capfd.readouterr().err.splitlines() if "transparen" in line]
    assert len(notes) == 1
    assert notes[0].startswith("note: glass.png: ")


def test_one_picture_with_i_is_the_same_as_without(run, here):
    mine = picture("mine.png")
    assert run(mine, "make it night", "-o", "a.png")[0] == 0
    assert run("-i", "make it night", mine, "-o", "b.png")[0] == 0
    assert Image.open("a.png").tobytes() == Image.open("b.png").tobytes()


def test_several_pictures_need_a_folder(run, here):
    words = (picture("a.png"), picture("b.png"), "-i", "make it night", "-o", "out.png")
    code, _, err = run(*words)
    assert code == 1
    assert "names one file, but there are 2 pictures" in err


def test_one_broken_picture_among_several_is_found_before_the_work(run, here):
    Path("b.png").write_text("no picture")
    code, _, err = run(picture("a.png"), "b.png", "-i", "make it night")
    assert code == 1
    assert "b.png is not a picture" in err
    assert names(here) == ["a.png", "b.png"]


def test_an_interruption_says_what_is_kept(run, here, monkeypatch):
    from overpaint import Editor

    edit, calls = Editor.edit_in_turn, []

    def interrupted(self, *words, **settings):
        calls.append(1)
        if len(calls) == 2:
            signal.raise_signal(signal.SIGINT)
        return edit(self, *words, **settings)

    monkeypatch.setattr(Editor, "edit_in_turn", interrupted)
    code, out, err = run(picture("a.png"), picture("b.png"), "-i", "make it night", "-o", "out")
    assert (code, out) == (130, "out/a-edited.png\n")
    assert err == "overpaint: interrupted: 1 of 2 pictures were edited and written."
    assert names(here / "out") == ["a-edited.png"]


# Names


@pytest.mark.parametrize(
    ("picture", "stem"),
    [
        ("photos/cat.jpeg", "cat"),
        ("what?.png", "what_"),
        ("a:b|c<d>*.png", "a_b_c_d__"),
        ("new\nline\x1b[2J.png", "new_line_[2J"),
        ("https://example.com/x/a%20cat.png?size=2#top", "a cat"),
        ("https://example.com/", "picture"),
        ("https://example.com/..%2f..%2fetc", "etc"),
        ("..", "picture"),
        (".png", "png"),
    ],
)
def test_names_are_safe_anywhere(picture, stem):
    assert stem_of(picture) == stem


@pytest.mark.parametrize(
    "pictures",
    [
        ["a/cat.png", "b/cat.png", "cat.jpg"],
        ["cat.png", "b/cat.png", "cat-2.png"],
        ["what?.png", "what*.png", "what_.png"],
        ["Cat.png", "cat.png", "CAT.png"],
        [unicodedata.normalize(form, "café.png") for form in ("NFC", "NFD")],
        ["x" * 300 + ".png", "x" * 301 + ".png"],
        ["same.png", "same.png"],
    ],
)
def test_no_two_outputs_share_a_name(here, pictures):
    planned = plan_outputs(pictures, "out", 3)
    files = [unicodedata.normalize("NFC", f.name).casefold() for o in planned for f in o.files]
    assert len(set(files)) == len(files) == 4 * len(pictures)
    for one in planned:
        written(here / one.path.name, 2)


# Words and names that a terminal cannot show


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_a_terminal_that_cannot_show_a_name(folder, here, monkeypatch, encoding):
    picture("猫é.png")
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding=encoding) for _ in range(2))
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    words = ["edit", "猫é.png", "make it night 夜", "--model", str(folder), "--steps", "1"]
    assert main(words) == 0
    assert main(["edit", "猫é.png", "猫é.png"]) == 2
    assert main(["edit", "犬.png", "make it night"]) == 1
    for stream in (out, err):
        stream.flush()
    assert b"-edited.png\n" in out.buffer.getvalue()
    assert b"overpaint: cannot read" in err.buffer.getvalue()
    assert Path("猫é-edited.png").is_file()


def test_bytes_that_are_no_text_are_one_sentence(run, here):
    words = os.fsdecode(b"turn the caf\xe9 into a bar")
    code, out, err = run(picture("a.png"), words)
    assert (code, out, err.count("\n")) == (1, "", 0)
    assert "is not valid text in UTF-8" in err


def test_an_instruction_in_utf8_is_one_in_the_c_locale(monkeypatch):
    monkeypatch.setattr(os, "fsencode", lambda text: text.encode("ascii", "surrogateescape"))
    words = ["a.png", "mach es bläulich 夜".encode().decode("ascii", "surrogateescape")]
    assert _told_apart(words, [])[1] == ["mach es bläulich 夜"]
    latin = "caf\udce9"
    assert _told_apart(["a.png", latin], [])[1] == [latin]  # which is refused further on


def test_a_name_that_is_no_text_is_a_name(run, here):
    mine = picture(os.fsdecode(b"caf\xe9.png"))
    assert run(mine, "make it night")[0] == 0
    assert os.path.exists(b"caf\xe9-edited.png")
