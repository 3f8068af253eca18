"""A claim about a day of serving: nodes, tokens, rates, cost and theoretical revenue, against each other."""

from __future__ import annotations

from clearseek.audit.solve import Check, Known, compare
from clearseek.ledger.quantity import Basis


def _derived(name: str, how: str, value: float, low: float, high: float, inputs: tuple[str, ...]) -> Known:
    return Known(name, value, low, high, Basis.DECLARED, how, None, inputs)


def examine(known: dict[str, Known]) -> tuple[list[Known], list[Check]]:
    """What follows from a serving day's numbers, and the checks of those that are stated too.

    Nodes: tokens read / (time x rate of a node) and the same for those written, added, because DeepSeek reads and
    writes on different nodes. Cost: nodes x chips x hours x price. Revenue: each kind of token at its price.
    """
    results: list[Known] = []
    rates = {"serving_wall_time", "serving_input_tokens", "serving_input_rate"} | {
        "serving_output_tokens", "serving_output_rate",
    }  # fmt: skip
    if rates <= set(known):
        parts = []
        for kind, words in (("input", "reading"), ("output", "writing")):
            tokens, rate, time = (known[f"serving_{n}"] for n in (f"{kind}_tokens", f"{kind}_rate", "wall_time"))
            parts.append(
                _derived(
                    f"serving_{kind}_nodes",
                    f"nodes {words} = tokens / (time x tokens/s of a node)",
                    tokens.value / rate.value / time.value / 3600,
                    tokens.low / rate.high / time.value / 3600,
                    tokens.high / rate.low / time.value / 3600,
                    (tokens.name, rate.name, time.name),
                )
            )
        results += parts
        results.append(_sum("serving_nodes", "nodes = nodes reading + nodes writing", parts))
    if {"serving_nodes", "serving_chips_per_node", "serving_wall_time", "serving_price"} <= set(known):
        names = ("serving_nodes", "serving_chips_per_node", "serving_wall_time", "serving_price")
        results.append(_product("serving_usd", "cost = nodes x chips x hours x price", known, names))
    priced = {f"serving_{kind}_price" for kind in ("input", "cached", "output")}
    if priced | {"serving_cached_tokens", "serving_input_tokens", "serving_output_tokens"} <= set(known):
        results.append(_revenue(known))
    checks = [compare(item.name, known[item.name], item) for item in results if item.name in known]
    both = {**{item.name: item for item in results}, **known}
    if {"serving_revenue", "serving_usd"} <= set(both):
        revenue, cost = both["serving_revenue"], both["serving_usd"]
        margin = _derived(
            "serving_margin",
            "margin = revenue / cost - 1",
            revenue.value / cost.value - 1,
            revenue.low / cost.high - 1,
            revenue.high / cost.low - 1,
            (revenue.name, cost.name),
        )
        results.append(margin)
        checks += [compare("serving_margin", known["serving_margin"], margin)] if "serving_margin" in known else []
    return results, checks


def _sum(name: str, how: str, parts: list[Known]) -> Known:
    value, low, high = (sum(getattr(part, end) for part in parts) for end in ("value", "low", "high"))
    return _derived(name, how, value, low, high, tuple(part.name for part in parts))


def _product(name: str, how: str, known: dict[str, Known], names: tuple[str, ...]) -> Known:
    value = low = high = 1.0
    for each in names:
        value, low, high = value * known[each].value, low * known[each].low, high * known[each].high
    return _derived(name, how, value, low, high, names)


def _revenue(known: dict[str, Known]) -> Known:
    def ends(end: str) -> float:
        read, cached, written = (
            getattr(known[f"serving_{kind}_tokens"], end) for kind in ("input", "cached", "output")
        )
        prices = [known[f"serving_{kind}_price"].value for kind in ("input", "cached", "output")]
        return float(max(read - cached, 0) * prices[0] + cached * prices[1] + written * prices[2])

    how = "revenue = tokens read anew, read from the cache, and written, each at its price"
    names = tuple(f"serving_{kind}_tokens" for kind in ("input", "cached", "output"))
    return _derived("serving_revenue", how, ends("value"), ends("low"), ends("high"), names)
