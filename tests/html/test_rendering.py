"""A page shows words of strangers as words: escaped, and without what turns or hides them."""

from __future__ import annotations

import pytest
from jinja2 import TemplateRuntimeError
from markupsafe import Markup

from overpaint.html.rendering import columns, render
from page_check import check_page


def test_foreign_text_is_escaped_and_plain() -> None:
    text = "<b>\x1b[31mred\u202e \u2066x\ud800 sk-abcdefghijkl12345"
    page = render("<p title='{{ text }}'>{{ text }}|{{ number }}|{{ ours }}</p>", text=text,
                  number=0.5, ours=Markup("<i>ours</i>"))  # fmt: skip
    plain = "&lt;b&gt;red x\ufffd ***"
    assert page == f"<p title='{plain}'>{plain}|0.5|<i>ours</i></p>"


def test_lines_and_columns_of_a_text_stay() -> None:
    assert render("<pre>{{ text }}</pre>", text="a   b\n  c") == "<pre>a   b\n  c</pre>"


@pytest.mark.parametrize("most", [3, 4, 6])
def test_no_picture_is_left_alone_on_a_line(most: int) -> None:
    for count in range(1, 7):
        found = columns(count, most)
        assert 1 <= found <= most
        assert count == 1 or count % found != 1 or found == 1
    assert columns(0, most) == 0


PAGE = """{% extends "base.html.jinja" %}{% block title %}{{ t }}{% endblock %}
{% block eyebrow %}{{ t }}{% endblock %}{% block heading %}{{ t }}{% endblock %}
{% block sections %}<a href="#a">A</a>{% endblock %}
{% block main %}<section id="a">{{ t }}</section>{% endblock %}"""


@pytest.mark.parametrize("script", ["", "let a = 1 < 2;"])
def test_a_page_is_one_file_that_asks_for_nothing(script: str) -> None:
    page = render(PAGE, script=script, t="</title><script src=x></script> & \x1b[2J")
    check_page(page)
    assert (f"<script>{script}</script>" in page) == bool(script)
    assert page.count("&lt;/title&gt;&lt;script src=x&gt;&lt;/script&gt; &amp;") == 4


def test_a_page_without_a_block_is_a_mistake() -> None:
    with pytest.raises(TemplateRuntimeError, match="main"):
        render(PAGE.partition("{% block main")[0], t="x")
