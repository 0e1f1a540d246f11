// Package faults makes bad days: clients that follow their position as a real
// one does, through proxies that delay, cut and stall their connections, while
// publishers publish and the server reloads and restarts. What each client got is
// then judged by what the publishers were told: every event once and in order,
// or a told gap where one may be.
//
// All decisions come from a [Seed], which is printed. The same seed gives the same
// configuration, the same clients, and each client's n-th connection the same
// fate. What it cannot give is the same timing: when goroutines, the kernel and
// the server do what they do is not decided here, so a failure that needs a rare
// moment may take several rounds of its seed.
//
// [Round] is the whole; the command in ../soak does rounds for an hour.
package faults
