# Everything that a checkout does. `make help` lists it.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
BIN := node_modules/.bin

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-7s %s\n", $$1, $$2}' Makefile

.PHONY: setup
setup: node_modules/.installed ## install what the lock file names

node_modules/.installed: package-lock.json
	npm ci --no-audit --no-fund
	@touch $@

.PHONY: build
build: setup ## compile to dist/
	@rm -rf dist packages/*/dist
	$(BIN)/tsc -p tsconfig.build.json
	npm run build --workspaces --if-present --silent

.PHONY: run
run: build ## start the service on an embedded PostgreSQL, with demo data and real decisions on it
	@exec node dist/src/main.js serve --demo

.PHONY: check
check: setup ## types and style
	$(BIN)/tsc -p tsconfig.json
	$(BIN)/biome ci --error-on-warnings --colors=off

.PHONY: test
test: check build ## every check and every test; COVERAGE=1 measures, LONG=1 does more, LONG=2 all of it
	@node test/support/run-all.mjs

.PHONY: bench
bench: build ## measure what is promised of speed and memory; ARGS="--help" says more
	@node --import tsx test/bench/main.ts $(ARGS)

.PHONY: sbom
sbom: setup ## list what is shipped of others, and refuse a licence that is not allowed: dist/notices/
	@node deploy/sbom.mjs dist/notices

.PHONY: image
image: ## build the image with docker; DOCKER=podman takes another engine
	$(or $(DOCKER),docker) build -f deploy/Dockerfile -t iqra-authz:$$(node -p "require('./package.json').version") .

.PHONY: format
format: setup ## let the formatter write the style
	$(BIN)/biome check --write
