// What the demo's pages share: publishing through PHP, one clock, and the list of what came.
const Demo = {
	// now is this browser's clock in milliseconds, finer than Date.now().
	now() {
		return performance.timeOrigin + performance.now();
	},

	// How far this browser's clock is ahead of PHP's, in ms. On the same machine there is one clock; elsewhere the first
	// publish of this page tells, and until then it is unknown (null).
	ahead: ['localhost', '127.0.0.1', '[::1]'].includes(location.hostname) ? 0 : null,

	// since gives how many ms ago PHP's microtime(true) was, or null where the clocks cannot be compared.
	since(microtime, now = Demo.now()) {
		return Demo.ahead === null ? null : Math.max(0, now - Demo.ahead - microtime * 1000);
	},

	// publish lets PHP publish: way is touch, append, post or header. It resolves to PHP's answer.
	publish(way, channel, text = '') {
		return Demo.post('/publish.php', { way, channel, text });
	},

	// post sends a form to one of PHP's pages and resolves to its answer, which tells PHP's clock, too.
	async post(url, form) {
		const sent = Demo.now();
		const response = await fetch(url, { method: 'POST', body: new URLSearchParams(form) });
		const back = Demo.now();
		const answer = await response.json();
		if (!response.ok) {
			throw new Error(answer.error);
		}
		if (Demo.ahead !== 0) {
			// As NTP does it: the way there and the way back are taken to be equally long.
			Demo.ahead = (sent + back - (answer.received + answer.answered) * 1000) / 2;
		}
		return answer;
	},

	ms(value) {
		return value < 10 ? value.toFixed(1) + ' ms' : value < 1000 ? Math.round(value) + ' ms' : (value / 1000).toFixed(1) + ' s';
	},

	// told puts an event at the top of the list and its latency into the big figure. It returns the entry, for what is
	// learned later.
	told(name, text, latency = null) {
		const list = document.getElementById('log');
		list.querySelector('.empty')?.remove();
		const entry = document.createElement('li');
		for (const [tag, content] of [['b', name], ['span', text], ['time', latency === null ? '' : Demo.ms(latency)]]) {
			entry.append(Object.assign(document.createElement(tag), { textContent: content }));
		}
		list.prepend(entry);
		while (list.children.length > 30) {
			list.lastChild.remove();
		}
		if (latency !== null) {
			Demo.latency(entry, latency);
		}
		return entry;
	},

	latency(entry, latency, what = 'PHP published → event here') {
		entry.querySelector('time').textContent = Demo.ms(latency);
		document.getElementById('latency').textContent = Demo.ms(latency);
		document.getElementById('what').textContent = what;
	},

	state(good, text) {
		document.getElementById('lamp').classList.toggle('good', good);
		document.getElementById('state').textContent = text;
	},
};
