"""What `clearseek doctor` looks at. Every look is bounded in time, and none can end the program."""

from __future__ import annotations

import dataclasses
import os
import platform
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from clearseek import __version__
from clearseek.errors import UserError
from clearseek.settings import Settings, home, load_settings

if TYPE_CHECKING:
    from clearseek.hub.model import Model
    from clearseek.hub.store import Store

SIMD = (
    *("sse4_2", "avx", "avx2", "fma", "f16c", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16"),
    *("amx_tile", "amx_int8", "amx_bf16", "asimd", "asimddp", "i8mm", "sve", "sve2", "sme"),
)
"""The instruction sets that change how fast llama.cpp runs, as Linux names them."""
MINIMUM_FREE_DISK = 500_000_000
COMFORTABLE_MEMORY = 1_000_000_000
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "firefox", "xdg-open", "open")


@dataclass(frozen=True)
class Finding:
    """One line: `way` is what to do about it, empty if nothing has to be done; `facts` are for programs."""

    name: str
    mark: Literal["ok", "note", "warn", "bad"]
    what: str
    way: str = ""
    facts: dict[str, Any] = field(default_factory=dict)


def checkup(*, hash_models: bool) -> Iterator[Finding]:
    """Every finding, in the order in which a person wants to read them."""
    yield Finding("clearseek", "ok", __version__, facts={"version": __version__})
    yield _system()
    yield _python()
    yield _cpu()
    yield _memory()
    yield _gpu()
    yield _engine()
    yield _sandbox()
    yield _disk()
    try:
        settings = load_settings()
    except UserError as error:
        yield Finding("settings", "bad", str(error), "correct the file or the environment variable")
        return
    yield Finding("home", "ok", f"{home()}" + ("" if home().exists() else " (made when it is first needed)"))
    yield from _models(settings, hash_models)
    yield _port(settings)
    yield _browser()


def _system() -> Finding:
    system = platform.platform(terse=True)
    facts = {"system": platform.system(), "release": platform.release(), "machine": platform.machine()}
    if platform.system() in ("Linux", "Darwin"):
        return Finding("system", "ok", f"{system} on {platform.machine()}", facts=facts)
    return Finding("system", "warn", system, "ClearSeek is made for Linux and macOS; on Windows use WSL", facts)


def _python() -> Finding:
    version = platform.python_version()
    return Finding("python", "ok", f"{version} at {sys.executable}", facts={"version": version, "path": sys.executable})


def _cpu() -> Finding:
    from clearseek.inference.machine import usable_cores

    name, features = _cpu_name_and_features()
    cores = usable_cores()
    facts = {"name": name, "usable_cores": cores, "logical": os.cpu_count(), "simd": features}
    what = f"{name}, {cores} usable core{'s' if cores != 1 else ''}; {' '.join(features) or 'features not known'}"
    if platform.machine() in ("x86_64", "AMD64") and features and "avx2" not in features:
        return Finding("cpu", "warn", what, "without AVX2 answers come slowly: choose the smallest model", facts)
    return Finding("cpu", "ok", what, facts=facts)


def _cpu_name_and_features() -> tuple[str, list[str]]:
    try:
        info = Path("/proc/cpuinfo").read_text("utf-8", "replace")
    except OSError:
        name = _output("sysctl", "-n", "machdep.cpu.brand_string") or platform.processor() or "unknown CPU"
        flags = _output("sysctl", "-n", "machdep.cpu.features", "machdep.cpu.leaf7_features").lower().replace(".", "_")
        if platform.machine() == "arm64":
            known = {"asimd": "AdvSIMD", "asimddp": "arm.FEAT_DotProd", "i8mm": "arm.FEAT_I8MM", "sme": "arm.FEAT_SME"}
            return name, [flag for flag, key in known.items() if _output("sysctl", "-n", f"hw.optional.{key}") == "1"]
        return name, [flag for flag in SIMD if flag in flags.split()]
    pairs = (line.partition(":") for line in info.splitlines())
    lines = {key.strip(): value.strip() for key, _, value in pairs if key}
    have = set((lines.get("flags") or lines.get("Features") or "").split())
    if "flags" in lines:
        have.discard("sme")  # x86's: encrypted memory
    name = lines.get("model name") or lines.get("Model") or f"{platform.machine()} CPU"
    return name, [flag for flag in SIMD if flag in have]


def _memory() -> Finding:
    import psutil

    from clearseek.inference.machine import available_memory

    total, free = int(psutil.virtual_memory().total), available_memory()
    what = f"{free / 1e9:.1f} of {total / 1e9:.1f} GB free"
    facts = {"total_bytes": total, "available_bytes": free}
    if free < COMFORTABLE_MEMORY:
        return Finding("memory", "warn", what, "close other programs before you load a model", facts)
    return Finding("memory", "ok", what, facts=facts)


