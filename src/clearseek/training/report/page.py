"""report.html: one page that tells how a run goes or went, without script, whole at any moment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from clearseek import __version__
from clearseek.report.curves import Curve, curves, smooth
from clearseek.report.page import Html, definitions, element, heading, items, join, page, paragraph, section, table
from clearseek.training.recipe.schema import task_name
from clearseek.training.report.view import StageView, View

PLOTS: tuple[tuple[str, str, tuple[str, ...], bool], ...] = (
    ("Loss", "What is minimised; over stages of different kinds it cannot be compared.", ("loss",), False),
    ("Reward and its parts", "Means over all samples of a step: what counts, and what it is made of.",
     ("reward", "accuracy", "format", "second_verifier"), False),
    ("Groups that teach", "Share of groups whose rewards differ: from the others nothing is learned.",
     ("groups_that_teach",), True),
    ("Cut off", "Share of samples that reached the limit of tokens.", ("truncated",), True),
    ("Length", "Mean tokens of a sample.", ("length",), False),
    ("Entropy", "Mean entropy of the next token in nats: near 0, nothing new is tried any more.", ("entropy",), False),
    ("Mismatch", "Mean distance of log-probabilities between rollout and training forward.", ("mismatch",), False),
    ("Gradient norm", "Before clipping.", ("grad_norm",), False),
)  # fmt: skip
TRANSCRIPTS = 3
"""Shown of each kind."""
MOST = 1200
"""Characters of one that are shown."""
_NAMES = {"second_verifier": "second verifier", "groups_that_teach": "teach", "grad_norm": "norm"}


def report_page(view: View, samples: Sequence[Mapping[str, Any]] = (), *, ended: str = "") -> str:
    """The whole page as text. `samples` are lines of samples.jsonl, of which some are shown. `ended`: "completed",
    "budget", "failed", or nothing while it is under way."""
    states = {"completed": "finished", "budget": "ended by its budget", "failed": "stopped by an error"}
    spent = view.spent_words(left=not ended)
    body = join(
        paragraph(f"{view.recipe.base or 'A model from nothing'}; {states.get(ended, 'under way')}. {spent}."),
        section("What it says of itself", items(view.conclusions.sentences)) if view.conclusions.sentences else None,
        _summary(view, under_way=not ended),
        _dev(view),
        _tests(view),
        _transcripts(samples),
        section("Course", *(_plot(view, *plot) for plot in PLOTS)),
        _speed(view),
        _warnings(view),
        paragraph(element("small", f"Written by ClearSeek {__version__} from metrics.jsonl of this run.")),
    )
    return page(f"Run {view.recipe.name}", body)


def _summary(view: View, *, under_way: bool) -> Html:
    facts: list[tuple[object, object]] = [
        ("Steps", f"{view.done} of {view.planned()}"),
        ("Time", f"{view.seconds / 60:.1f} min" + _of(view.limits.seconds)),
        ("Money", f"${view.usd:.4f} (price x hours)" if view.usd is not None else "unknown: no price declared"),
        ("Tasks", view.recipe.suite or ", ".join(map(task_name, view.recipe.tasks))),
        ("Seed", str(view.recipe.seed)),
        ("Learns", f"{view.recipe.learner.method}"
         + (f", rank {view.recipe.learner.rank}" if view.recipe.learner.method == "lora" else "")),
    ]  # fmt: skip
    if under_way and view.seconds_left is not None:
        facts.append(("This stage ends in", f"{view.seconds_left / 60:.0f} min, at the pace of its last steps"))
    if under_way and view.run_seconds_left is not None:
        facts.append(("The run ends in", f"about {view.run_seconds_left / 60:.0f} min"))
    rows = [
        (stage.name, stage.kind, f"{len(stage.rows)} of {stage.steps or '?'}", _last(stage, "loss"),
         _last(stage, "accuracy"), f"{sum(row['time']['seconds'] for row in stage.rows) / 60:.1f}")
        for stage in view.stages
    ]  # fmt: skip
    return join(
        definitions(facts),
        table(("stage", "kind", "steps", "loss", "accuracy", "min"), rows, caption="Stages", numeric=(3, 4, 5)),
    )


def _of(seconds: float | None) -> str:
    return "" if seconds is None else f" of {seconds / 60:.0f}"


def _last(stage: StageView, name: str) -> str:
    value = stage.last(name)
    return "" if value is None else f"{value:.3f}"


def _dev(view: View) -> Html | None:
    result = view.dev()
    if not result:
        return None
    rows = [row for row in view.evaluations if row["split"] == "dev"]
    names = sorted({name for row in rows for name in row["tasks"]})
    chart = curves(
        "Accuracy on dev",
        "Mean over the tasks, greedy, the same problems each time; the band is a 95% interval.",
        [Curve("dev", [(x, y) for x, y, _, _ in result], [(x, low, high) for x, _, low, high in result], dots=True)],
        y_range=(0.0, 1.0),
        x_range=_steps(view),
        marks=_stage_marks(view),
    )
    last, first = rows[-1]["tasks"], rows[0]["tasks"]
    lines = [(name, _interval(first.get(name)), _interval(last.get(name))) for name in names]
    data = table(("task", "first", "last"), lines, caption="Accuracy on dev by task, 95% intervals", numeric=(1, 2))
    return section("On the way", _chart("Accuracy on dev", chart), data)


def _tests(view: View) -> Html | None:
    rows = [row for row in view.evaluations if row["split"] == "test"]
    if not rows:
        return None
    names = list(dict.fromkeys(name for row in rows for name in row["tasks"]))
    columns = ["task", *(row["name"].removeprefix("test-") for row in rows)]
    lines: list[Sequence[object]] = [(name, *(_interval(row["tasks"].get(name)) for row in rows)) for name in names]
    for kind in ("trained", "unseen", "other"):
        if any(kind in row.get("means", {}) for row in rows):
            lines.append((f"mean, {kind}", *(_interval(row["means"].get(kind)) for row in rows)))
    forms = [("well formed", *(f"{row['well_formed']:.2f}" for row in rows)),
             ("cut off", *(f"{row['truncated']:.2f}" for row in rows))]  # fmt: skip
    return section(
        "On test",
        paragraph("Problems that were never trained on, greedy, in torch; the model as served is evaluated apart."),
        table(columns, [*lines, *forms], caption="Accuracy with 95% intervals", numeric=range(1, len(columns))),
    )


def _interval(value: Any) -> str:
    return "" if not value else f"{value['value']:.2f} ({value['low']:.2f}-{value['high']:.2f})"


def _transcripts(samples: Sequence[Mapping[str, Any]]) -> Html | None:
    """What the model wrote last, some of it right and some wrong where there are both."""
    written = [sample for sample in samples if sample.get("kind") == "sample"]
    right = [one for one in written if one.get("accuracy", 0.0) >= 1.0][-TRANSCRIPTS:]
    wrong = [one for one in written if one.get("accuracy", 0.0) < 1.0][-TRANSCRIPTS:]
    other = [sample for sample in samples if sample.get("kind") != "sample"][-TRANSCRIPTS:]
    chosen = [*right, *wrong] or other
    if not chosen:
        return None
    shown = []
    for one in chosen:
        text = one.get("text") or "\n".join(str(one[key]) for key in ("thinking", "answer") if one.get(key))
        message = f"Step {int(one.get('done', 0))}, {one.get('stage') or one.get('source') or one.get('kind')}"
        if one.get("kind") == "sample":
            message += f": reward {float(one.get('reward', 0.0)):.2f}, the reference is {one.get('reference')}. "
            message += str(one.get("why", ""))
        shown.append(
            join(paragraph(message), element("pre", _cut(str(one.get("prompt", "")))), element("pre", _cut(text)))
        )
    kind = "What it wrote last" if written else "What it learns from"
    return section(kind, paragraph("A few of the lines of samples.jsonl: the question, and what was written."), *shown)


def _cut(text: str) -> str:
    return text if len(text) <= MOST else f"{text[:MOST]} [...]"


def _plot(view: View, title: str, description: str, names: Sequence[str], share: bool) -> Html | None:
    drawn = []
    for name in names:
        points = [point for stage in view.stages for point in stage.curve(name)]
        if points:
            window = max(1, len(points) // 50)
            drawn.append(Curve(_NAMES.get(name, name), smooth(points, window)))
    y_range = (0.0, 1.0) if share else None
    chart = curves(title, description, drawn, marks=_stage_marks(view), y_range=y_range, x_range=_steps(view))
    return join(heading(title, 3), paragraph(description), _chart(title, chart)) if chart else None


def _chart(title: str, chart: Html) -> Html:
    """A chart as wide as it is drawn: on a narrow screen it scrolls in a box of its own, and its words stay legible."""
    return element("div", chart, class_="scroll", tabindex="0", role="region", aria_label=title)


def _steps(view: View) -> tuple[float, float]:
    """The x axis of every chart of the page, so that they can be read one below the other."""
    return 0.0, max([1.0, *(float(row["done"]) for stage in view.stages for row in stage.rows)])


def _stage_marks(view: View) -> list[tuple[float, str]]:
    return [(stage.rows[0]["done"] - 1, stage.name) for stage in view.stages if stage.rows]


def _speed(view: View) -> Html | None:
    drawn = []
    for words, tokens, clock in (
        ("rollout", "tokens_generated", "seconds_rollout"),
        ("update", "tokens_trained", "seconds_update"),
    ):
        points = [
            (row["done"], row["numbers"][tokens] / row["time"][clock])
            for stage in view.stages
            for row in stage.rows
            if row["numbers"].get(tokens) and row["time"].get(clock)
        ]
        if points:
            drawn.append(Curve(words, smooth(points, max(1, len(points) // 50))))
    if not drawn:
        return None
    words = "By phase: generated, and learned from."
    chart = curves("Tokens a second", words, drawn, marks=_stage_marks(view), x_range=_steps(view))
    rows = []
    for stage in view.stages:
        total = sum(row["time"]["seconds"] for row in stage.rows)
        for phase in ("rollout", "verify", "update"):
            spent = sum(row["time"].get(f"seconds_{phase}", 0.0) for row in stage.rows)
            if spent:
                rows.append((stage.name, phase, f"{spent / 60:.1f}", f"{spent / total:.0%}"))
    spent_table = table(("stage", "phase", "min", "share"), rows, caption="Where the time went", numeric=(2, 3))
    return section("Speed", _chart("Tokens a second", chart), _peak(view), spent_table)


def _peak(view: View) -> Html | None:
    """Share of a bare matrix product's speed, by phase."""
    if not view.peak_gflops:
        return None
    drawn = []
    for phase in ("rollout", "update"):
        key = f"gflops_per_second_{phase}"
        points = [
            (row["done"], row["time"][key] / view.peak_gflops)
            for stage in view.stages
            for row in stage.rows
            if row["time"].get(key)
        ]
        if points:
            drawn.append(Curve(phase, smooth(points, max(1, len(points) // 50))))
    words = f"FLOP by formula over time, as a share of {view.peak_gflops:.0f} GFLOP/s, a bare matrix product here."
    chart = curves("Share of the peak", words, drawn, y_range=(0.0, 1.0), x_range=_steps(view))
    return join(paragraph(words), _chart("Share of the peak", chart)) if chart else None


def _warnings(view: View) -> Html | None:
    if not view.warnings:
        return None
    grouped: dict[str, list[int]] = {}
    for step, text in view.warnings:
        grouped.setdefault(text, []).append(step)
    rows = [(text, str(steps[0]), str(len(steps))) for text, steps in grouped.items()]
    return section("Warnings", table(("what", "first at step", "times"), rows, caption="Warnings", numeric=(1, 2)))
