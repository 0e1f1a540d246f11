// Package doctor says what is wrong between PHP, this server and its visitors,
// and what to type against it.
//
// A check is a function of what was seen and returns findings; what looks, it is
// given: files and users by [System], the running server by its [Facts], a site by
// an HTTP client. So a check is tested by what it makes of what it sees. All that
// can be found stands in one list ([problems]), and each has its place in
// docs/troubleshooting.md.
//
// The package knows nothing of Caddy's configuration: caddymodule reads it and
// gives what concerns us.
package doctor
