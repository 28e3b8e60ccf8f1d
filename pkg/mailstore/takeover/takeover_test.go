package takeover

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
	"time"
)

// put writes files into a folder; each is newer than the one before.
func put(t *testing.T, files ...string) string {
	t.Helper()
	dir := t.TempDir()
	for i := 0; i < len(files); i += 2 {
		path := filepath.Join(dir, files[i])
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(files[i+1]), 0o600); err != nil {
			t.Fatal(err)
		}
		at := time.Now().Add(time.Duration(i) * time.Minute)
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestForms(t *testing.T) {
	v3 := "3 V1795200507 N20 G00112233445566778899aabbccddeeff Pfmt\n1 :1.a.h,S=3\n4 W30 PUID7-9 S20 :2.b.h\n9 K0 :3.c.h:2,S\n"
	v1 := "1 795200507 30\n1 1.a.h\n2 x.y z\n"
	words := "$Junk\nwork\n\n1.a.h:0 1\nx.y z:1\n"
	for name, tc := range map[string]struct {
		files    []string
		validity uint32
		next     uint32
		uids     []uint32
		uidls    []string
		keywords []string
	}{
		"nothing":        {nil, 0, 0, nil, nil, nil},
		"dovecot 3":      {[]string{dovecotList, v3, dovecotKeywords, "0 a\n2 b\n30 c\nx\n"}, 1795200507, 20, []uint32{1, 4, 9}, []string{"", "UID7-9", ""}, []string{"a", "", "b"}},
		"dovecot 1":      {[]string{dovecotList, v1}, 795200507, 30, []uint32{1, 2}, []string{"", ""}, nil},
		"courier":        {[]string{courierList, v1, courierKeywords + "/:list", words}, 795200507, 30, []uint32{1, 2}, []string{"", ""}, append(make([]string, 26), "$Junk", "work")},
		"dovecot newer":  {[]string{courierList, v1, dovecotList, v3}, 1795200507, 20, []uint32{1, 4, 9}, []string{"", "UID7-9", ""}, nil},
		"courier newer":  {[]string{dovecotList, v3, courierList, v1}, 795200507, 30, []uint32{1, 2}, []string{"", ""}, nil},
		"courier pop3":   {[]string{courierList, v1, courierPOP3, "/3 9 77\nx.y z:2,S 40 8:77:1\n1.a.h 9 3:77\n"}, 795200507, 30, []uint32{1, 2}, []string{"UID3-77", "UID8-77"}, nil},
		"only pop3":      {[]string{courierPOP3, "/2 9 77\nx.y z:2,S 40 8:77\n1.a.h 9 3:77\n"}, 0, 3, []uint32{1, 2}, []string{"UID8-77", "UID3-77"}, nil},
		"garbage":        {[]string{dovecotList, "\x00\x01garbage\n"}, 0, 0, nil, nil, nil},
		"descending":     {[]string{dovecotList, "3 V5 N9\n4 :a\n3 :b\n4 :c\n5 :a\n6 :../x\n7 :ok\n"}, 5, 9, []uint32{4, 7}, []string{"", ""}, nil},
		"no uidvalidity": {[]string{dovecotList, "3 N9\n4 :a\n"}, 0, 0, nil, nil, nil},
		"bad uidl":       {[]string{dovecotList, "3 V5 N9\n4 P\xff :a\n"}, 5, 9, []uint32{4}, []string{""}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			list, err := Find(put(t, tc.files...))
			if err != nil {
				t.Fatal(err)
			}
			if list == nil {
				if tc.uids != nil {
					t.Fatal("nothing was found")
				}
				return
			}
			var uids []uint32
			var uidls []string
			for _, e := range list.Entries {
				uids = append(uids, e.UID)
				uidls = append(uidls, e.UIDL)
			}
			if list.Validity != tc.validity || list.Limit != tc.next || !slices.Equal(uids, tc.uids) || !slices.Equal(uidls, tc.uidls) || !reflect.DeepEqual(list.Keywords, tc.keywords) {
				t.Errorf("%+v", list)
			}
		})
	}
}

// TestCourierKeywordFiles: newer files override :list, and an empty one takes
// keywords away.
func TestCourierKeywordFiles(t *testing.T) {
	k := courierKeywords + "/"
	list, err := Find(put(t, courierList, "1 5 9\n1 a\n2 b\n3 c\n", k+":list", "x\ny\n\na:0\nb:0 1\nc:1\n", k+"a", "z\n", k+".100.b", "y\n", k+".200.b", "", k+".100.c", "x\n", k+".90.c", "w\n"))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range list.Entries {
		s := ""
		for n, w := range list.Keywords {
			if e.More&(1<<n) != 0 {
				s += w
			}
		}
		got = append(got, s)
	}
	if !slices.Equal(got, []string{"z", "", "x"}) {
		t.Errorf("keywords %q", got)
	}
}

func TestSubscriptions(t *testing.T) {
	for name, tc := range map[string]struct {
		files []string
		want  []string
	}{
		"none":      {nil, nil},
		"version 1": {[]string{dovecotSubs, "Work.Entw&APw-rfe\nINBOX\n"}, []string{"Work/Entwürfe", "INBOX"}},
		"version 2": {[]string{dovecotSubs, "V\t2\n\nWork\tEntw&APw-rfe\nA&-B\n"}, []string{"Work/Entwürfe", "A&B"}},
		"courier":   {[]string{courierSubs, "INBOX.Work.Entwürfe\nINBOX\n"}, []string{"Work/Entwürfe", "INBOX"}},
		"newer":     {[]string{dovecotSubs, "a\n", courierSubs, "INBOX.b\n"}, []string{"b"}},
	} {
		if got, err := Subscriptions(put(t, tc.files...), false); err != nil || !slices.Equal(got, tc.want) {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

func FuzzFind(f *testing.F) {
	f.Add("3 V5 N9 G00112233445566778899aabbccddeeff\n1 P1 :a\n", "0 kw\n", "x\n\na:0\n", "/3 9 77\na 40 8:77:1\n")
	f.Add("1 5 9\n1 a\n", "", "", "")
	f.Fuzz(func(t *testing.T, list, words, courierWords, pop3 string) {
		for _, name := range []string{dovecotList, courierList} {
			dir := put(t, name, list, dovecotKeywords, words, courierKeywords+"/:list", courierWords, courierPOP3, pop3, dovecotSubs, list)
			l, err := Find(dir)
			if err != nil || l == nil {
				continue
			}
			last := uint32(0)
			for _, e := range l.Entries {
				if e.UID <= last || !checkUIDL(e.UIDL) {
					t.Errorf("%+v after %d", e, last)
				}
				last = e.UID
			}
			if _, err := Subscriptions(dir, false); err != nil {
				t.Error(err)
			}
		}
	})
}
