"""The page "Training": what the teaching model learnt when, read off its checkpoints."""

import streamlit as st

from core import catalogue, presets
from core.teaching import growth
from core.teaching.growth import Growth, since
from core.teaching.history import Checkpoint
from core.views import sentences
from pages.parts import html, tables

_PATCH = "pages/patching/patch.py"


def page() -> None:
    grown = growth.shipped()
    seeds = sorted({at.seed for at in grown.losses})
    st.header("How a circuit is born")
    st.markdown(_ABOUT)
    seed = st.segmented_control(
        "Training run", seeds, format_func=lambda s: f"Seed {s}", default=seeds[0], required=True
    )
    losses = {at.step: loss for at, loss in grown.losses.items() if at.seed == seed}
    html.show(tables.growth(grown.behaviours, Checkpoint(seed, max(losses))))
    st.subheader("What came when")
    for step, says, preset in _events(grown, seed, losses):
        with st.container(border=True):
            st.markdown(f"**Step {step:,}**")
            html.show(html.text(says))
            if preset:
                _links(preset, seed, step, list(losses))
    st.subheader("Both runs")
    html.show(html.text(_compared(grown, seeds)))
    st.subheader("Why it looks like this")
    st.markdown(_WHY)


def _events(
    grown: Growth, seed: int, losses: dict[int, float]
) -> list[tuple[int, str, presets.Preset | None]]:
    """What came after which step, in words, and the example that shows it; in order."""
    events = []
    first = next((step for step, loss in losses.items() if loss <= grown.bigram_loss), None)
    if first is not None:
        says = sentences.learnt_pairs(losses, first, grown.bigram_loss)
        events.append((first, says, None))
    for name, checkpoints in grown.behaviours.items():
        steps = {at.step: g for at, g in checkpoints.items() if at.seed == seed}
        if (first := since(steps)) is not None:
            now = steps[first]
            shares = {step: g.beats_all for step, g in steps.items()}
            says = (
                f"{sentences.learnt(name, shares, first)} It is"
                f" {sentences.came_about(now.at_last, now.head)}, which alone brings"
                f" {now.head_effect:.0%} of the effect."
            )
            example = next(preset for preset in presets.PRESETS if preset.behaviour == name)
            events.append((first, says, example))
    return sorted(events, key=lambda event: event[0])


def _links(preset: presets.Preset, seed: int, step: int, steps: list[int]) -> None:
    """To the example's map after a step, at the checkpoint before it and at the end."""
    shown = {step: "then"}
    if (place := steps.index(step)) > 0:
        shown = {steps[place - 1]: "just before"} | shown
    if steps[-1] != step:
        shown[steps[-1]] = "in the end"
    with st.container(horizontal=True):
        for at, when in shown.items():
            name = catalogue.at_checkpoint(catalogue.TEACHING.name, at, seed)
            st.page_link(
                _PATCH,
                label=f"“{preset.title}” {when}, at step {at:,}",
                icon=":material/grid_on:",
                query_params=preset.experiment(name).to_query(),
            )


def _compared(grown: Growth, seeds: list[int]) -> str:
    """In which order the behaviours came in each run, and by which head."""
    says = []
    for seed in seeds:
        came = []
        for name, checkpoints in grown.behaviours.items():
            steps = {at.step: g for at, g in checkpoints.items() if at.seed == seed}
            if (first := since(steps)) is not None:
                layer, head = steps[max(steps)].head
                came.append((first, f"{name} ({first:,}; in the end head {layer}.{head})"))
        says.append(f"Seed {seed}: {', '.join(text for _, text in sorted(came))}.")
    return " ".join(says)


_ABOUT = """
The bundled model was trained twice, from two random beginnings (seeds), and checkpoints were kept
on the way. A behaviour counts as *there* from the first checkpoint on at which half of its
held-out pairs are answered right: both texts, before every other word of the kind. *Watch it learn*
on the pages *Patch* and *Components* steps through the same checkpoints.
"""

_WHY = """
What can be read off the word before is learnt first: it takes one look. Looking something up takes
two steps, one in a lower layer that puts together what belongs together (a surname and the first
name before it), and one in an upper layer that finds it again: neither is of any use without the
other. So nothing seems to happen for a long time, and then both come at once.

**What we put in.** In training, attention that looks further back than two tokens costs something
in the lower half of the layers. Without that nothing keeps a head of the first layer from fetching
the answer to the end of the text at once, and every map is one column. So *that* the answer stays
at its word in the lower layers is our doing. Which layer and which head then fetch it, when, and
in what order the behaviours come, is not; nor does any of it say how GPT-2 does it.
"""

page()
