.PHONY: build demo deps

# bin/caddy: Caddy's standard modules and caddy-comet.
build:
	go build -o bin/caddy ./cmd/caddy

# What the demo needs from Debian.
deps:
	integration/install.sh php tools

# The demo, until Ctrl-C. Needs Go, and installs php-fpm if missing.
demo:
	php-demo/run.sh
