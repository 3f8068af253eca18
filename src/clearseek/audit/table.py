"""All shipped claims as one Markdown table: reported, computed, verdict. `clearseek audit --table` prints it."""

from __future__ import annotations

from clearseek.audit import library
from clearseek.audit.claim import load_claim
from clearseek.audit.examine import Examination, examine
from clearseek.audit.verdict import STATUS_TITLES
from clearseek.audit.words import between, say, show, within

_REPORTED = ("tokens", "count", "gpu_hours", "wall_time", "usd", "mfu", "co2")


def markdown() -> str:
    """The table, oldest claim first."""
    examined = [examine(load_claim(name), draws=0) for name in library.names()]
    examined.sort(key=lambda e: (e.claim.date.isoformat() if e.claim.date else "", e.claim.name))
    rows = ["| claim | scope | reported | computed | verdict |", "|---|---|---|---|---|"]
    rows += [f"| {' | '.join(_row(e))} |" for e in examined]
    return "\n".join(rows) + "\n"


def _row(e: Examination) -> list[str]:
    computed = []
    if e.verdict.goodput.value is not None:
        computed.append(f"goodput {show('mfu', e.verdict.goodput.value, 3)}")
    for check in e.checks:
        if check.state != "agrees" and check.name == "mfu":
            computed[0] += f" ({check.off} from the published MFU)"
        elif check.state != "agrees":
            computed.append(f"{within(check.name)} {check.follows} ({check.off})")
    if e.fleet and e.claim.fleet and e.fleet.floor.value:
        computed.append(f"at least {show('count', e.fleet.floor.value)} in evidence")
    if e.scenarios and e.claim.scope == "fleet":
        computed.append(f"the run it is held against in {e.scenarios[0].amount.value:.1f} days")
    if e.verdict.status == "underdetermined":
        slowest = next((b for b in e.binds if b.binds), None)
        solved = next((s for s in e.solved if s.assumed and s.target in ("tokens", "gpu_hours")), None)
        if slowest:
            computed.append(f"{say(slowest.days)}, bound by the {slowest.resource}")
        elif solved:
            low, high = solved.quantity.bounds
            name = "gpu_hours" if solved.target == "gpu_hours" else "tokens"
            computed.append(f"{between(show(name, low, 3), show(name, high, 3))}, if assumptions hold")
        elif not slowest and (work := next((line for line in e.lines if line.name == "flops"), None)):
            computed.append(f"{work.shown}, and nothing to hold it against")
    if not computed:
        agree = sum(check.state == "agrees" for check in e.checks)
        computed.append(f"{agree} of {len(e.checks)} agree" if e.checks else "nothing")
    verdict = STATUS_TITLES[e.verdict.status]
    return [f"`{e.claim.name}`", e.claim.scope, _reported(e) or "", "; ".join(computed), verdict]


def _reported(e: Examination) -> str:
    lines = []
    for name in _REPORTED:
        reported = e.claim.first(name)
        if reported and reported.quantity.value is not None:
            lines.append(f"{'MFU ' if name == 'mfu' else ''}{show(name, reported.quantity.value)}")
    lines += [f"{part.count.quantity.value:,.0f} {part.chip.name}" for part in e.claim.fleet]
    if e.claim.scope == "service":
        lines += [
            show(n, r.quantity.value)
            for n in ("serving_usd", "serving_revenue")
            if (r := e.claim.first(n)) and r.quantity.value
        ]
    return ", ".join(lines)
