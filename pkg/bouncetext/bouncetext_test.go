package bouncetext

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/posthouse-mail/posthouse/pkg/config"
)

func TestReadTemplates(t *testing.T) {
	for _, test := range []struct{ name, in, want string }{
		{"empty", "\n# x\n", ""},
		{"two", "a = <<E\nx\nE\n\nb=<< F G\ny\n E\nF G\n", `1 a ["x"]; 5 b ["y" " E"]; `},
		{"no end", "a = <<E\nx\n", `line 1: missing "E" end marker; 1 a ["x"]; `},
		{"no start", "hello\n", "line 1: want name = <<EOF"},
		{"no word", "a = <<\n", "line 1: want name = <<EOF"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var got strings.Builder
			err := read(strings.NewReader(test.in), func(format string, args ...any) { fmt.Fprintf(&got, format+"; ", args...) }, func(name string, line int, text []string) {
				fmt.Fprintf(&got, "%d %s %q; ", line, name, text)
			})
			if err != nil {
				got.WriteString(err.Error())
			}
			if diff := cmp.Diff(test.want, got.String()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestApply(t *testing.T) {
	same := func(s string) (string, error) { return s, nil }
	for _, test := range []struct{ name, in, want string }{
		{"no headers", "\nHello\n", ""},
		{"no text", "Subject: x\n\n", "no text"},
		{"text after a header", "Subject: x\n y\n\ntext", ""},
		{"unknown header", "Bcc: x\n\ntext", `bad header: "Bcc: x"`},
		{"no empty line", "text: it is\n", "bad header"},
		{"text at once", "It is so\n", ""},
		{"8 bit without charset", "\nhell\u00f6", errASCII.Error()},
		{"8 bit header", "Subject: hell\u00f6\n\nx", "bad header"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := Builtin().Failure.apply(strings.Split(test.in, "\n"), same)
			if got := fmt.Sprint(err); err == nil && test.want != "" || err != nil && (test.want == "" || !strings.Contains(got, test.want)) {
				t.Errorf("got %s, want %q", got, test.want)
			}
		})
	}
}

func TestWords(t *testing.T) {
	for d, want := range map[time.Duration]string{
		5 * 24 * time.Hour: "5 days", 24 * time.Hour: "1 day", 36 * time.Hour: "36 hours", time.Hour: "1 hour",
		90 * time.Minute: "90 minutes", time.Minute: "1 minute", 61 * time.Second: "61 seconds", 0: "0s",
	} {
		if got := words(d); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
}

func TestTemplateFileMissing(t *testing.T) {
	cfg := config.New(t.TempDir(), &config.Main{})
	if _, err := Load(cfg, "/nonexistent", nil); err == nil {
		t.Error("no error")
	}
}

// FuzzTemplates: a file of templates gives texts or a complaint.
func FuzzTemplates(f *testing.F) {
	sample, err := os.ReadFile("testdata/bounce.cf")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(sample))
	f.Add("failure_template = <<E\n\n$x ${y?{z}}\nE\n")
	f.Add("a = <<\n")
	f.Fuzz(func(t *testing.T, text string) {
		cfg := config.New(".", &config.Main{})
		err := read(strings.NewReader(text), func(string, ...any) {}, func(_ string, _ int, lines []string) {
			got, err := Builtin().Delay.apply(lines, cfg.Expand)
			if err != nil {
				return
			}
			for _, l := range append([]string{got.From, got.Subject, got.CopySubject, got.Charset}, got.Text...) {
				if strings.ContainsAny(l, "\r\n\x00") {
					t.Errorf("line break in %q", l)
				}
			}
		})
		_ = err
	})
}
