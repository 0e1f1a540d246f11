package handoff

import (
	"bytes"
	"encoding/base64"
	"errors"
	"iter"
	"strconv"
	"strings"
)

// split splits a header's value where no quotes are open (RFC 9110 section 5.6.4).
func split(value string, at byte) iter.Seq[string] {
	return func(yield func(string) bool) {
		quoted, begin := false, 0
		for k := 0; k < len(value); k++ {
			switch c := value[k]; {
			case quoted && c == '\\':
				k++
			case c == '"':
				quoted = !quoted
			case c == at && !quoted:
				if !yield(value[begin:k]) {
					return
				}
				begin = k + 1
			}
		}
		yield(value[begin:])
	}
}

type parameter struct{ name, value string }

// element reads `first; name=value; name="value"`.
func element(text string) (first string, parameters []parameter, err error) {
	begun := false
	for part := range split(text, ';') {
		part = strings.TrimSpace(part)
		switch {
		case !begun:
			first, begun = part, true
			continue
		case part == "":
			continue
		}
		p, err := readParameter(part)
		if err != nil {
			return "", nil, err
		}
		for _, other := range parameters {
			if other.name == p.name {
				return "", nil, errors.New("a parameter is given twice")
			}
		}
		parameters = append(parameters, p)
	}
	return first, parameters, nil
}

func readParameter(part string) (parameter, error) {
	name, value, ok := strings.Cut(part, "=")
	name, value = strings.ToLower(strings.TrimSpace(name)), strings.TrimSpace(value)
	if !ok || name == "" {
		return parameter{}, errors.New("a parameter is written name=value")
	}
	inside, quoted := strings.CutPrefix(value, `"`)
	if !quoted {
		return parameter{name, value}, nil
	}
	inside, closed := strings.CutSuffix(inside, `"`)
	var b strings.Builder
	for k := 0; k < len(inside); k++ {
		switch c := inside[k]; {
		case c == '"':
			closed = false
		case c == '\\' && k+1 < len(inside):
			k++
			b.WriteByte(inside[k])
		case c == '\\':
			closed = false // the quote that looked like the last is escaped
		default:
			b.WriteByte(c)
		}
	}
	if !closed {
		return parameter{}, errors.New("a parameter's quotes are not closed")
	}
	return parameter{name, b.String()}, nil
}

// readKeepAlive reads `data; format=cstring; timeout=20; mode=idle`. The parameters
// are taken from the end, because the data may have semicolons.
func readKeepAlive(i *Instruction, values []string) error {
	data, err := single(values)
	if err != nil {
		return err
	}
	format := "raw"
	i.Beat = usualBeat
	for {
		k := strings.LastIndexByte(data, ';')
		if k < 0 {
			break
		}
		p, err := readParameter(strings.TrimSpace(data[k+1:]))
		if err != nil || p.name != "format" && p.name != "timeout" && p.name != "mode" {
			break
		}
		data = strings.TrimRight(data[:k], " \t")
		switch p.name {
		case "format":
			format = p.value
		case "timeout":
			if i.Beat, err = seconds(p.value); err != nil {
				return err
			}
		}
	}
	switch format {
	case "raw":
		i.KeepAlive = []byte(data)
	case "cstring":
		i.KeepAlive, err = cstring(data)
	case "base64":
		i.KeepAlive, err = base64.StdEncoding.DecodeString(data)
	default:
		err = errors.New("the format is raw, cstring or base64")
	}
	if err == nil && len(i.KeepAlive) == 0 {
		err = errors.New("it is empty; what is sent must have a byte at least")
	}
	return err
}

// cstring reads a text with C's escapes.
func cstring(text string) ([]byte, error) {
	var b bytes.Buffer
	for k := 0; k < len(text); k++ {
		if text[k] != '\\' {
			b.WriteByte(text[k])
			continue
		}
		k++
		if k == len(text) {
			return nil, errors.New("the data ends with a backslash")
		}
		switch c := text[k]; c {
		case '\\', '"', '\'', ';':
			b.WriteByte(c)
		case 'n':
			b.WriteByte('\n')
		case 'r':
			b.WriteByte('\r')
		case 't':
			b.WriteByte('\t')
		case 'x':
			n, err := strconv.ParseUint(text[k+1:min(k+3, len(text))], 16, 8)
			if err != nil || k+3 > len(text) {
				return nil, errors.New(`\x in the data is followed by two hexadecimal digits`)
			}
			b.WriteByte(byte(n))
			k += 2
		default:
			return nil, errors.New(`a backslash in the data is followed by \, n, r, t or x`)
		}
	}
	return b.Bytes(), nil
}
