"""What a recipe may say of a stage of distillation."""

from __future__ import annotations

from dataclasses import dataclass

from clearseek.toml_tables import BadKey
from clearseek.training.recipe.bounds import at_least, between
from clearseek.training.recipe.rejection_settings import Pick


@dataclass(frozen=True, slots=True)
class DistillSettings:
    """One stage of distillation."""

    name: str = "distill"
    """Its name, and that of the data it writes."""
    steps: int = 16
    """How many steps."""
    model: str = ""
    """The teacher: a model of this machine's store, or with `engine_url` one that the server there has."""
    engine_url: str = ""
    """An OpenAI-compatible server, such as https://api.deepseek.com/v1; its key is read from CLEARSEEK_TEACHER_KEY."""
    tasks: tuple[str, ...] = ()
    """Which of the run's tasks; empty: all, alike."""
    prompts: int = 32
    """Problems of a step."""
    samples: int = 1
    """Answers to each."""
    keep: int = 1
    """Right answers kept of a problem, at most."""
    pick: Pick = "shortest"
    """Which: the shortest, those that differ most from each other, or those that came first."""
    max_new: int = 1024
    """Tokens the teacher may write for an answer, thinking included."""
    temperature: float = 0.6
    """What the teacher samples at."""
    system: str = ""
    """Instructions to the teacher, for example to think briefly. The student never sees them."""
    at_once: int = 8
    """Answers asked for side by side."""

    def __post_init__(self) -> None:
        at_least(self, 1, "steps", "prompts", "samples", "keep", "max_new", "at_once")
        between(self, 0.0, 5.0, "temperature")
        if not self.model:
            raise BadKey("model", f"The stage {self.name} needs `model`, the teacher.")
