package bearer

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestIntrospection(t *testing.T) {
	answers := map[string]string{
		"good":     `{"active":true,"email":"ann@d.test"}`,
		"off":      `{"active":false,"email":"ann@d.test"}`,
		"text":     `{"active":"true","email":"ann@d.test"}`,
		"old":      `{"active":true,"exp":1800000000,"email":"ann@d.test"}`,
		"audience": `{"active":true,"iss":"https://id.test","aud":"web","email":"ann@d.test"}`,
		"other":    `{"active":true,"aud":"web","email":"ann@d.test"}`,
		"issuer":   `{"active":true,"iss":"https://evil.test","email":"ann@d.test"}`,
		"nobody":   `{"active":true}`,
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, secret, _ := r.BasicAuth()
		switch token := r.PostFormValue("token"); {
		case user != "mail" || secret != "s":
			w.WriteHeader(401)
		case token == "elsewhere":
			http.Redirect(w, r, "/?", http.StatusFound)
		case token == "broken":
			w.Write([]byte("<html>"))
		default:
			w.Write([]byte(answers[token]))
		}
	}))
	defer srv.Close()
	i, err := NewIntrospector(srv.URL, "mail", "s")
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	if login, err := i.Check(ctx, "good", rules(), now); login != "ann@d.test" || err != nil {
		t.Errorf("%q %v", login, err)
	}
	for _, token := range []string{"off", "text", "old", "audience", "other", "issuer", "nobody"} {
		if login, err := i.Check(ctx, token, rules(), now); !errors.Is(err, ErrRefused) {
			t.Errorf("%s: %q %v", token, login, err)
		}
	}
	wrong, _ := NewIntrospector(srv.URL, "mail", "x")
	for name, ask := range map[string]func() (string, error){
		"redirect":     func() (string, error) { return i.Check(ctx, "elsewhere", rules(), now) },
		"garbage":      func() (string, error) { return i.Check(ctx, "broken", rules(), now) },
		"wrong secret": func() (string, error) { return wrong.Check(ctx, "good", rules(), now) },
	} {
		if login, err := ask(); err == nil || errors.Is(err, ErrRefused) {
			t.Errorf("%s: %q %v", name, login, err)
		}
	}
	srv.Close()
	if _, err := i.Check(ctx, "good", rules(), now); err == nil || errors.Is(err, ErrRefused) {
		t.Errorf("away: %v", err)
	}
	for _, bad := range []string{"http://id.test/x", "ftp://id.test", "https://", "https://u:p@id.test/", "x"} {
		if _, err := NewIntrospector(bad, "", ""); err == nil {
			t.Errorf("%s is accepted", bad)
		}
	}
}
