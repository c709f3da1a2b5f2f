.DEFAULT_GOAL := help
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PYTEST := $(BIN)/python -m pytest
READY := $(VENV)/.ready
REQUIREMENTS ?= requirements-dev.txt
# The environment of `make run`: a small one, unless that of the tests exists.
TRIAL := $(VENV)$(if $(wildcard $(READY)),,-run)
ALL := sqlite,postgresql,mysql
EVERY := $(ALL),mariadb
BACKENDS ?= $(ALL)
# Those of the databases that Debian has, too: docs/servers.md.
VERSIONS ?= postgresql:15 postgresql:17 postgresql:18 mariadb:10.11 mariadb:11.8
COMPOSE := docker compose
# The tests start hundreds of interpreters: without compiled files, each compiles all modules again.
unexport PYTHONDONTWRITEBYTECODE
# The tests wait more than they compute: three workers for each processor.
WORKERS ?= $(shell expr 3 \* $$(nproc 2>/dev/null || echo 2))
INSTALL := -m pip install --disable-pip-version-check
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
  --no-emit-index-url --no-emit-find-links --no-annotate --no-header --upgrade
# How often each test of `make test-failover` lets a primary fail; it writes the figures of ten rounds alone.
ROUNDS ?= 10
# The versions of `make test-development`; any argument of pip install will do.
DEVELOPMENT ?= https://github.com/pallets/flask/archive/refs/heads/main.tar.gz \
  https://github.com/sqlalchemy/sqlalchemy/archive/refs/heads/main.tar.gz
# `--baseline` makes a command fail only on checks that this app is not known to fail.
TRY_POLLS := polls --baseline testbed-baseline.json --report $(CURDIR)/build/polls --backend

.PHONY: help
help: ## List the commands
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: test
test: test-sqlite ## Run the tests, or the TESTS named, on SQLite; needs no Docker

.PHONY: test-all
test-all: $(READY) have-engine ## Run all tests, or the TESTS named, on all three backends; on Debian, installs Docker if it is missing
	$(PYTEST) -n $(WORKERS) --dist worksteal --testbed-backend $(ALL) --junit-xml build/junit.xml --testbed-matrix build/matrix.json --testbed-report build/report $(TESTS)

.PHONY: test-sqlite
test-sqlite: $(READY) ## Run the tests on SQLite
	$(PYTEST) -n $(WORKERS) --testbed-backend sqlite $(EVIDENCE) $(TESTS)

.PHONY: test-postgresql
test-postgresql: $(READY) have-engine ## Run the tests on PostgreSQL
	$(PYTEST) -n $(WORKERS) --testbed-backend postgresql $(EVIDENCE)

.PHONY: test-mysql
test-mysql: $(READY) have-engine ## Run the tests on MySQL
	$(PYTEST) -n $(WORKERS) --testbed-backend mysql $(EVIDENCE)

.PHONY: test-pooler
test-pooler: $(READY) have-pgbouncer ## Test the binding, the ledger and the battery on PostgreSQL behind PgBouncer
	$(PYTEST) -n $(WORKERS) --testbed-backend postgresql --testbed-pooler pgbouncer --testbed-config app/config/pooler/postgresql.cfg \
	  tests/pooler tests/binding tests/ledger tests/harness/test_leaks.py flask_sqlalchemy_testbed/battery $(EVIDENCE)

.PHONY: test-mariadb
test-mariadb: $(READY) have-mariadb ## Run the tests on MariaDB, or the TESTS named
	$(PYTEST) -n $(WORKERS) --testbed-backend mariadb $(EVIDENCE) $(TESTS)

.PHONY: test-every
test-every: $(READY) have-mariadb ## Run the tests on all backends, MariaDB too, then test-versions on the other versions
	$(PYTEST) -n $(WORKERS) --dist worksteal --testbed-backend $(EVERY)
	$(MAKE) test-versions VERSIONS="$(filter-out %:18 %:11.8,$(VERSIONS))"

