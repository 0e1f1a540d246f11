package log

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/caddy-comet/caddy-comet/internal/hub"
	"github.com/caddy-comet/caddy-comet/internal/hub/hubtest"
	"github.com/caddy-comet/caddy-comet/internal/log/logtest"
)

// stored is a log that logtest opens with its store.
type stored struct {
	*Memory
	store Store
}

func (s stored) Open(f hub.Follower) (hub.Epoch, uint64, error) {
	epoch, head, err := s.Memory.Open(f)
	if err == nil {
		err = s.Keep(s.store, true)
	}
	return epoch, head, err
}

func TestAStoredLogIsALog(t *testing.T) {
	logtest.Run(t, func(t *testing.T, clock hub.Clock) hub.Log {
		return stored{NewMemory(clock), Store{Path: t.TempDir() + "/hub.db"}}
	})
}

// life is a hub whose log is stored, from its begin to its end.
type life struct {
	*testing.T
	*hub.Hub
	log  *Memory
	logs *observer.ObservedLogs
}

// begin begins a life with the store at path, "" for none.
func begin(t *testing.T, path string, clock *hubtest.Clock, limits hub.Limits) *life {
	t.Helper()
	l := prepare(t, clock, limits)
	if err := l.keep(path, true); err != nil {
		t.Fatal(err)
	}
	l.Begin()
	return l
}

func prepare(t *testing.T, clock *hubtest.Clock, limits hub.Limits) *life {
	t.Helper()
	l := &life{T: t, log: NewMemory(clock)}
	h, err := hub.New(hub.Config{Log: l.log, Clock: clock, Limits: limits, Waits: true})
	if err != nil {
		t.Fatal(err)
	}
	l.Hub = h
	t.Cleanup(func() { _ = h.Close() })
	return l
}

func (l *life) keep(path string, first bool) error {
	core, logs := observer.New(zapcore.InfoLevel)
	l.logs = logs
	return l.log.Keep(Store{Path: path, Logger: func() *zap.Logger { return zap.New(core) }}, first)
}

func (l *life) end() {
	l.Helper()
	if err := l.Close(); err != nil {
		l.Fatal(err)
	}
}

// post publishes "channel:data", and wants the cursor's sequence.
func (l *life) post(event string, want uint64) {
	l.Helper()
	if seq, err := l.try(event); err != nil || seq != want {
		l.Fatalf("%s: %d, %v; want %d", event, seq, err, want)
	}
}

func (l *life) try(event string) (uint64, error) {
	channel, data, _ := strings.Cut(event, ":")
	results, err := l.Publish(context.Background(), []hub.Draft{{Channel: channel, Data: []byte(data), Source: "post"}})
	if err != nil {
		return 0, err
	}
	return results[0].Cursor.Seq, nil
}

// nobodyWaits is a Waker that is not told.
type nobodyWaits struct{}

func (nobodyWaits) Wake(*hub.Delivery) {}

// since returns what a reader finds behind a cursor: "x y @2 gap".
func (l *life) since(c hub.Cursor, channels ...string) string {
	l.Helper()
	s, err := l.Subscribe(hub.SubConfig{Channels: channels, Since: hub.After(c), Waker: nobodyWaits{}})
	if err != nil {
		l.Fatal(err)
	}
	defer s.Close()
	var b strings.Builder
	d, at := s.Rest()
	if d == nil {
		if d = s.Next(); d != nil {
			at = d.Cursor
		}
	}
	for ; d != nil; d = s.Next() {
		for _, e := range d.Events {
			fmt.Fprintf(&b, "%s ", e.Data)
		}
		if d.Gap {
			b.WriteString("gap ")
		}
		at = d.Cursor
	}
	fmt.Fprintf(&b, "@%d", at.Seq)
	return b.String()
}

// receive waits for what a Waker is told, and gives up only where nothing comes.
func (l *life) receive(told <-chan *hub.Delivery) *hub.Delivery {
	l.Helper()
	select {
	case d := <-told:
		return d
	case <-time.After(20 * time.Second):
		l.Fatal("nobody is told")
		return nil
	}
}

func (l *life) wants(what, got, want string) {
	l.Helper()
	if got != want {
		l.Errorf("%s: got %q, want %q", what, got, want)
	}
}

