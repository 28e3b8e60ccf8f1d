package service

import (
	"bytes"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

func newKeep(t *testing.T) *Keep {
	t.Helper()
	fd, err := unix.MemfdCreate("test", unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "kept file")
	t.Cleanup(func() { f.Close() })
	return &Keep{f}
}

// TestKeep: what is left is taken once, and not when anything of it changed.
func TestKeep(t *testing.T) {
	k := newKeep(t)
	if data, _, err := k.Take(); data != nil || err != nil {
		t.Fatalf("at first: %q %v", data, err)
	}
	for _, text := range []string{"one", "", "a longer one"} {
		if err := k.Leave([]byte(text)); err != nil {
			t.Fatal(err)
		}
		data, age, err := k.Take()
		if string(data) != text || err != nil || age < 0 {
			t.Errorf("%q: %q %v %v", text, data, age, err)
		}
		if data, _, err := k.Take(); len(data) > 0 || err != nil {
			t.Errorf("a second time: %q %v", data, err)
		}
	}
	k.Leave([]byte("data"))
	whole := make([]byte, keepHeader+4)
	k.f.ReadAt(whole, 0)
	for i := range whole {
		b := bytes.Clone(whole)
		b[i] ^= 0x80
		k.f.WriteAt(b, 0)
		if data, _, err := k.Take(); err == nil && i != 8 && i != 9 && i != 10 && i != 11 && i != 12 {
			t.Errorf("byte %d changed: %q", i, data)
		}
		if info, _ := k.f.Stat(); info.Size() != 0 {
			t.Fatal("not emptied")
		}
	}
	// Killed before the header was written.
	k.f.WriteAt([]byte("data"), keepHeader)
	if data, _, err := k.Take(); len(data) > 0 || err == nil {
		t.Errorf("half: %q %v", data, err)
	}
	if err := k.Leave(make([]byte, MaxKeep+1)); err == nil {
		t.Error("too much is taken")
	}
}

// TestKeepNobody: without master there is nothing, and that is no error.
func TestKeepNobody(t *testing.T) {
	var k *Keep
	if data, _, err := k.Take(); data != nil || err != nil || k.Leave([]byte("x")) != nil {
		t.Error(data, err)
	}
}

// FuzzOpenKept: a header is checked before anything is believed.
func FuzzOpenKept(f *testing.F) {
	f.Add([]byte(keepMark))
	f.Add(make([]byte, keepHeader+1))
	f.Fuzz(func(t *testing.T, b []byte) {
		if data, age, err := openKept(b); err == nil && (age < 0 || len(data) != len(b)-keepHeader) {
			t.Error(data, age)
		}
	})
}
