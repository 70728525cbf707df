"""A page on a data set: what is on it, and that no text can write it."""

from html.parser import HTMLParser

import pandas as pd

from thalweg.datasets.page import Section, page, table_html

PNG = b"\x89PNG picture"


class Elements(HTMLParser):
    """Collects the tags, the texts and the sources of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.words: list[str] = []
        self.sources: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.sources += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data: str) -> None:
        self.words += [data.strip()] if data.strip() else []


def test_a_page_holds_its_sections_in_order_and_needs_nothing_else() -> None:
    sections = [
        Section(title="Notes", notes=["some days are missing"]),
        Section(
            title="Splits", text="In time.", table=pd.DataFrame({"split": ["train"], "share": [0.123456789]})
        ),
        Section(title="Maps", pictures={"days by split": PNG}, named={"rain": PNG}),
    ]
    found = Elements(page("family/name", ["A summary.", ""], sections))
    words = found.words[found.words.index("A summary.") :]
    expected = [
        "A summary.",
        "Notes",
        "some days are missing",
        "Splits",
        "In time.",
        "split",
        "share",
        "train",
    ]
    assert words == [*expected, "0.12346", "Maps", "rain"]
    assert found.tags.count("p") == 2  # empty paragraphs are left out
    assert found.tags.count("h2") == 3 and found.tags.count("h3") == 1
    assert found.sources == ["data:image/png;base64,iVBORyBwaWN0dXJl"] * 2
    assert "script" not in found.tags and "link" not in found.tags


def test_no_text_can_write_the_page() -> None:
    evil = "<script>alert(1)</script>"
    section = Section(
        title=evil,
        text=evil,
        notes=[evil],
        table=pd.DataFrame({evil: [evil]}),
        pictures={evil: PNG},
        named={evil: PNG},
    )
    found = Elements(page(evil, [evil], [section]))
    assert "script" not in found.tags
    assert found.words.count(evil) == 9  # title twice, paragraph, section, text, note, head, cell, name


def test_an_empty_table_is_left_out() -> None:
    assert table_html(pd.DataFrame({"gap": []})) == ""
    assert "table" not in Elements(page("x", [], [Section(title="Gaps", table=pd.DataFrame())])).tags


def test_a_missing_number_is_a_dash() -> None:
    assert ">-<" in table_html(pd.DataFrame({"mean": [float("nan")]}))