// Everything goes on: epoch, sequence, history, times and IDs.
func TestALifeGoesOnWhereTheLastOneEnded(t *testing.T) {
	path, clock := t.TempDir()+"/deep/er/hub.db", hubtest.NewClock()
	first := begin(t, path, clock, hub.DefaultLimits())
	first.post("a:1", 1)
	first.post("b:2", 2)
	if _, err := first.Publish(context.Background(), []hub.Draft{{
		Channel: "a", Type: "t", ContentType: "application/json", Data: []byte("{\"n\":\n3}"), ID: "three", Source: "post",
		Forms: []byte("another\nform\x00"),
	}}); err != nil {
		t.Fatal(err)
	}
	cursor, then := first.Cursor(), clock.Now()
	first.end()

	clock.Advance(time.Minute)
	second := begin(t, path, clock, hub.DefaultLimits())
	if got := second.Cursor(); got != cursor {
		t.Fatalf("the cursor is %v, and was %v", got, cursor)
	}
	second.wants("from the begin", second.since(hub.Cursor{Epoch: cursor.Epoch}, "a", "b"), "1 2 {\"n\":\n3} @3")
	second.wants("from the middle", second.since(hub.Cursor{Epoch: cursor.Epoch, Seq: 2}, "a", "b"), "{\"n\":\n3} @3")
	second.wants("from the end", second.since(cursor, "a", "b"), "@3")
	s, err := second.Subscribe(hub.SubConfig{Channels: []string{"a"}, Since: hub.All(), Waker: nobodyWaits{}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	e := s.Next().Events[1]
	if !e.Time.Equal(then) || e.Type != "t" || e.ContentType != "application/json" || e.Seq != 3 ||
		e.ID != "three" || string(e.Forms) != "another\nform\x00" {
		t.Errorf("the event is %+v", e)
	}
	if r, err := second.Publish(context.Background(), []hub.Draft{{Channel: "a", ID: "three"}}); err != nil || !r[0].Repeated || r[0].Cursor.Seq != 3 {
		t.Errorf("a repeated publish: %+v, %v", r, err)
	}
	second.post("a:4", 4)
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file: %v, %v", info.Mode(), err)
	}
	if info, err := os.Stat(filepath.Dir(path)); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the directory: %v, %v", info.Mode(), err)
	}
}

// What an event says is the same in each life, also where the file was written anew
// from memory: that its publisher named no type is no type of its own.
func TestAnEventIsTheSameInEachLife(t *testing.T) {
	path, clock := t.TempDir()+"/hub.db", hubtest.NewClock()
	l := begin(t, path, clock, hub.DefaultLimits())
	if _, err := l.Publish(context.Background(), []hub.Draft{
		{Channel: "a", Data: []byte("bare"), Source: "post"},
		{Channel: "a", Type: "t", ContentType: "application/json", Data: []byte("{}"), ID: "two", Forms: []byte("form"), Source: "post"},
	}); err != nil {
		t.Fatal(err)
	}
	want := l.events("a")
	for _, c := range []struct {
		when string
		do   func() error
	}{
		{"after a restart", func() error { return nil }},
		{"after one behind a file that was written anew", func() error {
			if err := os.Remove(path); err != nil {
				return err
			}
			_, err := l.try("b:makes it anew")
			return err
		}},
	} {
		if err := c.do(); err != nil {
			t.Fatal(err)
		}
		l.end()
		l = begin(t, path, clock, hub.DefaultLimits())
		got := l.events("a")
		for i := range max(len(got), len(want)) {
			if g, w := fmt.Sprintf("%+v", got[i]), fmt.Sprintf("%+v", want[i]); g != w {
				t.Errorf("%s: %s, and was %s", c.when, g, w)
			}
		}
	}
}

// events are all that a channel has.
func (l *life) events(channel string) []hub.Event {
	l.Helper()
	s, err := l.Subscribe(hub.SubConfig{Channels: []string{channel}, Since: hub.All(), Waker: nobodyWaits{}})
	if err != nil {
		l.Fatal(err)
	}
	defer s.Close()
	var all []hub.Event
	for _, e := range s.Next().Events {
		copied := *e
		copied.Time = e.Time.UTC().Round(0)
		all = append(all, copied)
	}
	return all
}

// Stamps run ahead of the clock where much happens in a second, and must not begin
// before what clients have.
func TestStampsGoOn(t *testing.T) {
	path, clock := t.TempDir()+"/hub.db", hubtest.NewClock()
	l := begin(t, path, clock, hub.DefaultLimits())
	l.post("a:1", 1)
	raise := []hub.Draft{{Channel: "a", StampOnly: true, ContentType: "text/plain"}} // a stamp of its own each
	for range 3 {
		if _, err := l.Publish(context.Background(), raise); err != nil {
			t.Fatal(err)
		}
	}
	before, _ := l.Info("a")
	l.end()
	next := begin(t, path, clock, hub.DefaultLimits())
	next.post("a:2", 2)
	if after, _ := next.Info("a"); after.Stamp <= before.Stamp || before.Stamp <= clock.Now().Unix() {
		t.Errorf("the stamp is %d, and was %d at %d", after.Stamp, before.Stamp, clock.Now().Unix())
	}
}

