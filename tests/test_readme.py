"""What the README shows of Python runs as it stands there."""

import textwrap
from pathlib import Path

import plotly.graph_objects as go

README = Path(__file__).parents[1] / "README.md"


def test_the_lines_of_from_python_draw_the_map_they_promise(monkeypatch, capsys):
    section = README.read_text(encoding="utf-8").split("\n## From Python\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("    ")]
    shown = []
    monkeypatch.setattr(go.Figure, "show", lambda figure: shown.append(figure))
    names = {}
    exec(textwrap.dedent("\n".join(lines)), names)
    assert names["result"].values.shape == (8, 5)
    assert [figure.data[0].type for figure in shown] == ["heatmap"]
    assert capsys.readouterr().out.endswith("100%\n")
