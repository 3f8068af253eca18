"""`clearseek keys`: who may use the server from another machine."""

from __future__ import annotations

from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]


@app.command("create")
def create(name: Annotated[str, typer.Argument(help="Who or what will use it.")], json_: Json = False) -> None:
    """Make a key and print it; it is shown this once and kept only as a hash."""
    import sys

    from clearseek.server import keys

    secret = keys.create(name)
    if json_:
        import json

        print(json.dumps({"name": name, "key": secret}))
    else:
        print(secret)
        print("Keep it now: it cannot be shown again. Send it as `Authorization: Bearer KEY`.", file=sys.stderr)


@app.command("list")
def list_(json_: Json = False) -> None:
    """The names of the keys there are, with when each was made."""
    import json
    import sys
    import time

    from clearseek.server import keys

    found = keys.list_keys()
    if json_:
        fields = [{"id": key.id, "name": key.name, "created_at": key.created_at} for key in found]
        print(json.dumps({"keys": fields}))
        return
    for key in found:
        print(f"{key.name}\t{time.strftime('%Y-%m-%d %H:%M', time.localtime(key.created_at))}\t{key.id}")
    if not found:
        print("There are no keys; make one with `clearseek keys create NAME`.", file=sys.stderr)


@app.command("rm")
def rm(name: Annotated[str, typer.Argument(help="The name or the id of a key.")]) -> None:
    """Remove a key; a running server refuses it from then on."""
    import sys

    from clearseek.server import keys

    keys.remove(name)
    print(f"Removed the key {name}.", file=sys.stderr)
