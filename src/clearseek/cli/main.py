"""The `clearseek` command: what each subcommand is called, and how an error is told."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys
import traceback
from typing import Annotated, Any

import typer

from clearseek import __version__
from clearseek.cli import audit, bench, chat, doctor, eval, keys, ledger, models, receipt, serve, train
from clearseek.errors import UsageError, UserError

app = typer.Typer(
    name="clearseek",
    help="A reasoning chatbot with open books.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # plain help: rich's takes longer to import than everything else together
)
app.command("serve")(serve.serve)
app.command("chat")(chat.chat)
app.add_typer(models.app, name="models", help="The models on this machine: list, pull, show, import, export, rm.")
app.add_typer(keys.app, name="keys", help="API keys: who may use the server from another machine.")
app.add_typer(bench.app, name="bench", help="Benchmarks against peers, measured in the same run.")
app.command("train")(train.train)
app.command("eval")(eval.evaluate)
app.command("ledger")(ledger.ledger)
app.add_typer(receipt.app, name="receipt", help="Receipts: the proof of a training run, made, shown and checked.")
app.command("audit")(audit.audit)
app.command("doctor")(doctor.doctor)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"clearseek {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and leave.", is_eager=True, callback=_print_version)
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """A reasoning chatbot with open books."""


def main() -> None:
    """The entry point: run `sys.argv` and leave with its exit code."""
    sys.exit(run(sys.argv[1:]))


def run(args: list[str]) -> int:
    """Run one command line. Returns its exit code: 0 done, 1 failed, 2 wrong usage, 3 a check said no, 130 Ctrl-C.

    An error is one plain sentence on stderr; `--debug` (anywhere in the line) or CLEARSEEK_DEBUG=1 adds the traceback.
    """
    own = args[: args.index("--")] if "--" in args else args
    debug = "--debug" in own or os.environ.get("CLEARSEEK_DEBUG", "") not in ("", "0")
    args = [arg for arg in own if arg != "--debug"] + args[len(own) :]
    _say_what_can_be_said()
    try:
        if (bad := _no_text(args)) is not None:
            raise UsageError(f"`{bad}` is not UTF-8 text, nor the name of a file here; type it again.")
        code: Any = app(args, prog_name="clearseek", standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except BrokenPipeError:
        _drop_stdout()
        return 1
    except (KeyboardInterrupt, typer.Abort):
        return 130
    except UserError as error:
        return _tell(str(error), error.exit_code, debug)
    except SystemExit as exit_:  # rich leaves like this when the reader of a pipe has gone
        _drop_stdout()
        return exit_.code if isinstance(exit_.code, int) else 1
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            return _fault(error, debug)
        with contextlib.suppress(OSError):
            sys.stdout.flush()
        _drop_stdout()
        where = f" ({error.filename})" if error.filename else ""
        return _tell(f"The disk that is written to is full{where}: make room there and try again.", 1, debug)
    except Exception as error:
        # typer's own usage errors; told apart by shape, because typer moved their class between its versions
        if hasattr(error, "format_message") and hasattr(error, "exit_code"):
            return _tell_usage(error)
        return _fault(error, debug)


def _say_what_can_be_said() -> None:
    """A terminal that has no sign for a character shows `?` for it: an answer must not end there."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")


def _no_text(args: list[str]) -> str | None:
    """The first argument that is neither UTF-8 nor the path of something that is there, made fit to be shown."""
    for arg in args:
        values = [arg, arg.partition("=")[2]] if arg.startswith("--") else [arg]
        if any("\udc80" <= sign <= "\udcff" for sign in arg) and not any(map(os.path.lexists, values)):
            return os.fsencode(arg).decode("utf-8", "replace")
    return None


def _fault(error: Exception, debug: bool) -> int:
    hint = "" if debug else " This is a fault in ClearSeek: add --debug to see where."
    return _tell(f"{type(error).__name__}: {error}".rstrip(".: ") + "." + hint, 1, debug)


def _tell(sentence: str, code: int, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    print(sentence, file=sys.stderr)
    return code


def _tell_usage(error: Any) -> int:
    if type(error).__name__ == "NoArgsIsHelpError":
        error.show()
    else:
        context = getattr(error, "ctx", None)
        path = context.command_path if context else "clearseek"
        message = error.format_message()
        print(f"{message}{'' if message.endswith(('.', '?')) else '.'} See `{path} --help`.", file=sys.stderr)
    return int(error.exit_code)


def _drop_stdout() -> None:
    """Whoever read our output has gone: keep the interpreter from complaining about it when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    main()
