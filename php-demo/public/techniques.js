// The page of techniques: which panels are live, what has come on them, and what it cost. How each technique works is in
// techniques/<name>.js, which knows nothing of this page but the panel that it tells.
const CONNECTIONS = 6; // that a browser opens to one host over HTTP/1.1, for all its tabs together
const OURS = 4; // of them: the others are for clicks

const { nextHopProtocol } = performance.getEntriesByType('navigation')[0];
const shared = !/^h[23]/.test(nextHopProtocol); // HTTP/2 and 3 carry everything on one connection
const only = document.body.classList.contains('only');
const byView = shared && !only && 'IntersectionObserver' in window; // a panel out of view gives its connection back

class Panel {
	constructor(element) {
		this.element = element;
		this.name = element.id;
		this.connection = element.dataset.connection;
		this.events = element.events = []; // all that came, for whoever looks from outside
		this.shown = !byView;
		this.state('off');
	}

	// --- What a technique tells its panel ---

	// asks: a request goes out.
	asks() {
		this.requests++;
	}

	// received: so much text of an answer's body.
	received(text) {
		this.bytes += new Blob([text]).size;
	}

	// live: connected, or just answered. Every event from now on will come.
	live(note = '') {
		this.state('live', note);
	}

	// lost: an error; the technique tries again by itself.
	lost() {
		this.state('lost');
	}

	// gap: events have gone lost, because the page was away for longer than they are kept.
	gap() {
		this.log('some events are lost', '').className = 'gap';
	}

	// event: one event of a channel, as a poll gives it.
	event({ data }) {
		if (typeof data === 'string') {
			try {
				data = JSON.parse(data);
			} catch {
				// It is text.
			}
		}
		this.told(data?.text ?? (data === '' ? 'touched' : JSON.stringify(data)), data?.at);
	}

	// told: something came. at is PHP's time of it; undefined: measure from the click that was announced by expect();
	// null: do not measure.
	told(text, at) {
		const now = Demo.now();
		let latency = null;
		if (at) {
			latency = Demo.since(at, now);
		} else if (at === undefined && this.clicked) {
			latency = now - this.clicked;
		}
		this.clicked = null;
		this.events.push(text);
		this.log(text, latency === null ? '' : Demo.ms(latency));
		if (latency !== null || at === undefined) {
			this.element.classList.remove('lit');
			void this.element.offsetWidth; // so that it lights up again
			this.element.classList.add('lit');
		}
	}

	// expect: a click just now will come back as an event.
	expect() {
		this.clicked = Demo.now();
	}

	find(selector) {
		return this.element.querySelector(selector);
	}

	// on listens as long as the technique runs.
	on(selector, type, listener) {
		this.find(selector).addEventListener(type, listener, { signal: this.running.signal });
	}

	// --- What the page does with it ---

	async start() {
		if (this.running) {
			return;
		}
		const running = this.running = new AbortController();
		this.requests = this.bytes = 0;
		this.began = performance.now();
		this.state('opening');
		const { default: technique } = await import(`./techniques/${this.name}.js`);
		if (!running.signal.aborted) {
			const stop = technique(this);
			running.signal.addEventListener('abort', stop);
		}
	}

	stop(state) {
		this.running?.abort();
		this.running = null;
		this.state(state);
	}

	state(state, note = '') {
		if (!this.running && (state === 'live' || state === 'lost')) {
			return; // the last word of one that was stopped
		}
		this.element.dataset.state = state;
		this.find('[data-said]').textContent = {
			off: 'paused', waits: 'waits', opening: 'connecting', live: note || 'live', lost: 'lost; tries again',
		}[state];
		this.find('[data-take]').hidden = state !== 'waits';
	}

	log(text, time) {
		const list = this.find('.log');
		const entry = document.createElement('li');
		for (const [tag, content] of [['span', text], ['time', time]]) {
			entry.append(Object.assign(document.createElement(tag), { textContent: content }));
		}
		list.querySelector('.empty')?.remove();
		list.prepend(entry);
		while (list.children.length > 20) {
			list.lastChild.remove();
		}
		return entry;
	}

