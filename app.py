"""Patchboard: activation patching in the browser. Start with `streamlit run app.py`."""

import streamlit as st

from pages.parts import (
    address,
    card,
    first_visit,
    frame,
    held,
    history,
    html,
    notebook,
    opened,
    serving,
    sheet,
    sidebar,
)

st.set_page_config(page_title="Patchboard", page_icon="🔌", layout="wide")
# What each page asks; those with inputs work on the experiment, the others do not.
WITH_INPUTS = {
    "Patch": "Which activation carries the answer?",
    "Components": "Which component?",
    "Follow it back": "What feeds it?",
    "Sets": "Which few carry it together?",
    "Lens": "What was it going to say?",
    "Compare": "How do two answers compare?",
}
PAGES = [
    st.Page("pages/patching/patch.py", title="Patch", default=True),
    st.Page("pages/patching/many.py", title="Many pairs"),
    st.Page("pages/reading/components.py", title="Components"),
    st.Page("pages/reading/follow.py", title="Follow it back"),
    st.Page("pages/reading/sets.py", title="Sets"),
    st.Page("pages/reading/lens.py", title="Lens"),
    st.Page("pages/reading/compare.py", title="Compare"),
    st.Page("pages/reporting/report.py", title="Report"),
    st.Page("pages/reporting/open.py", title="Open"),
]
LEARN = [
    st.Page("pages/learn/how_it_works.py", title="How it works"),
    st.Page("pages/learn/worksheet.py", title="Worksheet"),
    st.Page("pages/learn/training.py", title="Training"),
    st.Page("pages/learn/tokens.py", title="Tokens"),
    st.Page("pages/learn/is_it_right.py", title="Is it right?"),
]
shown = sheet.shown([*PAGES, *LEARN])
menus = {"": PAGES, "Learn": LEARN}
page = st.navigation(
    {name: [notebook.named(of) for of in pages if of in shown] for name, pages in menus.items()},
    position="top",
)
first_visit.load_again_if_lost(page.url_path)
html.dress()
serving.admit()
address.begin(page.url_path)
question = WITH_INPUTS.get(page.title)
place = sidebar.show(stays=bool(question))
if question:
    html.show(html.title(question))
    frame.ask()
card.show(place)
opened.show(page.url_path)
history.begin()
notebook.begin()
page.run()
notebook.remember()
if question:
    frame.mark()
query = address.publish()
held.count()
if query and (not question or frame.is_answered()):
    history.note(page.url_path, query)
