package dialect

import (
	"reflect"
	"testing"

	"github.com/caddy-comet/caddy-comet/internal/hub"
)

func TestWhereAPositionStands(t *testing.T) {
	read := func(target string, headers ...string) Position {
		t.Helper()
		ask, err := native{}.Read(request(target, headers...))
		if err != nil {
			t.Fatal(err)
		}
		return ask.Position
	}
	p := read("/comet/orders?since=z009.42")
	if p == nil || p.Param() != "since" || !p.Noise("_", "1795333127.5-a_Z") || !p.Noise("_", "") || p.Noise("wait", "1") {
		t.Errorf("got %#v", p)
	}
	for _, value := range []string{"1;wait=0", "%zz", "1 ", "#", "é"} {
		if p.Noise("_", value) {
			t.Errorf("%q is noise", value)
		}
	}
	// The browser's word counts then, and stands in a header.
	if p := read("/comet/orders?since=z009.42", "Last-Event-ID", "z009.43"); p != nil {
		t.Errorf("got %#v", p)
	}
}

func TestOnlyACursorIsRead(t *testing.T) {
	since, ok := nativePosition{}.Since("z009.42")
	if want := hub.After(at(42)); !ok || !reflect.DeepEqual(since, want) {
		t.Errorf("got %+v, %v", since, ok)
	}
	for _, value := range []string{"", "now", "all", "z009%2E42", "z009.42+", "z009.42 ", "42"} {
		if _, ok := (nativePosition{}).Since(value); ok {
			t.Errorf("%q was read", value)
		}
	}
}
