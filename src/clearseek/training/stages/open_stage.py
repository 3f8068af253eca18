"""From a plan in a recipe to the stage that does it."""

from __future__ import annotations

from clearseek.training.recipe.schema import StagePlan
from clearseek.training.stages import distillation, grpo, rejection, sft
from clearseek.training.stages.base import Stage, StageContext


def open_stage(plan: StagePlan, context: StageContext) -> Stage:
    """Raises UserError for whatever the stage needs and the run does not have."""
    if plan.kind == "sft":
        return sft.open_stage(plan.settings, context)
    if plan.kind == "grpo":
        return grpo.open_stage(plan.settings, context)
    if plan.kind == "reject":
        return rejection.open_stage(plan.settings, context)
    return distillation.open_stage(plan.settings, context)
