"""Markdown shows text as it is."""

import pytest

from thalweg.reporting.blocks import (
    Block,
    Bullets,
    Chapter,
    CommandLines,
    Facts,
    Prose,
    ReportTable,
    Row,
    StudyReport,
    words,
)
from thalweg.reporting.markdown_page import escaped, markdown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a|b *c* [d](e) <f> & ~g~", "a\\|b \\*c\\* \\[d\\](e) &lt;f&gt; &amp; \\~g\\~"),
        ("skill_at_30", "skill_at_30"),
        ("# one\n2. two", "\\# one 2. two"),
        ("2. two", "\\2. two"),
        ("see `a|b` and `", "see `a|b` and \\`"),
        ("-0.5", "-0.5"),
    ],
)
def test_text_is_escaped_but_for_code(text: str, shown: str) -> None:
    assert escaped(text) == shown


def test_blocks_become_markdown() -> None:
    table = ReportTable(heads=["a", "b"], rows=[Row(words(["x|y", "1"]), "baseline")], caption="Seen.")
    blocks: list[Block] = [
        Prose("Good."),
        Prose("Bad.", "bad"),
        Bullets(["one", "two"]),
        table,
        ReportTable(heads=["c"], rows=[]),
        CommandLines("run ``` it"),
        Facts([("seed", "7")]),
    ]
    page = markdown(
        StudyReport(title="T", subtitle="s", chapters=[Chapter("k", "C", blocks)], written="Today."),
        "pictures",
    )
    assert page == (
        "# T\n\ns\n\n## C\n\nGood.\n\n> Bad.\n\n- one\n- two\n\n| a | b |\n| :-- | --: |\n| *x\\|y* | *1* |\n\n*Seen.*"
        "\n\n````\nrun ``` it\n````\n\n- seed: 7\n\n---\n\n*Today.*\n"
    )
