# fastconv: every task of a developer's day. `make help` lists them.
# PYTHON is the interpreter that the virtual environments are made with:  make test PYTHON=python3.12

PYTHON ?= python3
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo dev build test test-newest test-numpy1 test-alone test-hosts soak soak-fuzz mutants docs lint \
  bench bench-training bench-onnx bench-hosts bench-errors bench-denormals asan tsan clean

PIP := -m pip --disable-pip-version-check
# All that goes into the wheel; the C that Cython generates beside its sources doesn't.
SOURCES := pyproject.toml setup.py MANIFEST.in README.md LICENSE \
  $(shell find src \( -name '*.py' -o -name '*.pyi' -o -name '*.pyx' -o -name '*.pxd' -o -name '*.pxi' \
    -o -name '*.h' -o -name 'py.typed' -o -path '*/kernels/*.c' \) -print)
WHEEL = $(shell ls dist/*.whl)
# The extras that bring the hosts of fastconv.backends.
HOSTS := keras-backend autograd pytensor onnx-suite
# What depends on NumPy rather than on the engine: the short run on its oldest version.
SHORT := $(patsubst %,tests/test_%.py,arrays bad_arguments cpus doctest documents errors floors geometry \
  geometry_pool prepare properties reference threads)

# $(call install-wheel,environment,extra,more for pip): the wheel anew, for its version stays while its content changes.
install-wheel = $(1)/bin/python $(PIP) install --quiet $(3) '$(WHEEL)[$(2)]' \
  && $(1)/bin/python $(PIP) install --quiet --force-reinstall --no-deps $(WHEEL) \
  && { $(1)/bin/python $(PIP) install --quiet $(3) '$(WHEEL)[peers]' \
       || echo "== PyTorch or Keras could not be installed: what compares with them is left out, and says so"; }

# A virtual environment, made once. Debian keeps venv in a package of its own, hence the hint.
.venv-%/bin/python:
	@echo "== making the virtual environment .venv-$* with $(PYTHON)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' \
	  || { echo "fastconv needs Python 3.10 or newer: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -m venv --clear .venv-$* \
	  || { echo "$(PYTHON) can't make virtual environments (on Debian: apt install python3-venv)"; exit 1; }

help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):[^#]*## /\1\t/' \
	  | while IFS=$$'\t' read -r target text; do printf '  %-12s %s\n' "$$target" "$$text"; done

demo: ## set up a fresh environment, build, run conv4d on a photograph, train a network (about three minutes, two of them the compiler's)
	@command -v $${CC:-cc} > /dev/null \
	  || { echo "a C compiler is needed (on Debian: apt install gcc python3-dev)"; exit 1; }
	@rm -rf .venv-demo
	@echo "[1/4] a fresh virtual environment: .venv-demo"
	@$(MAKE) --no-print-directory .venv-demo/bin/python
	@echo "[2/4] building fastconv and installing it with what the demo needs; compiling takes a minute or so"
	@.venv-demo/bin/python $(PIP) install --no-input '.[demo]' \
	  || { echo "the build failed: are Python's headers there? (on Debian: apt install python3-dev)"; exit 1; }
	@echo "[3/4] examples/demo.py"
	@.venv-demo/bin/python -u examples/demo.py
	@echo "[4/4] examples/digits.py"
	@.venv-demo/bin/python -u examples/digits.py --output demo-output

dev: .venv-dev/bin/python ## an editable install with every tool in .venv-dev
	.venv-dev/bin/python $(PIP) install --quiet --upgrade 'pip>=25.1'
	.venv-dev/bin/python $(PIP) install 'setuptools>=77' 'cython>=3.1' 'numpy>=2.0' --group build --group lint
	.venv-dev/bin/python $(PIP) install --no-build-isolation --editable '.[test,bench]'
	@echo "ready: source .venv-dev/bin/activate; after a change in C or Cython: python setup.py build_ext --inplace"

build: dist/.stamp ## the source distribution and the wheel, in dist/

# The wheel is built from the unpacked source distribution, so what the latter lacks is noticed here.
dist/.stamp: $(SOURCES) | .venv-build/bin/python
	@echo "== building the source distribution, and from it the wheel"
	@rm -rf dist src/fastconv.egg-info
	@.venv-build/bin/python $(PIP) install --quiet 'build>=1.2'
	@.venv-build/bin/python -m build --outdir dist
	@touch $@

test: test-newest test-numpy1 test-alone ## all tests against the built wheel; a short run on NumPy 1.26; the wheel alone

test-newest: .venv-test/.stamp ## all tests, on the newest NumPy
	.venv-test/bin/python -m pytest $(PYTEST) tests bench/test_targets.py --ignore=tests/hosts

.venv-test/.stamp: dist/.stamp | .venv-test/bin/python
	@echo "== installing the wheel and what the tests need in .venv-test"
	@$(call install-wheel,.venv-test,test)
	@touch $@

# The oldest NumPy we run on, with the very same wheel. There are no wheels of NumPy 1.26 for Python 3.13 and later.
test-numpy1: dist/.stamp ## the tests that depend on NumPy rather than on the engine, on NumPy 1.26
	@if $(PYTHON) -c 'import sys; sys.exit(sys.version_info >= (3, 13))'; then \
	  $(MAKE) --no-print-directory .venv-numpy1/.stamp; \
	  .venv-numpy1/bin/python -c 'import numpy; print("== the short run on NumPy", numpy.__version__)'; \
	  .venv-numpy1/bin/python -m pytest -m 'not slow' $(PYTEST) $(SHORT); \
	else echo "== NumPy 1.26 has no wheel for this Python: the short run on it is left out"; fi

.venv-numpy1/.stamp: dist/.stamp | .venv-numpy1/bin/python
	@echo "== installing the same wheel with NumPy 1.26 in .venv-numpy1"
	@$(call install-wheel,.venv-numpy1,test,--only-binary numpy 'numpy<2')
	@touch $@

test-alone: .venv-alone/.stamp ## the wheel in an environment that holds NumPy and nothing else

.venv-alone/.stamp: dist/.stamp
	@rm -rf .venv-alone
	@$(MAKE) --no-print-directory .venv-alone/bin/python
	@.venv-alone/bin/python $(PIP) install --quiet $(WHEEL)
	@.venv-alone/bin/python -I examples/conv_arithmetic.py > /dev/null
	@echo "== the wheel runs with NumPy alone"
	@touch $@

soak: .venv-test/.stamp ## the long form of the tests in tests/trust: hours (SOAK='-k fork' for a part)
	.venv-test/bin/python -m pytest --soak $(SOAK) tests/trust

# Copies of this checkout are built and tested with a fault in each: about a minute of one core a fault.
mutants: .venv-mutants/.stamp ## plant faults by rule in kernels, drivers and geometry; each must be found by a test (MUTANTS='--seed 2')
	.venv-mutants/bin/python tests/trust/mutants.py $(MUTANTS)

.venv-mutants/.stamp: dist/.stamp | .venv-mutants/bin/python
	@echo "== installing what the build and the tests need in .venv-mutants"
	@.venv-mutants/bin/python $(PIP) install --quiet 'setuptools>=77' 'cython>=3.1' 'numpy>=2.0'
	@.venv-mutants/bin/python $(PIP) install --quiet '$(WHEEL)[test]'
	@touch $@

# Hosts have an environment of their own: PyTensor's Numba wants an older NumPy at times.
test-hosts: .venv-hosts/.stamp ## the suites that need a host framework, and the examples of the pages on them
	.venv-hosts/bin/python -m pytest $(PYTEST) tests/hosts tests/test_doctest.py || [ $$? -eq 5 ]

.venv-hosts/.stamp: dist/.stamp | .venv-hosts/bin/python
	@echo "== installing the wheel and its hosts in .venv-hosts"
	@$(call install-wheel,.venv-hosts,test)
	@$(foreach host,$(HOSTS),.venv-hosts/bin/python $(PIP) install --quiet '$(WHEEL)[$(host)]' \
	  || echo "== the extra $(host) could not be installed: its tests are skipped, and say so";)
	@touch $@

docs: .venv-docs/.stamp ## run the documentation's examples and build it in docs/_build/html
	.venv-docs/bin/python -m pytest $(PYTEST) tests/test_doctest.py -k 'readme or pages or backends'
	.venv-docs/bin/python -m sphinx -q -W --keep-going -b html docs docs/_build/html
	@echo "== docs/_build/html/index.html"

.venv-docs/.stamp: dist/.stamp | .venv-docs/bin/python
	@echo "== installing the wheel, its hosts and Sphinx in .venv-docs"
	@.venv-docs/bin/python $(PIP) install --quiet '$(WHEEL)[test,docs]'
	@.venv-docs/bin/python $(PIP) install --quiet --force-reinstall --no-deps $(WHEEL)
	@touch $@

lint: .venv-lint/.stamp ## ruff, cython-lint, clang-format, mypy
	.venv-lint/bin/ruff check .
	.venv-lint/bin/ruff format --check .
	PATH="$(CURDIR)/.venv-lint/bin:$$PATH" cython-lint src
	.venv-lint/bin/clang-format --dry-run -Werror $$(find src -name '*.h' -o -path '*/kernels/*.c')
	.venv-lint/bin/mypy

.venv-lint/.stamp: pyproject.toml | .venv-lint/bin/python
	@echo "== installing the linters in .venv-lint"
	@.venv-lint/bin/python $(PIP) install --quiet --upgrade 'pip>=25.1'
	@.venv-lint/bin/python $(PIP) install --quiet --group lint
	@touch $@

bench: .venv-bench/.stamp ## measure all that there are targets for, beside the peers: tables, bench/results/, picture (BENCH=--quick)
	.venv-bench/bin/python -m bench $(BENCH)

bench-training: .venv-bench/.stamp ## of these, the steps of training beside Keras on PyTorch and PyTorch's own
	.venv-bench/bin/python -m bench.training $(BENCH)

bench-onnx: .venv-bench/.stamp ## time the networks that ship with onnx beside ONNX Runtime (BENCH=--stock: and its evaluator)
	.venv-bench/bin/python -m bench.onnx_networks $(BENCH)

bench-errors: .venv-bench/.stamp ## the error of every algorithm on every layer, beside PyTorch's: tables (BENCH=--quick)
	.venv-bench/bin/python -m bench.errors $(BENCH)

bench-denormals: .venv-bench/.stamp ## time operations on denormal numbers beside PyTorch
	.venv-bench/bin/python -m bench.denormals $(BENCH)

# Keras's own convolutions on NumPy go through JAX.
bench-hosts: .venv-hosts/.stamp ## time Keras's NumPy backend, autograd and PyTensor with our kernels and with their own (BENCH=--quick)
	@.venv-hosts/bin/python $(PIP) install --quiet jax || echo "== JAX could not be installed: Keras without us is left out"
	.venv-hosts/bin/python -m bench.hosts $(BENCH)

.venv-bench/.stamp: dist/.stamp | .venv-bench/bin/python
	@echo "== installing the wheel and its peers in .venv-bench"
	@$(call install-wheel,.venv-bench,bench)
	@touch $@

# Memory errors and undefined behaviour: the extension is instrumented, so its runtime must come first in the process,
# and the library whose exceptions it looks after (of Matplotlib, say) with it.
SANITIZED = LD_PRELOAD="$$($${CC:-gcc} -print-file-name=libasan.so) $$($${CC:-gcc} -print-file-name=libstdc++.so)" \
  PYTHONMALLOC=malloc ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1 \
  UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 FASTCONV_SANITIZE=address,undefined
asan: .venv-asan/.stamp ## the tests on a build with the address and undefined-behaviour sanitizers
	$(SANITIZED) .venv-asan/bin/python -m pytest -m 'not slow' $(PYTEST) tests --ignore=tests/hosts

FUZZ ?= --calls 1e6 --seed 1
soak-fuzz: .venv-asan/.stamp ## a million random calls beside their twins, on the same build (FUZZ='--seconds 600 --seed 7')
	$(SANITIZED) .venv-asan/bin/python tests/trust/fuzz.py --trace build/asan/problem $(FUZZ)

.venv-asan/.stamp: $(SOURCES) | .venv-asan/bin/python .venv-build/bin/python
	@echo "== an instrumented wheel in build/asan"
	@rm -rf build/asan
	@.venv-build/bin/python $(PIP) install --quiet 'build>=1.2'
	@FASTCONV_SANITIZE=address,undefined .venv-build/bin/python -m build --outdir build/asan > build-asan.log \
	  || { tail -30 build-asan.log; exit 1; }
	@rm -f build-asan.log
	@.venv-asan/bin/python $(PIP) install --quiet "$$(ls build/asan/*.whl)[test]"
	@.venv-asan/bin/python $(PIP) install --quiet --force-reinstall --no-deps build/asan/*.whl
	@touch $@

# Data races. The loop runs on pthreads there, for what libgomp's threads wait for is not seen; and addresses stay where
# the runtime expects them.
RACES := $(patsubst %,tests/test_%.py,together determinism threads prepare)
tsan: .venv-tsan/.stamp ## the tests of threads on a build with the thread sanitizer
	LD_PRELOAD="$$($${CC:-gcc} -print-file-name=libtsan.so)" TSAN_OPTIONS=halt_on_error=0:exitcode=66 \
	  FASTCONV_SANITIZE=thread setarch -R \
	  .venv-tsan/bin/python -m pytest -m 'not slow' $(PYTEST) $(RACES)

.venv-tsan/.stamp: $(SOURCES) | .venv-tsan/bin/python .venv-build/bin/python
	@echo "== an instrumented wheel in build/tsan"
	@rm -rf build/tsan
	@.venv-build/bin/python $(PIP) install --quiet 'build>=1.2'
	@FASTCONV_SANITIZE=thread .venv-build/bin/python -m build --outdir build/tsan > build-tsan.log \
	  || { tail -30 build-tsan.log; exit 1; }
	@rm -f build-tsan.log
	@.venv-tsan/bin/python $(PIP) install --quiet "$$(ls build/tsan/*.whl)[test]"
	@.venv-tsan/bin/python $(PIP) install --quiet --force-reinstall --no-deps build/tsan/*.whl
	@touch $@

clean: ## remove builds, environments, caches and results
	rm -rf build dist .venv-* src/fastconv.egg-info demo-output bench/results docs/_build docs/_generated \
	  .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks
	find . -name __pycache__ -prune -exec rm -rf {} +
	find src -name '*.so' -delete
	rm -f src/fastconv/_core/*.c
