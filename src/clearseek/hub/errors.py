"""What can go wrong with weights on disk, each told in one sentence."""

from __future__ import annotations

from clearseek.errors import CheckFailed, UserError


class HubError(UserError):
    """The base of everything the model store can say."""


class UnknownModel(HubError):
    """No such model here; the sentence names the nearest one and the command to get it."""


class WeightsGone(HubError):
    """A model is recorded here whose weights are missing, or have another size than recorded."""

    status = 503


class BadModelFile(HubError):
    """The file is not a GGUF that can be read: not one at all, damaged, truncated or hostile."""


class BadTemplate(HubError):
    """The chat template of a model cannot be rendered, or refuses a conversation."""

    status = 400
    """It is the conversation, or the model that was chosen for it, that has to change."""


class TemplateTooLong(BadTemplate):
    """The chat template of a model runs for too long or writes too much: it is not tried again."""


class PullFailed(HubError):
    """The weights could not be fetched; nothing was changed."""


class WrongHash(HubError, CheckFailed):
    """The bytes are not the ones that were promised."""
