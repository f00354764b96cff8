"""Sets of components, graded -> CSV and JSON, of one pair and of many: see `core.views.formats`."""

from collections.abc import Sequence
from dataclasses import asdict

from core.many.grades import ManyGrades
from core.many.summary import LEVEL, SAMPLES
from core.result import Curve, Effect, Grade
from core.views.formats import asked_of_pair, csv_of, in_words, json_of, named, numbers, what_of
from core.views.set_sentences import SHARE, many_mean, means, questions


def set_json(grade: Grade, curve: Curve | None) -> str:
    """A set of components, graded, and what sets do to which components are added one by one, if
    that is known. Of what is asked of the set the metric, and apart the `shares`; of an ablation
    `sufficient` is null; a share is null where the two runs hardly differ."""

    def by_member(found: Sequence[Effect]) -> dict:
        return {of: asdict(effect) for of, effect in zip(grade.components, found, strict=True)}

    said = in_words(grade)
    return json_of(
        asked_of_pair(grade)
        | {
            "metric": grade.experiment.metric,
            "in_words": {
                "metric": said["metric"],
                "reading": said["reading"],
                **questions(grade),
                "singles": said["patched"],
                "share": SHARE,
                "means": means(grade),
            },
            "components": list(grade.components),
            **{name: effect and effect.value for name, effect in grade.asked.items()},
            "shares": {name: effect and effect.share for name, effect in grade.asked.items()},
            "joint": asdict(grade.joint),
            "singles": by_member(grade.alone),
            "sum_of_singles": asdict(grade.sum_of_alone),
            "minimality": by_member(grade.without),
            "curve": curve and _grown(curve),
            "clean_value": grade.baseline.clean,
            "corrupted_value": grade.baseline.corrupted,
        }
    )


def _grown(curve: Curve) -> dict:
    return {
        "order": curve.order,
        "components": list(curve.components),
        "values": [effect.value for effect in curve.effects],
        "shares": [effect.share for effect in curve.effects],
        "smallest": curve.smallest(),
    }


def set_csv(grade: Grade, curve: Curve | None) -> str:
    """The same in long form, a line for each run: what it is, which component it is about (alone,
    left out or added), how many are in the set, the metric and the share."""
    n = len(grade.components)
    sets = [(name, "", n, effect) for name, effect in grade.asked.items() if effect]
    sets += [("joint", "", n, grade.joint), ("sum_of_singles", "", n, grade.sum_of_alone)]
    members = zip(grade.components, grade.alone, grade.without, strict=True)
    for name, alone, without in members:
        sets += [("single", name, 1, alone), ("left_out", name, n - 1, without)]
    if curve:
        added = enumerate(zip(("", *curve.components), curve.effects, strict=True))
        sets += [(f"curve_{curve.order}", name, k, effect) for k, (name, effect) in added]
    asked = {"components": " ".join(grade.components), "metric": grade.experiment.metric}
    asked |= what_of(grade)
    del asked["site"], asked["window"]
    lines = [("run", "component", "size", "value", "share", *asked)]
    for name, component, size, effect in sets:
        of_share = "" if effect.share is None else effect.share
        lines.append((name, component, size, effect.value, of_share, *asked.values()))
    return csv_of(lines)


def many_set_json(found: ManyGrades) -> str:
    """A set of components, graded over many pairs: means and their intervals."""
    metric = found.experiment.metric
    return json_of(
        {
            "experiment": found.experiment.without_texts(),
            "model": asdict(found.model),
            "metric": metric,
            "in_words": questions(found) | {"share": SHARE, "means": many_mean(found)},
            "components": list(found.components),
            **{name: of and of.mean for name, of in found.values.items()},
            "shares": {name: of and of.mean for name, of in found.shares.items()},
            "intervals": {name: of and [of.low, of.high] for name, of in found.values.items()},
            "share_intervals": {
                name: of and [of.low, of.high] for name, of in found.shares.items()
            },
            "clean_value": found.plain(metric, "clean"),
            "corrupted_value": found.plain(metric, "corrupted"),
            "n_given": found.given,
            "n_used": found.n,
            "dropped": [asdict(row) for row in found.dropped],
            "bootstrap": {
                **{"samples": SAMPLES, "seed": found.seed, "level": LEVEL, "draws": found.draws}
            },
        }
    )


def many_set_csv(found: ManyGrades) -> str:
    """What each pair says, a line each: the plain runs and what is asked of the set."""
    metric = "logit_diff" if found.experiment.metric == "recovery" else found.experiment.metric
    asked = {"components": " ".join(found.components), "metric": metric}
    asked |= {"direction": found.experiment.direction, "model": named(found.model.name)}
    lines = [("id", "line", "clean_run", "corrupted_run", *found.values, *asked)]
    for pair, values in zip(found.pairs, found.of_pairs.tolist(), strict=True):
        lines.append((named(pair.id), pair.line, *numbers(values), *asked.values()))
    return csv_of(lines)
