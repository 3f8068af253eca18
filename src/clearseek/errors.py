"""Errors that are told to people: one plain sentence that says what was wrong and what to do."""

from __future__ import annotations


class UserError(Exception):
    """Something the person can act on. Printed as it is, without a traceback; exit code 1."""

    exit_code = 1


class UsageError(UserError):
    """The command or the settings are wrong; exit code 2."""

    exit_code = 2


class CheckFailed(UserError):
    """A check that ran and said no; exit code 3."""

    exit_code = 3


class NotChecked(UserError):
    """Nothing said no, and something that was to be checked could not be; exit code 4."""

    exit_code = 4
