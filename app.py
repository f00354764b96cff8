"""Patchboard: activation patching in the browser. Start with `streamlit run app.py`."""

import streamlit as st

from pages.parts import answer, experiment, first_visit, html, sidebar

st.set_page_config(page_title="Patchboard", page_icon="🔌", layout="wide")
page = st.navigation(
    [
        st.Page("pages/patching/patch.py", title="Patch", icon="🔌", default=True),
        st.Page("pages/reading/components.py", title="Components", icon="🧩"),
        st.Page("pages/reading/lens.py", title="Lens", icon="🔍"),
        st.Page("pages/reading/compare.py", title="Compare", icon="⚖️"),
        st.Page("pages/learn/how_it_works.py", title="How it works", icon="📖"),
        st.Page("pages/learn/tokens.py", title="Tokens", icon="🔤"),
        st.Page("pages/learn/is_it_right.py", title="Is it right?", icon="✅"),
    ],
    position="top",
)
first_visit.load_again_if_lost(page.url_path)
html.show(html.STYLE)
experiment.begin()
answer.forget_other_pages(page.url_path)
sidebar.show(page.url_path)
page.run()
experiment.publish()
