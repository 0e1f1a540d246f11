package hold

import (
	"bytes"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// header is that of the answer.
func (g *parked) header() http.Header {
	if g.told != nil {
		return g.told
	}
	header := parse(g.head.Value())
	if g.status == http.StatusOK && !g.raw {
		dress(header, g.answer, usual)
	}
	if !g.parts && g.status != 0 {
		header.Set("Content-Length", strconv.Itoa(g.size))
	}
	return header
}

// begin is the answer's head, as net/http writes it (chunkWriter.writeHeader):
// the header in order, and then what is the server's.
func (g *parked) begin(status int, header http.Header, more string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "HTTP/1.1 %d %s\r\n", status, http.StatusText(status))
	_ = header.Write(&b) // a buffer takes everything
	b.WriteString("Date: ")
	b.Write(time.Now().UTC().AppendFormat(b.AvailableBuffer(), http.TimeFormat))
	b.WriteString("\r\n")
	if g.closes {
		b.WriteString("Connection: close\r\n")
	}
	b.WriteString(more)
	b.WriteString("\r\n")
	return b.Bytes()
}

// chunk appends a part in chunked framing (RFC 9112 section 7.1).
func chunk(b, part []byte) []byte {
	if len(part) == 0 {
		return b
	}
	b = strconv.AppendInt(b, int64(len(part)), 16)
	b = append(b, "\r\n"...)
	b = append(b, part...)
	return append(b, "\r\n"...)
}

// lines is a header as text, in order.
func lines(h http.Header) string {
	var b strings.Builder
	_ = h.Write(&b) // a builder takes everything
	return b.String()
}

// parse is the header of such a text. Names stay as they were written.
func parse(lines string) http.Header {
	h := make(http.Header)
	for line := range strings.Lines(lines) {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\r\n"), ": ")
		h[name] = append(h[name], value)
	}
	return h
}

// serversOwn are headers by which a handler tells the server how to send an
// answer, which is not the server's doing any more where it is parked.
var serversOwn = []string{"Connection", "Content-Length", "Date", "Trailer", "Transfer-Encoding", "Upgrade"}

// plainHeader reports whether a header has none of those.
func plainHeader(h http.Header) bool {
	for _, name := range serversOwn {
		if len(h[name]) > 0 {
			return false
		}
	}
	for name := range h {
		if strings.HasPrefix(name, http.TrailerPrefix) {
			return false
		}
	}
	return true
}
