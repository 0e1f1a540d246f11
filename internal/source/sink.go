package source

import "github.com/caddy-comet/caddy-comet/internal/hub"

// Sink is what a source needs of a hub. Its methods do not block, are safe for
// concurrent use, and must not call back into [Files].
type Sink interface {
	// Publish takes new events, in order. A batch is atomic.
	Publish(drafts []hub.Draft)
	// Observe takes what was there before we looked: it sets a channel's stamp
	// (and content) but is no news.
	Observe(drafts []hub.Draft)
	// Gone says that the file behind a channel is deleted.
	Gone(channel string)
	// MaxEvent is the present limit of an event's data in bytes.
	MaxEvent() int
}

// A batch is handed over when it is this large, so that neither a first look at
// ten thousand files nor a log of gigabytes is in memory as a whole.
const (
	maxBatch      = 4096
	maxBatchBytes = 4 << 20
)

// batch collects drafts for one sink, and keeps the order between news and
// what was there before.
type batch struct {
	drafts  []hub.Draft
	bytes   int
	observe bool
}

func (b *batch) add(d hub.Draft, observe bool, flush func()) {
	if len(b.drafts) > 0 && (b.observe != observe || len(b.drafts) >= maxBatch || b.bytes+len(d.Data) > maxBatchBytes) {
		flush()
	}
	b.observe = observe
	b.drafts = append(b.drafts, d)
	b.bytes += len(d.Data)
}