// What the history dropped, and who is to be told of a gap for it, is the same in
// the next life: nobody is told of one who lost nothing.
func TestGapsAreTheSameAfterARestart(t *testing.T) {
	path, clock := t.TempDir()+"/hub.db", hubtest.NewClock()
	limits := hub.DefaultLimits()
	limits.HistoryCount = 2
	l := begin(t, path, clock, limits)
	l.post("quiet:1", 1)
	for i := 2; i <= 10; i++ {
		l.post("busy:"+strconv.Itoa(i), uint64(i))
	}
	clock.Advance(time.Minute) // past the grace
	l.post("busy:11", 11)
	l.post("quiet:12", 12)
	epoch := l.Cursor().Epoch
	check := func(l *life, life string) {
		l.Helper()
		for _, c := range []struct {
			seq     uint64
			channel string
			want    string
		}{
			{0, "quiet", "1 12 @12"}, {1, "quiet", "12 @12"}, {5, "quiet", "12 @12"},
			{1, "busy", "10 11 gap @12"}, {9, "busy", "10 11 @11"}, {10, "busy", "11 @11"},
		} {
			l.wants(fmt.Sprintf("%s %s from %d", life, c.channel, c.seq), l.since(hub.Cursor{Epoch: epoch, Seq: c.seq}, c.channel), c.want)
		}
	}
	check(l, "first")
	if err := l.Settle(context.Background()); err != nil {
		t.Fatal(err)
	}
	l.end()
	for _, life := range []string{"second", "third"} {
		next := begin(t, path, clock, limits)
		check(next, life)
		next.end()
	}
}

func TestWhatIsForgottenIsOffTheDisk(t *testing.T) {
	path, clock := t.TempDir()+"/hub.db", hubtest.NewClock()
	l := begin(t, path, clock, hub.DefaultLimits())
	l.post("secret:abc", 1)
	l.post("old:abc", 2)
	epoch := l.Cursor().Epoch
	if !l.Delete("secret") {
		t.Fatal("there was none")
	}
	if err := l.Settle(context.Background()); err != nil {
		t.Fatal(err)
	}
	events := func() int { return len(contentsOf(t, l).kept.Entries) }
	if n := events(); n != 1 {
		t.Errorf("%d events are on disk after the deletion", n)
	}
	clock.Advance(hub.DefaultLimits().HistoryAge + time.Minute) // nobody publishes: the sweep does it
	if err := l.Settle(context.Background()); err != nil {
		t.Fatal(err)
	}
	if n := events(); n != 0 {
		t.Errorf("%d events are on disk after their time", n)
	}
	l.end()
	next := begin(t, path, clock, hub.DefaultLimits())
	next.wants("the deleted channel", next.since(hub.Cursor{Epoch: epoch}, "secret"), "gap @2")
	next.wants("its end", next.since(hub.Cursor{Epoch: epoch, Seq: 2}, "secret"), "@2")
}

