package hold

import (
	"fmt"
	"net/http"
	"runtime/debug"
)

// Aside calls f on another goroutine, and waits for its end. A goroutine's stack
// doubles where a call goes deep, and stays so large while half of it is in use:
// for who is about to wait for long, that is what the waiting costs.
func Aside(f func()) {
	var reason any
	over := make(chan struct{})
	go func() {
		defer close(over)
		defer func() {
			if reason = recover(); reason != nil && reason != http.ErrAbortHandler {
				reason = fmt.Errorf("%v\n%s", reason, debug.Stack()) // who logs it sees another stack
			}
		}()
		f()
	}()
	<-over
	if reason != nil {
		panic(reason)
	}
}
