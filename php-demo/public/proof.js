// Draws the two columns: asks for the counters once a second, and knows nothing that they do not say.
const SHOWN = 60; // samples in a sparkline
const CAP = 5000; // ms; longer than that, a visitor has gone
const history = { with: [], without: [] };
let touched = null; // when PHP touched the file last, by its own clock

const part = (side, name) => document.querySelector(`#${side} [data-${name}]`);
const number = new Intl.NumberFormat('en');

function draw(side, s) {
	const late = s.home_timed_out || s.home_waiting_ms > CAP * 0.98;
	const waiting = s.home_waiting_ms > 900;
	const home = late ? CAP : waiting ? s.home_waiting_ms : s.home_ms;
	part(side, 'home').textContent = late ? '> 5 s' : waiting ? 'waits ' + Demo.ms(home) : home === null ? '–' : Demo.ms(home);
	document.getElementById(side).classList.toggle('bad', late || waiting);
	const open = part(side, 'open');
	open.textContent = `open :${s.port}`;
	open.href = `//${location.hostname}:${s.port}/`;
	part(side, 'visitors').textContent = number.format(s.visitors);
	part(side, 'held').textContent = number.format(s.held);
	part(side, 'queue').textContent = s.fpm ? number.format(s.fpm.listen_queue) : '–';
	part(side, 'busy').textContent = s.fpm ? `${s.fpm.active} of ${s.fpm.max_children}` : 'starting';
	part(side, 'lamps').replaceChildren(...Array.from({ length: s.fpm?.max_children ?? 0 }, (_, i) => {
		const lamp = document.createElement('i');
		lamp.className = i < s.fpm.active ? 'lamp busy' : 'lamp';
		return lamp;
	}));
	part(side, 'verdict').textContent = verdict(side, s, late || waiting);
	for (const button of document.querySelectorAll(`[data-add="${side}"]`)) {
		button.disabled = s.visitors >= s.max;
	}
	if (side === 'without') {
		part(side, 'restart').hidden = s.visitors > 0 || !s.fpm || (s.fpm.active < s.fpm.max_children && s.fpm.listen_queue === 0);
	}
	spark(side, home);
}

function verdict(side, s, slow) {
	if (side === 'with') {
		return s.held > 0 ? `${number.format(s.held)} ${s.held === 1 ? 'waits' : 'wait'}, and PHP has nothing to do.` : 'Nobody waits yet.';
	}
	if (!s.fpm) {
		return 'php-fpm starts again.';
	}
	if (s.visitors === 0 && s.fpm.active === s.fpm.max_children) {
		return 'They have left, but PHP still sleeps for each of them, 40 s at a time.';
	}
	if (s.fpm.listen_queue > 0 || slow) {
		return `${s.fpm.active} polls hold both workers; everything else, this page too, queues behind them.`;
	}
	return s.held > 0 ? 'Each visitor holds a worker.' : 'Nobody waits yet.';
}

// spark draws the last minute: the base is 1 ms, the top 5 s, logarithmic, because both occur.
function spark(side, value) {
	const values = history[side];
	values.push(value);
	values.splice(0, values.length - SHOWN);
	const y = (v) => 54 - 52 * Math.log(Math.max(v, 1)) / Math.log(CAP);
	let line = '', first = null, last = 0;
	values.forEach((v, i) => {
		if (v === null) {
			return;
		}
		last = 240 - (values.length - 1 - i) * 240 / (SHOWN - 1);
		first ??= last;
		line += `${line ? 'L' : 'M'}${last.toFixed(1)} ${y(v).toFixed(1)}`;
	});
	const svg = document.querySelector(`#${side} .spark`);
	svg.querySelector('.line').setAttribute('d', line);
	svg.querySelector('.area').setAttribute('d', line && `${line}L${last.toFixed(1)} 56L${first.toFixed(1)} 56Z`);
}

function woken(sides) {
	const output = document.getElementById('woken');
	const told = sides.with.woken;
	if (touched === null || !told || Date.parse(told.first) < touched - 5) {
		return;
	}
	const within = Demo.ms(Math.max(0, Date.parse(told.last) - touched));
	output.textContent = `${number.format(told.count)} held polls answered within ${within} of PHP’s touch`;
	output.title = `${number.format(told.later)} more visitors were between two polls, and heard it with the next`;
}

async function refresh() {
	try {
		const response = await fetch('/_demo/stats');
		if (!response.ok) {
			throw new Error(response.status);
		}
		const stats = await response.json();
		document.getElementById('proof').hidden = false;
		document.getElementById('no-proof').hidden = true;
		draw('with', stats.side.with);
		draw('without', stats.side.without);
		woken(stats.side);
	} catch {
		document.getElementById('proof').hidden = true;
		document.getElementById('no-proof').hidden = false;
	}
}

const post = (path, fields = {}) => fetch(path, { method: 'POST', body: new URLSearchParams(fields) }).then(refresh);

for (const button of document.querySelectorAll('[data-add]')) {
	const sides = button.dataset.add === 'both' ? ['with', 'without'] : [button.dataset.add];
	button.addEventListener('click', () => sides.forEach((side) => post('/_demo/visitors', { side, n: button.dataset.n })));
}
document.querySelector('[data-clear]').addEventListener('click', () => post('/_demo/visitors/clear'));
document.querySelector('[data-restart]').addEventListener('click', () => post('/_demo/restart'));
document.querySelector('[data-touch]').addEventListener('click', async () => {
	const output = document.getElementById('woken');
	output.textContent = 'PHP touches …';
	try {
		touched = (await Demo.publish('touch', 'customAlert')).at * 1000;
		output.textContent = 'PHP touched';
		setTimeout(refresh, 400);
	} catch (error) {
		output.textContent = error.message;
	}
});

refresh();
setInterval(refresh, 1000);
