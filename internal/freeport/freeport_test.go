package freeport

import (
	"net"
	"runtime"
	"testing"
)

func TestAPortIsGivenToOne(t *testing.T) {
	port, free, err := Take()
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:"+port)
	if err != nil {
		t.Fatal(err)
	}
	l.Close() // and still it is taken
	if runtime.GOOS == "linux" {
		if _, err := claim(port); err == nil {
			t.Error("somebody else has it, too")
		}
	}
	free()
	again, err := claim(port)
	if err != nil {
		t.Fatal(err)
	}
	again()
}
