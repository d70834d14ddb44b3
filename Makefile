# make report   the quick study on real data, as web pages (installs everything on its first run)
# make test     every check and every test
# make lab      JupyterLab on the notebooks
# make clean    removes .venv; runs and reports stay

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check --no-input

.PHONY: report test lab clean
.NOTPARALLEL:
.DEFAULT_GOAL := report

report: $(VENV)/.installed
	@$(BIN)/ltkit report params/quick

test: $(VENV)/.installed-test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest --nbval-lax --nbval-current-env -n auto --maxprocesses 4 --dist loadfile tests notebooks

lab: $(VENV)/.installed
	@$(BIN)/jupyter lab --notebook-dir notebooks

clean:
	rm -rf $(VENV)

# A stamp says that what pyproject.toml and constraints.txt name is installed: the next run then doesn't call pip at all.
$(VENV)/.installed: pyproject.toml constraints.txt
	$(call install,.)
	@touch $@

$(VENV)/.installed-test: pyproject.toml constraints.txt
	$(call install,.[test$(comma)cluster])
	@touch $(VENV)/.installed $@

comma := ,

define install
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "ltkit needs Python 3.11 or newer; '$(PYTHON)' is $$($(PYTHON) -V 2>&1 | tail -n 1). Name another one: make PYTHON=python3.12" >&2; exit 2; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv $(VENV) || { \
	  echo "no virtual environment without Python's venv module; on Debian and Ubuntu: sudo apt install python3-venv" >&2; exit 2; }
	@echo "installing ltkit and what it needs into $(VENV): a few minutes and about 5 GB the first time (PyPI's torch carries CUDA)"
	@$(PIP) install --constraint constraints.txt --editable '$(1)'
endef
