# Two commands do everything on a Debian machine with Go: `make demo` and `make test`.
.PHONY: build deb demo test check deps client docs fuzz corpus soak bench

STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
FUZZTIME    ?= 1m
SOAK        ?= 1h

# bin/caddy: Caddy's standard modules and caddy-comet.
build:
	go build -o bin/caddy ./cmd/caddy

# dist/: Debian packages, and archives for other systems, of what is checked out. The same commit gives the same bytes.
VERSION = $(shell packaging/version)
ARCHES ?= amd64 arm64
deb:
	@set -e; for arch in $(sort $(ARCHES) $(shell go env GOHOSTARCH)); do \
		CGO_ENABLED=0 GOOS=linux GOARCH=$$arch go build -trimpath -buildvcs=false \
			-ldflags "-s -w -X 'github.com/caddyserver/caddy/v2.CustomVersion=caddy-comet $(VERSION), Caddy'" -o bin/linux-$$arch/caddy-comet ./cmd/caddy; \
	done
	@set -e; for arch in $(ARCHES); do packaging/build $(VERSION) $$arch bin/linux-$$arch/caddy-comet bin/linux-$(shell go env GOHOSTARCH)/caddy-comet dist; done

# The demo, until Ctrl-C. Installs php-fpm if it is missing.
demo:
	php-demo/run.sh

# What the demo and the tests need from Debian.
deps:
	integration/install.sh php apache nginx chromium node prometheus package tools

# client/dist, which is part of the binary, from the library's sources.
client:
	integration/install.sh node
	cd client && npm ci --no-audit --no-fund && node build.js dist

# Every test, with the race detector, against the real php-fpm, Apache, nginx and browser: with held requests
# parked, and once more without, for the same results. Once are those that have both ways in them, and those of what
# does not wait or does so in the browser.
ONCE = Recipe|TheQuickStart|ADialectIs|ThePageThatWaits|CometPHP|ByComet$$|DocumentedPages|DocumentedSnippet|TheLibrary|Tab|ScriptsGet|PollsTakeOver|ANetworkThat|TheFrontPage|StartsAnew|HundredChannels|ATenant|AMegabyte|TheService|Systemd|ThePackage|Lintian|TheDoctor|TheAlert|TheDashboard
test: deps check
	go test -race -timeout 30m -parallel 4 ./...
	COMET_PARK=off go test -race -count=1 -timeout 20m -parallel 4 -skip '$(ONCE)' ./integration

# What needs no running: format, vet, staticcheck, other systems, the shell scripts.
check:
	@test -z "$$(gofmt -l .)" || { echo "not gofmt-clean:"; gofmt -l .; exit 1; }
	go vet ./...
	go run $(STATICCHECK) ./...
	GOOS=darwin go vet ./cmd/... ./caddymodule/... ./internal/...
	GOOS=windows go vet ./cmd/... ./caddymodule/... ./internal/...
	shellcheck integration/install.sh php-demo/run.sh packaging/build packaging/version packaging/p*inst packaging/p*rm .ci/run

# The documentation as a site of plain files, in site/.
docs:
	go run ./docs/site

# Every fuzz target for FUZZTIME each. Without the limit Go may take a minute for making one find smaller.
fuzz:
	@set -e; for package in $$(go list ./internal/... ./caddymodule/...); do \
		for target in $$(go test -list '^Fuzz' $$package | grep '^Fuzz' || true); do \
			echo "$$package $$target"; \
			go test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 100x $$package; \
		done; \
	done

# The last ten short inputs that fuzzing found of each target, into testdata/fuzz, where every test run tries them.
corpus:
	@cd "$$(go env GOCACHE)/fuzz/$$(go list -m)" && find . -type d -name 'Fuzz*' | while read -r target; do \
		to="$(CURDIR)/$$(dirname "$$target")/testdata/fuzz/$$(basename "$$target")"; mkdir -p "$$to"; \
		find "$$target" -type f -size -400c -printf '%T@ %p\n' | sort -rn | head -10 | cut -d' ' -f2- | xargs -r cp -t "$$to"; \
	done

# Clients behind bad networks, on a server that reloads and restarts, for SOAK, as in SOAK=10m make soak. Prints a
# command for each seed that fails.
soak:
	go run ./integration/soak -for $(SOAK)

# A comparison with nginx and Nchan, written to docs/benchmarks.md. BENCH=-quick for a first impression.
bench: build
	integration/install.sh php nginx node tools
	go build -o bin/bench ./bench
	bin/bench $(BENCH)
