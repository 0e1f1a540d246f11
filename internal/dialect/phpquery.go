package dialect

import "strings"

// phpName splits the key of a query as PHP does (php_register_variable_ex): it
// ends at a NUL, leading spaces are dropped, space and dot are underscores, and
// name[sub] is an array's element. More than one subscript is given back as part
// of the first, where it is no valid name.
func phpName(key string) (name, subscript string, subscripted bool) {
	text, _, _ := strings.Cut(phpDecode(key), "\x00")
	text = strings.TrimLeft(text, " ")
	name, rest, bracket := strings.Cut(text, "[")
	name = phpMangled.Replace(name)
	if !bracket || name == "" { // PHP drops a variable without a name
		return name, "", false
	}
	subscript, after, closed := strings.Cut(rest, "]")
	if !closed {
		return name + "_" + rest, "", false
	}
	if strings.HasPrefix(after, "[") {
		subscript += "]" + after
	}
	return name, subscript, true
}

var phpMangled = strings.NewReplacer(" ", "_", ".", "_")

// phpDecode decodes as PHP does (php_url_decode): a per cent sign that is not
// followed by two hexadecimal digits stands for itself. [url.QueryUnescape]
// fails there, and whatever fails here while PHP reads on is a way to have both
// read different things.
//
// [url.QueryUnescape]: https://pkg.go.dev/net/url#QueryUnescape
func phpDecode(s string) string {
	if !strings.ContainsAny(s, "%+") {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '+':
			b = append(b, ' ')
		case c == '%' && i+2 < len(s) && isHex(s[i+1]) && isHex(s[i+2]):
			b = append(b, unhex(s[i+1])<<4|unhex(s[i+2]))
			i += 2
		default:
			b = append(b, c)
		}
	}
	return string(b)
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

func unhex(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return c&^0x20 - 'A' + 10
}
