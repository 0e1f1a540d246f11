package source

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fsnotify/fsnotify"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

// TestErrorsOfInotifyAreToldOnceAMinute, however many there are.
func TestErrorsOfInotifyAreToldOnceAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, kept := observer.New(zapcore.WarnLevel)
		f := NewFiles(Config{Logger: zap.New(core)})
		defer f.Close()
		watcher := &fsnotify.Watcher{Events: make(chan fsnotify.Event), Errors: make(chan error)}
		f.notify.done = make(chan struct{})
		go f.notify.read(watcher)
		for range 2 {
			for range 100 {
				watcher.Errors <- errors.New("broken")
			}
			time.Sleep(overflowQuiet)
		}
		close(watcher.Errors)
		<-f.notify.done
		if n := kept.Len(); n != 2 {
			t.Errorf("%d lines in two minutes", n)
		}
	})
}
