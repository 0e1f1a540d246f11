package caddymodule

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/caddy-comet/caddy-comet/internal/hub"
)

// publishHeader is how an answer of the site publishes.
const publishHeader = "Comet-Publish"

// headerEvents reads the events of an answer:
//
//	Comet-Publish: <channel>[; type=<type>][; data=<data>][; id=<id>], …
//
// Each part is percent-encoded as PHP's rawurlencode does it, so that commas and
// semicolons separate wherever they stand. An event that is wrong is left out;
// err is of the first one. No error repeats what the site sent: it is logged.
func headerEvents(values []string, maxEvent int) (drafts []hub.Draft, refused int, err error) {
	for _, value := range values {
		for text := range strings.SplitSeq(value, ",") {
			d, bad := headerEvent(text, maxEvent)
			if bad == nil && len(drafts) == maxPublish {
				bad = fmt.Errorf("there are more than %d events in one answer; publish one that says what to read anew", maxPublish)
			}
			if bad == nil {
				drafts = append(drafts, d)
				continue
			}
			refused++
			if err == nil {
				err = bad
			}
		}
	}
	return drafts, refused, err
}

// headerEvent reads one event.
func headerEvent(text string, maxEvent int) (d hub.Draft, err error) {
	d.Source = "header"
	channel, parameters, _ := strings.Cut(text, ";")
	if d.Channel, err = decodePart("the channel", channel); err != nil {
		return d, err
	}
	if err := hub.CheckChannel(d.Channel); err != nil {
		return d, err
	}
	seen := make(map[string]bool)
	for parameter := range strings.SplitSeq(parameters, ";") {
		if strings.TrimSpace(parameter) == "" {
			continue
		}
		name, encoded, ok := strings.Cut(parameter, "=")
		name = strings.ToLower(strings.TrimSpace(name))
		switch {
		case name != "type" && name != "data" && name != "id":
			return d, fmt.Errorf("a parameter is not known%s", didYouMean(name, []string{"type", "data", "id"}))
		case !ok:
			return d, fmt.Errorf("%s has no value; write %s=…", name, name)
		case seen[name]:
			return d, fmt.Errorf("%s stands twice in one event", name)
		}
		seen[name] = true
		value, err := decodePart(name, encoded)
		if err != nil {
			return d, err
		}
		switch name {
		case "type":
			d.Type, err = value, checkWord(name, value, maxType)
		case "id":
			d.ID, err = value, checkWord(name, value, maxID)
		default:
			d.Data = []byte(value)
			if len(d.Data) > maxEvent {
				err = fmt.Errorf("the data has %d bytes, and %d are allowed (max_event); publish a reference instead", len(d.Data), maxEvent)
			}
		}
		if err != nil {
			return d, err
		}
	}
	d.ContentType = contentType("", d.Data)
	return d, nil
}

// decodePart decodes a part of an event. It takes what rawurlencode writes, and
// what is as clear: characters that no encoder leaves as they are say that there
// was none, and then a comma in the data would have cut it. A plus may be one,
// or urlencode's space.
func decodePart(name, encoded string) (string, error) {
	encoded = strings.Trim(encoded, " \t")
	for _, c := range []byte(encoded) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case c == '+':
			return "", fmt.Errorf("%s has a plus, which may mean a space; encode it by rawurlencode(), not urlencode()", name)
		case strings.IndexByte("-._~%!$&'()*/:=?@", c) < 0:
			return "", fmt.Errorf("%s is not percent-encoded; encode it by rawurlencode()", name)
		}
	}
	text, err := url.PathUnescape(encoded)
	if err != nil {
		return "", errors.New(name + " has a % that begins no percent-encoding; encode it by rawurlencode()")
	}
	return strings.Clone(text), nil // the history must not keep the whole header
}
