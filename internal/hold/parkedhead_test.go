package hold

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// FuzzParts: a client reads the parts of a parked answer as they were, behind a header
// that is what net/http would have made of it, whatever is in them.
func FuzzParts(f *testing.F) {
	f.Add("X-Own", "kept", []byte("data: 1\n\n"), []byte("0\r\n\r\n"), []byte{})
	f.Add("x-own", "a\r\nSet-Cookie: b", []byte("\r\n"), []byte{}, bytes.Repeat([]byte("x"), 300))
	f.Add("Content-Length", "3", []byte("a"), []byte("5;x=y\r\nhello\r\n"), []byte("\xff\x00"))
	f.Fuzz(func(t *testing.T, name, value string, first, second, third []byte) {
		if strings.EqualFold(name, "Content-Length") || strings.EqualFold(name, "Transfer-Encoding") {
			name = "X-Own" // are not parked: see Door
		}
		given := http.Header{name: {value}, "Cache-Control": {"no-store"}}
		var usual bytes.Buffer
		_ = given.Write(&usual)
		want, err := http.ReadResponse(bufio.NewReader(strings.NewReader("HTTP/1.1 200 OK\r\n"+usual.String()+"\r\n")), nil)
		if err != nil {
			return // nor does net/http write what can be read
		}
		g := new(parked)
		all := g.begin(http.StatusOK, parse(lines(given)), "Transfer-Encoding: chunked\r\n")
		for _, part := range [][]byte{first, second, third} {
			all = chunk(all, part)
		}
		got, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(append(all, partsEnd(true)+"rest"...))), nil)
		if err != nil {
			t.Fatalf("%v of %q", err, all)
		}
		body, err := io.ReadAll(got.Body)
		if err != nil || !bytes.Equal(body, slices.Concat(first, second, third)) {
			t.Errorf("read %q and %v", body, err)
		}
		got.Header.Del("Date")
		for name, values := range want.Header {
			if name != "Date" && !slices.Equal(got.Header[name], values) {
				t.Errorf("%s: %q, want %q", name, got.Header[name], values)
			}
		}
	})
}
