"""Whatever a report is written in shows every character and every token as it was typed."""

import base64
import io
import json
import random
import re
import shutil
import string
import subprocess
import zipfile
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser

import pytest

from core.report import archive, document, html, latex, markdown
from core.report.findings import finding
from core.report.notebook import Report
from core.views import exports
from tests.builders import HOSTILE, answer, with_tokens

NASTY = (
    "\\end{document} \\input{/etc/passwd} $x_1^2$ & 50 % #1 ~ {a} `` '' -- ,, ?` <b>b</b> </script>"
    " ![i](http://evil.example/x.png) [a](javascript:alert(1)) *em* _em_ `code` | - + > 1. &amp;"
    " <https://evil.example> www.evil.example ~~x~~ \\ “q” é ß 日本 שלום 🙂"
)


@pytest.fixture(scope="module")
def report(loaded, kinds) -> Report:
    """Hostile texts, a hostile title, and tokens that are as hostile."""
    tokens = with_tokens(answer(loaded), [*HOSTILE[:6], NASTY[:40]])
    texts = dict.fromkeys(("introduction", "method", "discussion", "conclusion"), NASTY)
    report = Report(NASTY, NASTY, NASTY, **texts, findings=tuple(kinds.values()))
    report = report.with_finding(finding(exports.to_json(tokens)))
    for of in report.findings:
        report = report.with_words(of.id, title=NASTY, words=f"{NASTY}\n\n- {NASTY}")
    return report


@pytest.fixture(scope="module")
def written(report) -> document.Document:
    code = {"program.py": f"print('</pre>{NASTY}')\n"}
    return document.document(report, {report.findings[0].id: code})


class Page(HTMLParser):
    """What a browser sees of a file: its elements, and its texts apart from scripts and styles."""

    def __init__(self, source: str):
        super().__init__()
        self.elements: list[tuple[str, dict]] = []
        self.scripts: list[str] = []
        self.text = ""
        self._inside = ""
        self.feed(source)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        self._inside = tag

    def handle_data(self, data):
        if self._inside == "script":
            self.scripts.append(data)
        elif self._inside != "style":
            self.text += data

    def handle_endtag(self, tag):
        self._inside = ""


def test_the_html_file_asks_nothing_of_any_host(written):
    page = Page(html.html(written))
    for tag, attributes in page.elements:
        assert tag not in ("link", "iframe", "object", "embed", "base", "form")
        for name in ("src", "href", "srcset", "action", "data"):
            assert attributes.get(name, "data:").startswith("data:"), (tag, attributes)
        assert not any(name.startswith("on") for name in attributes)
    policy = next(of["content"] for tag, of in page.elements if "http-equiv" in of)
    assert policy.startswith("default-src 'none'") and "http" not in policy
    assert sum("plotly.js v" in script for script in page.scripts) == 1


def test_the_html_file_shows_what_was_typed(written, report):
    page = Page(html.html(written))
    assert page.text.count(NASTY) >= 5 + 3 * len(report.findings)
    tags = {tag for tag, _ in page.elements}
    assert "img" not in tags and "a" in tags
    assert len(re.findall(r"Plotly\.newPlot\(", "".join(page.scripts))) >= len(report.findings)
    for _, token, *_ in (("", *row[2:3]) for of in written.findings for t in of.tables[:1]
                         for row in t.rows if len(row) == 4):  # fmt: skip
        assert token in page.text


@pytest.mark.parametrize("write", [html.html, markdown.markdown, latex.latex])
def test_the_findings_stand_under_the_results_in_their_order(kinds, write):
    named = [replace(of, title=f"finding{i}ends") for i, of in enumerate(kinds.values())]
    texts = dict.fromkeys(("introduction", "method", "discussion", "conclusion"), "Words.")
    text = write(document.document(Report(**texts, findings=tuple(named))))
    parts = re.split(r"(?:<h2>|\n## |\\section\*?{)", text)
    (at,) = (i for i, part in enumerate(parts) if part.startswith("Results"))
    results, before = parts[at], "".join(parts[:at])
    assert not re.search(r"finding\d+ends", before)
    order = dict.fromkeys(re.findall(r"finding\d+ends", results))
    assert list(order) == [of.title for of in named]


