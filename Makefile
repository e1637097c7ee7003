# Everything starts from here; `make demo` and `make test` need Python 3.11+ and nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test prove lint proto plugin cluster bench dist docs interop chart ray arm gpu axe pictures clean

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

# Optional: without a C compiler MaxSim is numpy's and queries are torch's; tests of the kernel are skipped.
KERNEL := cherche_models/kernel/kernel.so
$(KERNEL): $(wildcard cherche_models/kernel/*.[ch]) cherche_models/kernel/build.py $(READY)
	-$(BIN)/python -m cherche_models.kernel.build

# In so many processes; 0 for one that a debugger can stop.
WORKERS ?= 2
test: lint $(KERNEL)
	$(BIN)/python -m pytest -n $(WORKERS)

proto: $(READY)
	$(BIN)/python -m sidecar.rpc.generate

# The zip lands in opensearch/plugin/target; another engine: make plugin OPENSEARCH_VERSION=3.7.0
OPENSEARCH_VERSION ?= 3.8.0
plugin: $(READY)
	JAVA_HOME="$$($(BIN)/python -c 'import os; from sidecar.cluster.places import java_home; print(java_home(os.environ))')" \
	mvn -B -q -ntp -f opensearch/plugin/pom.xml -Dopensearch.version=$(OPENSEARCH_VERSION) clean package

# Wheel, sdist, plugin zips, lists of components and SHA256SUMS, in dist/: make dist OPENSEARCH_VERSIONS="3.7.0 3.8.0"
dist: $(READY)
	$(BIN)/python -m tests.release $(OPENSEARCH_VERSIONS)

# The documentation as a site that needs no network: build/docs/index.html
docs: $(READY)
	$(BIN)/python -m tests.site build/docs

cluster: $(READY)
	$(BIN)/cherche cluster up

bench: $(READY) $(KERNEL)
	$(BIN)/python -m tests.benchmarks

# One section alone, in minutes: make prove SECTION=fuzz
prove: $(READY)
	$(BIN)/python -m tests.benchmarks.prove $(SECTION)

interop: $(READY)
	$(BIN)/python -m tests.contract.interop
	$(BIN)/python -m tests.contract.interop_exports
	$(BIN)/python -m tests.contract.interop_clients
	$(BIN)/python -m tests.contract.interop_short_list
	$(BIN)/python -m tests.contract.interop_stubs
	$(BIN)/python -m tests.contract.interop_adapters

# Lints and renders the chart with helm itself, which Go builds once where it is not installed.
HELM_VERSION ?= v3.19.4
chart: $(READY)
	command -v helm >/dev/null || { \
	cache="$$($(BIN)/python -c 'import os, pathlib; from sidecar.cluster.places import cache_folder; \
	print(cache_folder(os.environ, root=os.geteuid() == 0, home=pathlib.Path.home()))')"; \
	test -x "$$cache/bin/helm" || GOBIN="$$cache/bin" go install helm.sh/helm/v3/cmd/helm@$(HELM_VERSION); }
	CHERCHE_REQUIRE=helm $(BIN)/python -m pytest tests/contract/test_chart.py

# Ray takes 240 MB, so that only this installs it.
ray: $(READY)
	$(BIN)/python -m pip install --quiet --editable '.[ray]'
	CHERCHE_REQUIRE=ray $(BIN)/python -m pytest tests/integration/cli/test_backfill_on_ray.py

# Ten minutes at most, on a machine with CUDA or MPS; GPU="--documents 8192" and its other options.
gpu: $(READY)
	$(BIN)/python -m tests.benchmarks.gpu $(GPU)

# The kernel's tests on an emulated ARM processor; as root, on Debian, for machines of another kind.
arm: $(READY)
	$(BIN)/python -m tests.arm

# axe-core, which the browser tests judge the page's accessibility with, into the user's cache folder.
AXE_VERSION ?= 4.14.1
axe: $(READY)
	npm install --silent --no-audit --no-fund axe-core@$(AXE_VERSION) --prefix "$$($(BIN)/python -c 'import os, pathlib; \
	from sidecar.cluster.places import cache_folder; \
	print(cache_folder(os.environ, root=os.geteuid() == 0, home=pathlib.Path.home()) / "node")')"

# The README's, with Debian's chromium: make pictures, or with SciFact's too: CHERCHE_TEST_DATA=… make pictures
pictures: $(READY)
	$(BIN)/python -m tests.pictures

clean:
	rm -rf $(VENV) build dist