// contentsOf reads the file beside the log that has it open.
func contentsOf(t *testing.T, l *life) contents {
	t.Helper()
	copied := t.TempDir() + "/copy.db"
	l.log.mu.Lock()
	k := l.log.keeper
	l.log.mu.Unlock()
	err := k.file.db.View(func(tx *bolt.Tx) error { return tx.CopyFile(copied, 0o600) })
	if err != nil {
		t.Fatal(err)
	}
	f, err := openFile(copied, true)
	if err != nil {
		t.Fatal(err)
	}
	defer f.close()
	c, _, err := f.load()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// A hundred times what the history holds goes through, and the file stays within a
// small multiple of it.
func TestSpaceIsBoundedByTheHistorysLimits(t *testing.T) {
	path, clock := t.TempDir()+"/hub.db", hubtest.NewClock()
	limits := hub.DefaultLimits()
	limits.TotalBytes = 2 << 20
	l := begin(t, path, clock, limits)
	data := strings.Repeat("x", 20_000)
	for i := range 200 {
		drafts := make([]hub.Draft, 50)
		for j := range drafts {
			drafts[j] = hub.Draft{Channel: fmt.Sprint("c", (i*50+j)%97), Data: []byte(data[:(i*j*131)%20_000]), ID: fmt.Sprint(i, j)}
		}
		if _, err := l.Publish(context.Background(), drafts); err != nil {
			t.Fatal(err)
		}
		clock.Advance(time.Second)
	}
	s, ok := l.log.Stored()
	t.Logf("%d events in %d commits, %d bytes", s.Events, s.Commits, s.Bytes)
	if !ok || s.Bytes > 5*limits.TotalBytes || s.Events != 10_000 {
		t.Errorf("the file has %d bytes for a history of %d", s.Bytes, limits.TotalBytes)
	}
}

// A file that grew once is written anew at the next start.
func TestAFileThatIsMostlyFreeShrinks(t *testing.T) {
	path, clock := t.TempDir()+"/hub.db", hubtest.NewClock()
	l := begin(t, path, clock, hub.DefaultLimits())
	big := strings.Repeat("x", 1<<20)
	for i := range 40 {
		l.post(fmt.Sprint("c", i, ":", big), uint64(i+1))
	}
	epoch := l.Cursor().Epoch
	clock.Advance(time.Hour)
	l.post("last:one", 41)
	l.end()
	before, _ := os.Stat(path)
	next := begin(t, path, clock, hub.DefaultLimits())
	after, err := os.Stat(path)
	if err != nil || after.Size() > 1<<20 || before.Size() < 40<<20 {
		t.Errorf("%d bytes, and before %d: %v", after.Size(), before.Size(), err)
	}
	next.wants("after", next.since(hub.Cursor{Epoch: epoch, Seq: 40}, "last"), "one @41")
	next.post("last:two", 42)
	next.end()
	if third := begin(t, path, clock, hub.DefaultLimits()); third.Cursor() != (hub.Cursor{Epoch: epoch, Seq: 42}) {
		t.Errorf("the third life is at %v", third.Cursor())
	}
}

// An event is on disk before its publisher knows, and before anybody else does.
func TestNothingIsToldBeforeItIsOnDisk(t *testing.T) {
	path, clock := t.TempDir()+"/hub.db", hubtest.NewClock()
	l := begin(t, path, clock, hub.DefaultLimits())
	l.post("a:1", 1)
	told := make(chan *hub.Delivery, 1)
	s, err := l.Subscribe(hub.SubConfig{Channels: []string{"a"}, Waker: wakes(func(d *hub.Delivery) { told <- d })})
	if err != nil || s.Next() != nil {
		t.Fatal(err)
	}
	defer s.Close()
	writing, release := make(chan struct{}), make(chan struct{})
	l.log.keeper.faults = func(string) error {
		close(writing)
		<-release
		return nil
	}
	answered := make(chan error, 1)
	go func() {
		_, err := l.try("a:2")
		answered <- err
	}()
	<-writing
	select {
	case <-told:
		t.Error("the reader has an event that is not on disk")
	case <-answered:
		t.Error("the publisher has his answer")
	default:
	}
	if l.Cursor().Seq != 1 {
		t.Error("the hub is ahead of the disk")
	}
	l.log.keeper.faults = nil
	close(release)
	if err := <-answered; err != nil {
		t.Error(err)
	}
	if d := <-told; len(d.Events) != 1 || string(d.Events[0].Data) != "2" {
		t.Errorf("told %+v", d)
	}
	if l.log.keeper.file.db.NoSync {
		t.Error("a commit does not wait for the disk")
	}
	if c := contentsOf(t, l); c.kept.Head != 2 || len(c.kept.Entries) != 2 {
		t.Errorf("on disk is %+v", c.kept)
	}
}

type wakes func(*hub.Delivery)

func (w wakes) Wake(d *hub.Delivery) { w(d) }

// Who publishes while the disk is busy shares the next commit.
func TestPublishersShareACommit(t *testing.T) {
	l := begin(t, t.TempDir()+"/hub.db", hubtest.NewClock(), hub.DefaultLimits())
	l.post("a:1", 1)
	writing, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	l.log.keeper.faults = func(string) error {
		once.Do(func() { close(writing); <-release })
		return nil
	}
	var wg sync.WaitGroup
	publish := func() {
		wg.Go(func() {
			if _, err := l.try("a:x"); err != nil {
				t.Error(err)
			}
		})
	}
	publish()
	<-writing
	for range 99 {
		publish()
	}
	for waiting := 0; waiting < 99; { // they come without a sign
		l.log.keeper.mu.Lock()
		waiting = len(l.log.keeper.requests)
		l.log.keeper.mu.Unlock()
	}
	close(release)
	wg.Wait()
	if s, _ := l.log.Stored(); s.Commits != 4 || s.Events != 101 {
		// The file's first one, one for each that found the disk idle, and one for
		// all others.
		t.Errorf("%d commits for %d events", s.Commits, s.Events)
	}
}

// While the disk does not take anything, publishers are told why, and readers get
// what is in memory. When it does again, all goes on, without a number left out.
func TestADiskThatFailsIsToldAndComesBack(t *testing.T) {
	for name, c := range map[string]struct {
		fault error
		want  error
	}{
		"full":      {&os.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC}, hub.ErrFull},
		"quota":     {fmt.Errorf("file resize error: %s", syscall.EDQUOT), hub.ErrFull},
		"read-only": {&os.PathError{Op: "write", Path: "x", Err: syscall.EROFS}, hub.ErrUnkept},
		"broken":    {syscall.EIO, hub.ErrUnkept},
		"damaged":   {&damage{"a page"}, hub.ErrUnkept},
	} {
		t.Run(name, func(t *testing.T) {
			path, clock := t.TempDir()+"/hub.db", hubtest.NewClock()
			l := begin(t, path, clock, hub.DefaultLimits())
			l.post("a:1", 1)
			epoch := l.Cursor().Epoch
			fails := 0
			l.log.keeper.faults = func(string) error { fails++; return c.fault }
			draft := []hub.Draft{{Channel: "a", Data: []byte("2"), ID: "two"}}
			for range 3 {
				if _, err := l.Publish(context.Background(), draft); !errors.Is(err, c.want) {
					t.Fatalf("got %v", err)
				}
			}
			if fails != 1 {
				t.Errorf("%d attempts within a second", fails)
			}
			l.wants("meanwhile", l.since(hub.Cursor{Epoch: epoch}, "a"), "1 @1")
			clock.Advance(tryAgain)
			if _, err := l.Publish(context.Background(), draft); !errors.Is(err, c.want) || fails != 2 {
				t.Errorf("got %v at attempt %d", err, fails)
			}
			if s, _ := l.log.Stored(); !errors.Is(s.Err, c.want) || s.Failures != 2 {
				t.Errorf("%+v", s)
			}
			if n := l.logs.FilterLevelExact(zapcore.ErrorLevel).Len(); n != 1 {
				t.Errorf("%d lines in the log", n)
			}
			clock.Set(clock.Now().Add(-time.Hour)) // and the clock is no obstacle
			l.log.keeper.faults = nil
			r, err := l.Publish(context.Background(), draft)
			if err != nil || r[0].Repeated || r[0].Cursor.Seq != 2 {
				t.Fatalf("after: %+v, %v", r, err)
			}
			if l.logs.FilterMessage("the store works again").Len() != 1 {
				t.Error("nothing is said of the recovery")
			}
			l.end()
			next := begin(t, path, clock, hub.DefaultLimits())
			next.wants("after a restart", next.since(hub.Cursor{Epoch: epoch}, "a"), "1 2 @2")
		})
	}
}

