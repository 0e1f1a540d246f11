import { byId, bytes, count, el, visible } from './dom.js';
import type { Event } from './figures.js';

/** How many events the page shows; older ones go. */
const most = 200;

const log = byId('log'), following = byId('following'), pause = byId<HTMLButtonElement>('pause'), clear = byId<HTMLButtonElement>('clear');
const channel = byId<HTMLInputElement>('channel'), hub = byId<HTMLSelectElement>('hub');

let stream: EventSource | undefined;
let waiting: HTMLElement[] = [];
let paused = false, seen = 0, drawing = false, names: string[] = [];

/** Rows are put in once a frame, however many come, and never more than are shown. */
function put(row: HTMLElement) {
	waiting.push(row);
	if (waiting.length > most) {
		waiting.shift();
	}
	if (!drawing && !paused) {
		drawing = true;
		requestAnimationFrame(flush);
	}
}

function flush() {
	drawing = false;
	log.prepend(...waiting.reverse());
	waiting = [];
	while (log.childElementCount > most) {
		log.lastElementChild!.remove();
	}
	say();
}

function say(trouble = '') {
	const state = paused ? 'Paused. ' : '';
	following.textContent = trouble || `${state}Following ${names.join(', ')}: ${count(seen)} event${seen === 1 ? '' : 's'}${seen > most ? `, the last ${most} of them here` : ''}.`;
}

function row(e: Event): HTMLElement {
	const at = new Date(e.time), text = visible(e.data), cut = !e.binary && text.length && e.size > new TextEncoder().encode(e.data).length;
	let whole = text;
	if (/json/.test(e.content_type ?? '') && !cut) {
		try {
			whole = visible(JSON.stringify(JSON.parse(e.data), null, 2));
		} catch { /* it is shown as it came */ }
	}
	return el('li', {}, el('details', {},
		el('summary', {},
			el('time', { datetime: e.time }, at.toLocaleTimeString(undefined, { hour12: false }) + '.' + String(at.getMilliseconds()).padStart(3, '0')),
			names.length > 1 ? el('span', { class: 'chip' }, visible(e.channel)) : false,
			e.type !== 'message' ? el('span', { class: 'chip type' }, visible(e.type)) : false,
			e.size ? el('code', {}, (e.binary ? 'base64 ' : '') + text.slice(0, 300)) : el('span', { class: 'soft' }, 'a touch, without data')),
		el('pre', {}, whole + (cut || e.binary && e.size > 4096 ? '\n…' : '')),
		el('p', { class: 'soft' }, `${visible(e.channel)}, cursor ${e.cursor}, ${visible(e.content_type || 'text/plain')}, ${bytes(e.size)}`)));
}

function follow() {
	names = [...new Set(channel.value.split(',').map((n) => n.trim()).filter(Boolean))];
	if (names.length === 0) {
		return;
	}
	stream?.close();
	log.replaceChildren();
	waiting = [];
	seen = 0;
	paused = false;
	pause.textContent = 'Pause';
	pause.disabled = clear.disabled = false;
	say();
	const query = new URLSearchParams();
	if (hub.value) {
		query.set('hub', hub.value);
	}
	names.forEach((n) => query.append('channel', n));
	const address = `events?${query}`;
	const s = stream = new EventSource(address);
	s.onmessage = (m) => {
		seen++;
		put(row(JSON.parse(m.data)));
	};
	s.addEventListener('gap', () => put(el('li', { class: 'wrong' }, 'Events before this are no longer kept.')));
	s.addEventListener('more', (m) => {
		seen += +(m as MessageEvent).data;
		put(el('li', { class: 'soft' }, `${count(+(m as MessageEvent).data)} more came at once.`));
	});
	s.onerror = async () => {
		if (s !== stream || s.readyState !== EventSource.CLOSED) {
			return;
		}
		// The browser does not tell what the server said.
		const answer = await fetch(address, { headers: { 'Last-Event-ID': 'why' } }).catch(() => undefined);
		say(answer && !answer.ok ? (await answer.text()).trim() : 'The stream has ended. Press Follow for another.');
	};
}

/** Lists the channels that most follow, to choose from. */
async function list() {
	const answer = await fetch('channels.json' + (hub.value ? `?hub=${encodeURIComponent(hub.value)}` : '')).catch(() => undefined);
	if (!answer?.ok) {
		return;
	}
	const { channels } = (await answer.json()) as { channels: { channel: string; held: number; history: number }[] };
	byId('busiest').replaceChildren(...channels.map((c) => {
		const button = el('button', { type: 'button', class: 'chip', title: `${count(c.held)} held, ${count(c.history)} events kept` }, visible(c.channel), ' ', el('b', {}, c.held));
		button.onclick = () => {
			channel.value = c.channel;
			follow();
		};
		return button;
	}));
}

/** Shows the part, for a page of these hubs. */
export function open(hubs: string[], only: boolean) {
	const part = byId('tail');
	if (!part.hidden) {
		return;
	}
	part.hidden = false;
	if (!only) {
		hub.replaceChildren(...hubs.map((h) => el('option', { value: h }, h)));
		byId('which').hidden = hubs.length < 2;
	}
	hub.onchange = list;
	byId('ask').onsubmit = (e) => {
		e.preventDefault();
		follow();
	};
	pause.onclick = () => {
		paused = !paused;
		pause.textContent = paused ? 'Go on' : 'Pause';
		flush();
	};
	clear.onclick = () => {
		log.replaceChildren();
		waiting = [];
	};
	// The list costs the server a look at each channel, so it is got when somebody is here.
	let at = 0;
	new IntersectionObserver(([seen]) => {
		if (seen.isIntersecting && Date.now() - at > 5000) {
			at = Date.now();
			list();
		}
	}).observe(part);
	setInterval(() => {
		const { top, bottom } = part.getBoundingClientRect();
		if (!document.hidden && top < innerHeight && bottom > 0) {
			list();
		}
	}, 15_000);
}
