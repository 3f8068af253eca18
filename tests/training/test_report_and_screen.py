"""What a run shows: curves by hand, a page that stands alone, a panel and plain lines, forecasts in words."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from clearseek.ledger.prices import Rates  # noqa: E402
from clearseek.ledger.quantity import declared  # noqa: E402
from clearseek.report.curves import Curve, curves, smooth, thinned, ticks  # noqa: E402
from clearseek.report.svg import WIDTH  # noqa: E402
from clearseek.training.recipe.parsing import read_recipe  # noqa: E402
from clearseek.training.report.conclusions import Conclusions  # noqa: E402
from clearseek.training.report.console import Screen, draw, spark  # noqa: E402
from clearseek.training.report.page import report_page  # noqa: E402
from clearseek.training.report.view import View  # noqa: E402
from clearseek.training.run.budget import Limits, Pace  # noqa: E402
from clearseek.training.run.forecast import RunForecast, StageForecast  # noqa: E402

RECIPES = Path(__file__).parent.parent.parent / "recipes"


def outlook(**more: object) -> RunForecast:
    told = {
        "generate_rate": 300.0, "train_rate": 150.0, "prompt_tokens": 30.0, "answer_tokens": 60.0,
        "parameters": 144_000_000, "learned": 9_770_000, "memory_needed": 4e9, "memory_there": 16e9,
        "disk_needed": 1e9, "disk_there": 9e9, "stages": (StageForecast("a", "sft", 100, 6.0),
        StageForecast("b", "grpo", 50, 12.0)),
        "tests_seconds": {"dev": 30.0, "test": 60.0, "test+": 90.0, "dev+": 30.0},
        "evaluations_total": 600.0, "export_seconds": 60.0, "usd_each": None, "limit_seconds": None, "limit_why": "",
        "threads": 2, "dtype": "float32", "peak_gflops": 150.0,
    }  # fmt: skip
    return RunForecast(**{**told, **more})  # type: ignore[arg-type]


def test_a_forecast_is_a_sum_and_names_the_dial() -> None:
    whole = outlook()
    assert whole.seconds == 100 * 6 + 50 * 12 + 660
    assert whole.scale is None
    small = outlook(limit_seconds=1260.0, limit_why="the budget of 21 minutes")
    assert small.scale == pytest.approx(0.5)
    assert "--scale 0.5`" in small.words()[-1]
    assert "money unknown" in " ".join(small.words())
    assert "$1.860" in " ".join(outlook(usd_each=0.001).words())


def test_the_dial_goes_on_from_the_scale_that_was_given_and_leaves_alone_what_it_does_not_move() -> None:
    stages = (StageForecast("a", "sft", 100, 6.0), StageForecast("kept", "reject", 10, 30.0, dialled=False))
    tight = {"limit_seconds": 1260.0, "limit_why": "the budget of 21 minutes", "scaled_by": 0.1, "stages": stages}
    assert outlook(**tight).scale == pytest.approx(0.05)  # 660 + 300 are fixed, 600 of 0.1 may be 300
    assert "`--scale 0.05` makes it fit" in outlook(**tight).words()[-1]
    just_over = outlook(**{**tight, "limit_seconds": 1558.0})  # 0.09967 would, 0.1 would not
    assert "`--scale 0.099` makes it fit" in just_over.words()[-1]
    nothing_moves = outlook(**{**tight, "limit_seconds": 900.0})
    assert nothing_moves.scale == 0.0
    assert "fewer evaluations make room" in nothing_moves.words()[-1]
    old = {key: value for key, value in outlook().as_json().items() if key != "scaled_by"}
    assert RunForecast.from_json(old) == outlook()  # one that an older version wrote


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"memory_needed": 17e9}, "17.0 GB of memory are needed and 16.0 GB are there: lower `micro_batch_tokens`"),
        ({"disk_needed": 10e9}, "lower `keep`"),
        ({"limit_seconds": 100.0, "limit_why": "the budget of $1"}, "The budget of $1 is too small for one step"),
    ],
)
def test_what_cannot_work_is_refused_with_the_dial(change: dict[str, object], said: str) -> None:
    from clearseek.errors import UserError

    with pytest.raises(UserError, match=re.escape(said)):
        outlook(**change).refuse()
    outlook().refuse()


def watched() -> View:
    view = View(read_recipe(RECIPES / "r1-smollm2.toml"), Limits(14400.0, "the budget of 240 minutes"))
    for done in range(1, 31):
        numbers = {"loss": 2.0 / done, "tokens_trained": 1200.0, "accuracy": done / 40, "grad_norm": 0.2}
        time = {"seconds": 4.0, "seconds_update": 3.9, "gflops_per_second_update": 60.0}
        warnings = ["<b>The entropy is sinking.</b>"] if done == 20 else []
        view.add({"kind": "step", "done": done, "stage": "cold-start", "step": done - 1, "numbers": numbers,
                  "warnings": warnings, "time": time})  # fmt: skip
    for done in (15, 30):
        mean = {"value": done / 60, "low": done / 60 - 0.1, "high": done / 60 + 0.1}
        view.add({"kind": "eval", "name": f"dev-{done:06d}", "split": "dev", "done": done, "mean": mean,
                  "means": {"trained": mean}, "tasks": {"gcd": mean}, "well_formed": 1.0, "truncated": 0.0,
                  "tokens": 50.0, "time": {"seconds": 9.0}})  # fmt: skip
    pace = Pace()
    pace.add(4.0)
    view.at(30, 600.0, pace, Rates(machine_usd_per_hour=declared(0.36, "USD/h")), outlook())
    return view


def test_the_page_stands_alone_and_escapes_what_it_is_told() -> None:
    page = report_page(watched())
    for words in ("Accuracy on dev", "Loss", "Share of the peak", "cold-start", "10.0 min of 240", "$0.0600"):
        assert words in page, words
    assert "<b>The entropy" not in page
    assert "&lt;b&gt;The entropy" in page
    assert not re.search(r"<script|https?://(?!www\.w3\.org)", page)
    assert page.count("<svg") >= 4


def test_the_panel_and_the_line_tell_the_same() -> None:
    from rich.console import Console

    view = watched()
    recipe = read_recipe(RECIPES / "r1-smollm2.toml")
    steps = next(stage.settings.steps for stage in recipe.stages if stage.name == "cold-start")
    out = io.StringIO()
    Console(file=out, width=120).print(draw(view))
    for words in (f"step 30 of {steps}", "loss", "0.06667", "dev accuracy", "update", "tok/s"):
        assert words in out.getvalue(), words
    assert view.line().startswith(f"cold-start 30/{steps} | loss 0.0667")
    left = (steps - 30) * 4.0
    assert view.seconds_left == left
    assert view.run_seconds_left == left + 90.0 + 60.0  # the probe knows none of this recipe's later stages
    assert spark([0.0, 1.0]) == "▁█"


def test_a_quiet_screen_says_nothing_and_a_plain_one_lines() -> None:
    out = io.StringIO()
    Screen(out, quiet=True).show(watched())
    assert out.getvalue() == ""
    plain = Screen(out)
    plain.show(watched())
    plain.show(watched())  # too soon after the last
    assert out.getvalue().count("\n") == 1


def test_curves_by_hand() -> None:
    assert ticks(0.0, 1.0, 4) == pytest.approx([0.0, 0.25, 0.5, 0.75, 1.0])
    assert smooth([(1, 1.0), (2, 3.0), (3, 5.0)], 2) == [(1, 1.0), (2, 2.0), (3, 4.0)]
    points = [(float(x), float(x)) for x in range(10_000)]
    assert len(thinned(points)) <= 401
    assert thinned(points)[-1] == points[-1]
    assert curves("t", "d", []) == ""
    assert curves("t", "d", [Curve("c", [(1.0, float("nan"))])]) == ""
    drawn = curves("<t>", "d", [Curve("a<b", [(0.0, 1.0), (5.0, 1.0)])])
    assert "<t>" not in drawn
    assert "a&lt;b" in drawn
    one, none = Curve("c", [(0.0, 1.0), (5.0, 1.0)]), Curve("never", [(1.0, float("nan"))])
    assert curves("t", "d", [one, none]) == curves("t", "d", [one])


def test_the_higher_curve_has_the_higher_label() -> None:
    drawn = curves("t", "d", [Curve("low", [(0.0, 0.0), (9.0, 67.1)]), Curve("high", [(0.0, 0.0), (9.0, 70.2)])])
    heights = {name: float(y) for y, name in re.findall(r'y="([\d.]+)"[^>]*>(low|high) ', drawn)}
    assert heights["high"] + 13 <= heights["low"]


def test_a_long_label_has_room() -> None:
    drawn = curves("t", "d", [Curve("second verifier", [(0.0, 0.5), (30.0, 0.688)])])
    found = re.search(r'<text[^>]* x="([\d.]+)"[^>]*>second verifier 0.688<', drawn)
    assert found
    assert float(found[1]) + 6.5 * len("second verifier 0.688") <= WIDTH


SAMPLES = [
    {"done": 30, "stage": "rl", "kind": "sample", "prompt": "2+2=", "text": f"<b>so</b> {n}", "reference": "4",
     "reward": float(n == 4), "accuracy": float(n == 4), "why": "right" if n == 4 else "wrong"}
    for n in (3, 4, 5)
]  # fmt: skip


def test_at_its_end_the_page_foretells_nothing_and_shows_what_was_written() -> None:
    view = watched()
    assert "This stage ends in" in report_page(view)
    view.conclusions = Conclusions(("On test the model is <i>better</i>.",))
    for ended, word in (
        ("completed", "finished"),
        ("budget", "ended by its budget"),
        ("failed", "stopped by an error"),
    ):
        page = report_page(view, SAMPLES, ended=ended)
        assert word in page
        for foretold in ("This stage ends in", "The run ends in", "stage ends in", ", run in"):
            assert foretold not in page
        assert "On test the model is &lt;i&gt;better&lt;/i&gt;." in page
        assert "What it wrote last" in page
        assert page.count("&lt;b&gt;so&lt;/b&gt;") == 3
        assert "reward 1.00, the reference is 4. right" in page
    kept = [{"done": 3, "kind": "kept", "source": "base", "prompt": "p", "thinking": "t", "answer": "a"}]
    assert "What it learns from" in report_page(view, kept)
    assert "samples.jsonl" not in report_page(view, [])


def test_what_there_is_none_of_has_no_curve() -> None:
    assert "second verifier" not in report_page(watched())


@pytest.mark.browser
def test_on_a_narrow_screen_the_page_is_no_wider_than_it(tmp_path: Path) -> None:
    import shutil

    sync = pytest.importorskip("playwright.sync_api")
    path = next(
        (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
    )
    if path is None:
        pytest.skip("no browser on this machine")
    view = watched()
    view.warnings.append((3, "a_very_long_name_without_any_space_" * 8))
    samples = [{**SAMPLES[0], "text": "0123456789" * 60}]
    (tmp_path / "report.html").write_text(report_page(view, samples, ended="completed"), "utf-8")
    with sync.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 390, "height": 844})
        page.goto((tmp_path / "report.html").as_uri())
        assert page.evaluate("() => document.documentElement.scrollWidth") <= 390
        browser.close()
