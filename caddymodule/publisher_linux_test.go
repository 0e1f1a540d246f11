package caddymodule

import (
	"io"
	"os"
	"syscall"
	"testing"
)

// TestAnswerPublishWritesFilesAlone: a tenant may put a FIFO in a file's place, and
// nobody waits for its other end, or writes to it.
func TestAnswerPublishWritesFilesAlone(t *testing.T) {
	s := newServer(t)
	fifo := s.dir + "/chat.txt"
	if err := syscall.Mkfifo(fifo, 0o666); err != nil {
		t.Fatal(err)
	}
	s.reload("", "http://SITE {\nbind 127.0.0.1\ncomet filechat {\nwatch DIR/chat.txt content\nanswer_publish\n}\n}")
	url := "http://" + s.site + "/chat?msg=hello"
	get(url).wants(t, 500, "the message could not be written")
	reader, err := os.OpenFile(fifo, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	get(url).wants(t, 500, "the message could not be written")
	if b, err := io.ReadAll(reader); err != nil || len(b) > 0 {
		t.Errorf("it has %q, %v", b, err)
	}
	if err := os.Remove(fifo); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(fifo, []byte("a longer message"), 0o666); err != nil {
		t.Fatal(err)
	}
	get(url).wants(t, 200, "")
	if b, err := os.ReadFile(fifo); err != nil || string(b) != "hello" {
		t.Errorf("the file has %q, %v", b, err)
	}
}
