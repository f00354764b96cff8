"""The page "How it works": the idea on one screen, an example worked through, the pitfalls."""

import streamlit as st

from core import models
from core.presets import PRESETS
from core.question.metrics import METRICS
from pages.parts import answer, html, keeping, running

EXAMPLE = PRESETS[0].experiment(models.TEACHING.name)


def page() -> None:
    st.header("How it works")
    st.markdown(_IDEA)
    st.subheader("A worked example")
    _worked_example()
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
    st.markdown(_TEACHING)


def _worked_example() -> None:
    st.markdown(
        f"- Clean: “{EXAMPLE.clean}”\n- Corrupted: “{EXAMPLE.corrupted}”\n\n"
        "After the clean text the teaching model expects *Jones*, after the corrupted one *Smith*:"
    )
    job = keeping.study_job(EXAMPLE, keeping.shelf(EXAMPLE.model))
    if not running.drive(job):
        return
    result = job.of.read(EXAMPLE, answer.HOVERED)
    html.show(html.baselines(result))
    st.markdown(
        "Now each cell of the map is one more run of the corrupted text, in which the output of"
        " one block at one position has been replaced by that of the clean run:"
    )
    answer.still_heatmap(result, key="worked_example")
    st.markdown(
        "Top left, the embedding of *Jones* in place of *Smith* is the clean text itself: full"
        " effect. At the bottom right, the last position after the last block *is* the prediction:"
        " full effect too. In between the map shows the hand-over: down to which layer the surname"
        " has to be held where it was read, and from which layer on the last position has it."
    )


_IDEA = """
A transformer keeps, for every token, a vector that each block reads and adds to: the **residual
stream**. Which of these vectors holds the piece of information that decides the answer? Looking
at them does not tell. **Activation patching** asks the model itself:

1. Run a **clean** text, and keep the output of every block at every position (*resid_post*).
2. Run a **corrupted** text, the same but for a word that changes the answer.
3. Run the corrupted text again with **one** of the kept vectors put in place of its own. If the
   clean answer comes back, that vector carried it. Do so for every layer and position.

Patchboard shares all work between these runs and still gives exactly what one plain run for each
cell gives.
"""

_READING = """
- **No colour**: the patch changed nothing. Cells before the first differing token are always so,
  and in the last row all but the last.
- **Blue**: the patch moved the prediction towards the run the vector came from; full blue is all
  the way. **Orange**: away from it. An ablation puts in no run: there blue is above the unpatched
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
It is a GPT of our own with six layers, trained on a little language of people, places and things
that we generate. It recalls surnames, tells givers from receivers, knows capitals, agrees verbs,
chooses pronouns and binds colours to objects, on combinations of words it never saw in training.
That is all it is: it knows no word outside its language, and what it does says nothing about how
GPT-2 does it. For real prose choose GPT-2.
"""

page()
