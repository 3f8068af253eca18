"""The child process that holds llama.cpp. `python -m clearseek.inference.llamacpp_child`, run by its parent only.

The first line on stdin is a JSON object of settings (the key among them, so that it stands in no command line). The
first line on stdout is `{"url": ...}` or `{"error": ...}`. When stdin ends, because the parent closed it or died by
whatever signal, the child ends too: no orphan keeps the cores busy.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from typing import Any


def main() -> None:
    """Loads the model, serves it on a loopback port that the system picks, and waits for the end of stdin."""
    settings: dict[str, Any] = json.loads(sys.stdin.readline())
    # llama.cpp logs to the C stdout; keep our one line apart from it.
    answer = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    try:
        server = _serve(settings)
    except Exception as error:
        _say(answer, {"error": str(error) or type(error).__name__})
        os._exit(1)
    _say(answer, {"url": server.listening_address})
    threading.Event().wait()


def _serve(settings: dict[str, Any]) -> Any:
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = settings["model"]
    # Its defaults are for a public demo: any origin, no key, a web page, 8 GiB of cache.
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.api_keys = [settings["key"]]
    params.cors_origins = ""
    params.cors_credentials = False
    params.ui = False
    params.endpoint_slots = False
    params.endpoint_props = False
    params.endpoint_metrics = False
    params.cache_ram_mib = settings["cache_mib"]
    params.offline = True
    params.n_ctx = settings["total_context"]
    params.n_parallel = settings["slots"]
    params.kv_unified = False
    params.ctx_shift = False
    params.n_batch = settings["batch"]
    params.n_ubatch = settings["batch"]
    params.cpuparams.n_threads = settings["threads"]
    params.cpuparams_batch.n_threads = settings["threads"]
    # One connection for each running request, and room for those being refused or cancelled.
    params.n_threads_http = settings["slots"] + 4
    # What fits was worked out by the parent; shrinking it silently would break its promises.
    params.fit_params = False
    return xllamacpp.Server(params)


def _say(stream: Any, document: dict[str, Any]) -> None:
    stream.write(json.dumps(document) + "\n")
    stream.flush()


def _leave_with_parent() -> None:
    while sys.stdin.read(4096):
        pass
    os._exit(0)


if __name__ == "__main__":
    main()
