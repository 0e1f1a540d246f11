package caddymodule

import (
	"sync"
	"time"

	"github.com/caddy-comet/caddy-comet/internal/hub"
)

// feeder brings what happens to files into a hub that a disk keeps. Nobody waits
// for the answer there as a publisher does, and whoever watches the files must not:
// so it queues here, in order, for as long as the disk takes. What finds no room
// any more is lost, and the channels that it was for are told of a gap.
type feeder struct {
	hub *sharedHub

	mu    sync.Mutex
	queue []feed
	bytes int
	wake  chan struct{}
}

// feed is a batch, or the end of a channel's file, or channels that lost something.
type feed struct {
	drafts []hub.Draft
	gone   string
	// lost are channels of which something is lost here.
	lost map[string]fate
}

// fate is what became of a channel of which not all is known.
type fate struct{ lost, gone bool }

const (
	// maxFeed bounds what waits, in bytes: the data and 256 for each event, or end of
	// a file. Beyond it there is one entry for each channel.
	maxFeed      = 16 << 20
	feedOverhead = 256
	// feedAgain is how long a feeder waits after a disk refused.
	feedAgain = time.Second
)

// newFeeder starts one. It ends with the hub.
func newFeeder(h *sharedHub) *feeder {
	f := &feeder{hub: h, wake: make(chan struct{}, 1)}
	go f.run()
	return f
}

func (i *feed) size() (size int) {
	for j := range i.drafts {
		size += len(i.drafts[j].Data) + feedOverhead
	}
	if i.gone != "" {
		size += feedOverhead
	}
	return size
}

func (f *feeder) bring(drafts []hub.Draft) {
	f.mu.Lock()
	defer f.mu.Unlock()
	item := feed{drafts: drafts}
	size := item.size()
	if len(f.queue) > 0 && f.bytes+size > maxFeed {
		lost := f.lostLocked()
		for i := range drafts {
			lost[drafts[i].Channel] = fate{lost: true}
		}
		metrics().denied.WithLabelValues(f.hub.name, "file_event").Add(float64(len(drafts)))
		return
	}
	f.bytes += size
	f.addLocked(item)
}

func (f *feeder) gone(channel string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.queue) > 0 && f.bytes+feedOverhead > maxFeed {
		lost := f.lostLocked()
		lost[channel] = fate{lost: lost[channel].lost, gone: true}
		return
	}
	f.bytes += feedOverhead
	f.addLocked(feed{gone: channel})
}

func (f *feeder) addLocked(item feed) {
	f.queue = append(f.queue, item)
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// lostLocked returns where to enter what is lost: at its place in the order.
func (f *feeder) lostLocked() map[string]fate {
	if last := f.queue[len(f.queue)-1]; last.lost != nil {
		return last.lost
	}
	warn(ofFiles, f.hub.name, "the store does not take events of files as fast as they come; some are lost, and clients are told of the gap")
	lost := make(map[string]fate)
	f.addLocked(feed{lost: lost})
	return lost
}

func (f *feeder) run() {
	again := time.NewTimer(0)
	defer again.Stop()
	for {
		item, ok := f.first()
		if !ok {
			select {
			case <-f.wake:
			case <-f.hub.Ended():
				return
			}
			continue
		}
		if f.try(item) == nil {
			f.done(item)
			continue
		}
		again.Reset(feedAgain)
		select {
		case <-again.C:
		case <-f.hub.Ended():
			return
		}
	}
}

// first returns what is next. It stays in the queue until it is done, but what is
// lost does not grow any more.
func (f *feeder) first() (feed, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.queue) == 0 {
		return feed{}, false
	}
	item := f.queue[0]
	if item.lost != nil && len(f.queue) == 1 {
		f.queue = append(f.queue, feed{}) // so that lostLocked begins another
	}
	return item, true
}

func (f *feeder) done(item feed) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.queue[0] = feed{}
	if f.queue = f.queue[1:]; len(f.queue) == 0 {
		f.queue = nil
	}
	f.bytes -= item.size()
}

func (f *feeder) try(item feed) error {
	switch {
	case item.gone != "":
		f.hub.Gone(item.gone)
		return nil
	case item.lost != nil:
		var drafts []hub.Draft
		for channel, fate := range item.lost {
			if fate.lost {
				drafts = append(drafts, hub.Draft{Channel: channel, Lost: true, Kept: true, Source: hub.FileSource})
			}
		}
		if err := f.hub.take(drafts); err != nil {
			return err
		}
		for channel, fate := range item.lost {
			if fate.gone {
				f.hub.Gone(channel)
			}
		}
		return nil
	case len(item.drafts) == 0:
		return nil
	}
	return f.hub.take(item.drafts)
}
