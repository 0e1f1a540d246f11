//go:build linux

package main

// The names of the cases, which -only chooses from and judgements refer to.
const (
	pollsPlain   = "polls, plain"
	pollsTLS     = "polls, TLS"
	streamsPlain = "streams, plain"
	streamsTLS   = "streams, TLS"
	socketsPlain = "WebSockets, plain"
	manyChannels = "many channels"
	pollsHTTP2   = "polls, HTTP/2"
	sharedHTTP2  = "polls that share connections, HTTP/2"
	steadyPace   = "steady pace"
	besideAFoe   = "a hostile neighbour"
	passThrough  = "pass-through"
	stepDown     = "client library, stepping down"
	badDays      = "reload, store, stop and start"
)

// cases are all that is measured, in this order.
func (b *bench) cases() []benchCase {
	held := []*holding{
		{name: pollsPlain, grows: true},
		{name: streamsPlain, streams: true, grows: true},
		{name: socketsPlain, streams: true, sockets: true, grows: true},
		{name: pollsTLS, secure: true},
		{name: streamsTLS, secure: true, streams: true},
		{name: manyChannels, each: true},
		{name: pollsHTTP2, share: 1},
		{name: sharedHTTP2, share: 100},
	}
	var all []benchCase
	for _, h := range held {
		h.bench, h.blocks, h.cycles = b, b.options.blocks, b.options.cycles
		if h.each { // each cycle publishes in every channel, so fewer are enough
			h.blocks, h.cycles = h.blocks+2, 1
		}
		if h.share > 0 { // what is of interest is the memory
			h.blocks, h.cycles = h.blocks/2+1, 1
		}
		all = append(all, benchCase{h.name, h.measure})
	}
	s, p := &steady{bench: b, name: steadyPace}, &passing{bench: b, name: passThrough}
	n, l := &neighbour{bench: b, name: besideAFoe}, &ladder{bench: b, name: stepDown}
	u := &upheavals{bench: b, name: badDays}
	return append(all, benchCase{s.name, s.measure}, benchCase{n.name, n.measure}, benchCase{p.name, p.measure}, benchCase{l.name, l.measure}, benchCase{u.name, u.measure})
}
