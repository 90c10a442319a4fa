# Everything runs inside .venv, which is made again when its two sources change.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
BENCH_STAMP := $(VENV)/.bench-installed
PEERS_STAMP := $(VENV)/.peers-installed
RAY_STAMP := $(VENV)/.ray-installed
DBT_VENV := .venv-dbt
DBT_STAMP := $(DBT_VENV)/.installed
CONTRACT_VENV := .venv-contract
CONTRACT_STAMP := $(CONTRACT_VENV)/.installed
RELEASE_VENV := .venv-release
RELEASE_STAMP := $(RELEASE_VENV)/.installed
TRIAL_VENV := .venv-trial
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check

# Ways are cut in a network of its own, which has only this machine, where the kernel lets us.
OWN_NETWORK = $(if $(shell unshare --net ip link set lo up 2> /dev/null && echo it does),unshare --net sh -c \
	'ip link set lo up && ip rule add pref 100 table local && ip rule del pref 0 && OWN_NETWORK=1 exec "$$@"' own-network)

# Compiled once and not by every worker and every command that a test starts: ten seconds each.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help demo pictures test test-in-full golden golden-record torture differential check contract ray ray-short dbt docs release image tutorial format bench-memory bench-pacing \
	bench-limits bench-worlds bench-peers bench-normalise bench-stages bench-engine bench-startup bench-page bench-load bench-erase bench-workers bench-state \
	bench clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-15s %s\n", $$1, $$2}' Makefile

# What the demo shows of its results: how many, and how many positives at each endpoint.
define SHOW
import polars as pl
found = pl.read_parquet("demo_out/**/results/**/*.parquet")
print(f"{found.height} rows, {found.width} columns of results; positives:")
print(found.select(pl.col("^.*_check_(swapped|active)$$").sum()).unpivot(variable_name="column"))
endef
export SHOW

demo: $(STAMP) ## screen the sample customers against the sandbox, into demo_out
	rm -rf demo_out
	$(BIN)/batch-screen run sample_data/customers.csv --sandbox --out demo_out \
		--endpoints all --phone-column phone --region-column country \
		--keep-columns customer_id --rate 500
	@$(BIN)/python -c "$$SHOW"

