//go:build linux

package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// What a server costs, from /proc. All figures are of a process and all its
// descendants: nginx works in children.

// tick is the unit of /proc's CPU times; Linux shows it as 10 ms on every
// machine, whatever it counts with inside.
const tick = 10 * time.Millisecond

// spent is CPU time.
type spent struct{ program, kernel time.Duration }

func (s spent) all() time.Duration { return s.program + s.kernel }

func (s spent) plus(o spent) spent { return spent{s.program + o.program, s.kernel + o.kernel} }

func (s spent) minus(o spent) spent { return spent{s.program - o.program, s.kernel - o.kernel} }

// cpu returns the CPU time that the processes have used.
func cpu(pid int) (time.Duration, error) {
	s, err := spentBy(pid)
	return s.all(), err
}

func spentBy(pid int) (sum spent, err error) {
	err = eachProcess(pid, func(pid int) error {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			return err
		}
		// The name, in parentheses, may have spaces. utime and stime are the
		// 14th and 15th field, the 12th and 13th after it.
		fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
		for i, t := range []*time.Duration{&sum.program, &sum.kernel} {
			ticks, err := strconv.ParseInt(fields[11+i], 10, 64)
			if err != nil {
				return err
			}
			*t += time.Duration(ticks) * tick
		}
		return nil
	})
	return sum, err
}

// memory returns the processes' proportional set size in KiB.
func memory(pid int) (float64, error) {
	sum := 0.0
	err := eachProcess(pid, func(pid int) error {
		f, err := os.Open(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
		if err != nil {
			return err
		}
		defer f.Close()
		for s := bufio.NewScanner(f); s.Scan(); {
			if rest, ok := strings.CutPrefix(s.Text(), "Pss:"); ok {
				kib, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
				sum += kib
				return err
			}
		}
		return fmt.Errorf("no Pss for process %d", pid)
	})
	return sum, err
}

// eachProcess calls f for a process and its descendants.
func eachProcess(pid int, f func(pid int) error) error {
	if err := f(pid); err != nil {
		return err
	}
	threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		return err
	}
	for _, thread := range threads {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/children", pid, thread.Name()))
		if os.IsNotExist(err) { // the thread has ended
			continue
		}
		if err != nil {
			return err
		}
		for _, child := range strings.Fields(string(b)) {
			n, err := strconv.Atoi(child)
			if err != nil {
				return err
			}
			if err := eachProcess(n, f); err != nil {
				return err
			}
		}
	}
	return nil
}
