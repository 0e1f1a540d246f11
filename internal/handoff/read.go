package handoff

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caddy-comet/caddy-comet/internal/hub"
)

// Read reads the instruction of an answer whose body is an instruction, too, or nil. The
// error is for the site's author.
func Read(h http.Header, body []byte) (*Instruction, error) {
	i := new(Instruction)
	said := make(map[string][]string)
	size := len(h.Get(sinceName))
	for _, word := range words {
		our, grip := h[ourPrefix+word], h[gripPrefix+word]
		if len(our) > 0 && len(grip) > 0 {
			return nil, fmt.Errorf("%s%s and %s%s mean the same; send one of them", ourPrefix, word, gripPrefix, word)
		}
		said[word] = append(our, grip...)
		for _, value := range said[word] {
			size += len(value)
		}
	}
	if size > maxHeader {
		return nil, fmt.Errorf("the instruction's headers have %d bytes; %d are allowed", size, maxHeader)
	}
	for _, part := range []struct {
		word string
		read func(*Instruction, []string) error
	}{
		{"Hold", readHold}, {"Channel", readChannels}, {"Timeout", readTimeout},
		{"Keep-Alive", readKeepAlive}, {"Link", readLink}, {"Status", readStatus},
	} {
		if values := said[part.word]; len(values) > 0 {
			if err := part.read(i, values); err != nil {
				return nil, fmt.Errorf("%s: %w", part.word, err)
			}
		}
	}
	if err := readSince(i, h[sinceName]); err != nil {
		return nil, err
	}
	if users := h[userName]; len(users) > 0 {
		var err error
		if i.User, err = single(users); err != nil {
			return nil, fmt.Errorf("%s: %w", userName, err)
		}
	}
	if body != nil {
		if err := i.readBody(body); err != nil {
			return nil, fmt.Errorf("%s: %w", instructType, err)
		}
	}
	return i, i.check()
}

// check looks at the whole.
func (i *Instruction) check() error {
	switch {
	case i.Mode == "" && len(i.Channels) > 0:
		return errors.New("channels are named, but not how to hold; send Comet-Hold: response, stream or retry as well")
	case i.Mode == "":
		return nil
	case len(i.Channels) == 0:
		return errors.New("no channel is named; send one, as in Comet-Channel: orders")
	case i.Mode != Stream && i.KeepAlive != nil:
		return errors.New("signs of life (Keep-Alive) are for streams")
	case i.Mode == Stream && i.Timeout > 0:
		return errors.New("a stream has no Timeout; it lasts until somebody ends it")
	case i.Mode != Stream && i.Next != "":
		return errors.New("a Link with rel=next is for streams")
	}
	return nil
}

func readHold(i *Instruction, values []string) error {
	value, err := single(values)
	if err != nil {
		return err
	}
	switch mode := Mode(strings.ToLower(value)); mode {
	case Response, Stream, Retry:
		i.Mode = mode
		return nil
	}
	return errors.New("it is response, stream or retry")
}

func readChannels(i *Instruction, values []string) error {
	for _, value := range values {
		for text := range split(value, ',') {
			if strings.TrimSpace(text) == "" {
				continue
			}
			c, err := readChannel(text)
			if err != nil {
				return err
			}
			if err := i.add(c); err != nil {
				return err
			}
		}
	}
	return nil
}

func readChannel(text string) (c Channel, err error) {
	name, parameters, err := element(text)
	if err != nil {
		return c, err
	}
	c.Name = name
	for _, p := range parameters {
		switch p.name {
		case "prev-id":
			c.PrevID = p.value
		case "since":
			if _, err := hub.ParseCursor(p.value); err != nil && p.value != "" {
				return c, fmt.Errorf("since: %w", err)
			}
			c.Since = p.value
		case "filter":
			return c, errors.New("there are no filters here; publish on a channel for each kind of visitor")
		default:
			return c, errors.New("a parameter is not known; there are prev-id and since")
		}
	}
	return c, nil
}

// add adds a channel.
func (i *Instruction) add(c Channel) error {
	if err := hub.CheckChannel(c.Name); err != nil {
		return err
	}
	if slices.ContainsFunc(i.Channels, func(other Channel) bool { return other.Name == c.Name }) {
		return errors.New("one channel is named twice")
	}
	if i.Channels = append(i.Channels, c); len(i.Channels) > maxChannels {
		return fmt.Errorf("there are more than %d channels", maxChannels)
	}
	return nil
}

func readTimeout(i *Instruction, values []string) error {
	value, err := single(values)
	if err != nil {
		return err
	}
	i.Timeout, err = seconds(value)
	return err
}

func readStatus(i *Instruction, values []string) error {
	value, err := single(values)
	if err != nil {
		return err
	}
	code, _, _ := strings.Cut(value, " ")
	if i.Status, err = strconv.Atoi(code); err != nil || i.Status < 200 || i.Status > 599 || len(code) != 3 {
		return errors.New("it is a status from 200 to 599, as in 304")
	}
	return nil
}

// readLink reads links, of which only the next one is of use here.
func readLink(i *Instruction, values []string) error {
	for _, value := range values {
		for text := range split(value, ',') {
			if err := i.link(text); err != nil {
				return err
			}
		}
	}
	return nil
}

func (i *Instruction) link(text string) error {
	target, parameters, err := element(text)
	if err != nil {
		return err
	}
	next, idle := false, usualIdle
	for _, p := range parameters {
		switch p.name {
		case "rel":
			next = strings.EqualFold(p.value, "next")
		case "timeout":
			if idle, err = seconds(p.value); err != nil {
				return err
			}
		}
	}
	uri, opened := strings.CutPrefix(target, "<")
	uri, closed := strings.CutSuffix(uri, ">")
	switch {
	case !opened || !closed || uri == "":
		return errors.New("the address stands in angle brackets, as in </page?after=3>; rel=next")
	case !next:
		return nil
	case i.Next != "":
		return errors.New("there are two links with rel=next")
	}
	i.Next, i.Idle = uri, idle
	return nil
}

func readSince(i *Instruction, values []string) error {
	if len(values) == 0 {
		return nil
	}
	value, err := single(values)
	if err == nil && value != "" {
		_, err = hub.ParseCursor(value)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", sinceName, err)
	}
	i.Since = value
	return nil
}

func single(values []string) (string, error) {
	if len(values) != 1 {
		return "", errors.New("it is sent twice; send it once")
	}
	return strings.TrimSpace(values[0]), nil
}

func seconds(value string) (time.Duration, error) {
	n, err := strconv.Atoi(value)
	if err != nil || n < 1 || n > int(maxWait/time.Second) {
		return 0, fmt.Errorf("a time is whole seconds, from 1 to %d", maxWait/time.Second)
	}
	return time.Duration(n) * time.Second, nil
}