pictures: $(STAMP) ## pictures of the demo's report on desk, telephone and paper, in demo_out/pictures
	test -e demo_out/latest.json || $(MAKE) demo
	$(BIN)/python -m tests.browser.pictures demo_out/runs/*/report.html demo_out/pictures

# Three, for many tests wait; each more loads everything once more: 20 seconds of CPU.
test: $(STAMP) ## run the tests, the cheapest for each claim
	$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder

test-in-full: $(STAMP) ## run costly tests too, all variants with every example, each command from a cold start, on the disk
	TESTS_IN_FULL=1 $(BIN)/python -m pytest -n 4 --dist loadfile --no-loadscope-reorder

golden: $(STAMP) ## has anything become different in what the commands print and write? (two minutes)
	$(BIN)/python -m tests.golden

golden-record: $(STAMP) ## write anew what make golden compares with
	$(BIN)/python -m tests.golden --record

torture: $(STAMP) ## kill, stop and cut off runs, hundreds of times (about half an hour)
	TESTS_IN_FULL=1 $(BIN)/python -m pytest -q -m torture tests/torture

differential: $(STAMP) ## millions of numbers compared with phonenumbers, one by one (ten to fifteen minutes)
	$(BIN)/python -m pytest -q -n 2 -m differential tests/differential

check: $(STAMP) ## format, lint, types, import layers and documents
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/unit/test_layers.py tests/unit/test_docs.py tests/unit/reference

contract: $(STAMP) $(CONTRACT_STAMP) ## lint and test data contracts with datacontract-cli: files, DuckDB, PostgreSQL (three minutes)
	$(BIN)/python -m tests.e2e.contract $(CONTRACT_VENV)/bin

ray: $(STAMP) $(RAY_STAMP) ## workers on a Ray cluster of three nodes: killed, frozen, cut off, resumed (ten minutes)
	$(OWN_NETWORK) $(BIN)/python -m pytest -q -s -m ray tests/on_ray

ray-short: $(STAMP) $(RAY_STAMP) ## the first of them: undisturbed, a worker killed, a refused key (a minute)
	$(BIN)/python -m pytest -q -m 'ray and not torture' tests/on_ray

dbt: $(STAMP) $(DBT_STAMP) ## play docs/privacy.md, and build docs/recipes/dbt on its nights and on plain ones (a minute)
	$(BIN)/python -m tests.e2e.dbt $(DBT_VENV)/bin/dbt

docs: $(STAMP) ## write docs/reference anew, from the code
	$(BIN)/python -m docs.generate.pages

# The trial has no pip of its own: what is in it then is what the list of components must name.
release: $(STAMP) $(RELEASE_STAMP) ## wheel, sdist, lock and SBOM into dist, and the wheel's demo in an empty environment
	rm -rf dist $(TRIAL_VENV)
	$(BIN)/python -m hatchling build -d dist
	$(BIN)/python -m release.lock > dist/requirements.txt
	$(BIN)/python -m release.lock --extras > dist/requirements-extras.txt
	$(PYTHON) -m venv --without-pip $(TRIAL_VENV)
	$(PIP) --python $(TRIAL_VENV)/bin/python install --require-hashes --no-deps -r dist/requirements.txt
	$(PIP) --python $(TRIAL_VENV)/bin/python install --no-deps --no-index --find-links dist batch-screen
	$(BIN)/python -m release.trial $(TRIAL_VENV)/bin
	$(PIP) --python $(TRIAL_VENV)/bin/python install --require-hashes --no-deps -r dist/requirements-extras.txt
	$(PIP) --python $(TRIAL_VENV)/bin/python check
	$(RELEASE_VENV)/bin/cyclonedx-py environment $(TRIAL_VENV)/bin/python --pyproject pyproject.toml \
		--output-reproducible --output-file dist/sbom.cdx.json
	$(BIN)/python -m release.sbom dist/sbom.cdx.json dist/requirements-extras.txt
	ls -l dist

image: $(STAMP) ## build the image of docs/recipes/Dockerfile and start it; without docker, read the file only
	@if docker info > /dev/null 2>&1; then \
		docker build -f docs/recipes/Dockerfile -t batch-screen . && docker run --rm batch-screen --version; \
	else \
		echo "no docker here: the Dockerfile is only read" && \
		$(BIN)/python -m pytest -q tests/e2e/test_recipes.py -k image; \
	fi

tutorial: $(STAMP) ## play the tutorial and the guides, and write what their commands print now
	$(BIN)/python -m tests.e2e.pages

format: $(STAMP) ## rewrite the code as the formatter and the linter want it
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench-memory: $(STAMP) ## a million rows in 600 MiB? (about three minutes)
	$(BIN)/python benchmarks/memory.py

bench-pacing: $(BENCH_STAMP) ## the budget used and overstepped, beside what others use (15 minutes)
	$(BIN)/python -m benchmarks.pacing.rates

bench-limits: $(BENCH_STAMP) ## limits that differ from the contract's, and odd answers that must not matter (40 minutes)
	$(BIN)/python -m benchmarks.pacing.limits

bench-worlds: $(BENCH_STAMP) ## what odd answers cost, in virtual time, into docs/rate.md (two minutes)
	$(BIN)/python -m benchmarks.pacing.virtual

bench-peers: $(PEERS_STAMP) ## one task beside a script, Scrapy and Ray Data, undisturbed and killed (an hour)
	$(BIN)/python -m benchmarks.peers.side_by_side

bench-normalise: $(BENCH_STAMP) ## rows a second, beside the libraries for phone numbers (seven minutes)
	$(BIN)/python -m benchmarks.normalise.speeds

bench-stages: $(BENCH_STAMP) ## each stage at 1, 10 and 100 million rows: speed, memory, disk, and polars alone (40 minutes, 20 GB)
	$(BIN)/python -m benchmarks.stages.stages

bench: bench-stages bench-engine bench-peers bench-normalise bench-startup bench-page ## those five, and the page (two hours)

bench-page: $(STAMP) ## put what the benchmarks printed together as docs/performance.md
	$(BIN)/python -m benchmarks.page

bench-engine: $(STAMP) ## attempts a second, beside a bare aiohttp loop (about two minutes)
	$(BIN)/python -m benchmarks.engine.speeds

bench-load: $(STAMP) ## 200,000 rows into each kind of warehouse: seconds, memory (a minute)
	$(BIN)/python benchmarks/warehouse.py

bench-workers: $(STAMP) ## several workers beside one process: rate, CPU, share of a contract (three minutes)
	$(BIN)/python -m benchmarks.workers

bench-erase: $(STAMP) ## one person out of five runs of 100,000 rows: seconds a run (two minutes)
	$(BIN)/python -m benchmarks.erase

bench-state: $(STAMP) ## a state in a bucket, disturbed: what is lost, bought twice, and how long it is silent (ten minutes)
	$(BIN)/python -m benchmarks.state_bucket

bench-startup: $(STAMP) ## how soon the command line says something (half a minute)
	$(BIN)/python -m benchmarks.startup

clean: ## remove what the other targets made
	rm -rf $(VENV) $(DBT_VENV) $(CONTRACT_VENV) $(RELEASE_VENV) $(TRIAL_VENV) demo_out dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# --clear, because an environment that lost half its files or its Python is worth nothing.
# --no-compile: Python compiles what it loads, and most is never loaded.
$(STAMP): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11")'
	@echo "Making $(VENV)"
	@$(PYTHON) -m venv --clear $(VENV)
	@$(PIP) install --no-compile --require-hashes -r requirements.txt
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

# --no-deps, because what both files would list is in requirements.txt alone.
$(BENCH_STAMP): $(STAMP) requirements-bench.txt
	@echo "Adding to $(VENV) what the benchmarks compare with"
	@$(PIP) install --require-hashes --no-deps -r requirements-bench.txt
	@touch $@

# Apart, because Ray takes 240 MB that no other test wants.
$(RAY_STAMP): $(STAMP) requirements-ray.txt
	@echo "Adding to $(VENV) Ray"
	@$(PIP) install --require-hashes --no-deps -r requirements-ray.txt
	@touch $@

# Apart, because what Ray's data library needs no other benchmark wants.
$(PEERS_STAMP): $(BENCH_STAMP) $(RAY_STAMP) requirements-peers.txt
	@echo "Adding to $(VENV) the larger peers"
	@$(PIP) install --require-hashes --no-deps -r requirements-peers.txt
	@touch $@

# An environment of its own: dbt wants other versions of what is in requirements.txt.
$(DBT_STAMP): requirements-dbt.txt
	@echo "Making $(DBT_VENV)"
	@$(PYTHON) -m venv --clear $(DBT_VENV)
	@$(DBT_VENV)/bin/python -m pip --quiet --disable-pip-version-check install --require-hashes --no-deps \
		-r requirements-dbt.txt
	@touch $@

# An environment of its own, for its size and for its DuckDB, which is an older one.
$(CONTRACT_STAMP): requirements-contract.txt
	@echo "Making $(CONTRACT_VENV)"
	@$(PYTHON) -m venv --clear $(CONTRACT_VENV)
	@$(CONTRACT_VENV)/bin/python -m pip --quiet --disable-pip-version-check install --require-hashes \
		--no-deps -r requirements-contract.txt
	@touch $@

# An environment of its own, so that nothing it needs gets into the lock.
$(RELEASE_STAMP): requirements-release.txt
	@echo "Making $(RELEASE_VENV)"
	@$(PYTHON) -m venv --clear $(RELEASE_VENV)
	@$(RELEASE_VENV)/bin/python -m pip --quiet --disable-pip-version-check install --require-hashes \
		--no-deps -r requirements-release.txt
	@touch $@
