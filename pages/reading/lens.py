"""The page "Lens": what both runs were going to say on the way, and who said it."""

import streamlit as st

from core.result import EMBEDDING
from core.study import SIDES, draft_for
from core.views.run_figures import attribution_layers, heads_map, lens_lines, lens_map
from pages.parts import frame, html, keeping, running
from pages.parts.jobs import Job


def page() -> None:
    given = frame.given()
    if given is None:
        return
    wanted, on = given
    if not running.drive(keeping.plain_job(wanted, on)):
        return
    plain = keeping.plain_runs(wanted, on)
    draft = draft_for(wanted, on.model)
    pair = draft.target, draft.foil
    rows = (EMBEDDING, *map(str, range(on.model.card.layers)))

    st.subheader("Logit lens")
    st.markdown(
        "What the model would predict if it stopped at a layer: the final LayerNorm and the"
        " unembedding, applied to the residual stream there. Each cell is the likeliest next token"
        " after that position; its colour is the probability."
    )
    ids = tuple(token.id for token in pair)
    for side in SIDES:
        st.markdown(f"**{side.title()} run**")
        job = on.keep(
            wanted.texts,
            ("lens", side, ids),
            lambda side=side: Job(
                lambda: plain.logit_lens(side, ids), plain.seconds_for(plain.lens_work)
            ),
        )
        if not running.drive(job):
            return
        lens, tokens = job.result, plain.tokens[side]
        tops = [[plain.token(id) for id in row] for row in lens.top_ids.tolist()]
        st.plotly_chart(lens_map(lens, rows, tokens, tops), key=f"lens_{side}")
        st.markdown("Target and foil at the last position, layer by layer (ranks on hover):")
        st.plotly_chart(lens_lines(lens, rows, pair), key=f"lines_{side}")

    st.subheader("Direct logit attribution")
    st.markdown(
        "The logit difference is a sum of what every part wrote into the last position’s stream."
        " The final LayerNorm’s scale is held at its value in the run, which makes the parts add"
        " up. A part that works through later parts shows there, not here: that is what patching"
        " is for."
    )
    html.show(html.signed_by(*pair))
    for column, side in zip(st.columns(2), SIDES, strict=True):
        with column:
            attribution = plain.attribution(side, *ids)
            st.markdown(f"**{side.title()} run**: {attribution.total:.4f} in all")
            st.plotly_chart(attribution_layers(attribution), key=f"layers_{side}")
            st.plotly_chart(heads_map(attribution.heads.cpu().numpy()), key=f"heads_{side}")


page()