def test_on_paper_the_appendix_of_the_html_file_has_a_head_for_what_is_printed_alone(kinds):
    report = Report(findings=tuple(kinds.values()))
    programs = {report.findings[0].id: {"program.py": "print(1)\n"}}
    written = document.document(report, programs)
    heads = re.findall(r"<h3([^>]*)>", html.html(written).partition("Appendix")[2])
    assert len(heads) == len(written.findings) and heads[0] == ""
    for head, of in zip(heads, written.findings, strict=True):
        has = bool(of.code or of.repeats or (of.tables and not of.is_table))
        assert head == ("" if has else ' class="screen"')
    assert len(set(heads)) == 2


def test_figures_look_alike_whatever_made_them(written, monkeypatch, kinds):
    """Streamlit makes a template of its own the usual one."""
    from plotly import io as plotly

    monkeypatch.setattr(plotly.templates, "default", "plotly_dark")
    report = Report(findings=(replace(kinds["map"], view="assignment"),))
    made = html.html(document.document(report))
    assert '"paper_bgcolor":"rgb(17,17,17)"' not in made and '"automargin":true' in made


def test_markdown_shows_what_was_typed(written):
    reader = pytest.importorskip("markdown_it").MarkdownIt("gfm-like", {"linkify": False})
    page = Page(reader.render(markdown.markdown(written)))
    text = re.sub(r"\s+", " ", page.text)
    assert text.count(NASTY) >= 5 + 3 * len(written.findings)
    links = [of for tag, of in page.elements if tag in ("a", "img")]
    assert all(next(iter(of.values())).startswith("finding-") for of in links)
    assert not {"script", "em", "code", "del", "ul", "ol"} & {tag for tag, _ in page.elements}
    for token in ("  ", " a  b ", "|", "a\nb"):
        (cell,) = re.findall(
            r"<td>(.*?)</td>", reader.render(f"| a |\n|---|\n| {markdown.escaped(token)} |")
        )
        assert Page(cell).text.replace("\u00a0", " ") == token.replace("\n", " ")


@pytest.mark.parametrize("flavour", ["gfm-like", "commonmark"])
def test_whatever_markup_is_made_of_stands_in_markdown_as_itself(flavour):
    reader = pytest.importorskip("markdown_it").MarkdownIt(flavour, {"linkify": False})
    pieces = [*string.punctuation, "a", " ", "12", "--", "1. ", "- ", "&amp;", "![", "](", "~~a~~"]
    chosen = random.Random(0)
    for _ in range(1500):
        text = "".join(chosen.choices(pieces, k=chosen.randint(1, 7))).strip() or "x"
        read = reader.render(f"before\n\n{markdown.escaped(text)}\n\nafter")
        assert read.count("<") == 6 and unescape(read).replace("\u00a0", " ") == (
            f"<p>before</p>\n<p>{text}</p>\n<p>after</p>\n"
        )
    assert markdown.escaped('So it is, (3.5 %): "a" - b.') == 'So it is, (3.5 %): "a" - b.'


def test_latex_has_no_command_that_somebody_typed(written):
    text = latex.latex(written)
    assert text.count("\\end{document}") == 1 and "\\input" not in text
    body = text.partition("\\begin{document}")[2]
    for char in "#~^%":
        assert not re.search(rf"(?<!\\)\{char}", body.replace("~", "") if char == "~" else
                             re.sub(r"%$", "", body, flags=re.MULTILINE))  # fmt: skip
    assert latex.escaped("``--''") == (
        r"\textasciigrave{}\textasciigrave{}{-}{-}\textquotesingle{}\textquotesingle{}"
    )
    assert (
        latex.escaped("日") == "\\uni{65E5}{日}"
        and latex.escaped("\x07") == "\\uni{0007}{[U+0007]}"
    )
    assert latex.escaped(" a ", spaces=True) == "~a~"


@pytest.fixture(scope="module")
def latex_zip(written, report) -> bytes:
    return archive.zipped(written, "latex", report.to_json())


