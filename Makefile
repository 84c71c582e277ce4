# Two commands matter: `make compare` (the main job) and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: compare test fuzz lint site page clean
.DELETE_ON_ERROR:

compare: $(VENV)/.compare
	$(BIN)/python -m experiments.pooling_heads $(ARGS)

test: $(VENV)/.test
	$(BIN)/python -m pytest --numprocesses auto --dist loadfile $(ARGS)

# Pages without a network: warnings are errors, and the build fails if a public name has no page.
site: $(VENV)/.site
	$(BIN)/python -m sphinx --builder html --fail-on-warning --keep-going --jobs auto --quiet -d out/site-doctrees docs out/site
	@echo "The site is out/site/index.html"

fuzz: $(VENV)/.fuzz
	$(BIN)/python tests/fuzz.py $(ARGS)

lint: $(VENV)/.lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The script and style of the explorer page. They are committed, so that only who changes web/ needs node.
page:
	cd web && npm ci --no-audit --no-fund && npm run check && npm run build

clean:
	rm -rf $(VENV) out build docs/reference docs/tutorial *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit("minicnn needs Python 3.11 or newer, this is " + sys.version) if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)

# One stamp a purpose: what is installed once is not installed again until pyproject.toml changes.
$(VENV)/.compare: EXTRAS = fast,study
$(VENV)/.test: EXTRAS = fast,study,interop,images,cluster,test
$(VENV)/.notebooks: EXTRAS = notebooks
$(VENV)/.fuzz: EXTRAS = fast,study,interop,test,fuzz
$(VENV)/.lint: EXTRAS = fast,study,dev
$(VENV)/.site: EXTRAS = fast,study,docs
$(VENV)/.peers: EXTRAS = peers
$(VENV)/.browser: EXTRAS = browser
$(VENV)/.%: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable '.[$(EXTRAS)]'
	@touch $@
