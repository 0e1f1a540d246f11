// Package caddymodule is what Caddy sees of caddy-comet: the directives, the
// global option, the app with its config generations, the admin API, the
// command and the metrics. It reads configuration, wires the rooms under
// internal/ together, and decides nothing that they could.
//
// What clients and publishers rely on lives in the process, not in a config
// generation: hubs, their history and who waits, and the file watches survive a
// reload, because generations only refer to them (see process).
package caddymodule
