//go:build linux

package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// machineUse is how much of the machine's CPU others use during a run, without
// which nobody can say what its figures are worth.
type machineUse struct {
	since     time.Time
	busy, own time.Duration
}

func (m *machineUse) begin() {
	m.since, m.busy, m.own = time.Now(), machineBusy(), ownCPU()
}

// others returns the share of all CPU that was used by others since begin, in
// percent. All processes that were started have to have ended.
func (m *machineUse) others() float64 {
	all := time.Since(m.since) * time.Duration(runtime.NumCPU())
	used := machineBusy() - m.busy - (ownCPU() - m.own)
	return 100 * max(used.Seconds(), 0) / all.Seconds()
}

// ownCPU is the CPU of this process and of all that it started and that have ended.
func ownCPU() time.Duration {
	var sum time.Duration
	for _, who := range []int{unix.RUSAGE_SELF, unix.RUSAGE_CHILDREN} {
		var u unix.Rusage
		if err := unix.Getrusage(who, &u); err == nil {
			sum += time.Duration(u.Utime.Nano() + u.Stime.Nano())
		}
	}
	return sum
}

// machineBusy is all processors' time in programs and in the kernel for them,
// the first three figures of /proc/stat, and what a hypervisor gave to others.
func machineBusy() time.Duration {
	b, _ := os.ReadFile("/proc/stat")
	line, _, _ := strings.Cut(string(b), "\n")
	var sum time.Duration
	for i, field := range strings.Fields(line) {
		if i >= 1 && i <= 3 || i == 8 {
			n, _ := strconv.ParseInt(field, 10, 64)
			sum += time.Duration(n) * tick
		}
	}
	return sum
}

// model is what the processors are called.
func model() string {
	b, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(b)) {
		if name, value, _ := strings.Cut(line, ":"); strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "unknown processor"
}

// kernel is the system's name and release.
func kernel() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return "unknown kernel"
	}
	return fmt.Sprintf("%s %s", unix.ByteSliceToString(u.Sysname[:]), unix.ByteSliceToString(u.Release[:]))
}

// descriptors is how many files this process, and so what it starts, may open.
func descriptors() uint64 {
	var limit syscall.Rlimit
	_ = syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit)
	return limit.Cur
}
