# `make demo` and `make test` need nothing but Python 3.11+ and make: each makes .venv for itself.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
unexport PYTHONDONTWRITEBYTECODE  # a demo starts processes that would compile the same modules again

.PHONY: demo demo-locked test test-all check check-style check-types check-tests reference bench-quick fuzz kills lock audit coverage format clean

demo: $(STAMP)
	$(BIN)/hage demo --out runs/demo --jobs 2

demo-locked:
	$(PYTHON) -m venv .venv-locked
	.venv-locked/bin/python -m pip install --quiet --requirement requirements-demo.lock
	.venv-locked/bin/python -m pip install --quiet --no-deps .
	.venv-locked/bin/hage demo --out runs/demo-locked --jobs 2

# With CI=true `make test` is `make test-all`; elsewhere it leaves out what is marked slow.
PYTEST := $(BIN)/python -m pytest -q -n 2 --dist worksteal
test: check
	$(PYTEST) $(if $(CI),,-m 'not slow')

test-all: check
	$(PYTEST)

check: $(STAMP)
	$(MAKE) --jobs 2 --output-sync check-types check-tests check-style

check-style:
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports

# Half of a cold run goes into the insides of torch, transformers and Lightning: in CI they are followed too.
check-types:
	$(BIN)/mypy $(if $(CI),,--follow-imports skip)

check-tests:
	$(BIN)/python -m pytest -q tests/test_examples.py tests/test_shapes.py tests/docs/test_site.py tests/docs/test_links.py

reference: $(STAMP)
	$(BIN)/python docs/hooks/pages.py

bench-quick: $(STAMP)
	$(BIN)/python benchmarks/kept.py quick

fuzz: $(STAMP)
	$(BIN)/python tests/fuzz/run.py --cases 10000

kills: $(STAMP)
	$(BIN)/python tests/kills/run.py --kills 100

lock: $(STAMP)
	$(BIN)/python benchmarks/lock.py > requirements-demo.lock

audit:
	$(PYTHON) -m venv .venv-audit
	.venv-audit/bin/python -m pip install --quiet pip-audit
	.venv-audit/bin/pip-audit --disable-pip --no-deps --requirement requirements-demo.lock

coverage: $(STAMP)
	$(PYTEST) --cov --cov-report=term

format: $(STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

$(STAMP): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet torch torchvision
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $(STAMP)

clean:
	rm -rf .venv .venv-locked .venv-audit runs dist build
