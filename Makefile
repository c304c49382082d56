# Everything here needs Go and the Go module proxy, nothing else. PostgreSQL is found where the
# distribution put it, or fetched; DATABASE_URL names another.

GO       ?= go
ARGS     ?=
MODULES  := proto pkg services
PACKAGES := $(MODULES:%=./%/...)
VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
IMAGE    ?= seatline:$(VERSION)
# The race detector needs a C compiler; without one the tests run all the same.
RACE     := $(shell [ "$$($(GO) env CGO_ENABLED)" = 1 ] && command -v "$$($(GO) env CC)" >/dev/null && echo -race)
LDFLAGS  := -s -w -X main.version=$(VERSION)


.DEFAULT_GOAL := help
.PHONY: help run test bench lint generate build image env clean

help: ## show this
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort | awk -F'\t' '{printf "  make %-10s %s\n", $$1, $$2}'

run: build ## start everything in one process with simulators; ARGS=--once exits when all is settled
	@./dist/seatline up $(ARGS)

# The race detector has seen every package before what is measured or large runs as it is shipped, without
# it: tests that are called AtScale, then the stories, which run whole processes against time and request
# limits. Their results are never taken from Go's cache, which does not see the binary that stories run.
# Tests mostly wait (for the database, NATS, pauses), so more packages run at once than there are cores.
# What go vet has to say, lint says.
AT_SCALE := TestAtScale
test: ## run all tests of all modules, with the race detector where there is a C compiler
	$(GO) test $(RACE) -vet=off -p 4 -parallel 4 -timeout 20m -skip '^$(AT_SCALE)' $$($(GO) list $(PACKAGES) | grep -v /services/e2e)
	$(GO) test -vet=off -count=1 -timeout 20m -run '^$(AT_SCALE)' $$(grep -rl '^func $(AT_SCALE)' --include='*_test.go' pkg services | xargs -n 1 dirname | sort -u | sed 's|^|./|')
	$(GO) test -vet=off -count=1 -timeout 20m ./services/e2e/...

bench: ## measure throughput and memory against floors of the same run; prints JSON and a table
	$(GO) run ./services/e2e/bench $(ARGS)

lint: ## gofmt, go vet, staticcheck, and buf on the contracts
	@unformatted=$$(gofmt -l $(MODULES)); test -z "$$unformatted" || { echo "not formatted (gofmt -w):"; echo "$$unformatted"; exit 1; }
	$(GO) vet $(PACKAGES)
	$(GO) run honnef.co/go/tools/cmd/staticcheck@v0.8.2 $(PACKAGES)
	cd proto && GOWORK=off $(GO) tool -modfile=tools.mod buf lint

generate: ## generate the Go code of the contracts
	cd proto && GOWORK=off $(GO) tool -modfile=tools.mod buf generate

build: ## build dist/seatline
	@CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -tags timetzdata -o dist/seatline ./services/seatline

image: build ## build the container image from dist/seatline; needs no network
	@mkdir -p dist/data
	docker build -t $(IMAGE) -t seatline:latest -f deploy/docker/prebuilt.Dockerfile dist

env: ## write .env from .env.example with fresh secrets, unless it is there
	@test -e .env && echo ".env is there already" || { umask 077; \
	while IFS= read -r line; do case $$line in \
	POSTGRES_PASSWORD=|SEATLINE_*TOKEN=) echo "$$line$$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')" ;; *) echo "$$line" ;; esac; \
	done <.env.example >.env && echo "wrote .env"; }

clean: ## remove what was built
	rm -rf dist
