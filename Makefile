# Every target sets up what it needs in .venv; nothing else on the machine is touched.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
# bytecode is compiled once at setup, so that the first start of the service is as fast as the second
SYNC   := --python $(BIN)/python --require-hashes --compile-bytecode

.DEFAULT_GOAL := help
.PHONY: help setup demo bundle compiled test slow attack lint docs check soak format lock clean

help:
	@echo "make demo    set up, then watch a simulated microscope being analysed (ends by itself)"
	@echo "make test    set up, then run the tests"
	@echo "make setup   set up only: .venv/bin/temwatch is then ready"
	@echo "make slow    the tests that go into depth: many kills, many examples, benchmark, long trainings"
	@echo "make attack  one service, odd entries of every kind, kills and a memory limit; ends with a table"
	@echo "make check   lint, types, import rules, documentation and all tests, the slow ones included"
	@echo "make docs    the documentation as a site, in build/site"
	@echo "make soak    long runs (hours); not part of the tests"
	@echo "make format  format the code"
	@echo "make bundle  everything that a machine without a network needs, in build/bundle"
	@echo "make lock    resolve both locks anew (requirements.lock, requirements-dev.lock)"

setup: $(VENV)/ready

# what the service needs, with all extras; hatchling and editables, with which temwatch itself is built, are pinned too
$(VENV)/ready: requirements.lock pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@test -x $(BIN)/uv || { command -v uv >/dev/null && ln -s "$$(command -v uv)" $(BIN)/uv; } || $(BIN)/python -m pip install --quiet uv
	@echo "installing the pinned packages into $(VENV) (torch alone is several GB) ..."
	@$(BIN)/uv pip install --quiet $(SYNC) -r requirements.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --build-constraints requirements-dev.lock --editable .
	@touch $@

# what tests, linters and the documentation need besides
$(VENV)/ready-dev: requirements-dev.lock $(VENV)/ready
	@echo "installing the development tools into $(VENV) ..."
	@$(BIN)/uv pip install --quiet $(SYNC) -r requirements-dev.lock
	@touch $@

demo: setup
	@$(BIN)/temwatch demo

# compiled once here instead of by every test process at once, where tests/conftest.py looks for it, by two
# processes: the methods share little of what takes long. The code of older sources is thrown away
WARM_UP := import sys; from pathlib import Path; from temwatch import compiled_code; \
           compiled_code.keep_in(Path(sys.prefix)); \
           from temwatch.analysis import pipeline; pipeline.warm_up(sys.argv[1:])
$(VENV)/numba/ready: requirements.lock $(shell find service/temwatch/analysis -name '*.py') | $(VENV)/ready
	@echo "compiling the separation (a minute or two, once) ..."
	@rm -rf $(VENV)/numba
	@printf 'contour\nuecs watershed none\n' | xargs -P 2 -L 1 $(BIN)/python -c "$(WARM_UP)"
	@mkdir -p $(VENV)/numba && touch $@

compiled: $(VENV)/numba/ready

# every pytest process would otherwise rewrite the assertions of every test file anew
unexport PYTHONDONTWRITEBYTECODE
# some tests wait for a service, so that four at a time keep two cores busy; each more loads all code again.
# Whole files: what a file makes once is then made once. tests/conftest.py has the order
WORKERS := -n 4 --dist loadfile --no-loadscope-reorder
# hypothesis tries the same examples each time here, so that a change fails by what it did; `slow`, `soak` and
# pytest by hand search on
test: $(VENV)/ready-dev compiled
	@$(BIN)/python -m pytest $(WORKERS) --hypothesis-profile=ci

# of those files only that have such tests: every test process loads all that its files import
slow: $(VENV)/ready-dev compiled
	@$(BIN)/python -m pytest $(WORKERS) -m slow $(shell grep -lE 'mark\.slow' tests/test_*.py)

attack: $(VENV)/ready-dev compiled
	@PYTHONPATH=tests $(BIN)/python tests/attack.py

lint: $(VENV)/ready-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# NO_MKDOCS_2_WARNING: the theme advertises its successor
docs: $(VENV)/ready-dev
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict --config-file docs/site/mkdocs.yml

check: lint docs test slow

soak: $(VENV)/ready-dev compiled
	$(BIN)/python -m pytest -m soak --timeout 100000

format: $(VENV)/ready-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# --no-emit-index-url: a lock must not depend on where somebody happens to get packages from
COMPILE := uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
           --no-emit-index-url --no-annotate --no-header

lock:
	$(BIN)/$(COMPILE) pyproject.toml --all-extras --output-file requirements.lock
	$(BIN)/$(COMPILE) --group pyproject.toml:dev --constraints requirements.lock --output-file requirements-dev.lock

# for a machine without a network, of the same kind as this one: build/bundle
bundle: $(VENV)/ready-dev
	@rm -rf build/bundle && mkdir -p build/bundle
	@$(BIN)/python -m hatchling build -t wheel -d build
	@PYTHON=$(BIN)/python sh deploy/bundle.sh requirements.lock "$$(ls -t build/temwatch-*.whl | head -n 1)" build/bundle
	@echo "build/bundle is complete: copy it, then run install.sh in it as root"

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
