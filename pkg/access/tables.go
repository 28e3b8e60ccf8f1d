package access

import (
	"context"
	"strings"

	"github.com/posthouse-mail/posthouse/pkg/address"
	"github.com/posthouse-mail/posthouse/pkg/status"
	"github.com/posthouse-mail/posthouse/pkg/table/keys"
)

// table looks something up in an access table and does what it says.
func (e *Eval) table(ctx context.Context, item *Item) (Verdict, status.Status) {
	name, class, have := e.lookupSubject(item.Name)
	if !have {
		return Dunno, status.Status{}
	}
	var r keys.Result
	var err error
	switch item.Name {
	case "check_client_access":
		r, err = keys.AccessHost(ctx, item.maps, e.Name, e.Addr, e.Keys)
	case "check_reverse_client_hostname_access":
		r, err = keys.AccessDomain(ctx, item.maps, e.Reverse, e.Keys)
	case "check_helo_access":
		r, err = keys.AccessDomain(ctx, item.maps, e.Helo, e.Keys)
	case "check_sender_access":
		r, err = keys.AccessAddress(ctx, item.maps, e.Sender, e.NullKey, e.Keys)
	case "check_sasl_access":
		r.Value, r.Found, err = item.maps.Lookup(ctx, e.Login)
	case "check_ccert_access":
		for _, print := range e.Fingerprints {
			if r.Value, r.Found, err = item.maps.Lookup(ctx, print); r.Found || err != nil {
				break
			}
		}
	case "check_etrn_access":
		r, err = keys.AccessDomain(ctx, item.maps, e.Recipient, e.Keys)
	default:
		r, err = keys.AccessAddress(ctx, item.maps, e.Recipient, e.NullKey, e.Keys)
	}
	if err != nil {
		e.note("warning", err.Error())
		return Reject, lookupFailed(name)
	}
	if !r.Found {
		return Dunno, status.Status{}
	}
	return e.result(ctx, item.Arg, r.Value, name, class)
}

func (e *Eval) lookupSubject(check string) (name, class string, have bool) {
	switch check {
	case "check_client_access":
		return e.Name + "[" + e.Addr + "]", "Client host", true
	case "check_reverse_client_hostname_access":
		return e.Reverse, "Unverified Client host", true
	case "check_helo_access":
		return e.Helo, "Helo command", e.Helo != ""
	case "check_sender_access":
		return e.Sender, "Sender address", e.HaveSender
	case "check_sasl_access":
		return e.Login, "SASL login name", e.Login != ""
	case "check_ccert_access":
		return e.Name + "[" + e.Addr + "]", "Client certificate", len(e.Fingerprints) > 0
	case "check_etrn_access":
		return e.Recipient, "Etrn command", e.stage == Etrn
	}
	return e.Recipient, "Recipient address", e.HaveRcpt
}

// result does what an access table's value says (access(5)).
func (e *Eval) result(ctx context.Context, tab, value, name, class string) (Verdict, status.Status) {
	word, text, _ := strings.Cut(strings.TrimSpace(value), " ")
	text = strings.TrimSpace(text)
	none := status.Status{}
	word = strings.ToUpper(word)
	switch word {
	case "OK":
		return OK, none
	case "DUNNO":
		return Dunno, none
	case "REJECT":
		return Reject, refusal(code(e.Codes.Reject, 554), "5.7.1", name, class, text)
	case "DEFER":
		return Reject, refusal(code(e.Codes.Defer, 450), "4.7.1", name, class, text)
	case "DEFER_IF_PERMIT":
		return e.arm(refusal(450, "4.7.1", name, class, orText(text, "Service unavailable"))), none
	case "DEFER_IF_REJECT":
		e.armReject(refusal(450, "4.7.1", name, class, orText(text, "Service unavailable")))
		return Dunno, none
	case "WARN":
		e.note("warn", "<"+name+">: "+orText(text, class+" triggers WARN action"))
		return Dunno, none
	case "INFO":
		e.note("info", "<"+name+">: "+orText(text, class+" triggers INFO action"))
		return Dunno, none
	case "HOLD", "DISCARD", "FILTER", "REDIRECT", "PREPEND", "BCC":
		return e.act(word, tab, text, name, class)
	}
	if strings.Trim(word, "0123456789") == "" {
		return numeric(word, text, name, class)
	}
	return e.words(ctx, tab, value)
}

