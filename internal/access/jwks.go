package access

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// JWKS is a set of keys that somebody else keeps and changes.
//
// It is got when the first token comes, again in the background once it is old, and
// when a token fits none of its keys, for that may be signed by a new one. Where it
// cannot be got, the keys of last time go on.
type JWKS struct {
	// Get gets the set.
	Get func(context.Context) ([]byte, error)
	// Every is how old it may be. At least [JWKSPause].
	Every time.Duration
	// Failed is told why it could not be got or read. It may be nil.
	Failed func(error)

	mu   sync.Mutex
	keys []TokenKey
	text []byte
	// version counts the sets that were other ones, 0 before the first.
	version int
	tried   time.Time
	failed  bool
	// coming is closed when the one that is being got is there. nil: none is.
	coming chan struct{}
}

// ErrKeys says that nobody can tell whether a token is good, for its keys cannot be
// had at present. It is a sentence for the visitor.
var ErrKeys = errors.New("the keys that tokens are signed with cannot be had at present; the server's log says why")

const (
	// JWKSPause is how long nothing is tried again, whatever tokens come.
	JWKSPause = 10 * time.Second
	// jwksPatience is how long getting may take. Visitors wait for the first set.
	jwksPatience = 5 * time.Second
)

// all returns the keys, and which version they are. missing: a token fits none of
// those of now.
func (j *JWKS) all(now time.Time, missing bool) ([]TokenKey, int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	age := now.Sub(j.tried)
	if j.coming == nil && (j.tried.IsZero() || age >= j.Every || age >= JWKSPause && (missing || j.failed)) {
		j.tried = now
		j.coming = make(chan struct{})
		go j.get()
	}
	if coming := j.coming; coming != nil && (missing || j.version == 0 || age >= 2*j.Every) {
		j.mu.Unlock()
		<-coming
		j.mu.Lock()
	}
	if j.version == 0 {
		return nil, 0, ErrKeys
	}
	return j.keys, j.version, nil
}

func (j *JWKS) get() {
	ctx, cancel := context.WithTimeout(context.Background(), jwksPatience)
	defer cancel()
	text, err := j.Get(ctx)
	var keys []TokenKey
	if err == nil {
		keys, err = ReadJWKS(text)
	}
	if err != nil && j.Failed != nil {
		j.Failed(fmt.Errorf("jwks: %w", err))
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.failed = err != nil
	if err == nil && !bytes.Equal(text, j.text) {
		j.keys, j.text = keys, text
		j.version++
	}
	close(j.coming)
	j.coming = nil
}