// A commit that failed may have reached the disk all the same. Its events have
// not happened, and their numbers are given to others.
func TestACommitThatFailedDidNotHappen(t *testing.T) {
	path, clock := t.TempDir()+"/hub.db", hubtest.NewClock()
	l := begin(t, path, clock, hub.DefaultLimits())
	l.post("a:1", 1)
	epoch := l.Cursor().Epoch
	l.log.keeper.faults = func(string) error {
		err := l.log.keeper.file.commit(&change{epoch: epoch, head: 3, now: clock.Now(), entries: []hub.Entry{
			{Draft: hub.Draft{Channel: "b", Data: []byte("ghost")}, Seq: 2, Time: clock.Now()},
			{Draft: hub.Draft{Channel: "b", Data: []byte("ghost")}, Seq: 3, Time: clock.Now()},
		}})
		if err != nil {
			t.Error(err)
		}
		return &os.PathError{Op: "write", Path: "x", Err: syscall.EIO}
	}
	if _, err := l.try("b:ghost"); !errors.Is(err, hub.ErrUnkept) {
		t.Fatal(err)
	}
	l.log.keeper.faults = nil
	clock.Advance(tryAgain)
	l.post("a:2", 2)
	l.end()
	next := begin(t, path, clock, hub.DefaultLimits())
	next.wants("b", next.since(hub.Cursor{Epoch: epoch}, "b"), "@0")
	next.wants("a", next.since(hub.Cursor{Epoch: epoch}, "a"), "1 2 @2")
}

// What somebody does to the file while it is in use is noticed by the next event,
// and loses nothing.
func TestAFileThatIsTakenAwayIsWrittenAnew(t *testing.T) {
	for name, take := range map[string]func(path string) error{
		"deleted": os.Remove,
		"moved":   func(path string) error { return os.Rename(path, path+".away") },
		"cut":     func(path string) error { return os.Truncate(path, 5000) },
		"emptied": func(path string) error { return os.Truncate(path, 0) },
		"another": func(path string) error {
			return errors.Join(os.Remove(path), os.WriteFile(path, []byte("mine"), 0o600))
		},
	} {
		t.Run(name, func(t *testing.T) {
			path, clock := t.TempDir()+"/hub.db", hubtest.NewClock()
			l := begin(t, path, clock, hub.DefaultLimits())
			for i := range 50 {
				l.post("a:"+strings.Repeat("x", 3000), uint64(i+1))
			}
			cursor := l.Cursor()
			if err := take(path); err != nil {
				t.Fatal(err)
			}
			l.post("a:after", 51)
			l.end()
			next := begin(t, path, clock, hub.DefaultLimits())
			next.wants("after", next.since(cursor, "a"), "after @51")
		})
	}
}

// What is cut while it is being written is a signal to who has it mapped. The
// server goes on.
func TestAFileMayBeCutAtAnyMoment(t *testing.T) {
	path, clock := t.TempDir()+"/hub.db", hubtest.NewClock()
	l := begin(t, path, clock, hub.DefaultLimits())
	for i := range 50 {
		l.post("a:"+strings.Repeat("x", 3000), uint64(i+1))
	}
	cursor := l.Cursor()
	l.log.keeper.faults = func(string) error { return os.Truncate(path, 5000) }
	if _, err := l.try("a:while"); !errors.Is(err, hub.ErrUnkept) {
		t.Fatal(err)
	}
	l.log.keeper.faults = nil
	clock.Advance(tryAgain)
	l.post("a:after", 51)
	l.end()
	next := begin(t, path, clock, hub.DefaultLimits())
	next.wants("after", next.since(cursor, "a"), "after @51")
}

