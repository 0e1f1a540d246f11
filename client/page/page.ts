import { byId, rate, seconds, short } from './dom.js';
import type { Status } from './figures.js';
import { show } from './now.js';
import { Past, type Span } from './past.js';
import { type Kind, type Line, Plot } from './plot.js';
import { open } from './tail.js';

// --- The plots. ---

const colours = ['--websocket', '--sse', '--stream', '--poll', '--jsonp', '--soft'];
const known: { [dialect: string]: number } = { native: 0, novcomet: 1, filechat: 2, doorbell: 3, handoff: 4, status: 5 };

const dialects: Kind = {
	title: 'Held, by dialect', stacked: true, value: short, tick: short,
	lines: (past) => (past.names('held ').length ? past.names('held ') : ['native']).map((d, i): Line => ({ label: d, column: `held ${d}`, colour: colours[known[d] ?? i % colours.length] })),
};
const hubs: Kind = {
	title: 'Held, by hub', stacked: true, value: short, tick: short,
	lines: (past) => past.names('hub ').slice(0, colours.length).map((h, i): Line => ({ label: h, column: `hub ${h}`, colour: colours[i] })),
};
const begun: Kind = {
	title: 'Requests that begin to wait, a second', value: rate, tick: short,
	lines: () => [{ label: 'begin', column: 'requests', colour: '--poll' }],
};
const events: Kind = {
	title: 'Events and deliveries, a second', value: rate, tick: short,
	lines: () => [{ label: 'deliveries', column: 'deliveries', colour: '--sse' }, { label: 'events, right', column: 'events', colour: '--jsonp', axis: 'right' }],
};
const answers: Kind = {
	title: 'Publish to last answer', log: true, value: seconds, tick: seconds,
	lines: () => [{ label: 'median', column: 'median', colour: '--stream' }, { label: '99 %', column: 'p99', colour: '--poll' }],
};

// --- What is shown, and how it comes. ---

const spans: { [span in Span]: Past } = { seconds: new Past(600), minutes: new Past(1440) };
let span: Span = 'seconds', plots: Plot[] = [], latest: Status | undefined;

function render() {
	if (!latest || document.hidden) {
		return;
	}
	show(latest, spans.seconds);
	const kinds = [dialects, spans.seconds.names('hub ').length > 1 ? hubs : begun, events, answers];
	const titles = kinds.map((k) => k.title).join();
	if (byId('plots').dataset.titles !== titles) {
		byId('plots').dataset.titles = titles;
		plots = kinds.map((k) => new Plot(k));
		byId('plots').replaceChildren(...plots.map((p) => p.card));
	}
	plots.forEach((p) => p.show(spans[span]));
}

function say(state: string, text: string) {
	byId('state').dataset.state = state;
	byId('said').textContent = text;
}

async function take(s: Status) {
	latest = s;
	if (s.tail) {
		open(s.hubs.map((h) => h.hub), !!s.hub);
	}
	const past = spans.seconds, at = Date.parse(s.time) / 1000;
	if (at - past.last > 5) {
		await past.load('seconds').catch(() => {});
	}
	past.push(s);
	if (span === 'minutes' && at - spans.minutes.last > 125) {
		await spans.minutes.load('minutes').catch(() => {});
	}
	render();
}

let heard = 0;

function follow() {
	const stream = new EventSource('live');
	stream.onmessage = (m) => {
		heard = Date.now();
		say('live', 'live');
		take(JSON.parse(m.data));
	};
	stream.onerror = async () => {
		say('lost', 'connecting again');
		if (stream.readyState === EventSource.CLOSED) {
			const asking = new AbortController();
			const answer = await fetch('live', { signal: asking.signal }).catch(() => undefined);
			if (answer && !answer.ok) {
				say('lost', (await answer.text()).trim());
			}
			asking.abort();
			setTimeout(follow, 3000);
		}
	};
}

// A stream that is silent looks like one on which nothing happens; here a second never passes without a word.
setInterval(() => {
	if (heard && Date.now() - heard > 6000) {
		say('lost', `nothing heard for ${Math.round((Date.now() - heard) / 1000)} s`);
	}
}, 1000);

for (const button of document.querySelectorAll<HTMLButtonElement>('[data-span]')) {
	button.onclick = async () => {
		span = button.dataset.span as Span;
		document.querySelectorAll('[data-span]').forEach((b) => b.setAttribute('aria-pressed', String(b === button)));
		if (span === 'minutes') {
			await spans.minutes.load('minutes').catch(() => {});
		}
		render();
	};
}
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => plots.forEach((p) => p.forget()));
document.addEventListener('visibilitychange', render);

fetch('status.json').then(async (answer) => {
	if (!answer.ok) {
		throw new Error((await answer.text()).trim());
	}
	await take(await answer.json());
}).catch((e) => say('lost', e.message)).finally(follow);
