package smtpclient

import (
	"strings"
)

// xforward tells a server that offers it where the message came from, so that
// a content filter behind us can log it.
func (t *transaction) xforward() *Failure {
	if !t.o.SendXForward || len(t.Caps.XForward) == 0 {
		return nil
	}
	cl := &t.m.Client
	if f := t.xforwardLine("XFORWARD name/address command", [][2]string{
		{"NAME", cl.Name}, {"ADDR", xforwardAddr(cl.Addr)}, {"PORT", cl.Port},
	}); f != nil {
		return f
	}
	source := "REMOTE"
	if cl.RewriteContext == "local" || cl.RewriteContext == "" {
		source = "LOCAL"
	}
	return t.xforwardLine("XFORWARD helo/protocol command", [][2]string{
		{"PROTO", cl.Proto}, {"HELO", cl.Helo}, {"IDENT", cl.Ident}, {"SOURCE", source},
	})
}

// xforwardLine sends the attributes that the server knows. Its opinion of
// them matters little: mail goes on, whatever it says.
func (t *transaction) xforwardLine(doing string, attrs [][2]string) *Failure {
	var b strings.Builder
	for _, a := range attrs {
		if !t.Caps.XForward[a[0]] {
			continue
		}
		value := "[UNAVAILABLE]"
		if a[1] != "" {
			value = xtext(a[1])
		}
		b.WriteString(" " + a[0] + "=" + value)
	}
	if b.Len() == 0 {
		return nil
	}
	r, f := t.ask(t.o.Timeouts.XForward, "sending "+strings.TrimSuffix(doing, " command"), "XFORWARD%s", b.String())
	if f == nil && !r.Positive() {
		t.warn("host %s said: %s (in reply to %s)", t.Peer.Relay(), r, doing)
	}
	return f
}

// xforwardAddr gives an IPv6 address the prefix that the protocol wants.
func xforwardAddr(a string) string {
	if strings.Contains(a, ":") {
		return "IPV6:" + a
	}
	return a
}