// A file that is damaged is moved aside, never silently, and a new epoch begins.
func TestADamagedFileIsMovedAside(t *testing.T) {
	whole := func(t *testing.T) []byte {
		path := t.TempDir() + "/hub.db"
		l := begin(t, path, hubtest.NewClock(), hub.DefaultLimits())
		for i := range 100 {
			l.post("a:"+strings.Repeat("x", 1000), uint64(i+1))
		}
		l.end()
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for name, harm := range map[string]func(b []byte) []byte{
		"cut to a byte":     func(b []byte) []byte { return b[:1] },
		"cut to a page":     func(b []byte) []byte { return b[:4096] },
		"cut in the middle": func(b []byte) []byte { return b[:len(b)/2] },
		"something else":    func([]byte) []byte { return []byte(strings.Repeat("hello, world\n", 10_000)) },
		"zeroes":            func(b []byte) []byte { return make([]byte, len(b)) },
		"zeroes in it":      func(b []byte) []byte { clear(b[2*4096 : len(b)-2*4096]); return b },
		"noise in it":       func(b []byte) []byte { noise(b[2*4096:]); return b },
		"one bit of an event": func(b []byte) []byte {
			for i := 0; i < len(b)-4; i++ {
				if bytes.Equal(b[i:i+4], []byte("xxxx")) {
					b[i] ^= 1
				}
			}
			return b
		},
	} {
		t.Run(name, func(t *testing.T) {
			path, clock := t.TempDir()+"/hub.db", hubtest.NewClock()
			if err := os.WriteFile(path, harm(whole(t)), 0o600); err != nil {
				t.Fatal(err)
			}
			l := begin(t, path, clock, hub.DefaultLimits())
			if l.Cursor().Seq != 0 {
				t.Errorf("begins at %v", l.Cursor())
			}
			l.post("a:new", 1)
			if n := l.logs.FilterMessageSnippet("the store is damaged").FilterLevelExact(zapcore.ErrorLevel).Len(); n != 1 {
				t.Errorf("%d lines in the log", n)
			}
			if _, err := os.Stat(path + ".damaged"); err != nil {
				t.Error(err)
			}
			epoch := l.Cursor().Epoch
			l.end()
			if next := begin(t, path, clock, hub.DefaultLimits()); next.Cursor() != (hub.Cursor{Epoch: epoch, Seq: 1}) {
				t.Errorf("and then %v", next.Cursor())
			}
		})
	}
}

func noise(b []byte) {
	x := uint32(2463534242)
	for i := range b {
		x ^= x << 13
		x ^= x >> 17
		x ^= x << 5
		b[i] = byte(x)
	}
}

func TestAStoreBelongsToOne(t *testing.T) {
	path, clock := t.TempDir()+"/hub.db", hubtest.NewClock()
	first := begin(t, path, clock, hub.DefaultLimits())
	first.post("a:1", 1)
	second := prepare(t, clock, hub.DefaultLimits())
	for _, fresh := range []bool{true, false} {
		if err := second.keep(path, fresh); err == nil || !strings.Contains(err.Error(), "is in use by another process; stop that, or give this server another directory") {
			t.Errorf("got %v", err)
		}
	}
	second.Begin()
	second.post("a:in memory", 1)
	first.post("a:2", 2)
	first.end()
	if again := begin(t, path, clock, hub.DefaultLimits()); again.Cursor().Seq != 2 {
		t.Errorf("at %v", again.Cursor())
	}
}

// A reload that brings a store, moves it or takes it away loses nothing and
// keeps the epoch; a file that was left can never go on with old numbers.
func TestAStoreMayComeAndGo(t *testing.T) {
	dir, clock := t.TempDir(), hubtest.NewClock()
	a, b := dir+"/a.db", dir+"/b.db"
	l := begin(t, "", clock, hub.DefaultLimits())
	l.post("x:1", 1)
	if _, err := l.Publish(context.Background(), []hub.Draft{{Channel: "x", Data: []byte("2"), ID: "two"}}); err != nil {
		t.Fatal(err)
	}
	epoch := l.Cursor().Epoch
	for i, path := range []string{a, b, b, "", a, ""} {
		if err := l.keep(path, false); err != nil {
			t.Fatal(err)
		}
		l.post("x:"+strconv.Itoa(i+3), uint64(i+3))
		for _, p := range []string{a, b} {
			if _, err := os.Stat(p); (err == nil) != (p == path) {
				t.Errorf("step %d: %s: %v", i, p, err)
			}
		}
		if r, err := l.Publish(context.Background(), []hub.Draft{{Channel: "x", ID: "two"}}); err != nil || !r[0].Repeated {
			t.Errorf("step %d: the ID is forgotten: %+v, %v", i, r, err)
		}
	}
	if err := l.keep(b, false); err != nil {
		t.Fatal(err)
	}
	l.end()
	next := begin(t, b, clock, hub.DefaultLimits())
	next.wants("all", next.since(hub.Cursor{Epoch: epoch}, "x"), "1 2 3 4 5 6 7 8 @8")
	if r, err := next.Publish(context.Background(), []hub.Draft{{Channel: "x", ID: "two"}}); err != nil || !r[0].Repeated {
		t.Errorf("the ID is forgotten: %+v, %v", r, err)
	}
}

// Where the new store cannot be had, the old one goes on.
func TestAChangeThatFailsChangesNothing(t *testing.T) {
	dir, clock := t.TempDir(), hubtest.NewClock()
	if err := os.WriteFile(dir+"/file", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"", dir + "/a.db"} {
		l := begin(t, path, clock, hub.DefaultLimits())
		l.post("x:1", 1)
		if err := l.keep(dir+"/file/b.db", false); err == nil {
			t.Fatal("a file is a directory")
		}
		l.post("x:2", 2)
		epoch := l.Cursor().Epoch
		l.end()
		if path == "" {
			continue
		}
		next := begin(t, path, clock, hub.DefaultLimits())
		next.wants("all", next.since(hub.Cursor{Epoch: epoch}, "x"), "1 2 @2")
	}
}

// Publishers do not notice that the store is changed under them.
func TestAStoreIsChangedUnderPublishers(t *testing.T) {
	dir := t.TempDir()
	l := begin(t, "", hubtest.NewClock(), hub.DefaultLimits())
	const writers, each = 8, 60
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			last := uint64(0)
			for range each {
				seq, err := l.try("a:x")
				if err != nil || seq <= last {
					t.Errorf("%d after %d, %v", seq, last, err)
				}
				last = seq
			}
		})
	}
	for i := range 12 {
		if err := l.keep([]string{dir + "/a.db", dir + "/b.db", ""}[i%3], false); err != nil {
			t.Error(err)
		}
	}
	wg.Wait()
	if seq := l.Cursor().Seq; seq != writers*each {
		t.Errorf("%d events", seq)
	}
}

