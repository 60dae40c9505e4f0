# Everything runs in .venv, made on first use. PYTHON chooses the interpreter (3.10 to 3.13).
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: install train test test-slow bench dashboard lint schema clean

install: $(STAMP)

$(STAMP): pyproject.toml
	$(PYTHON) -c 'import sys; v = sys.version_info[:2]; (3, 10) <= v <= (3, 13) or sys.exit("error: expected Python 3.10 to 3.13, received %d.%d; name one with make PYTHON=..." % v)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dashboard,deploy,dev]'
	touch $@

train: install
	$(BIN)/python -m tfsparse.train --config configs/pruned_80.json

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: lint
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder --max-worker-restart 0 --durations 15

test-slow: install
	$(BIN)/python -m pytest -m slow

bench: install
	$(BIN)/python -m pytest tests/benchmarks -o python_files='bench_*.py' -m '' -s -q

dashboard: install
	$(BIN)/streamlit run dashboard/app.py --server.address localhost --browser.gatherUsageStats false -- --runs runs

schema: install
	$(BIN)/python -m tfsparse.config.schema configs

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache
