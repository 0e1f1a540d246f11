package caddymodule

import (
	"errors"
	"io"
	"net/http"
	"os"
	"time"
)

// maxBody is how much of a held request's body is read, and thrown away.
const maxBody = 64 << 10

// drain reads the body that a request for listening should not have. net/http
// notices that a client hangs up only after the body was read to its end.
func drain(w http.ResponseWriter, r *http.Request) (status int, text string) {
	if r.Body == nil || r.Body == http.NoBody {
		return 0, ""
	}
	const tooLarge = "a request for listening needs no body; this one is too large"
	if r.ContentLength > maxBody {
		return http.StatusRequestEntityTooLarge, tooLarge
	}
	if r.ContentLength != 0 {
		// Not every writer has deadlines. This one must not outlive the body: what
		// comes after it is watched for the client's end, for as long as the hold.
		rc := http.NewResponseController(w)
		_ = rc.SetReadDeadline(time.Now().Add(bodyTime))
		defer func() { _ = rc.SetReadDeadline(time.Time{}) }()
	}
	_, err := io.Copy(io.Discard, http.MaxBytesReader(w, r.Body, maxBody))
	var over *http.MaxBytesError
	switch {
	case err == nil:
		return 0, ""
	case errors.As(err, &over):
		return http.StatusRequestEntityTooLarge, tooLarge
	case errors.Is(err, os.ErrDeadlineExceeded):
		return http.StatusRequestTimeout, "the request's body came too slowly; a request for listening needs none"
	}
	return http.StatusBadRequest, "the request's body did not arrive"
}

// bodyTime is how long a body may take that a request for listening does not
// need.
const bodyTime = time.Second

// dropTime is how long whoever was refused may go on to send a body.
const dropTime = time.Second

// dropBody has the answer not wait for the rest of a body that nobody wants.
// net/http reads up to 256 KiB of it first, so that who still sends does not
// miss the answer (cw.writeHeader in net/http/server.go); because Caddy wraps
// the body it does so even where the announced length says that it is in vain,
// and a client that waits for the answer got it after Caddy's minute.
func dropBody(w http.ResponseWriter) {
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(dropTime)) // not every writer has one
}
