# One command to run, one to test, one to check everything. `make run PORT=9000` and other settings: see README.
PYTHON ?= python3
BIN := .venv/bin
CHAOS ?= campaign

.PHONY: run test test-backends lint check bench bench-peers chaos fuzz fuzz-api screenshots format requirements clean

run: .venv/runtime
	@exec $(BIN)/ingate up

test: .venv/development
	$(BIN)/pytest

# What depends on a database or a queue, on the servers that DATABASE_URL and REDIS_URL name.
test-backends: .venv/development
	$(BIN)/pytest -m backend

lint: .venv/development
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

check: lint test

# Figures of this machine, in some minutes; `make bench BENCH="--backend sqlite --load batch --repeat 3"` for a part of
# them, BENCH=--help for all options. docs/benchmarks.md says what they mean.
BENCH ?=
bench: .venv/development
	$(BIN)/python -m benchmarks $(BENCH)

# Others beside Ingate, which are installed below build/peers/ (some GB); never in CI.
bench-peers: .venv/development
	$(BIN)/python -m benchmarks.peers $(BENCH)

# The long campaign of tests/chaos, an hour or so; `make chaos CHAOS="campaign --backend sqlite --seed 2"` for others.
chaos: .venv/development
	$(BIN)/python -m tests.chaos $(CHAOS)

screenshots: .venv/development
	$(BIN)/python -m tests.browser.screenshots

# Ten minutes of Atheris on the readers; it wants a compiler's runtime, so it is no pinned dependency.
fuzz: .venv/development
	$(BIN)/pip install --quiet --disable-pip-version-check "atheris>=3.1"
	$(BIN)/python -m tests.fuzz.readers build/corpus -max_total_time=600 -timeout=5 -rss_limit_mb=2048

# Schemathesis against a running Ingate whose data may be thrown away; its needs are not ours, so it has its own place.
# make fuzz-api URL=http://127.0.0.1:8000 INGATE_KEY=sk-ingate-…    No key is revoked: it could be this one. What a
# filter or a configuration may say goes beyond a schema, so a 422 for what fits the schema is no finding here.
URL ?= http://127.0.0.1:8000
fuzz-api:
	$(PYTHON) -m venv build/schemathesis
	build/schemathesis/bin/pip install --quiet --disable-pip-version-check "schemathesis>=4.32"
	@build/schemathesis/bin/st run $(URL)/openapi.json --header "X-Ingate-Key: $(INGATE_KEY)" --max-examples 150 --checks all \
	  --exclude-checks positive_data_acceptance,negative_data_rejection,allow_header_conformance \
	  --exclude-operation-id delete_api_v1_keys_key_id --phases examples,coverage,fuzzing,stateful --request-timeout 40

format: .venv/development
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Pins are made with uv (pip install uv); the files name no index, so yours is used.
requirements:
	uv pip compile -q pyproject.toml --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -o requirements.txt
	uv pip compile -q --group dev --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -c requirements.txt -o requirements-dev.txt

clean:
	rm -rf .venv

.venv/runtime: requirements.txt pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

.venv/development: .venv/runtime requirements-dev.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	@touch $@
