// Package access says who may do what with a hub.
//
// Who may listen, for how long, and to which channels of those that he asked for: a
// [Grant], which a site gives when it is asked ([Decisions]) or that a token carries.
// Who may publish, and how much: a publisher is known by the Unix user at the other
// end of his connection, by a key, or by a token that a [SharedKey] signs.
//
// What never enters: HTTP, Caddy's configuration, and what is published.
package access
