# The thin front door: what to type, in which order things are set up. All work is done elsewhere.

MAKEFLAGS += --no-print-directory
SHELL := /bin/sh

VENV := .venv
IMAGEBUILDER := $(VENV)/bin/imagebuilder
ARGS ?=

# Shell files carry a first line that says so; templates (.j2) are no shell yet, and a tree of 2015 is what it is.
SHELL_FOLDERS := $(wildcard .ci packaging src images tests benchmarks)
SHELL_FILES = $(shell grep -rlIE --exclude='*.py' --exclude='*.md' --exclude='*.j2' --exclude-dir=tree_2015 \
	'^(\#!.*[/ ](sh|ash|dash|bash)$$|\# shellcheck shell=)' $(SHELL_FOLDERS))

.PHONY: help
help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: images
images: setup ## set up if needed, then build images/all.yml into builds/ (ARGS=... for more)
	$(IMAGEBUILDER) build images/all.yml $(ARGS)

.PHONY: test
test: setup-test ## set up if needed, then run every test (ARGS=... for pytest)
	$(VENV)/bin/pytest $(ARGS)

.PHONY: fuzz
fuzz: setup-test ## look for five minutes for archives and changes of layers that we do not understand
	IMAGEBUILDER_TEST_FUZZ=60000 IMAGEBUILDER_TEST_SEQUENCES=1500 $(VENV)/bin/pytest -o timeout=0 \
		tests/unit/steps/test_cpio.py::test_mangled_archive_is_read_or_refused_and_nothing_else \
		tests/unit/steps/test_unpack.py::test_mangled_artifact_is_read_or_the_users_error_and_nothing_else \
		tests/root/steps/test_layer_properties.py $(ARGS)

.PHONY: check
check: setup-test ## format, lint, types, import contracts, shell files, house rules
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports --no-logo
	shellcheck --external-sources $(SHELL_FILES)
	$(VENV)/bin/pytest tests/house/test_house_rules.py

.PHONY: format
format: setup-test ## write the format that `make check` asks for
	$(VENV)/bin/ruff check --select I --fix .
	$(VENV)/bin/ruff format .

.PHONY: bench
bench: setup-test ## measure what benchmarks/ claims
	$(VENV)/bin/python -m compileall -q src
	for script in benchmarks/*.py; do $(VENV)/bin/python "$$script" || exit 1; done

.PHONY: setup
setup: debian-build $(VENV)/.runtime ## install what building needs: Debian packages, virtual environment

.PHONY: setup-test
setup-test: debian-test $(VENV)/.development ## the same and what tests need

# No stamps here: packages come and go behind our back, and asking dpkg takes no time.
.PHONY: debian-build debian-test
debian-build:
	@packaging/install-debian-packages packaging/apt-build.txt
debian-test:
	@packaging/install-debian-packages $(wildcard packaging/apt-*.txt)

# One environment for both: the development lock holds the runtime lock's versions and more.
$(VENV)/.runtime: requirements.lock pyproject.toml | debian-build
	packaging/make-virtual-environment $(VENV) requirements.lock
	@touch $@
$(VENV)/.development: requirements-dev.lock requirements.lock pyproject.toml | debian-test
	packaging/make-virtual-environment $(VENV) requirements-dev.lock
	@touch $@ $(VENV)/.runtime

# uv writes locks that hold for every Python and platform; it is not needed otherwise.
UV := uv==0.13.9
LOCK = $(VENV)/lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-config --no-emit-index-url --no-emit-find-links --custom-compile-command 'make lock' pyproject.toml

.PHONY: lock
lock: setup-test ## renew requirements*.lock after a change in pyproject.toml (ARGS=--upgrade for new versions)
	$(VENV)/bin/python -m venv $(VENV)/lock
	$(VENV)/lock/bin/pip install --quiet '$(UV)'
	$(LOCK) $(ARGS) --group backend --output-file requirements.lock
	$(LOCK) $(ARGS) --group backend --group dev --constraint requirements.lock --output-file requirements-dev.lock

.PHONY: clean
clean: ## remove what make and the tools made; built images stay in builds/
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis dist