// What was appended before the end is kept.
func TestTheEndWaitsForWhatWasAppended(t *testing.T) {
	path, clock := t.TempDir()+"/hub.db", hubtest.NewClock()
	l := begin(t, path, clock, hub.DefaultLimits())
	done := make(chan error, 100)
	for range cap(done) {
		l.log.Append(context.Background(), []hub.Draft{{Channel: "a"}}, func(_ []hub.Place, err error) { done <- err })
	}
	l.end()
	for range cap(done) {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	if next := begin(t, path, clock, hub.DefaultLimits()); next.Cursor().Seq != uint64(cap(done)) {
		t.Errorf("at %v", next.Cursor())
	}
}

func TestTheQueueIsBounded(t *testing.T) {
	l := begin(t, t.TempDir()+"/hub.db", hubtest.NewClock(), hub.DefaultLimits())
	writing, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	l.log.keeper.faults = func(string) error {
		once.Do(func() { close(writing); <-release })
		return nil
	}
	data := make([]byte, 1<<20)
	results := make(chan error, 100)
	appendOne := func() {
		l.log.Append(context.Background(), []hub.Draft{{Channel: "a", Data: data}}, func(_ []hub.Place, err error) { results <- err })
	}
	appendOne()
	<-writing
	for range 60 {
		appendOne()
	}
	close(release)
	busy := 0
	for range 61 {
		switch err := <-results; {
		case errors.Is(err, hub.ErrBusy):
			busy++
		case err != nil:
			t.Error(err)
		}
	}
	if busy != 29 { // 31 of 1 MiB and a little are in 32 MiB, beside the one that is written
		t.Errorf("%d were refused", busy)
	}
}

// Where a life begins on a disk that cannot be written, it has what can be read.
func TestALifeMayBeginOnAFullDisk(t *testing.T) {
	path, clock := t.TempDir()+"/hub.db", hubtest.NewClock()
	first := begin(t, path, clock, hub.DefaultLimits())
	first.post("a:1", 1)
	cursor := first.Cursor()
	first.end()

	l := prepare(t, clock, hub.DefaultLimits())
	beginFaults = func(string) error { return syscall.EROFS }
	defer func() { beginFaults = nil }()
	if err := l.keep(path, true); err != nil {
		t.Fatal(err)
	}
	l.Begin()
	l.wants("what can be read", l.since(hub.Cursor{Epoch: cursor.Epoch}, "a"), "1 @1")
	if _, err := l.try("a:2"); !errors.Is(err, hub.ErrUnkept) {
		t.Error(err)
	}
	l.log.keeper.faults = nil
	clock.Advance(tryAgain)
	l.post("a:2", 2)
	l.end()
	if next := begin(t, path, clock, hub.DefaultLimits()); next.Cursor().Seq != 2 {
		t.Errorf("at %v", next.Cursor())
	}
}

// Files may have changed while nobody watched. A content that is the same is no
// event, another one is news; of touches and lines nobody can tell.
func TestWhatHappenedToFilesMeanwhile(t *testing.T) {
	path, clock := t.TempDir()+"/hub.db", hubtest.NewClock()
	l := begin(t, path, clock, hub.DefaultLimits())
	file := func(channel, contentType, data string, state, quiet bool) hub.Draft {
		return hub.Draft{
			Channel: channel, Data: []byte(data), ContentType: contentType, State: state, Kept: true, Quiet: quiet,
			StampOnly: quiet && contentType == "", Source: hub.FileSource, Changed: clock.Now(),
		}
	}
	for _, d := range []hub.Draft{
		file("same", "text/plain", "s", true, false), file("other", "text/plain", "o", true, false),
		file("lines", "text/plain", "l", false, false), file("touched", "", "", false, false),
	} {
		if _, err := l.Publish(context.Background(), []hub.Draft{d}); err != nil {
			t.Fatal(err)
		}
	}
	l.post("posted:p", 5)
	cursor := l.Cursor()
	l.end()
	for life := range 2 {
		next := begin(t, path, clock, hub.DefaultLimits())
		told := make(chan *hub.Delivery, 1)
		s, err := next.Subscribe(hub.SubConfig{Channels: []string{"other"}, Since: hub.After(cursor), Waker: wakes(func(d *hub.Delivery) { told <- d })})
		if err != nil || s.Next() != nil {
			t.Fatal(err)
		}
		seen := []hub.Draft{
			file("same", "text/plain", "s", true, true),
			file("other", "text/plain", fmt.Sprint("new", life), true, true), file("touched", "", "", false, true),
		}
		if _, err := next.Publish(context.Background(), seen); err != nil {
			t.Fatal(err)
		}
		if d := next.receive(told); len(d.Events) != 1 || string(d.Events[0].Data) != fmt.Sprint("new", life) || d.Gap {
			t.Errorf("told %+v", d)
		}
		for channel, want := range map[string]string{
			"same": "@", "lines": "gap @", "touched": "gap @", "posted": "@",
		} {
			got := next.since(cursor, channel)
			next.wants(channel, got[:strings.Index(got, "@")+1], want)
		}
		cursor = next.Cursor()
		next.end()
	}
}

// What is lost on the way to a log is told as a gap, also to who waits, and also
// in the next life.
func TestLossIsTold(t *testing.T) {
	path, clock := t.TempDir()+"/hub.db", hubtest.NewClock()
	l := begin(t, path, clock, hub.DefaultLimits())
	l.post("a:1", 1)
	cursor := l.Cursor()
	told := make(chan *hub.Delivery, 1)
	s, err := l.Subscribe(hub.SubConfig{Channels: []string{"a"}, Waker: wakes(func(d *hub.Delivery) { told <- d })})
	if err != nil || s.Next() != nil {
		t.Fatal(err)
	}
	if _, err := l.Publish(context.Background(), []hub.Draft{{Channel: "a", Lost: true}}); err != nil {
		t.Fatal(err)
	}
	if d := l.receive(told); !d.Gap || len(d.Events) != 0 || d.Cursor.Seq != 2 {
		t.Errorf("told %+v", d)
	}
	l.post("a:3", 3)
	l.wants("from before", l.since(cursor, "a"), "3 gap @3")
	l.end()
	next := begin(t, path, clock, hub.DefaultLimits())
	next.wants("in the next life", next.since(cursor, "a"), "3 gap @3")
	next.wants("from behind", next.since(hub.Cursor{Epoch: cursor.Epoch, Seq: 2}, "a"), "3 @3")
}

// FuzzReadEvent: whatever stands in a file, an event is as it was written, or the
// file is damaged.
func FuzzReadEvent(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x00\x00\x00\x00\x01"), []byte(`{"channel":"a","time":1,"stamp":1,"sum":0}`+"\n"))
	f.Add([]byte("\x00\x00\x00\x00\x00\x00\x00\x01"), []byte(`{"channel":"a","sum":2412734216}`+"\ndata"))
	f.Add([]byte(""), []byte("\n"))
	f.Fuzz(func(t *testing.T, k, v []byte) {
		c := contents{kept: hub.Kept{Head: 5}, stamps: make(map[string]hub.StampState)}
		var broken *damage
		err := c.readEvent(k, v)
		switch {
		case errors.As(err, &broken) && len(c.kept.Entries) == 0:
		case err != nil || len(c.kept.Entries) != 1:
			t.Errorf("%v, %d entries", err, len(c.kept.Entries))
		default:
			if e := c.kept.Entries[0]; e.Seq > 5 || hub.CheckChannel(e.Channel) != nil || !bytes.HasSuffix(v, e.Data) {
				t.Errorf("%+v", e)
			}
		}
	})
}

// BenchmarkStoredPublish is what publishers wait for the disk, alone and together.
func BenchmarkStoredPublish(b *testing.B) {
	for _, publishers := range []int{1, 16, 64} {
		b.Run(strconv.Itoa(publishers), func(b *testing.B) {
			m := NewMemory(nil)
			h, err := hub.New(hub.Config{Log: m, Limits: hub.DefaultLimits()})
			if err != nil {
				b.Fatal(err)
			}
			if err := m.Keep(Store{Path: b.TempDir() + "/hub.db"}, true); err != nil {
				b.Fatal(err)
			}
			defer h.Close()
			data := bytes.Repeat([]byte("x"), 200)
			work := make(chan struct{})
			var wg sync.WaitGroup
			for p := range publishers {
				wg.Go(func() {
					for range work {
						if _, err := h.Publish(context.Background(), []hub.Draft{{Channel: strconv.Itoa(p), Data: data}}); err != nil {
							b.Error(err)
						}
					}
				})
			}
			for b.Loop() {
				work <- struct{}{}
			}
			close(work)
			wg.Wait()
			s, _ := m.Stored()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
			b.ReportMetric(float64(s.Events)/float64(s.Commits), "events/commit")
		})
	}
}
