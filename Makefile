.DEFAULT_GOAL := help
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PYTEST := $(BIN)/python -m pytest
READY := $(VENV)/.ready
REQUIREMENTS ?= requirements-dev.txt
COMPOSE := docker compose
# The tests wait more than they work: two for each processor.
WORKERS ?= $(shell expr 2 \* $$(nproc 2>/dev/null || echo 2))
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
  --no-emit-index-url --no-annotate --no-header

.PHONY: help
help: ## Say what there is
	@awk -F ':.*## ' '/^[a-z%-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: test
test: test-sqlite ## Test on SQLite; needs no Docker

.PHONY: test-sqlite
test-sqlite: $(READY) ## Test on one backend
	$(PYTEST) -n $(WORKERS) --testbed-backend sqlite $(EVIDENCE)

.PHONY: test-postgresql
test-postgresql: $(READY) have-engine ## Test on one backend
	$(PYTEST) -n $(WORKERS) --testbed-backend postgresql $(EVIDENCE)

.PHONY: test-mysql
test-mysql: $(READY) have-engine ## Test on one backend
	$(PYTEST) -n $(WORKERS) --testbed-backend mysql $(EVIDENCE)

.PHONY: test-all
test-all: $(READY) have-engine ## Test on all three backends; fetches a Docker engine where none answers
	$(PYTEST) -n $(WORKERS) --dist worksteal --testbed-backend sqlite,postgresql,mysql --junit-xml build/junit.xml --testbed-matrix build/matrix.json --testbed-report build/report

.PHONY: remove-servers
remove-servers: $(READY) ## Remove the servers that --testbed-keep-servers has left
	$(BIN)/python -m flask_sqlalchemy_testbed.servers remove

.PHONY: report
report: $(READY) have-engine ## Put the app through the battery; write build/report/index.html and build/matrix.json
	$(PYTEST) flask_sqlalchemy_testbed/battery --testbed-backend sqlite,postgresql,mysql --testbed-matrix build/matrix.json --testbed-report build/report

.PHONY: merge-reports
merge-reports: $(READY) ## Make one report of those that CI's jobs left in build/jobs
	cp build/jobs/power/power.json build/ 2>/dev/null || true
	$(BIN)/python -m flask_sqlalchemy_testbed.report build/jobs/*/evidence.json --output build/report

.PHONY: power
power: $(READY) have-engine ## Put every wrong binding through the battery: each must be caught (build/power.json)
	$(BIN)/python -m tests.power

.PHONY: power-full
power-full: $(READY) have-engine ## The same, with the checks that stop servers
	$(BIN)/python -m tests.power --full

.PHONY: soak
soak: $(READY) have-engine ## Run the battery 20 times in random order: no false alarm
	$(BIN)/python -m tests.soak

.PHONY: mutants
mutants: $(READY) ## Break app/database in every small way: the tests must notice
	@mkdir -p build
	@rm -rf mutants # What came of them before says nothing of tests that have changed since.
	$(BIN)/python -m mutmut run >build/mutants.log 2>&1 || { tail -20 build/mutants.log; exit 1; }
	$(BIN)/python -m tests.mutants

.PHONY: bench
bench: $(VENV)/.bench have-engine ## Time everything against what could be used instead; write build/bench.json and docs/bench
	$(PYTEST) --quiet tests/bench
	$(BIN)/python -m bench

.PHONY: test-stack
test-stack: $(VENV)/.stack have-engine ## Test what docker compose up starts
	$(PYTEST) tests/stack

.PHONY: test-browser
test-browser: $(VENV)/.stack have-engine ## Try its page as a person would, in a real browser
	$(PYTEST) tests/browser

.PHONY: conformance
conformance: $(READY) have-engine ## Run the battery on other bindings and apps; write docs/conformance.md
	$(BIN)/python -m tests.conformance

.PHONY: conformance-short
conformance-short: $(READY) ## Run the battery on other bindings, on SQLite: fail if an outcome is not the expected one
	$(BIN)/python -m tests.conformance --peers --backend sqlite

.PHONY: run
run: $(READY) ## Serve the ledger on SQLite alone at http://localhost:8000; needs no Docker
	TRIAL_BACKENDS=sqlite exec $(BIN)/python -m trials

.PHONY: up
up: have-engine ## Serve it on all three backends at http://localhost:8000
	$(COMPOSE) up --build --wait

.PHONY: down
down: ## Stop what up started; the data stays
	$(COMPOSE) down

.PHONY: engine
engine: ## Install and start a Docker engine, and build the images that cannot be pulled (Debian, as root)
	docker/debian/engine

.PHONY: have-engine
have-engine:
	@test -n "$(TESTBED_POSTGRESQL_URI)" -a -n "$(TESTBED_MYSQL_URI)" || docker info >/dev/null 2>&1 || \
	  { echo "No Docker engine answers; make engine fetches one (ENGINE=no refuses)."; $(MAKE) engine; }

.PHONY: lint
lint: $(READY) $(VENV)/.bench $(VENV)/.stack ## Check style, types, Dockerfiles, shell scripts, workflows and compose.yaml
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/hadolint docker/*/Dockerfile docker/debian/*/Dockerfile
	$(BIN)/shellcheck -x .ci/run $$(grep -lrE '^(#!.*sh$$|# shellcheck shell=)' docker)
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec compose.yaml
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml

.PHONY: lock
lock: $(READY) ## Choose the versions in requirements*.txt anew
	$(LOCK) --upgrade --group app -o requirements.txt
	$(LOCK) --upgrade --group lint -o requirements-dev.txt
	$(LOCK) --resolution lowest-direct --group test -o requirements-lowest.txt
	$(LOCK) --upgrade -c requirements-dev.txt --group bench -o requirements-bench.txt
	$(LOCK) --upgrade -c requirements-dev.txt --group stack -o requirements-stack.txt

# The environment that all of the above run in, made anew when what it holds is said to change.
$(READY): $(REQUIREMENTS) pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; name one: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(REQUIREMENTS)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

# What a few commands need besides.
$(VENV)/.%: requirements-%.txt $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@
