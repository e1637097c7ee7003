# Everything starts from here; `make demo` and `make test` need Python 3.11+ and nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test prove lint proto plugin cluster bench interop clean

$(READY): pyproject.toml
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), "cherche needs Python 3.11 or later: make PYTHON=python3.12"'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --editable . --group dev
	touch $@

demo: $(READY)
	$(BIN)/cherche demo

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: lint
	$(BIN)/python -m pytest

proto: $(READY)
	$(BIN)/python -m sidecar.rpc.generate

# The zip lands in opensearch/plugin/target; another engine: make plugin OPENSEARCH_VERSION=3.7.0
OPENSEARCH_VERSION ?= 3.8.0
plugin: $(READY)
	JAVA_HOME="$$($(BIN)/python -c 'import os; from sidecar.cluster.places import java_home; print(java_home(os.environ))')" \
	mvn -B -q -ntp -f opensearch/plugin/pom.xml -Dopensearch.version=$(OPENSEARCH_VERSION) clean package

cluster: $(READY)
	$(BIN)/cherche cluster up

bench: $(READY)
	$(BIN)/python -m tests.benchmarks

prove: $(READY)
	$(BIN)/python -m tests.benchmarks.prove

interop: $(READY)
	$(BIN)/python -m tests.contract.interop

clean:
	rm -rf $(VENV) build dist
