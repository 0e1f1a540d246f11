// Package integration tests caddy-comet end to end: the real binary in front of
// the real php-fpm, Apache and nginx of Debian. `make test` installs what is
// missing; a test whose program is not there fails, it does not skip.
package integration
