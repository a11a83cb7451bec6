# make demo: set up and run the shipped study.  make test: set up and pass the tests.  make check: lint, types, layout.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
EXTRAS := .[postgres,ray,s3,test]
# Two OpenMP threads on a busy two-core machine made a 5 s test take 65 s.
export OMP_NUM_THREADS ?= 1
JOBS   ?= 2

.PHONY: demo test check mutants docs clean
demo: $(VENV)/.ready
	$(BIN)/bench run miniature

test: $(VENV)/.ready
	$(BIN)/pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder

check: $(VENV)/.ready
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright
	$(BIN)/pytest -q tests/test_layout.py

# An evening: breaks the modules that carry promises in many places and counts what their tests catch; results/mutants.md.
mutants: $(VENV)/.ready
	PATH="$$PATH:$(CURDIR)/$(BIN)" uv pip install --quiet --python $(BIN)/python -c constraints.txt -e '.[mutants]'
	$(BIN)/python tests/mutants.py

# uv where it is, else fetched with pip into the new environment; Python 3.11 to 3.13.
$(VENV)/.ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; ok = (3, 11) <= sys.version_info[:2] <= (3, 13); \
	  sys.exit(0 if ok else "needs Python 3.11 to 3.13, this is %d.%d: make PYTHON=python3.12" % sys.version_info[:2])'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	command -v uv >/dev/null || test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet uv
	PATH="$$PATH:$(CURDIR)/$(BIN)" uv pip install --quiet --python $(BIN)/python -c constraints.txt -e '$(EXTRAS)'
	touch $@

# The handbook, warnings as errors: docs/_build/html/index.html. DOCS_NOTEBOOKS=off leaves the notebooks unexecuted.
docs: $(VENV)/.ready
	PATH="$$PATH:$(CURDIR)/$(BIN)" uv pip install --quiet --python $(BIN)/python -c constraints.txt -e '.[docs]'
	$(BIN)/sphinx-build -W --keep-going -q docs docs/_build/html

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .ruff_cache
