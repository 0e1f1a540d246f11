//go:build linux

package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"

	"github.com/caddy-comet/caddy-comet/bench/load"
)

// passing is the case of the site's own pages, which php-fpm makes: does it
// cost anything to have the module in the chain?
type passing struct {
	*bench
	*caseResult
	name string
}

const withoutComet = "Caddy without comet"

// passers are who passes pages through. They run the same binary.
var passers = []contender{
	{name: withoutComet, program: comet{plain: true}},
	{name: "Caddy with comet", program: comet{}},
	{name: "… and comet_backend", program: comet{backend: true}},
	{name: "nginx", program: nchan{workers: 1}},
}

// visitors are how many connections ask for pages at once.
const visitors = 8

func (p *passing) measure(ctx context.Context) error {
	_, names, _ := within(p.name, passers)
	caption := fmt.Sprintf("A small page by php-fpm, %d keep-alive connections. Median of %d rounds of %s.", visitors, p.passes, p.passing)
	p.caseResult = p.results.begin(p.name, caption, withoutComet, names)
	dir := p.path("php")
	fpm, err := p.php(ctx, dir)
	if err != nil {
		return err
	}
	defer fpm.stop()
	all, err := p.launch(ctx, passers, load.Target{Dialect: "page"}, func(s *site) error {
		s.root, s.php = dir, dir+"/fpm.sock"
		return nil
	})
	defer stopAll(all)
	if err != nil {
		return err
	}
	for _, r := range all {
		if _, err := r.visitors.Open(visitors); err != nil {
			return err
		}
	}
	for round := range p.passes + 1 { // the first one is to get warm
		for _, r := range turns(all, round) {
			if err := p.round(ctx, r, round > 0); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p *passing) round(ctx context.Context, r *running, counts bool) error {
	before, err := r.cpu()
	if err != nil {
		return err
	}
	report, err := r.visitors.Pass(p.options.passing)
	if err != nil {
		return err
	}
	p.faults.add(p.name+", "+r.name, report)
	after, err := r.cpu()
	if err != nil {
		return err
	}
	if counts {
		p.add(pageRate, r.name, float64(report.Answers)/report.Elapsed.Seconds())
		p.add(pageCPU, r.name, (after-before).Seconds()*1e6/float64(max(report.Answers, 1)))
	}
	return ctx.Err()
}

// php starts php-fpm with a page, both in dir.
func (p *passing) php(ctx context.Context, dir string) (*process, error) {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	page := fmt.Sprintf("<?php\n$text = '%s, ' . str_repeat('small ', 100);\nheader('Content-Length: ' . strlen($text));\necho $text;\n", load.PageMark)
	if err := os.WriteFile(dir+"/page.php", []byte(page), 0o644); err != nil {
		return nil, err
	}
	config := fmt.Sprintf(`[global]
error_log = %[1]s/fpm.log
daemonize = no
[www]
listen = %[1]s/fpm.sock
listen.mode = 0666
listen.backlog = 1024
pm = static
pm.max_children = 4
`, dir)
	if _, err := user.Lookup("www-data"); err == nil && os.Geteuid() == 0 {
		config += "user = www-data\ngroup = www-data\n"
	}
	if err := os.WriteFile(dir+"/fpm.conf", []byte(config), 0o644); err != nil {
		return nil, err
	}
	program, err := find("php-fpm[0-9]*", "php-fpm")
	if err != nil {
		return nil, err
	}
	fpm, err := start(exec.Command(program, "--nodaemonize", "--fpm-config", dir+"/fpm.conf"), dir+"/output.log")
	if err != nil {
		return nil, err
	}
	err = fpm.until(ctx, "php-fpm", func() error {
		c, err := net.Dial("unix", dir+"/fpm.sock")
		if err == nil {
			c.Close()
		}
		return err
	})
	if err != nil {
		fpm.stop()
	}
	return fpm, err
}
