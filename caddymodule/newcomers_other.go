//go:build !linux

package caddymodule

import "runtime"

// porch is where newcomers wait until others had their turn.
type porch struct{}

func (*porch) wait() { runtime.Gosched() }
