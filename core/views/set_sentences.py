"""What is asked of a set of components and what came out, in words: on pages, in pictures, files
and a terminal."""

from collections.abc import Mapping, Sequence

from core.many.answer import drawn
from core.many.grades import ManyGrades
from core.many.summary import LEVEL, SAMPLES
from core.question.metrics import METRICS
from core.result import ENOUGH, ORDERS, Answered, Curve, Grade
from core.views.words import number, summary, wording

SHARE = (
    "A share is how far a run is from the one that was patched into, 0, to the other plain run, 1."
)
TOTAL = (
    "A share counts all that follows from a component, through later ones too, which a direct"
    " effect (“Follow it back”) leaves out: so early components can lead here that do nothing"
    " directly. And a few that are enough need not be the only ones."
)
_HALF, _LITTLE, _NOTHING = 0.5, 0.1, 0.01  # shares
_NAMED = 6  # members in a sentence


def questions(of: Answered) -> dict[str, str]:
    """What is asked of a set S, each an exact run: "sufficient" ..., and what was put where."""
    bad = "from the corrupted run"
    if of.experiment.direction not in ("denoise", "noise"):
        bad = f"replaced by {of.patched_with}"
    return {
        "sufficient": "only S from the clean run, in the corrupted one: does the answer come back?",
        "necessary": f"S {bad}, in the clean run: does the answer fall?",
        "complement": f"all heads and MLPs but S {bad}, in the clean run: is anything else needed?",
    }


def means(grade: Grade) -> str:
    """What the grades of a set say, in a sentence."""
    shares = {name: effect and effect.share for name, effect in grade.asked.items()}
    both = grade.joint.share, grade.sum_of_alone.share
    says = _means(grade, grade.components, shares, *both)
    return f"{says[:1].upper()}{says[1:]}."


def spare(grade: Grade) -> str:
    """Whether every member of a set is needed: what is lost when one is left out."""
    if grade.joint.share is None or len(grade.components) < 2:
        return ""
    lost = {
        name: grade.joint.share - effect.share
        for name, effect in zip(grade.components, grade.without, strict=True)
    }
    spared = [name for name, share in lost.items() if share < _NOTHING]
    if spared:
        return (
            f"S does as much without {', '.join(spared[:_NAMED])}{', …' * (len(spared) > _NAMED)}"
            f" (one at a time: less than {_NOTHING:.0%} is lost)."
        )
    least = min(lost, key=lost.get)
    return f"Every member is needed: least is lost without {least} ({lost[least]:.0%})."


def many_mean(found: ManyGrades) -> str:
    """The same of the mean over many pairs."""
    shares = {name: share and share.mean for name, share in found.shares.items()}
    return f"On the mean over {found.n:,} pairs {_means(found, found.components, shares)}."


def caption(grade: Grade) -> str:
    """What the numbers of a set are of."""
    metric = METRICS[grade.experiment.metric]
    return (
        f"{metric.title} = {wording(grade)}. {metric.says} Together, alone and left out: S ="
        f" {summary(grade)}. {SHARE}"
    )


def many_caption(found: ManyGrades) -> str:
    """What the numbers over many pairs are of."""
    metric = METRICS[found.experiment.metric]
    how = "ratio of means" if found.experiment.metric == "recovery" else "mean"
    return (
        f"{metric.title} ({how}) = {wording(found)}. {metric.says} {found.n:,} used of"
        f" {found.given:,} given; {LEVEL:.0%} intervals of a bootstrap over pairs ({SAMPLES:,}"
        f" samples, seed {found.seed}; {drawn(found.pairs, found.draws)}). {SHARE} Of many pairs it"
        " is a ratio of means."
    )


def grown(curve: Curve) -> str:
    """How few of the components of a curve are enough."""
    how, size = ORDERS[curve.order], curve.smallest()
    shares = [effect.share for effect in curve.effects]
    if None in shares:
        return f"Added one by one, {how}: the two runs hardly differ, so that there are no shares."
    if size is None:
        best = max(range(len(shares)), key=lambda of: shares[of])
        return (
            f"Added one by one, {how}: none of {len(curve.components)} sets reaches {ENOUGH:.0%};"
            f" the most is {shares[best]:.0%}, with {_counted(best)}."
        )
    if size == 1:
        return f"Added one by one, {how}: {curve.components[0]} alone reaches {shares[1]:.0%}."
    return (
        f"Added one by one, {how}: the first {size} reach {shares[size]:.0%}, fewer stay below"
        f" {ENOUGH:.0%}."
    )


def listed(grade: Grade) -> dict[str, tuple[str, str, str]]:
    """The rows of a table of grades: of each its number, its share and what it is."""
    metric, asked = grade.experiment.metric, questions(grade)
    effects = grade.asked | {
        "together": grade.joint,
        "sum of each alone": grade.sum_of_alone,
    }
    way = f"{grade.patched_with} into the {grade.unpatched} run"
    asked |= {
        "together": f"S at once, {way}: the way that maps and curve go",
        "sum of each alone": "what that would be with no redundancy and no interplay",
    }
    return {
        name: (number(metric, effect.value), share(effect.share), asked[name])
        for name, effect in effects.items()
        if effect is not None
    }


def share(of: float | None) -> str:
    return "none" if of is None else f"{of:z.1%}"


def _means(
    of: Answered,
    components: Sequence[str],
    shares: Mapping[str, float | None],
    together: float | None = None,
    summed: float | None = None,
) -> str:
    if not components:
        return "S is empty: nothing is put in, and every run is as it was"
    if shares["necessary"] is None:
        return f"the two runs hardly differ in {wording(of)}: there is nothing to have a share of"
    many = len(components) > 1
    who = f"these {len(components)} components" if many else components[0]
    them, make, work = ("them", "they read", "they do") if many else ("it", "it reads", "it does")
    said = []
    if (back := shares["sufficient"]) is not None:
        how = _how(back, "", "most of ", "a part of ")
        verb, into = "bring" if many else "brings", "put into the corrupted run,"
        said.append(
            f"{into} {who} {verb} {how}the answer back ({back:.0%})"
            if how is not None
            else f"{into} {who} {'do' if many else 'does'} not bring the answer back ({back:.0%})"
        )
    else:
        said.append(f"of {who}")
    lost = shares["necessary"]
    how = _how(lost, "", "most of ", "a part of ")
    said.append(
        f"{how}the answer is lost without {them} ({lost:.0%})"
        if how is not None
        else f"the answer stays without {them} ({lost:.0%} is lost)"
    )
    rest = shares["complement"]
    how = _how(rest, "all of it", "most of it", "a part of it")
    said.append(
        f"and {how} takes others that make what {make} or pass on what {work} ({rest:.0%} is lost"
        " with all of those patched)"
        if how is not None
        else f"and hardly anything else is needed ({rest:.0%} is lost with all others patched)"
    )
    says = ", ".join(said).replace(f"of {who}, ", f"of {who}: ")
    if many and together is not None and summed is not None:
        why = "so that there is little interplay"
        if abs(summed - together) >= _LITTLE:
            why = "so that they overlap" if summed > together else "so that they need each other"
        says += f"; alone they come to {summed:.0%}, together to {together:.0%}, {why}"
    return says


def _how(of: float, *words: str) -> str | None:
    """The first word for what is enough, the second for half of it, the third for a part; none for
    little."""
    levels = zip((ENOUGH, _HALF, _LITTLE), words, strict=True)
    return next((word for level, word in levels if of >= level), None)


def _counted(size: int) -> str:
    return f"{size} component{'s' * (size != 1)}"
