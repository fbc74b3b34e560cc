# Every target builds the environment it needs: a fresh machine wants Python >= 3.11, make and pip's package index.
#   make demo        train a small network on built-in data, check its symmetry, predict; pictures in demo/
#   make test        the test suite            make lint    format, lint, types
#   make docs        html in docs/_build/html  make bench   speed, gate, agreement with the peer
#   make reproduce   the slow studies and the papers' comparisons, in results/

PYTHON ?= python3
VENV ?= .venv
SCALE ?= small
SEEDS ?= 3
WORKERS ?= 2
RECIPES ?= disco s2cnn needlets gcnn hnets warped compact_groups homogeneous se3 segnn scn

PY := $(VENV)/bin/python
ARMILLARY := $(VENV)/bin/armillary
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help install demo test lint format docs bench reproduce clean

help:
	@sed -n 's/^#   //p' Makefile

# Rebuilt when a dependency changes. torch first, so that its build is settled before anything that depends on it.
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "error: $$($(PYTHON) --version), wanted Python 3.11 or newer: make PYTHON=/path/to/python3.12 ..." >&2; exit 2; }
	@$(PY) -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	@echo "installing armillary and its dependencies into $(VENV) (a few minutes the first time)"
	@$(PY) -m pip install -qq --disable-pip-version-check -c constraints.txt torch
	@$(PY) -m pip install -qq --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

install: $(STAMP)

# Trained on upright digits; then measured, and tried on spheres that were turned at random.
demo: $(STAMP)
	rm -rf demo
	$(ARMILLARY) train --config examples/digits.toml --run demo/digits
	$(ARMILLARY) check demo/digits
	$(PY) examples/write_digits.py demo/new_digits.npz --nlat 32 --count 4
	$(ARMILLARY) predict demo/digits demo/new_digits.npz
	@echo "pictures:" && find demo -name '*.png' | sort

test: $(STAMP)
	$(PY) -m pytest -n $(WORKERS)

lint: $(STAMP)
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .
	$(PY) -m mypy

format: $(STAMP)
	$(PY) -m ruff format .
	$(PY) -m ruff check --fix .

docs: $(STAMP)
	$(PY) -m sphinx -W --keep-going -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

# The first makes the environment of torch-harmonics in build/peer, unless $ARMILLARY_PEER_PYTHON names one.
bench: $(STAMP)
	$(PY) benchmarks/agreement.py
	$(PY) benchmarks/equivariance.py
	$(PY) benchmarks/training_step.py
	$(ARMILLARY) bench
	$(ARMILLARY) bench gate benchmarks/gate.json

reproduce: $(STAMP)
	$(PY) -m pytest -m slow --timeout=3600 || [ $$? -eq 5 ]
	for name in $(RECIPES); do \
	  $(ARMILLARY) reproduce $$name --scale $(SCALE) --seeds $(SEEDS) --out results/$$name || exit 1; done

clean:
	rm -rf demo docs/_build .pytest_cache .mypy_cache .ruff_cache .hypothesis
