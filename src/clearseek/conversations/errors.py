"""What can go wrong with the chat history, each with a sentence for people and an HTTP status."""

from __future__ import annotations

from clearseek.errors import UserError


class ChatError(UserError):
    """The base of all of these. `status` is the HTTP status that tells it, `code` a stable word for programs."""

    status = 400
    code = "invalid_request_error"


class NotFound(ChatError):
    """There is no such thing, or it is another person's: the two look alike from outside."""

    status = 404
    code = "not_found"


class Conflict(ChatError):
    """The thing exists, but not in a state that allows this."""

    status = 409
    code = "conflict"


class DiskFull(ChatError):
    """Nothing was written; what was there before is there still."""

    status = 507
    code = "disk_full"


class StoreBroken(ChatError):
    """The file cannot be read or written as a chat history."""

    status = 500
    code = "chat_store_error"
