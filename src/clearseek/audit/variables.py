"""The quantities that a claim may give: where each stands, its unit, and what would be absurd."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Variable:
    """`unit` is the one that everything is computed in; `accepted` are others that mean the same here.

    `low` and `high` bound what can be (in `unit`), and a number outside is refused; `plain` is a count, which may be
    written without a unit and with K, M, B or T for thousands, millions, billions and trillions.
    """

    path: str
    label: str
    unit: str
    low: float
    high: float
    accepted: tuple[str, ...] = ()
    plain: bool = False
    example: str = ""

    @property
    def name(self) -> str:
        """How relations and `--solve` call it: the path's last word; those of [serving] and [rollouts] whole."""
        table, _, word = self.path.partition(".")
        return f"{table}_{word}" if table in ("serving", "rollouts") else word


_ALL = (
    Variable("model.parameters", "Parameters", "parameter", 1e3, 1e16, plain=True, example="671B"),
    Variable("model.active_parameters", "Active parameters", "parameter", 1e3, 1e16, plain=True, example="37B"),
    Variable("model.flops_per_token", "FLOP per token", "FLOP/token", 1e3, 1e18, example="250 GFLOP/token"),
    Variable("data.tokens", "Tokens", "token", 1, 1e18, plain=True, example="14.8T"),
    Variable("data.sequence_length", "Sequence length", "token", 1, 1e9, plain=True, example="4096"),
    Variable("hardware.count", "Chips", "chip", 1, 1e8, plain=True, example="2048"),
    Variable("hardware.peak", "Peak per chip", "FLOP/s", 1e6, 1e18, example="989 TFLOP/s"),
    Variable("hardware.network", "Network per chip", "B/s", 1e3, 1e14, example="400 Gb/s"),
    Variable("run.gpu_hours", "Chip-hours", "chip*h", 1e-9, 1e12, ("h",), example="2.664M h"),
    Variable("run.wall_time", "Wall time", "h", 1e-9, 1e6, example="54.2 d"),
    Variable("run.usd", "Money", "USD", 1e-9, 1e13, example="5.576M USD"),
    Variable("run.price", "Price of a chip-hour", "USD/(chip*h)", 1e-9, 1e4, ("USD/h",), example="2.00 USD/h"),
    Variable("run.mfu", "MFU", "", 1e-9, 1.0, plain=True, example="38.94 %"),
    Variable("run.mfu_non_causal", "MFU, non-causal", "", 1e-9, 1.0, plain=True, example="43.73 %"),
    Variable("run.tokens_per_day", "Tokens per day", "token/d", 1e-3, 1e20, example="272.8B token/d"),
    Variable("run.tokens_per_second", "Tokens per second", "token/s", 1e-6, 1e15, example="3.16M token/s"),
    Variable(
        "run.tokens_per_second_per_chip",
        "Tokens per second and chip",
        "token/(chip*s)",
        1e-6,
        1e12,
        ("token/s",),
        example="1540 token/s",
    ),
    Variable("run.step_time", "Time of a step", "s", 1e-9, 1e9, example="19.9 s"),
    Variable("run.steps", "Steps", "", 1, 1e12, plain=True, example="10400"),
    Variable("run.batch", "Tokens in a step", "token", 1, 1e15, plain=True, example="62.9M"),
    Variable("run.flops", "FLOP in all", "FLOP", 1, 1e32, example="3.8e25 FLOP"),
    Variable("run.energy", "Energy", "kWh", 1e-9, 1e12, example="449 MWh"),
    Variable("run.power", "Power of a chip", "W", 1e-3, 1e5, ("W/chip",), example="700 W"),
    Variable("run.pue", "PUE", "", 1.0, 5.0, plain=True, example="1.1"),
    Variable("run.intensity", "Carbon of a kWh", "g/kWh", 1e-6, 2000, example="385 g/kWh"),
    Variable("run.co2", "CO2", "kg", 1e-9, 1e13, example="173 t"),
    Variable("rollouts.samples", "Answers sampled", "", 1, 1e15, plain=True, example="5.32M"),
    Variable("rollouts.tokens_per_sample", "Tokens of an answer", "token", 1, 1e9, plain=True, example="8000"),
    Variable("serving.nodes", "Nodes, mean", "", 1e-3, 1e7, plain=True, example="226.75"),
    Variable("serving.chips_per_node", "Chips in a node", "", 1, 1e4, plain=True, example="8"),
    Variable("serving.wall_time", "Time served", "h", 1e-6, 1e6, example="24 h"),
    Variable("serving.input_tokens", "Tokens read", "token", 1, 1e18, plain=True, example="608B"),
    Variable("serving.cached_tokens", "of them from the cache", "token", 1, 1e18, plain=True, example="342B"),
    Variable("serving.output_tokens", "Tokens written", "token", 1, 1e18, plain=True, example="168B"),
    Variable("serving.input_rate", "Read per node", "token/s", 1e-3, 1e12, example="73.7K token/s"),
    Variable("serving.output_rate", "Written per node", "token/s", 1e-3, 1e12, example="14.8K token/s"),
    Variable("serving.price", "Price of a chip-hour", "USD/(chip*h)", 1e-9, 1e4, ("USD/h",), example="2.00 USD/h"),
    Variable("serving.usd", "Cost", "USD", 1e-9, 1e13, example="87072 USD"),
    Variable("serving.revenue", "Theoretical revenue", "USD", 1e-9, 1e13, example="562027 USD"),
    Variable("serving.input_price", "A token read", "USD/token", 1e-15, 1, example="0.55 USD/Mtoken"),
    Variable("serving.cached_price", "A token from the cache", "USD/token", 1e-15, 1, example="0.14 USD/Mtoken"),
    Variable("serving.output_price", "A token written", "USD/token", 1e-15, 1, example="2.19 USD/Mtoken"),
    Variable("serving.margin", "Margin over cost", "", 1e-9, 1e6, plain=True, example="545 %"),
)
VARIABLES = {variable.name: variable for variable in _ALL}
BY_PATH = {variable.path: variable for variable in _ALL}
SOLVABLE = {
    "gpu_hours": "gpu_hours",
    "tokens": "tokens",
    "count": "count",
    "days": "wall_time",
    "usd": "usd",
    "mfu": "mfu",
    "price": "price",
}
"""What `--solve` takes, and the variable it means."""
