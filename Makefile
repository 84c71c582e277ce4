# Two commands matter: `make compare` (the main job) and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: compare test fuzz lint clean
.DELETE_ON_ERROR:

compare: $(VENV)/.compare
	$(BIN)/python -m experiments.pooling_heads $(ARGS)

test: $(VENV)/.test
	$(BIN)/python -m pytest --numprocesses auto --dist loadfile $(ARGS)

fuzz: $(VENV)/.fuzz
	$(BIN)/python tests/fuzz.py $(ARGS)

lint: $(VENV)/.lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf $(VENV) out build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit("minicnn needs Python 3.11 or newer, this is " + sys.version) if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)

# One stamp a purpose: what is installed once is not installed again until pyproject.toml changes.
$(VENV)/.compare: EXTRAS = fast,study
$(VENV)/.test: EXTRAS = fast,study,interop,cluster,test
$(VENV)/.fuzz: EXTRAS = fast,study,interop,test,fuzz
$(VENV)/.lint: EXTRAS = fast,study,dev
$(VENV)/.peers: EXTRAS = peers
$(VENV)/.%: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable '.[$(EXTRAS)]'
	@touch $@
