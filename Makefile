# Everything runs in .venv, which is made on first use. Needs GNU make and Python 3.11 or newer.
#
#   make demo         install what the demonstration needs and run it
#   make test         the fast tests and the doctests         make test-slow   the others
#   make test-blas    those that rest on linear algebra, with other kernels of BLAS and threads
#   make ui           pages in the browser, with example data
#   make test-ui      their tests, in Chromium
#   make lint         ruff, import-linter, mypy               make format      let ruff rewrite
#   make docs         the documentation, warnings are errors  make bench       the benchmarks
#   make package      wheel and sdist, built, and tried in an environment without anything else
#   make clean        what was built                          make distclean   and .venv
#
# Variables:  PYTHON=python3.12   PYTEST_ARGS="-x -k tiling"   VENV=/elsewhere   DEMO_ARGS=...
#             WORKERS=  to run tests one after another, as --pdb needs

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
CONSTRAINTS ?= requirements/constraints.txt
PIP_ARGS ?=
PYTEST_ARGS ?=
# Tests run beside each other, one thread each.
WORKERS ?= -n logical --maxprocesses=4 --dist worksteal
DEMO_ARGS ?=
UI_ARGS ?=
UI_FOLDER ?= ui-example
BLAS_TESTS := tests/solvers tests/test_laws.py tests/test_sklearn.py tests/estimators/test_regressor.py \
    tests/test_guide.py tests/test_readme.py sk_ednn/solvers sk_ednn/estimators/_regressor.py \
    tests/descriptors tests/atoms/test_potential.py tests/search/test_surrogate.py \
    tests/images/test_count.py tests/images/test_training.py
# The index to look in for a CPU build of torch when the default one has none.
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu

# What each kind of task has installed.
EXTRAS_demo := cli,plot,torch
EXTRAS_test := all,test
EXTRAS_ui := all
EXTRAS_test-ui := all,test,browser
EXTRAS_lint := lint
EXTRAS_docs := all,docs
EXTRAS_bench := all,test

BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install -qq $(PIP_ARGS) -c $(CONSTRAINTS)
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.NOTPARALLEL:
# From the wheel and from the sdist, without the tree: what is not packed is missed here.
PACKAGE_CHECK := from sk_ednn import EDNNRegressor; from sk_ednn.datasets import load_sheets, make_ising; \
    X, y = make_ising(100, (8, 8), random_state=0, return_X_y=True); \
    assert EDNNRegressor().fit(X, y).score(X, y) > 0.9; load_sheets(); print('works')
.PHONY: package
package:
	rm -rf build/package && mkdir -p build/package
	$(PYTHON) -m venv build/package/build
	build/package/build/bin/python -m pip install -qq build
	build/package/build/bin/python -m build -o build/package/dist . >/dev/null
	set -e; for file in build/package/dist/*.whl build/package/dist/*.tar.gz; do \
	    rm -rf build/package/bare; $(PYTHON) -m venv build/package/bare; \
	    build/package/bare/bin/python -m pip install -qq -c $(CONSTRAINTS) $$file; \
	    (cd build/package && bare/bin/python -c "$(PACKAGE_CHECK)"); done

.PHONY: help demo ui test test-ui test-slow test-blas lint format docs bench clean distclean

help:
	@sed -n '/^#/!q; s/^# \{0,1\}//p' Makefile

demo: $(VENV)/.installed-demo
	$(BIN)/sk-ednn demo $(DEMO_ARGS)

ui: $(VENV)/.installed-ui
	$(BIN)/python examples/ui/make_data.py $(UI_FOLDER)/data
	$(BIN)/sk-ednn ui $(UI_FOLDER)/runs --data $(UI_FOLDER)/data $(UI_ARGS)

test: $(VENV)/.installed-test
	$(BIN)/python -m pytest -m "not slow and not browser" $(WORKERS) $(PYTEST_ARGS)

# Screenshots go to UI_SHOTS, if that is set.
test-ui: $(VENV)/.installed-test-ui
	$(BIN)/python -m pytest -m browser tests/ui $(WORKERS) $(PYTEST_ARGS)

test-slow: $(VENV)/.installed-test
	$(BIN)/python -m pytest -m slow --timeout=3600 $(PYTEST_ARGS)

# What hangs on the last bits of sums fails on somebody's processor: old kernels stand for all others,
# and two threads in each process, where the other tests have one, for other groupings of sums.
test-blas: $(VENV)/.installed-test
	OPENBLAS_CORETYPE=Nehalem ATEN_CPU_CAPABILITY=default OMP_NUM_THREADS=2 OPENBLAS_NUM_THREADS=2 \
	    $(BIN)/python -m pytest -m "not slow and not browser" $(BLAS_TESTS) \
	    $(WORKERS) $(PYTEST_ARGS)

lint: $(VENV)/.installed-lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo
	$(BIN)/mypy

format: $(VENV)/.installed-lint
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/.installed-docs
	$(BIN)/python -m sphinx -q -W --keep-going -j auto -b html docs docs/_build/html
	$(BIN)/python docs/check_pages.py docs/_build/html

bench: $(VENV)/.installed-bench
	@set -e; for file in benchmarks/[!_]*.py; do echo "== $$file"; $(BIN)/python "$$file"; done

clean:
	rm -rf build dist *.egg-info docs/_build docs/api/generated docs/auto_examples
	rm -rf .pytest_cache .ruff_cache .mypy_cache .import_linter_cache .hypothesis .coverage htmlcov
	find sk_ednn tests benchmarks examples -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

distclean: clean
	rm -rf $(VENV) .tox

# ---------------------------------------------------------------------------------------- .venv

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "no Python found; say: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	    || { echo "$(PYTHON) is older than 3.11; say: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

# Installed again only when one of these files is newer than the stamp. On Linux the constraints
# name torch's CPU build (PyPI's brings gigabytes of CUDA), so it comes first and by itself: from
# the index pip is set up with if that has it, else from TORCH_INDEX. Then the rest finds it there.
.PRECIOUS: $(VENV)/.installed-%
$(VENV)/.installed-%: pyproject.toml setup.py $(CONSTRAINTS) | $(BIN)/python
	@echo "installing .[$(EXTRAS_$*)] in $(VENV)"
	$(if $(findstring torch,$(subst all,torch,$(EXTRAS_$*))),\
	    @$(INSTALL) torch 2>/dev/null || $(INSTALL) --extra-index-url $(TORCH_INDEX) torch \
	    || { echo "no CPU build of torch to be had; say: make TORCH_INDEX=<an index with one>" >&2; exit 1; })
	@$(INSTALL) -e ".[$(EXTRAS_$*)]"
	@touch $@
