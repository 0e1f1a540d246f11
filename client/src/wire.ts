import { isCursor } from './track.js';
import type { Message, Transport } from './types.js';

/** What went wrong, as far as the browser says it. */
export interface Trouble {
	/** 0: no answer at all, or none that a page may see. */
	status: number;
	/** Milliseconds after which the server wants to be asked again. */
	after?: number;
	text: string;
}

/** What a visitor shows. */
export interface Pass {
	token?: string;
	/** His cookies, also to another site. */
	credentials?: 'include';
}

export type Hear = (m: Message) => void;

/** Opens a connection. It returns when the server or the network ended it, and throws a Trouble where that is known. */
export type Open = (url: string, hear: Hear, signal: AbortSignal, pass: Pass, say: (talk: (o: object) => void) => void) => Promise<void>;

const trouble = (status: number, text: string, after?: number): Trouble => ({ status, text, after });

/** Reads what came. Pages of proxies, logins and hotels end here. */
function check(m: any): Message {
	if (m && Array.isArray(m.denied)) {
		return { ...m, cursor: '' };
	}
	if (!m || !isCursor(m.cursor) || (m.channel !== undefined && typeof m.channel !== 'string')) {
		throw trouble(200, 'this is not from comet');
	}
	return m;
}

function read(text: string): Message {
	let m;
	try {
		m = JSON.parse(text);
	} catch {}
	return check(m);
}

/** The token where no header can have it. */
const shown = (token: string | undefined) => (token ? '&token=' + encodeURIComponent(token) : '');

function onAbort(signal: AbortSignal, f: () => void) {
	signal.addEventListener('abort', f, { once: true });
}

const websocket: Open = (url, hear, signal, pass, say) =>
	new Promise((resolve, reject) => {
		const socket = new WebSocket(url.replace(/^http/, 'ws') + shown(pass.token));
		const end = () => {
			socket.onmessage = socket.onclose = socket.onerror = null;
			socket.close();
		};
		onAbort(signal, end);
		socket.onopen = () => say((o) => socket.send(JSON.stringify(o)));
		socket.onmessage = (e) => {
			try {
				hear(read(e.data));
			} catch (e) {
				end();
				reject(e);
			}
		};
		// 1008: the request is wrong or denied, and will be.
		socket.onerror = () => resolve(); // Node says no more
		socket.onclose = (e) => (e.code === 1008 ? reject(trouble(403, e.reason)) : resolve());
	});

const sse: Open = (url, hear, signal, pass) =>
	new Promise((resolve, reject) => {
		const source = new EventSource(url + '&as=sse&send=event' + shown(pass.token), { withCredentials: !!pass.credentials });
		const listen = (name: string, message: (e: MessageEvent) => Message) =>
			source.addEventListener(name, (e) => {
				try {
					hear(message(e as MessageEvent));
				} catch (e) {
					source.close();
					reject(e);
				}
			});
		onAbort(signal, () => source.close());
		listen('message', (e) => read(e.data));
		listen('cursor', (e) => check({ cursor: e.lastEventId }));
		listen('denied', (e) => read(e.data));
		listen('gap', (e) => check({ cursor: e.lastEventId, gap: true }));
		// The id is missing where the server has no room.
		listen('bye', (e) => ({ cursor: e.lastEventId, retry: +e.data }));
		source.onerror = () => {
			source.close();
			resolve();
		};
	});

async function get(url: string, hear: Hear, signal: AbortSignal, pass: Pass, type: string): Promise<Response> {
	const { token, credentials } = pass;
	let res;
	try {
		res = await fetch(url, {
			signal,
			cache: 'no-store',
			credentials,
			headers: token ? { Authorization: 'Bearer ' + token } : {},
		});
	} catch (e) {
		throw trouble(0, String(e));
	}
	const is = res.headers.get('Content-Type') || '';
	if (!res.ok || !is.startsWith(type)) {
		const after = res.headers.get('Retry-After') || '';
		const text = is.startsWith('text/plain') ? ': ' + (await res.text().catch(() => '')).slice(0, 200).trim() : '';
		throw trouble(res.status, res.status + text, (+after || (Date.parse(after) - Date.now()) / 1000 || 0) * 1000);
	}
	const denied = res.headers.get('Comet-Denied');
	if (denied) {
		hear({ cursor: '', denied: denied.split(',').map(decodeURIComponent) });
	}
	return res;
}

const stream: Open = async (url, hear, signal, pass) => {
	const reader = (await get(url + '&as=stream', hear, signal, pass, 'text/plain')).body!.getReader();
	const decoder = new TextDecoder();
	let rest = '';
	for (;;) {
		const { done, value } = await reader.read().catch(() => ({ done: true, value: undefined }));
		if (done) {
			return;
		}
		const lines = (rest + decoder.decode(value, { stream: true })).split('\n');
		rest = lines.pop()!;
		for (const line of lines) {
			if (line.trim()) {
				hear(read(line));
			}
		}
	}
};

/** One poll. */
export type Ask = (url: string, hear: Hear, signal: AbortSignal, pass: Pass) => Promise<void>;

function tell(answer: any, hear: Hear) {
	const { cursor, gap, events } = check(answer) as any;
	if (!Array.isArray(events)) {
		check(0);
	}
	events.forEach(check);
	if (gap) {
		// The gap lies before what is still kept, which has the position behind it.
		hear({ cursor: events.length ? before(events[0].cursor) : cursor, gap });
	}
	events.forEach(hear);
	hear({ cursor });
}

/** The position right before an event's, by the digits, since no number has them all. */
const before = (cursor: string) =>
	cursor
		.replace(/([1-9])(0*)$/, (_, digit, zeros) => digit - 1 + zeros.replace(/0/g, '9'))
		.replace(/\.0(?=\d)/, '.');

const poll: Ask = async (url, hear, signal, pass) => {
	const res = await get(url, hear, signal, pass, 'application/json');
	tell(await res.json().catch(() => 0), hear);
};

let scripts = 0;

const jsonp: Ask = (url, hear, signal, pass) =>
	new Promise((resolve, reject) => {
		const script = document.createElement('script');
		const name = 'comet_' + ++scripts;
		const all = globalThis as any;
		// A script that was given up on may still run.
		const end = () => {
			script.remove();
			all[name] = () => delete all[name];
		};
		all[name] = (answer: any) => {
			end();
			delete all[name];
			try {
				resolve(tell(answer, hear));
			} catch (e) {
				reject(e);
			}
		};
		onAbort(signal, end);
		script.onload = script.onerror = () => {
			end();
			reject(trouble(0, 'the script cannot be had')); // nothing, where it has called
		};
		script.src = url + '&callback=' + name + shown(pass.token);
		document.head.append(script);
	});

export const opens: { [name in Transport]?: Open } = { websocket, sse, stream };
export const asks: { [name in Transport]?: Ask } = { poll, jsonp };

/** The ways that the browser has, the best first. */
export function ladder(wanted: Transport[] | undefined, script: boolean | undefined): Transport[] {
	const all: [Transport, unknown][] = [
		['websocket', globalThis.WebSocket],
		['sse', globalThis.EventSource],
		['stream', globalThis.ReadableStream && globalThis.TextDecoder],
		['poll', globalThis.fetch],
		['jsonp', script && globalThis.document],
	];
	const have = all.filter(([name, has]) => has && (!wanted || wanted.includes(name))).map(([name]) => name);
	return have.length ? have : ['poll'];
}