def _gpu() -> Finding:
    rows = _output("nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader").splitlines()
    if rows:
        message = "; ".join(rows) + ": not used, the engine here runs on the CPU"
        return Finding("gpu", "note", message, "a GPU server can be put behind: --engine-url URL", {"gpus": rows})
    return Finding("gpu", "note", "none found, and none needed", facts={"gpus": []})


def _engine() -> Finding:
    # In a child: a wheel built for another CPU dies of an illegal instruction, and that is what we are here to say.
    code = "import xllamacpp as x; print(x.__version__); print(x.get_system_info())"
    try:
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return Finding("engine", "bad", f"xllamacpp did not answer: {error}", "pip install --force-reinstall xllamacpp")
    lines = done.stdout.strip().splitlines()
    if done.returncode == 0 and lines:
        facts = {"version": lines[0], "build": lines[-1]}
        return Finding("engine", "ok", f"llama.cpp, as xllamacpp {lines[0]}", facts=facts)
    if done.returncode < 0:
        why = f"xllamacpp was ended by signal {-done.returncode}"
        return Finding(
            "engine", "bad", f"{why} while it was imported", "its wheel does not suit this CPU: use --engine-url"
        )
    why = done.stderr.strip().splitlines()[-1] if done.stderr.strip() else f"exit code {done.returncode}"
    return Finding("engine", "bad", f"xllamacpp cannot be imported: {why}", "pip install --force-reinstall xllamacpp")


def _sandbox() -> Finding:
    """What can run programs that a model wrote."""
    from clearseek.sandbox import cpython, interpreter

    small, full = interpreter.missing(), cpython.unavailable()
    facts = {"monty": not small, "cpython": not full}
    if small:
        return Finding("sandbox", "warn", small, "pip install pydantic-monty", facts)
    what = f"pydantic-monty {metadata.version('pydantic-monty')} runs Python that a model wrote"
    rest = "bubblewrap runs programs in full CPython" if not full else f"nothing else does: {full}"
    return Finding("sandbox", "ok" if not full else "note", f"{what}; {rest}", facts=facts)


def _disk() -> Finding:
    place = next(folder for folder in (home(), *home().parents) if folder.exists())
    free = shutil.disk_usage(place).free
    what = f"{free / 1e9:.1f} GB free at {place}"
    if not os.access(place, os.W_OK):
        return Finding("disk", "bad", f"{place} cannot be written to", "set CLEARSEEK_HOME to a folder of yours")
    if free < MINIMUM_FREE_DISK:
        return Finding("disk", "warn", what, "make room, or set CLEARSEEK_HOME to a larger disk", {"free_bytes": free})
    return Finding("disk", "ok", what, facts={"free_bytes": free})


def _models(settings: Settings, hash_models: bool) -> Iterator[Finding]:
    from clearseek.hub.store import Store

    store = Store(home() / "models")
    models = store.list()
    if not models:
        way = f"`clearseek serve` and `clearseek chat` fetch it, or now: clearseek models pull {settings.model}"
        yield Finding("models", "note", "none installed", way)
    for model in models:
        yield _model(store, model, settings, hash_models)


def _model(store: Store, model: Model, settings: Settings, hash_models: bool) -> Finding:
    from clearseek.hub.gguf_file import read_header
    from clearseek.inference.llamacpp import plan_for

    name = f"model {model.name}"
    facts: dict[str, Any] = {"model": model.name, "bytes": model.bytes, "sha256": model.sha256, "quant": model.quant}
    size = f"{model.quant}, {model.bytes / 1e6:.0f} MB"
    try:
        if hash_models:
            store.verify(model.name)
            size += ", every byte as recorded"
        plan = plan_for(
            model,
            read_header(model.path),
            context=settings.context,
            slots=settings.slots,
            threads=settings.threads,
        )
    except UserError as error:
        return Finding(name, "bad", str(error), f"clearseek models rm {model.name}, then pull it again", facts)
    facts["plan"] = dataclasses.asdict(plan)
    message = (
        f"would answer {plan.slots} at once, {plan.context:,} tokens of context each ({plan.kv_bytes / 1e6:.0f} MB)"
    )
    return Finding(name, "ok", "\n".join([size, message, *(f"- {why}" for why in plan.why)]), facts=facts)


def _port(settings: Settings) -> Finding:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            what = f"{settings.host} port {settings.port}: {(error.strerror or str(error)).lower()}"
            way = f"ClearSeek may run already, at http://{settings.host}:{settings.port}; or choose another with --port"
            return Finding("port", "warn", what, way, {"port": settings.port, "free": False})
    return Finding("port", "ok", f"{settings.port} is free", facts={"port": settings.port, "free": True})


def _browser() -> Finding:
    browsers = [name for name in BROWSERS if shutil.which(name)]
    if browsers:
        return Finding("browser", "ok", ", ".join(browsers), facts={"browsers": browsers})
    way = "open the printed address in any browser, or talk in the terminal: clearseek chat"
    return Finding("browser", "note", "none found on this machine", way, {"browsers": []})


def _output(*command: str) -> str:
    """What a small program says; nothing if it is not there, fails or takes more than 10 seconds."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
