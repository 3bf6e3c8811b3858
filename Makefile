# `make setup` builds .venv with the pinned versions; everything else builds on it.
PYTHON ?= python3
BIN := .venv/bin
DATA ?= ../shared/data
# Processes that run tests; each imports torch and computes in one thread.
TEST_PROCESSES ?= 2
# A module is compiled where it is first imported, and the result kept: compiling all of torch and Ray takes minutes.
unexport PYTHONDONTWRITEBYTECODE

PACKAGES := -c requirements.lock -e ".[offline,loralib,hub,bench,onnx,dev]"
# uv installs in seconds what takes pip minutes. Where it cannot, as behind a mirror of which only pip's settings tell, pip does.
PIP := $(BIN)/python -m pip --disable-pip-version-check -q

.PHONY: help setup quickstart test check lock clean

help:  ## Say what each target does
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

setup: .venv/.complete  ## Build the environment in .venv, at the versions of requirements.lock

.venv/.complete: pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; $$($(PYTHON) --version) found. Try: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(PIP) install -c requirements.lock uv
	UV_FIND_LINKS="$${PIP_FIND_LINKS-$$($(BIN)/python -m pip config get global.find-links 2>/dev/null)}" \
		$(BIN)/uv pip install -q --python $(BIN)/python $(PACKAGES) || $(PIP) install $(PACKAGES)
	@touch $@

quickstart: setup  ## Run a real sweep on this machine's CPU and print where its report is
	$(BIN)/python -m mtbert_ray.sweep search_spaces/quickstart.yaml

test: setup  ## Run every test that this machine can run
	$(BIN)/python -m pytest -n $(TEST_PROCESSES) --dist loadscope --no-loadscope-reorder

check: setup  ## Formatter, linter, type checker, import contract
	PATH="$(CURDIR)/$(BIN):$$PATH" scripts/check

lock: setup  ## Write the versions of .venv into requirements.lock
	scripts/lock $(BIN)/python

clean:  ## Remove the environment and the caches of the tools
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
