package caddymodule

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-comet/caddy-comet/internal/hub"
)

// FuzzPublish: a POST of any bytes is taken whole, in each of its channels, or not at
// all, and then it says why.
func FuzzPublish(f *testing.F) {
	name := unique("fuzz")
	h, err := referHub(name, false)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { releaseHub(name, 0) })
	e := endpoint{hub: h, maxEvent: 100}
	f.Add("orders", "application/json", "sale", "o42", []byte(`{"id":42}`), false)
	f.Add("a,b%2Cc", "", "", "", []byte("\xff\x00"), true)
	f.Add("publish", "text/plain;;", "a\nb", "\xff", []byte{}, false)
	f.Add("a%zz,,", "application/json", "", "", []byte(`{"id":`), true)
	f.Add("a", "", "", "", bytes.Repeat([]byte("x"), 101), true)
	f.Fuzz(func(t *testing.T, names, contentType, kind, id string, body []byte, unannounced bool) {
		if names == "" {
			return // is the listing
		}
		before := h.Cursor()
		r := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(body))
		if unannounced {
			r.ContentLength = -1
		}
		r.Header.Set("Content-Type", contentType)
		r.Header.Set("Comet-Type", kind)
		r.Header.Set("Comet-Id", id)
		w := httptest.NewRecorder()
		e.serve(w, r, names)
		if w.Code != http.StatusOK {
			var said struct{ Error string }
			if err := json.Unmarshal(w.Body.Bytes(), &said); err != nil || said.Error == "" {
				t.Errorf("%d without a word: %q", w.Code, w.Body)
			}
			if !slices.Contains([]int{400, 404, 405, 413}, w.Code) || h.Cursor() != before {
				t.Errorf("%d, and from %s it came to %s", w.Code, before, h.Cursor())
			}
			return
		}
		if id != "" && strings.Contains(w.Body.String(), `"repeated":true`) {
			return // its channel had one with that id
		}
		channels, err := publishNames(names)
		if err != nil || len(body) > e.maxEvent {
			t.Fatalf("%q with %d bytes was taken: %v", names, len(body), err)
		}
		s, err := h.Subscribe(hub.SubConfig{Channels: slices.Compact(slices.Sorted(slices.Values(channels))), Since: hub.After(before)})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		d := s.Next()
		for _, c := range channels {
			if d == nil || !slices.ContainsFunc(d.Events, func(e *hub.Event) bool { return e.Channel == c && bytes.Equal(e.Data, body) }) {
				t.Fatalf("%q does not have %q", c, body)
			}
			h.Delete(c)
		}
	})
}
