package hold_test

import (
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"testing"

	"github.com/caddy-comet/caddy-comet/internal/hold"
)

// panicOf returns what f panics with.
func panicOf(f func()) (reason any) {
	defer func() { reason = recover() }()
	f()
	return nil
}

func TestWhatPanicsAsidePanicsHere(t *testing.T) {
	done := false
	if reason := panicOf(func() { hold.Aside(func() { done = true }) }); reason != nil || !done {
		t.Errorf("got %v, done %v", reason, done)
	}
	// net/http compares it.
	if reason := panicOf(func() { hold.Aside(func() { panic(http.ErrAbortHandler) }) }); reason != http.ErrAbortHandler {
		t.Errorf("got %v", reason)
	}
	reason := fmt.Sprint(panicOf(func() { hold.Aside(mistake) }))
	if !strings.HasPrefix(reason, "a mistake\n") || !strings.Contains(reason, "hold_test.mistake") {
		t.Errorf("got %s", reason)
	}
}

func mistake() { panic("a mistake") }

// What has been done before the waiting must be off the stack.
func TestWhoWaitsForAnEndHasLittleOnItsStack(t *testing.T) {
	for _, target := range []string{"/comet/a", "/comet/a?as=sse", "/doorbell/22482"} {
		t.Run(target, func(t *testing.T) {
			r := newRig(t)
			req := get(target)
			req.ProtoMajor, req.ProtoMinor = 2, 0
			way, begun, ended := r.hold(req), make(chan struct{}), make(chan struct{})
			go func() {
				defer close(ended)
				hold.Aside(func() {
					if err := way.Begin(newClient(), req); err != nil {
						t.Error(err)
					}
				})
				close(begun)
				way.End()
			}()
			<-begun
			for !strings.Contains(stackOf("(*Hold).End"), "[select]") {
				runtime.Gosched()
			}
			stack := stackOf("(*Hold).End")
			frames := strings.Count(stack, "\n\t") - 1 // less its creation
			if frames > 4 {
				t.Errorf("it waits in %d frames:\n%s", frames, stack)
			}
			close(r.stop)
			r.publish("a", "")
			r.publish("22482", "")
			<-ended
		})
	}
}

// stackOf is the stack of the goroutine that is in a function.
func stackOf(function string) string {
	b := make([]byte, 1<<20)
	for stack := range strings.SplitSeq(string(b[:runtime.Stack(b, true)]), "\n\n") {
		if strings.Contains(stack, function) {
			return stack
		}
	}
	return ""
}