.PHONY: test-versions
test-versions: $(READY) ## Test the binding, the ledger and the battery on all VERSIONS; write build/versions/index.html
	@docker/preflight engine
	$(BIN)/python -m tests.versions --workers $(WORKERS) $(VERSIONS)

.PHONY: test-lowest
# Tests of messages for mistakes, and of the changes that reports propose, depend on no version.
test-lowest: $(VENV)-lowest/.ready have-engine ## Run the harness's tests, and the battery on one app, with the lowest versions
	$(VENV)-lowest/bin/python -m pytest -n $(WORKERS) --testbed-backend $(BACKENDS) -m "not bad_day" tests/harness \
	  --ignore tests/harness/test_remedies.py
	cd tests/applications/polls && $(CURDIR)/$(VENV)-lowest/bin/flask-sqlalchemy-testbed $(TRY_POLLS) $(BACKENDS)

.PHONY: test-psycopg3
test-psycopg3: $(VENV)-psycopg3/.ready have-engine ## Test the binding, the ledger and the battery with psycopg 3 alone
	$(VENV)-psycopg3/bin/python -m pytest -n $(WORKERS) --testbed-backend postgresql tests/binding tests/ledger \
	  flask_sqlalchemy_testbed/battery

.PHONY: test-development
test-development: $(VENV)-development/.ready ## Run the tests on SQLite with unreleased versions of Flask and SQLAlchemy
	$(VENV)-development/bin/python -m pytest -n $(WORKERS) --testbed-backend sqlite -W default

.PHONY: test-podman
test-podman: ## Run the tests on PostgreSQL and MySQL with Podman in place of Docker
	@TESTS_OF_BACKENDS=1 docker/with-podman $(MAKE) test-postgresql test-mysql

.PHONY: test-wheel
test-wheel: dist ## Install the wheel into an empty environment and run the battery on one app
	$(PYTHON) -m venv --clear build/wheel
	build/wheel/bin/python $(INSTALL) --quiet "$$(ls dist/*.whl)[all]"
	cd tests/applications/polls && $(CURDIR)/build/wheel/bin/flask-sqlalchemy-testbed $(TRY_POLLS) sqlite

.PHONY: test-stack
test-stack: $(VENV)/.stack have-mariadb have-haproxy ## Test the composed stack: hardening, recovery, crashes, the API
	$(PYTEST) tests/stack

.PHONY: test-failover
test-failover: $(READY) have-mariadb have-haproxy ## Kill and demote primaries under load, ten times each; write docs/failover.md
	$(PYTEST) tests/failover --rounds $(ROUNDS) $(if $(filter 10,$(ROUNDS)),--figures docs/failover.md) $(TESTS)

.PHONY: test-browser
test-browser: $(VENV)/.stack have-mariadb have-haproxy ## Test the page of the trial in Chromium
	$(PYTEST) tests/browser

.PHONY: report
report: $(READY) have-engine ## Run the battery on app/ and write build/report/index.html
	$(PYTEST) flask_sqlalchemy_testbed/battery --testbed-backend $(ALL) --testbed-matrix build/matrix.json --testbed-report build/report

