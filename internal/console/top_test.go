package console

import (
	"fmt"
	"testing"
)

// TestTheViewOfAServer at the sizes of usual terminals, and as text.
func TestTheViewOfAServer(t *testing.T) {
	for _, size := range []struct{ width, height int }{{80, 24}, {120, 40}, {100, 0}} {
		name := fmt.Sprintf("%dx%d", size.width, size.height)
		golden(t, "none-"+name, picture(t, seen(nothing, nil, size.width, size.height)))
		golden(t, "some-"+name, picture(t, seen(few, fewChannels, size.width, size.height)))
		golden(t, "15000-"+name, picture(t, seen(many, manyChannels, size.width, size.height)))
	}
}
