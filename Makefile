# Bocage: every command that a person or CI needs. `make` alone tells them.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help run up down demo test verify check bench bench-large install format openapi

UV = $(shell deploy/find-uv.sh)
RUN := $(UV) run --frozen --all-packages
CARS = BOCAGE_CARS=$$($(RUN) bocage-platform install 2>/dev/null | tail -n 1)

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/\1\t\2/' | expand -t 14

install: ## Python packages, PostgreSQL with PostGIS, the stereo engine
	@test -n "$(UV)"
	@$(UV) sync --frozen --all-packages --quiet
	@$(RUN) bocage-platform install

run: ## start everything, make the demonstration's elevation model, serve until Ctrl-C
	@test -n "$(UV)"
	@exec $(RUN) bocage-platform run

up: ## the same platform in the background, without the demonstration's job
	@test -n "$(UV)"
	@$(RUN) bocage-platform up

down: ## stop it
	@$(RUN) bocage-platform down

demo: ## load the demonstration and run its job on a platform that is up
	@$(RUN) bocage-platform demo

check: ## format, lint, types, import contracts, OpenAPI snapshot, rules of inheritance
	@test -n "$(UV)"
	$(RUN) ruff format --check .
	$(RUN) ruff check .
	$(RUN) mypy libs/*/src services/*/src gateway/src deploy/src
	$(RUN) lint-imports
	$(RUN) python -m bocage_deploy.openapi --check
	$(RUN) python -m bocage_rights.rules --check

format: ## put the code into the project's format
	$(RUN) ruff format .
	$(RUN) ruff check --fix .

openapi: ## write the OpenAPI snapshot anew
	$(RUN) python -m bocage_deploy.openapi

test: install check ## check, then every test that needs no third-party client
	$(CARS) $(RUN) pytest -q -n 2 --dist loadfile --durations=15 -m "not verify"

verify: install ## the slow proofs: real Pléiades pairs, third-party clients, longer chaos
	BOCAGE_TEST_STREAM_MB=2048 $(RUN) pytest -q gateway/tests/test_forwarding.py -k large_bodies
	$(CARS) BOCAGE_CHAOS_SECONDS=60 $(RUN) pytest -q -m "verify or chaos"

bench: install ## benchmarks beside their floors
	$(CARS) $(RUN) python -m bocage_deploy.bench

bench-large: install ## the catalogue with a million items, and its report
	$(RUN) python -m bocage_deploy.bench_large --report docs/explanation/catalogue-at-a-million.md