def test_a_zip_has_the_text_the_pictures_the_data_and_the_code(written, report, latex_zip):
    made = archive.zipped(written, "markdown", report.to_json())
    for content, name, format in ((made, "report.md", "png"), (latex_zip, "report.tex", "pdf")):
        files = zipfile.ZipFile(io.BytesIO(content))
        names = files.namelist()
        text = files.read(name).decode()
        for path in re.findall(rf"finding-\d+/figure-\d+\.{format}", text):
            assert path in names
        assert names.count("finding-1/program.py") == 1 and "finding-3/paths.csv" in names
        assert {"finding-1/grid.csv", "finding-1/top20.csv", "finding-1/result.json"} <= {*names}
        saved = Report.from_dict(json.loads(files.read("report.json")))
        assert replace(saved, findings=()) == replace(report, findings=())


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="there is no TeX here to compile it with")
def test_latex_compiles_with_a_plain_tex(latex_zip, tmp_path):
    zipfile.ZipFile(io.BytesIO(latex_zip)).extractall(tmp_path)
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "report.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stdout[-2000:].decode("latin-1")
    assert (tmp_path / "report.pdf").read_bytes().startswith(b"%PDF")


def test_an_empty_report_is_written_too():
    written = document.document(Report())
    assert document.NAMED in Page(html.html(written)).text
    assert markdown.markdown(written).startswith(f"# {document.NAMED}")
    assert "\\section{Method}" in latex.latex(written)


def test_a_section_that_is_empty_cannot_go_unnoticed(kinds):
    report = Report(introduction="Why?", discussion=" \n\n ", findings=(kinds["map"],))
    told = {of.name: of.paragraphs for of in document.document(report).sections}
    assert told["discussion"] == told["conclusion"] == ["[to be written]"]
    assert told["introduction"] == ["Why?"] and told["results"] == []
    written = document.document(Report(introduction="Why?"))
    assert Page(html.html(written)).text.count("[to be written]") == 3
    assert latex.latex(written).count("to be written") == 3
    assert markdown.markdown(written).count("to be written") == 3


def test_what_is_listed_stands_line_by_line_and_other_line_breaks_are_spaces():
    written = document.document(
        Report(introduction="Two\nthings:\n- one\n  more\n2. two\n \nEnd - so.")
    )
    (introduction, *_) = written.sections
    assert introduction.paragraphs == ["Two things:", "- one more", "2. two", "End - so."]
    assert r"\- one more" in markdown.markdown(written)


def test_the_tables_of_the_same_runs_are_printed_once(kinds):
    """Maps of one pair have the same plain runs; what comes next after a patch is of each alone."""
    written = document.document(Report(findings=(kinds["map"], kinds["heads"], kinds["map"])))
    titles = [[table.title.partition(":")[0] for table in of.tables] for of in written.findings]
    assert titles == [["Clean run", "Corrupted run", "Patched run"], [], []]
    says = "Its tables are those of finding 1."
    for write in (html.html, markdown.markdown, latex.latex):
        assert write(written).count(says) == 2


def test_no_program_is_printed_twice(kinds):
    """Each is in the file as data; what is printed of those after the first is what differs."""
    first = "\n".join(f"x = {n}" for n in range(30)) + "\n"
    second, other = first.replace("x = 7", "y = '</pre>'"), "print(1)\n"
    report = Report(findings=tuple(kinds[name] for name in ("map", "heads", "compare", "lens")))
    sources = dict(
        zip(
            [of.id for of in report.findings],
            [
                {"program.py": first},
                {"program.py": second},
                {"program-denoise.py": other, "program-noise.py": first.replace("x = 9", "x = 99")},
                {"program.py": second},
            ],
            strict=True,
        )
    )
    page = Page(html.html(document.document(report, sources)))
    assert page.text.count("x = 29") == 1 and "print(1)" in page.text
    assert "is that of finding 1, but for these lines" in page.text
    assert (
        "- x = 7\n+ y = '</pre>'" in page.text and "The program is that of finding 2." in page.text
    )
    assert "The program program-denoise.py:" in page.text
    assert "The program program-noise.py is that of finding 1, but for" in page.text
    links = {of.get("download"): of["href"] for tag, of in page.elements if tag == "a"}
    kept = base64.b64decode(links["finding-2-program.py"].partition("base64,")[2]).decode()
    assert kept == second