func orText(text, fallback string) string {
	if text == "" {
		return fallback
	}
	return text
}

// refusal is reject with a text that may begin with an enhanced code.
func refusal(reply int, enhanced, name, class, text string) status.Status {
	st := status.Parse(text, enhanced)
	return reject(reply, st.Code, name, class, orText(st.Text, "Access denied"))
}

// numeric handles "554 text" and all other numbers, which mean OK since
// programs that keep "POP before SMTP" tables write such.
func numeric(word, text, name, class string) (Verdict, status.Status) {
	if len(word) != 3 || word[0] != '4' && word[0] != '5' {
		return OK, status.Status{}
	}
	reply := int(word[0]-'0')*100 + int(word[1]-'0')*10 + int(word[2]-'0')
	return Reject, refusal(reply, word[:1]+".7.1", name, class, text)
}

// act handles the values that do something to the message and permit nothing.
func (e *Eval) act(word, tab, text, name, class string) (Verdict, status.Status) {
	if text == "" && word != "HOLD" && word != "DISCARD" {
		return Reject, e.configError("access table %s: %s without argument", tab, word)
	}
	switch word {
	case "FILTER":
		if t, _, ok := strings.Cut(text, ":"); !ok || t == "" {
			return Reject, e.configError("access table %s: FILTER needs transport:destination", tab)
		}
	case "REDIRECT", "BCC":
		if !address.HasDomain(text) {
			return Reject, e.configError("access table %s: %s needs user@domain", tab, word)
		}
	case "PREPEND":
		if !strings.Contains(text, ":") {
			return Reject, e.configError("access table %s: PREPEND needs a header", tab)
		}
	}
	log := "<" + name + ">: " + class + " triggers " + word + " action"
	if text != "" {
		log += " " + text
	}
	e.note(strings.ToLower(word), log)
	e.Actions = append(e.Actions, Action{Kind: word, Text: text, Log: log})
	// DISCARD stops the evaluation: the client is told that all is well.
	if word == "DISCARD" {
		return OK, status.Status{}
	}
	return Dunno, status.Status{}
}

// words handles a value that is a list of restrictions. It may name classes,
// but no table.
func (e *Eval) words(ctx context.Context, tab, value string) (Verdict, status.Status) {
	p := &Parser{}
	l := &List{Param: tab, Stage: e.stage}
	warn := false
	for _, w := range strings.FieldsFunc(value, func(r rune) bool { return r == ' ' || r == '\t' || r == ',' }) {
		item := Item{Name: canonicalName(w), Warn: warn}
		warn = false
		if item.Name == "warn_if_reject" {
			warn = true
			continue
		}
		item.kind = p.kindOf(item.Name)
		if e.Classes != nil {
			if class, ok := e.Classes(item.Name, e.stage); ok {
				item.kind, item.class = kindClass, class
			}
		}
		if item.kind != kindPlain && item.kind != kindClass && item.kind != kindMissing {
			return Reject, e.configError("access table %s: %q cannot be used here", tab, w)
		}
		l.Items = append(l.Items, item)
	}
	return e.Run(ctx, l)
}

// Class returns the parsed list of a restriction class, for [Eval.Classes].
func (p *Parser) Class(name string, stage Stage) (*List, bool) {
	l, ok := p.lists[name+"/"+stageKey(stage)]
	return l, ok
}

// ParseClasses parses all classes for the stages in which tables may name
// them, so that nothing has to be opened later.
func (p *Parser) ParseClasses(stages ...Stage) error {
	for name := range p.Classes {
		for _, s := range stages {
			if _, err := p.classList(name, s); err != nil {
				return err
			}
		}
	}
	return nil
}

func stageKey(s Stage) string { return string(rune('0' + int(s))) }
