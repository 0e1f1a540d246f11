package ssetest

import (
	"reflect"
	"testing"
	"time"
)

// The examples are those of WHATWG HTML, section 9.2.6.
func TestParseFollowsTheStandard(t *testing.T) {
	for _, c := range []struct {
		stream string
		want   Stream
	}{
		{"data: YHOO\ndata: +2\ndata: 10\n\n", Stream{Messages: []Message{{"message", "YHOO\n+2\n10", ""}}}},
		{": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n", Stream{Messages: []Message{
			{"message", "first event", "1"}, {"message", "second event", ""}, {"message", " third event", ""},
		}}},
		{"data\n\ndata\ndata\n\ndata:", Stream{Messages: []Message{{"message", "", ""}, {"message", "\n", ""}}}},
		{"data:test\n\ndata: test\n\n", Stream{Messages: []Message{{"message", "test", ""}, {"message", "test", ""}}}},
		{"\ufeffid: 7\rretry: 1500\r\revent: add\r\ndata: x\r\n\r\nevent: lost\n\n", Stream{
			Messages: []Message{{"add", "x", "7"}}, ID: "7", Retry: 1500 * time.Millisecond,
		}},
		{"id: 1\n\nid: 2\n", Stream{ID: "1"}},
		{"id: 1\x00\nretry: 1s\nunknown: x\n\n", Stream{}},
	} {
		if got := Parse([]byte(c.stream)); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%q:\n got %+v\nwant %+v", c.stream, got, c.want)
		}
	}
}
