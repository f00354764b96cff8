"""The page "Lens": what both runs were going to say on the way, and who said it."""

from functools import partial

import streamlit as st

from core.question.experiment import SIDES, Experiment
from core.result import EMBEDDING
from core.study import PlainRuns, draft_for
from core.views import names, run_files
from core.views.run_figures import attribution_layers, heads_map, lens_lines, lens_map
from core.views.sentences import lens_says
from pages.parts import chips, frame, html, keeping, running
from pages.parts.answer import File, file_row
from pages.parts.jobs import Job
from pages.parts.keeping import Shelf


def page() -> None:
    if given := frame.given():
        with frame.answer_part("rest"):
            _answer(*given)


def _answer(wanted: Experiment, on: Shelf) -> None:
    if not running.drive(keeping.plain_job(wanted, on)):
        return
    plain = keeping.plain_runs(wanted, on)
    draft = draft_for(wanted, on.model)
    pair = draft.target, draft.foil
    ids = tuple(token.id for token in pair)
    job = on.keep(
        wanted.texts,
        ("lens", ids),
        lambda: Job(
            lambda: plain.logit_lenses(ids),
            plain.seconds_for(plain.lens_work),
            plain.logits_bytes,  # at the most: of a layer, and of a slice of the vocabulary
        ),
    )
    if running.drive(job):
        files = _lens(wanted, plain, pair, job.result), _attribution(wanted, plain, pair)
        file_row(*files, _all_of_it(wanted, plain, pair, job.result))


def _all_of_it(asked: Experiment, plain: PlainRuns, pair: tuple, lenses: dict) -> File:
    def make() -> str:
        ids = tuple(token.id for token in pair)
        return run_files.lens_json(
            asked,
            plain.model.card,
            lenses,
            _rows(plain),
            plain.tokens,
            _tops(plain, lenses),
            pair,
            {side: plain.attribution(side, *ids) for side in SIDES},
        )

    return File("JSON", f"{names.stem_of(asked, 'lens', 'attribution')}.json", make)


def _rows(plain: PlainRuns) -> tuple[str, ...]:
    return (EMBEDDING, *map(str, range(plain.model.card.layers)))


def _tops(plain: PlainRuns, lenses: dict) -> dict:
    """The likeliest token at every layer and position of each run."""
    return {
        side: [[plain.token(id) for id in row] for row in lens.top_ids.tolist()]
        for side, lens in lenses.items()
    }


def _lens(asked: Experiment, plain: PlainRuns, pair: tuple, lenses: dict) -> File:
    """The likeliest token after every layer, and how target and foil came to compete; gives the
    numbers."""
    rows, tops = _rows(plain), _tops(plain, lenses)
    says = {  # of each run, of the token that is to be its answer
        side: lens_says(
            rows,
            [row[-1] for row in tops[side]],
            pair[index],
            int(lenses[side].ranks[-1, index]),
        )
        for index, side in enumerate(SIDES)
    }
    html.show(
        html.note(
            "The likeliest next token at the last position, layer by layer: on the clean run it"
            f" {says['clean']}; on the corrupted run it {says['corrupted']}."
        )
    )
    st.markdown(
        "**Target and foil at the last position.** Blue: the clean run; orange: the corrupted run;"
        " dashed: the foil."
    )
    st.plotly_chart(lens_lines(lenses, rows, pair), key="lines")
    st.subheader("Logit lens")
    st.markdown(
        "What the model would predict if it stopped at a layer: its likeliest next token after each"
        " position. The stronger the colour, the likelier.",
        help="The final LayerNorm and the unembedding, applied to the residual stream there.",
    )
    for side, lens in lenses.items():
        st.markdown(f"**{side.title()} run**")
        figure = lens_map(lens, rows, plain.tokens[side], tops[side])
        with st.container(key=f"wide_{side}"):
            html.show(html.columns(f"wide_{side}", plain.T))
            st.plotly_chart(figure, key=f"lens_{side}")
    return File(
        "CSV: logit lens",
        f"{names.stem_of(asked, 'lens')}.csv",
        partial(run_files.lens_csv, lenses, rows, plain.tokens, tops, pair),
    )


def _attribution(asked: Experiment, plain: PlainRuns, pair: tuple) -> File:
    """Who wrote target and foil; gives the numbers."""
    st.subheader("Direct logit attribution")
    st.markdown(
        "What each part wrote into the last position’s stream: the parts add up to the logit"
        " difference. Plain bars are attention, hatched ones MLPs; the maps show single heads.",
        help="The final LayerNorm’s scale is held at its value in the run. A part that works"
        " through later parts shows there, not here: that is what patching is for.",
    )
    html.show(chips.signed_by(*pair))
    ids = tuple(token.id for token in pair)
    attributions = {side: plain.attribution(side, *ids) for side in SIDES}
    for column, (side, parts) in zip(st.columns(2), attributions.items(), strict=True):
        with column:
            st.markdown(f"**{side.title()} run**: {parts.total:.4f} in all")
            st.plotly_chart(attribution_layers(parts), key=f"layers_{side}")
            st.plotly_chart(heads_map(parts.heads.cpu().numpy()), key=f"heads_{side}")
    return File(
        "CSV: attribution",
        f"{names.stem_of(asked, 'attribution')}.csv",
        partial(run_files.attribution_csv, attributions),
    )


page()
