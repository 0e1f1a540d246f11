//go:build !linux

package park

var newCrowdedWatch = newWatch
