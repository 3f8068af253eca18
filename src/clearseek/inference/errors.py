"""What can go wrong between asking and answering, each with a sentence for people and an HTTP status."""

from __future__ import annotations

from clearseek.errors import UserError


class EngineError(UserError):
    """The base of all of these. `status` is the HTTP status that tells it, `kind` a stable word for programs."""

    status = 500
    kind = "engine_error"


class BadRequest(EngineError):
    """The request cannot be served as it is (a schema the grammar cannot express, tools without a template...)."""

    status = 400
    kind = "invalid_request_error"

    def __init__(self, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.param = param


class ContextOverflow(BadRequest):
    """The prompt is longer than the context. All in tokens; `over` is by how much. `at_least`: it was not read to its
    end, and is no shorter than that."""

    kind = "context_length_exceeded"

    def __init__(self, prompt_tokens: int, context: int, *, at_least: bool = False) -> None:
        some = "at least " if at_least else ""
        self.prompt_tokens, self.context, self.over = prompt_tokens, context, prompt_tokens - context + 1
        super().__init__(
            f"The conversation is {some}{prompt_tokens} tokens long and the model can hold {context}, "
            f"answer included: it is {some}{self.over} too long. Start a new chat, or drop the oldest turns.",
            "messages",
        )


class UnknownModel(EngineError):
    status = 404
    kind = "model_not_found"


class EngineCrashed(EngineError):
    """The engine died in the middle of an answer; the next request starts it afresh."""

    status = 503
    kind = "engine_crashed"
    retry_after = 2


class EngineUnavailable(EngineError):
    """The engine cannot be started or reached."""

    status = 503
    kind = "engine_unavailable"
    retry_after = 5


class UpstreamTimeout(EngineError):
    """A remote engine sent no payload for too long."""

    status = 503
    kind = "upstream_timeout"
    retry_after = 5


class Busy(EngineError):
    """The queue is full. `retry_after` in seconds."""

    status = 429
    kind = "too_many_requests"

    def __init__(self, message: str, retry_after: int = 1) -> None:
        super().__init__(message)
        self.retry_after = retry_after
