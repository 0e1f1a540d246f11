// Package hub keeps what happened and who waits: channels, events, cursors,
// history and subscriptions.
//
// A [Hub] is an isolated set of channels with one sequence for all of them, so
// that one [Cursor] serves any set of channels. Order, epoch and stamps come
// from a [Log]; the hub applies what the log says, in the log's order, and
// wakes whoever waits for it.
//
// A subscription has no queue. Between two deliveries a [Sub] is only a
// position: whoever has taken one delivery asks for the next, gets at once what
// the history holds since, or is armed and woken by the next event. So a slow
// reader costs a few words whatever is published, meanwhile events are merged
// into one delivery, and a poll and a stream are the same thing, once and again
// and again. Events stay in the history for [Grace] even where the settings
// keep less, so that a reader which is only busy never meets a gap.
//
// What a delivery looks like on the wire is encoded once for all who share it
// ([Delivery.Encoded]), and fan-out happens beside the publisher: publishing
// costs the same for one waiter and for fifteen thousand.
//
// No HTTP, no file, no Caddy and no configuration format enters this package.
package hub
