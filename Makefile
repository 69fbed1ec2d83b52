# Everything is installed into .venv by the project's own files; nothing outside this folder is touched.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
PIP = $(BIN)/python -m pip --disable-pip-version-check
OUT ?= out/demo

.PHONY: help install demo deploy-demo deploy-test network-test test conformance evidence lint bench bench-quick docs wheel wheel-test clean

help:
	@echo "make demo        install, then compare FedAvg with DisUE on real data; ends with a report"
	@echo "make deploy-demo install, then DisUE over a real network on this machine: TLS, three nodes, some three minutes"
	@echo "make install     the package into $(VENV)"
	@echo "make test        all tests but slow ones and conformance; needs no data"
	@echo "make deploy-test every command of docs/deploy.md, and the demo, over real networks here; some eight minutes"
	@echo "make network-test nodes and server killed, stopped and cut off over real networks here; some fifteen minutes"
	@echo "make conformance every method on every backend through every check, some ten minutes"
	@echo "make evidence    which methods have numbers worked out by hand, and which were compared with other code"
	@echo "make lint        ruff, mypy, import contracts"
	@echo "make bench       all benchmarks, about 50 minutes, into docs/performance.md"
	@echo "make bench-quick most of them in three minutes, into out/bench-quick"
	@echo "make docs        the generated parts of README.md and docs/"
	@echo "make wheel       dist/*.whl;  make wheel-test  installs it apart and runs it"

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "disue needs Python 3.11 or newer, $(PYTHON) is older: make PYTHON=python3.12 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) install -q -c constraints.txt -e .
	@touch $@

$(VENV)/.flowered: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) install -q -c constraints.txt -e '.[flower]'
	@touch $@ $(VENV)/.installed

$(VENV)/.developed: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) install -q -c constraints.txt -e '.[dev]'
	@touch $@ $(VENV)/.installed $(VENV)/.flowered

install: $(VENV)/.installed

demo: $(VENV)/.installed
	$(BIN)/disue demo --out $(OUT)

# a folder of its own, unless OUT is given
deploy-demo: OUT = out/deploy-demo
deploy-demo: $(VENV)/.flowered
	$(BIN)/disue flower demo --out $(OUT) $(ARGS)

test: $(VENV)/.developed
	$(BIN)/python -m pytest -n 2 -m "not slow and not conformance" $(ARGS)

deploy-test: $(VENV)/.developed
	$(BIN)/python -m pytest -m slow tests/flower/test_demo.py tests/house/test_deploy.py $(ARGS)

network-test: $(VENV)/.developed
	$(BIN)/python -m pytest -m slow tests/flower/test_real_network.py tests/flower/test_network_faults.py $(ARGS)

conformance: $(VENV)/.developed
	$(BIN)/python -m pytest -n 2 -m conformance tests/testing $(ARGS)

evidence: $(VENV)/.installed
	$(BIN)/python docs/evidence.py

lint: $(VENV)/.developed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.installed
	$(BIN)/python benchmarks/bench.py $(ARGS)

bench-quick: $(VENV)/.installed
	$(BIN)/python benchmarks/bench.py --quick --again $(ARGS)

docs: $(VENV)/.installed
	$(BIN)/python docs/generate.py

wheel: $(VENV)/.developed
	rm -rf build dist
	$(BIN)/python -m build --wheel --outdir dist .

wheel-test: $(VENV)/.developed
	$(BIN)/python -m pytest -m slow tests/house/test_wheel.py

clean:
	rm -rf build dist out runs .mypy_cache .ruff_cache .hypothesis .import_linter_cache
