// Package source is where events come from besides a POST: files.
//
// [Files] watches directories and turns what happens to the files in them into
// drafts: a touched file is an event, or its content is, or each of its new
// lines. It is one object per process, because what it must not lose across a
// config reload (which touch was the last one, how far a log is read) belongs
// to no config generation, and because inotify instances are scarce.
//
// It has one goroutine per directory, so that a hung network file system holds up
// nobody but itself, and an inotify instance for each of the first 32, so that a flood
// in one is no delay in another. A directory is looked at by
// name when inotify says so, and as a whole now and then; both ways end in the
// same comparison with what was known before, so that polling needs no code of
// its own.
//
// Directories may be writable by tenants. Nothing in them is trusted: names
// that lead out, FIFOs, huge files and floods of names are refused or bounded.
//
// What never enters: HTTP, Caddy's configuration, and any decision about who
// may listen.
package source
