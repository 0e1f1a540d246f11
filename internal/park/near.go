package park

// few are fetched at once: their data are to be still there when it is their turn.
const few = 16

// near has what these connections need come near: see [Guest].
func (l *loop) near(conns []*Conn) {
	for _, c := range conns {
		l.nothing += int(c.state) + int(c.place)
	}
	for depth := range Depths {
		for _, c := range conns {
			if c.state == held || c.state == lingering && c.stays {
				l.nothing += c.guest.Near(depth)
			}
		}
	}
}