	// spent writes what it has cost: the bare numbers for a minute, from then on the average.
	spent() {
		if (!this.running) {
			return;
		}
		const seconds = (performance.now() - this.began) / 1000;
		const per = seconds < 60 ? 1 : 60 / seconds;
		const requests = this.requests * per;
		this.find('[data-requests]').textContent = per !== 1 && requests < 10 ? requests.toFixed(1) : Math.round(requests);
		const period = seconds < 60 ? `in ${Math.round(seconds)} s` : 'a minute';
		this.find('[data-requests] + small').textContent = period;
		if (this.bytes === null) {
			this.find('[data-bytes]').textContent = 'not told';
			return;
		}
		const bytes = this.bytes * per;
		this.find('[data-bytes]').textContent = bytes < 1000 ? `${Math.round(bytes)} B` : `${(bytes / 1000).toFixed(1)} kB`;
		this.find('[data-bytes] + small').textContent = period;
	}
}

const panels = [...document.querySelectorAll('.panel')].map((element) => new Panel(element));
const preferred = []; // panels that somebody asked for, the latest first

// Where a panel's connection goes: its host's six are its own.
const other = ['localhost', '127.0.0.1'].includes(location.hostname);
const host = (panel) => (panel.connection === 'other' && !other ? 'own' : panel.connection);

// arrange starts the panels that are in view, as far as there are connections for them, and stops the others.
function arrange() {
	const used = { own: 0, other: 0 };
	const order = [...preferred, ...panels.filter((panel) => !preferred.includes(panel))];
	for (const panel of order) {
		const to = host(panel);
		if (!panel.shown || (document.hidden && !only)) {
			panel.stop('off');
		} else if (to === 'none' || !shared || used[to] < OURS) {
			used[to]++;
			panel.start();
		} else {
			panel.stop('waits');
		}
	}
	meter(used.own + (shared ? 0 : used.other));
}

function meter(used) {
	const lamps = document.getElementById('connections');
	if (!lamps) {
		return;
	}
	lamps.replaceChildren(...Array.from({ length: shared ? CONNECTIONS : 1 }, (_, i) => {
		const lamp = document.createElement('i');
		lamp.className = i < (shared ? used : 1) ? 'lamp used' : 'lamp';
		return lamp;
	}));
	document.getElementById('connections-said').textContent = shared ? `${used} of ${CONNECTIONS} connections` : `${used} held on 1 connection`;
	document.getElementById(shared ? 'shared' : 'alone').hidden = false;
}

for (const panel of panels) {
	panel.find('[data-take]').addEventListener('click', () => {
		preferred.unshift(panel);
		preferred.splice(OURS);
		arrange();
	});
}

// A page that is still loading would seem to load for ever. So begin after that.
function begin() {
	if (!only) {
		document.addEventListener('visibilitychange', arrange);
	}
	if (!byView) {
		arrange();
		return;
	}
	const observer = new IntersectionObserver((entries) => {
		for (const { target, isIntersecting } of entries) {
			panels.find((panel) => panel.element === target).shown = isIntersecting;
		}
		arrange();
	}, { threshold: 0.25 });
	panels.forEach((panel) => observer.observe(panel.element));
}

if (document.readyState === 'complete') {
	begin();
} else {
	addEventListener('load', () => setTimeout(begin));
}
setInterval(() => panels.forEach((panel) => panel.spent()), 1000);

document.getElementById('publish')?.addEventListener('submit', async (event) => {
	event.preventDefault();
	const said = document.getElementById('published');
	panels.find((panel) => panel.name === 'novcomet')?.expect(); // its answer carries no time
	try {
		await Demo.publish('append', 'demo', document.getElementById('text').value);
		said.textContent = '';
	} catch (error) {
		said.textContent = error.message;
	}
});

// How many PHP workers are busy is told by `make demo`.
async function workers() {
	try {
		const response = await fetch('/_demo/stats');
		const { side: { with: { fpm } } } = await response.json();
		document.getElementById('workers').replaceChildren(...Array.from({ length: fpm.max_children }, (_, i) => {
			const lamp = document.createElement('i');
			lamp.className = i < fpm.active ? 'lamp busy' : 'lamp';
			return lamp;
		}));
		document.getElementById('workers-said').textContent = `${fpm.active} of ${fpm.max_children} PHP workers busy`;
		document.getElementById('workers-meter').hidden = false;
		setTimeout(workers, 1000);
	} catch {
		document.getElementById('workers-meter').hidden = true;
		setTimeout(workers, 10_000);
	}
}
if (document.getElementById('workers-meter')) {
	workers();
}
