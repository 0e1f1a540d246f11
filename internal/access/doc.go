// Package access says who may do what with a hub: here, who may publish and how
// much. A publisher is known by the Unix user who is at the other end of his
// connection, or by a key.
//
// What never enters: HTTP, Caddy's configuration, and what is published.
package access
