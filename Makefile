# CryptoScalp AI. `make run` and `make test` do all the set-up; the second time they are quick.

PY := $(firstword $(foreach v,3.11 3.12 3.13 3,$(shell python$(v) -c 'import sys; sys.exit(not (3,11) <= sys.version_info[:2] <= (3,13))' 2>/dev/null && echo python$(v))))
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
LOCKED := $(VENV)/.locked
TRITON := nvidia-pytriton==0.7.0
PEERS := bench/.venv/.ready
HFTBACKTEST := hftbacktest==2.4.4
SIDE_BY_SIDE := -n 2 --dist loadfile  # most tests wait for processes of theirs; those of a file share servers
PIP := $(BIN)/python -m pip --disable-pip-version-check

export PIP_NO_INPUT := 1

.PHONY: help run check test test-fast up bench peers clean lock setup

help:  ## what there is
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: $(READY)  ## the virtual environment, from the lock

$(LOCKED): requirements.lock
	@test -n "$(PY)" || { echo "Python 3.11, 3.12 or 3.13 is needed and none was found on the PATH."; exit 1; }
	@test -x $(BIN)/python || $(PY) -m venv $(VENV) || { echo "python -m venv failed: on Debian, 'apt-get install python3-venv' mends it."; exit 1; }
	@echo "Installing what requirements.lock names (a few minutes the first time) ..."
	@$(PIP) install -q -r requirements.lock
	@# The wheel declares numpy<2, but only its binaries are used: no dependencies, and no failure where there is no wheel.
	@$(PIP) install -q --no-deps "$(TRITON)" || echo "No Triton for this platform: models will be served in-process."
	@touch $@

$(READY): $(LOCKED) pyproject.toml
	@$(PIP) install -q --no-deps --no-build-isolation -e . || $(PIP) install -q --no-deps -e .
	@touch $@

run: $(READY)  ## the main job: market data in, a served model and a report out
	@$(BIN)/scalp run $(ARGS)

check: $(READY)  ## style, types, layers
	@$(BIN)/ruff format --check -q . && $(BIN)/ruff check -q . && echo "ruff: clean"
	@$(BIN)/pyright
	@$(BIN)/lint-imports

test: $(READY)  ## all tests but those that need a GPU or the internet
	@$(BIN)/python -m pytest -m "not gpu and not net" $(SIDE_BY_SIDE) $(ARGS)

test-fast: $(READY)  ## tests that start no server
	@$(BIN)/python -m pytest -q -m "not gpu and not net and not server" $(SIDE_BY_SIDE) $(ARGS)

bench: $(READY) $(PEERS)  ## ours beside the peers, on this machine (about 20 minutes; ARGS="features fills" for some)
	@$(BIN)/scalp bench --peers $(ARGS)

peers: $(PEERS)  ## the environment of the peers, without running anything

$(PEERS): bench/requirements.txt
	@test -x bench/.venv/bin/python || $(PY) -m venv bench/.venv
	@echo "Installing the peers that bench/requirements.txt names (some minutes the first time) ..."
	@bench/.venv/bin/python -m pip --disable-pip-version-check install -q -r bench/requirements.txt
	@# It declares numpy<2.3, which vectorbt cannot have; its extension works with a newer one.
	@bench/.venv/bin/python -m pip --disable-pip-version-check install -q --no-deps "$(HFTBACKTEST)"
	@touch $@

up: $(READY)  ## everything in one terminal, until Ctrl-C (ARGS="--only server,pool,worker" for some)
	@$(BIN)/scalp up $(ARGS)

lock: $(READY)  ## write requirements.lock from what is installed
	@{ echo "# Exact versions for Python 3.11 on Linux; made by 'make lock'. nvidia-pytriton is installed in a second step (see Makefile)."; \
	  $(PIP) freeze --exclude-editable | grep -viE '^(nvidia-pytriton|cryptoscalp|-e |pip|setuptools)' | sed 's/+cpu//; s/ @ file.*//'; } > requirements.lock.new
	@mv requirements.lock.new requirements.lock

clean:  ## what was built and made, the data folder aside
	@rm -rf $(VENV) bench/.venv .pytest_cache .ruff_cache .hypothesis *.egg-info
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
