package hub

import (
	"errors"
	"fmt"
	"unicode"
	"unicode/utf8"
)

// MaxName is the longest name of a channel, in bytes.
const MaxName = 255

// ErrName is wrapped by every error of [CheckChannel].
var ErrName = errors.New("not a channel name")

// CheckChannel reports why name cannot be a channel: a channel's name is any
// UTF-8 of 1 to [MaxName] bytes without control characters. Dialects narrow
// that further.
func CheckChannel(name string) error {
	switch {
	case name == "":
		return fmt.Errorf("%w: it is empty", ErrName)
	case len(name) > MaxName:
		return fmt.Errorf("%w: it has %d bytes, and %d are allowed", ErrName, len(name), MaxName)
	case !utf8.ValidString(name):
		return fmt.Errorf("%w: it is not UTF-8", ErrName)
	}
	for _, r := range name {
		if unicode.IsControl(r) {
			return fmt.Errorf("%w: it has the control character %U", ErrName, r)
		}
	}
	return nil
}
