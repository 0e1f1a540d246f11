package faults

import (
	"context"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

type answering int

func (a answering) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: int(a), Body: http.NoBody}, nil
}

// Whoever is never told is found, however short the round is.
func TestWhoIsNeverToldIsFound(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	var begun atomic.Int64
	for name, publish := range map[string]func(now, all context.Context, r *rand.Rand, l []*Listener) error{
		"not all were told of a touch": func(now, all context.Context, r *rand.Rand, l []*Listener) error {
			_, err := touch(now, all, file, r, l)
			return err
		},
		"deaf was not told of the message": func(now, all context.Context, r *rand.Rand, l []*Listener) error {
			return chat(now, all, file, r, l)
		},
		"deaf never heard": func(now, all context.Context, r *rand.Rand, l []*Listener) error {
			return ring(now, all, &http.Client{Transport: answering(http.StatusNoContent)}, "http://host", strconv.Itoa, &begun, r, l)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				now, over := context.WithTimeout(t.Context(), time.Second)
				defer over()
				err := publish(now, t.Context(), Seed(1).Source(name, 0), []*Listener{{Name: "deaf"}})
				if err == nil || !strings.Contains(err.Error(), name) {
					t.Errorf("got %v", err)
				}
			})
		})
	}
}
