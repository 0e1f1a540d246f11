package hub_test

import (
	"errors"
	"math"
	"testing"

	"github.com/caddy-comet/caddy-comet/internal/hub"
)

func TestACursorIsReadAsItWasWritten(t *testing.T) {
	for text, c := range map[string]hub.Cursor{
		"0.0":                                {},
		"k3f9.42":                            {Epoch: 937557, Seq: 42},
		"3w5e11264sgsf.18446744073709551615": {Epoch: math.MaxUint64, Seq: math.MaxUint64},
	} {
		if got := c.String(); got != text {
			t.Errorf("%#v is written %q, want %q", c, got, text)
		}
		if got, err := hub.ParseCursor(text); err != nil || got != c {
			t.Errorf("%q is read as %v, %v", text, got, err)
		}
	}
}

func TestWhatIsNoCursorIsRefused(t *testing.T) {
	for _, text := range []string{
		"", ".", "1", "1.", ".1", "a.b", "A.1", "a.01", "00.1", "+1.1", "1.-1", "1.1.1", " 1.1", "1.1\n", "é.1", "1_0.1",
		"3w5e11264sgsg.0", "0.18446744073709551616", "now", "all",
		"00000000000000000000000000000000000000000000.1",
	} {
		if c, err := hub.ParseCursor(text); !errors.Is(err, hub.ErrCursor) || c != (hub.Cursor{}) {
			t.Errorf("%q is read as %v, %v", text, c, err)
		}
	}
}

func FuzzParseCursor(f *testing.F) {
	for _, s := range []string{"k3f9.42", "0.0", "", "a.01", "A.1", "3w5e11264sgsf.18446744073709551615"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c, err := hub.ParseCursor(s)
		if err == nil && c.String() != s {
			t.Errorf("%q is read as %v, which is written differently", s, c)
		}
		if err != nil && !errors.Is(err, hub.ErrCursor) {
			t.Errorf("%q: %v is not ErrCursor", s, err)
		}
	})
}
