"""The page "How it works": the idea beside its picture, the code, the terms, the pitfalls."""

import streamlit as st

from core import catalogue
from core.checks import plain_loop
from core.presets import PRESETS
from core.question.experiment import SIDES
from core.question.metrics import METRICS
from core.result import Result
from core.views.sentences import where_it_is
from pages.parts import answer, html, keeping, running, tables
from pages.parts.keeping import Shelf

EXAMPLE = PRESETS[0].experiment(catalogue.TEACHING.name)


def page() -> None:
    on = keeping.shelf(EXAMPLE.model)
    st.header("How it works")
    idea, picture = st.columns((4, 5), gap="large")
    idea.markdown(_IDEA)
    with picture:
        result = _worked_example(on)
    if result is not None:
        _what_it_shows(result)
    st.subheader("In the code")
    st.markdown(
        "All that stores and patches, from `GPT.forward` in `mingpt/model.py`. The app shares the"
        " work between the runs and gives what these lines give, one run for each cell: *Is it"
        " right?* holds the one against the other."
    )
    st.code(plain_loop.source(), language="python")
    st.subheader("Reading the map")
    st.markdown(_READING)
    st.subheader("What each metric means")
    st.table(
        {
            "metric": [metric.title for metric in METRICS.values()],
            "formula": [
                f"`{metric.formula.format(target='target', foil='foil')}`"
                for metric in METRICS.values()
            ],
            "reading": [metric.says for metric in METRICS.values()],
        }
    )
    st.subheader("Pitfalls")
    st.markdown(_PITFALLS)
    st.subheader("The teaching model")
    st.markdown(_TEACHING.format(layers=on.model.card.layers))


def _worked_example(on: Shelf) -> Result | None:
    """The map that the idea stands beside, or nothing while it waits for a person."""
    job = keeping.study_job(EXAMPLE, on)
    if not running.drive(job):
        return None
    result = job.of.read(EXAMPLE, answer.HOVERED)
    answer.still_heatmap(result, key="worked_example")
    return result


def _what_it_shows(result: Result) -> None:
    st.subheader("What this map shows")
    html.show(tables.baselines(result))
    first = {run: result.top[run][0].token.label for run in SIDES}
    html.show(
        html.note(
            f"After “{EXAMPLE.clean}” the teaching model expects {first['clean']}, after"
            f" “{EXAMPLE.corrupted}” {first['corrupted']}. {where_it_is(result) or ''}"
        )
    )
    st.markdown(
        "This example is a fixed one; your own map is on the page *Patch*. Two of its cells could"
        " not be otherwise. Where the texts differ in one token, putting in its embedding, in the"
        " top row, *makes* the text the clean one: full effect. The last position after the last"
        " layer, at the bottom right, *is* the prediction: full effect too. What lies between is"
        " the model’s own. Only attention moves anything from one position to another."
    )


_IDEA = """
A transformer keeps a vector for every token, and each layer reads it and adds to it: the
**residual stream**. Which of these vectors holds what decides the answer? **Activation patching**
asks the model itself:

1. Run a **clean** text, and keep the output of every layer at every position.
2. Run a **corrupted** text, the same but for a word that changes the answer.
3. Run the corrupted text again with **one** of the kept vectors in place of its own. Does the
   clean answer come back? Then that vector carried it.

Each cell of the map is one such run. **Blue**: the clean answer comes back; no colour: nothing
changed.
"""

_READING = """
- **No colour**: the patch changed nothing. Cells before the first differing token are always so,
  and in the last row all but the last.
- **Blue**: the patch moved the prediction towards the run the vector came from, the bluer the
  farther. **Orange**: away from it. An ablation puts in no run: there blue is above the unpatched
  run’s value, and orange below it.
- Each row is the output of one layer. Read down: information sits where it was read, then, once
  attention has copied it, somewhere later; in the end at the last position, which predicts.
- An effect shows that the vector *carries* something that matters, not which part of the block
  computed it.
"""

_PITFALLS = """
- **Token counts.** Patching goes by position, so both texts need equally many tokens. The page
  *Tokens* finds words that can take each other’s place.
- **Leading spaces.** `Jones` and `·Jones` are different tokens. After a word, you most often want
  the one with the space.
- **Baselines too close.** If both runs answer alike there is nothing to restore: recovery divides
  by their difference and is refused when that is next to nothing.
- **Denoising is not noising.** *Denoise* asks what is *sufficient* to bring the clean answer
  back, *noise* what is *necessary* to keep it. Where a fact is held twice, breaking one copy does
  nothing, while restoring one may do everything.
- **One number is not the prediction.** A logit difference can move while both tokens stay
  unlikely: look at the probabilities and the next-token tables of the cell.
"""

_TEACHING = """
It is a GPT of our own with {layers} layers, trained on a little language of people, places and
things that we generate. It recalls surnames, tells givers from receivers, knows capitals, agrees
verbs, chooses pronouns and binds colours to objects, on combinations of words it never saw in
training. That is all it is: it knows no word outside its language, and what it does says nothing
about how GPT-2 does it. For real prose choose GPT-2.

One thing about it was asked for. In training, attention that looks further back than two tokens
cost something in its lower half. Without that the first layer fetches the answer to the last
position at once, and every map is a single column; with it what was read stays where it was read
until an upper layer fetches it, as is seen in GPT-2, which was not asked to. So that there is a
hand-over, and that it is not before the upper half, says nothing about transformers in general.
Which layer and which heads do it, and what for, was left to the model: the page *Training*
shows how that came about.
"""

page()
