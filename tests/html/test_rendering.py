"""A page shows words of strangers as words: escaped, and without what turns or hides them."""

from __future__ import annotations

from markupsafe import Markup

from overpaint.html.rendering import render


def test_foreign_text_is_escaped_and_plain() -> None:
    text = "<b>\x1b[31mred\u202e \u2066x\ud800 sk-abcdefghijkl12345"
    page = render("<p title='{{ text }}'>{{ text }}|{{ number }}|{{ ours }}</p>", text=text,
                  number=0.5, ours=Markup("<i>ours</i>"))  # fmt: skip
    plain = "&lt;b&gt;red x\ufffd ***"
    assert page == f"<p title='{plain}'>{plain}|0.5|<i>ours</i></p>"


def test_lines_and_columns_of_a_text_stay() -> None:
    assert render("<pre>{{ text }}</pre>", text="a   b\n  c") == "<pre>a   b\n  c</pre>"
