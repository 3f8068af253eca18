"""What can go wrong with a model's weights or its use, told in one sentence."""

from __future__ import annotations

from clearseek.errors import UserError


class ModelingError(UserError):
    """Weights that do not fit, a file that is damaged, an architecture that is not known, too little memory."""