.PHONY: merge-reports
merge-reports: $(READY) ## Merge the reports of CI's jobs in build/jobs
	cp build/jobs/power/power.json build/ 2>/dev/null || true
	$(BIN)/python -m flask_sqlalchemy_testbed.report build/jobs/*/evidence.json --output build/report

.PHONY: power
power: $(READY) have-engine ## Run the battery on every wrong binding: a check must catch each (build/power.json)
	$(BIN)/python -m tests.power

.PHONY: power-full
power-full: $(READY) have-engine ## Run `make power` with the checks that stop servers too
	$(BIN)/python -m tests.power --full

.PHONY: soak
soak: $(READY) have-engine ## Run the battery 20 times in random order: no check may fail by accident
	$(BIN)/python -m tests.soak

.PHONY: mutants
mutants: $(READY) ## Change the binding in every small way: a test must notice each change
	rm -rf mutants && mkdir -p build # an earlier run tested other tests
	$(BIN)/python -m mutmut run >build/mutants.log 2>&1 || { tail -20 build/mutants.log; exit 1; }
	$(BIN)/python -m tests.mutants

.PHONY: bench
bench: $(VENV)/.bench have-engine ## Measure the speed beside the alternatives; write build/bench.json and docs/bench
	$(PYTEST) --quiet tests/bench
	$(BIN)/python -m bench

.PHONY: test-coexistence
test-coexistence: $(READY) ## Test the plugin beside other plugins, and in a project with names like its own
	$(PYTEST) tests/coexistence

.PHONY: conformance
conformance: $(READY) have-mariadb ## Run the battery on other bindings and apps; write docs/conformance.md
	$(BIN)/python -m tests.conformance

.PHONY: conformance-short
conformance-short: $(READY) ## Run the battery on other bindings, on SQLite: fail if an outcome is not the expected one
	$(BIN)/python -m tests.conformance --peers --backend sqlite

.PHONY: checks-page
checks-page: $(READY) ## Write docs/checks.md, the description of each check
	$(BIN)/python -m tests.checks_page

.PHONY: applications
applications: $(READY) have-engine ## Run the battery on public applications; needs a network; write docs/applications.md
	$(BIN)/python -m tests.public $(APPLICATIONS)

.PHONY: run
run: $(TRIAL)/.ready ## Serve the trial on SQLite at http://localhost:8000; needs no Docker
	TRIAL_BACKENDS=sqlite exec $(TRIAL)/bin/python -m trials

.PHONY: up
up: ## Serve the trial on all three backends at http://localhost:8000
	@docker/preflight stack
	$(COMPOSE) up --build --wait

.PHONY: down
down: ## Stop the services of `make up`; the data stays
	$(COMPOSE) --profile '*' down

.PHONY: remove-servers
remove-servers: $(READY) ## End all servers that linger, also those of other projects
	$(BIN)/python -m flask_sqlalchemy_testbed.servers remove

.PHONY: engine
engine: ## Install and start a Docker engine and build the images, without a registry (Debian, as root)
	docker/debian/engine $(IMAGES)

.PHONY: have-engine
have-engine:
	@test -n "$(TESTBED_POSTGRESQL_URI)" -a -n "$(TESTBED_MYSQL_URI)" || docker/preflight engine

.PHONY: have-pgbouncer
have-pgbouncer: have-engine
	@docker/debian/images pgbouncer

.PHONY: have-haproxy
have-haproxy: have-engine
	@docker/debian/images haproxy

.PHONY: have-mariadb
have-mariadb: have-engine
	@test -n "$(TESTBED_MARIADB_URI)" || docker/debian/images mariadb

.PHONY: lint
lint: $(READY) $(VENV)/.bench $(VENV)/.stack ## Check style, types, Dockerfiles, shell scripts, workflows and compose.yaml
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/hadolint docker/*/Dockerfile docker/debian/*/Dockerfile
	$(BIN)/shellcheck -x .ci/run $$(grep -lrE '^(#!.*sh$$|# shellcheck shell=)' docker flask_sqlalchemy_testbed/servers)
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec compose.yaml
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.github-issue-forms .github/ISSUE_TEMPLATE/*.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.dependabot .github/dependabot.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.github-actions action.yml
	$(BIN)/zizmor --offline --quiet .github action.yml

.PHONY: dist
dist: $(READY) ## Build the wheel and the source archive in dist/
	rm -rf dist && $(BIN)/python -m build --no-isolation

.PHONY: check-version
check-version: ## Check that VERSION is the version of pyproject.toml and has a section in CHANGES.md
	grep -qx 'version = "$(VERSION)"' pyproject.toml && grep -q '^## $(VERSION)' CHANGES.md

.PHONY: lock
lock: $(READY) ## Update the versions in requirements*.txt
	$(LOCK) --group app -o requirements.txt
	$(LOCK) --group lint -o requirements-dev.txt
	$(LOCK) --resolution lowest-direct --extra all --group lowest pyproject.toml -o requirements-lowest.txt
	$(LOCK) -c requirements-dev.txt --group psycopg3 -o requirements-psycopg3.txt
	$(LOCK) -c requirements-dev.txt --group bench -o requirements-bench.txt
	$(LOCK) -c requirements-dev.txt --group stack -o requirements-stack.txt

# Each environment is made again after a change of its requirements, and if it does not run any more.
# A lock is complete, so pip resolves nothing.
define environment
@$(PYTHON) -c 'import ssl, sys; sys.exit(sys.version_info < (3, 11))' || \
  { echo "$(PYTHON) is missing, older than 3.11, or has no ssl. Name another Python: make PYTHON=python3.12 ..."; exit 1; }
@test -e $(@D)/.made-by-make -o -e $(@D)/.ready -o ! -e $(@D) || \
  { echo "Make did not create $(@D), so it does not change it. Name another folder: make VENV=.venv-testbed ..."; exit 1; }
@echo "Installing the packages of $< into $(@D). This takes about a minute."
$(if $(filter FORCE,$^),rm -rf $(@D))
@mkdir -p $(@D) && touch $(@D)/.made-by-make
$(PYTHON) -m venv $(@D)
$(call install,$(@D)/bin/python,$<)
$(if $(1),$(@D)/bin/python $(INSTALL) --quiet --no-deps --no-build-isolation $(1))
endef

# FORCE if the environment $(1) exists and does not run, or is not of the PYTHON that the caller names.
VERSION_OF := -c 'import ssl, sys; print(sys.version, sys.base_prefix)'
NAMED := $(if $(filter command environment,$(firstword $(origin PYTHON))),$(PYTHON))
stale = $(shell test ! -e $(1)/.ready || { found=$$($(1)/bin/python $(VERSION_OF) 2>/dev/null) && \
  { test -z "$(NAMED)" || test "$$found" = "$$($(NAMED) $(VERSION_OF))"; }; } || echo FORCE)

# Install the requirements $(2) with the Python $(1), and show how far pip is.
define install
@{ $(1) -u $(INSTALL) --no-deps --require-hashes -r $(2) || echo "status $$?"; } | awk -v all="$$(grep -c == $(2))" \
  '/^status /{status = $$2} /^(Collecting|Processing) /&&!(++n % 20){print "  " n " of about " all " packages"; fflush()} \
  /^Installing /{print "  unpacking them"; fflush()} END{exit status}'
endef

.PHONY: FORCE
FORCE:

$(READY): $(REQUIREMENTS) pyproject.toml $(call stale,$(VENV))
	$(call environment,--editable .)
	@touch $@

# The trial imports the packages of the clone.
$(VENV)-run/.ready: requirements.txt $(call stale,$(VENV)-run)
	$(call environment)
	@touch $@

# This one has the wheel, as users have it.
$(VENV)-lowest/.ready: requirements-lowest.txt pyproject.toml $(call stale,$(VENV)-lowest)
	$(call environment,.)
	@touch $@

$(VENV)-psycopg3/.ready: requirements-psycopg3.txt pyproject.toml $(call stale,$(VENV)-psycopg3)
	$(call environment,--editable .)
	@touch $@

$(VENV)-development/.ready: $(REQUIREMENTS) pyproject.toml $(call stale,$(VENV)-development)
	$(call environment,--editable .)
	$(@D)/bin/python $(INSTALL) --quiet --upgrade --pre $(DEVELOPMENT)
	@touch $@

# Packages that only some commands need, in the same environment.
$(VENV)/.%: requirements-%.txt $(READY)
	$(call install,$(BIN)/python,$<)
	@touch $@
