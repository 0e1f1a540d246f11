package access

import (
	"os/user"
	"strconv"
	"strings"
	"testing"
)

func TestUsersHaveNumbers(t *testing.T) {
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{me.Username, me.Uid} {
		if uid, err := User(name); err != nil || strconv.Itoa(int(uid)) != me.Uid {
			t.Errorf("%s is %d, %v", name, uid, err)
		}
	}
	if uid, err := User("4123456789"); err != nil || uid != 4123456789 {
		t.Errorf("a number without a name is %d, %v", uid, err)
	}
	for name, want := range map[string]string{
		"":                        "write the name or the number of a Unix user",
		"-x":                      "write the name or the number",
		"a b":                     "write the name or the number",
		"../x":                    "write the name or the number",
		strings.Repeat("a", 65):   "write the name or the number",
		"no-such-user-of-comet":   "there is no such user on this machine; make it (useradd --system no-such-user-of-comet), or write a number",
		"65534":                   "of other containers, too",
		"4294967295":              "of other containers, too",
		"4294967296":              "is no number of a Unix user",
		"99999999999999999999999": "there is no such user",
	} {
		if _, err := User(name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", name, err)
		}
	}
}
