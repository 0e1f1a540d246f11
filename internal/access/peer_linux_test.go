package access

import (
	"net"
	"os"
	"path/filepath"
	"testing"
)

// wrapped is what a listener wrapper makes of a connection.
type wrapped struct{ net.Conn }

func TestTheKernelSaysWhoConnected(t *testing.T) {
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err := net.Dial("unix", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if uid, ok := PeerOf(c); !ok || uid != uint32(os.Getuid()) {
		t.Errorf("it says %d, %v", uid, ok)
	}
	if _, ok := PeerOf(wrapped{c}); ok {
		t.Error("a wrapped connection has a peer")
	}
	client.Close()
	if uid, ok := PeerOf(c); !ok || uid != uint32(os.Getuid()) {
		t.Errorf("after the peer hung up it says %d, %v", uid, ok)
	}
	c.Close()
	if _, ok := PeerOf(c); ok {
		t.Error("a closed connection has a peer")
	}
}

func TestAPortDoesNotSayWhoConnected(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if uid, ok := PeerOf(client); ok {
		t.Errorf("it says %d", uid)
	}
}
