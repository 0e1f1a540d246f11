// A world for the library: a clock, a network with a server behind it, and pages with locks and channels between them.
// Nothing here waits for real time.
const real = { setImmediate, setTimeout };

export class World {
	now = 1_000_000;
	timers = new Map();
	ids = 0;
	log = []; // what the network was asked for
	hub = new Hub();
	/** What the network does to a kind of request: 'ok', 'down', 'silent' or a function that returns a Response. */
	fate = {};
	kept = new Map(); // localStorage
	posts = new Set(); // open BroadcastChannels
	locks = new Locks();
	target = new EventTarget();
	live = new Set(); // open connections
	delay = 0; // how long letters between pages take
	only = undefined; // the token without which the server refuses
	denied = new Set(); // channels that nobody may follow

	constructor() {
		const world = this;
		let seed = 4711;
		Math.random = () => (seed = (seed * 16807) % 2147483647) / 2147483647;
		Date.now = () => world.now;
		globalThis.setTimeout = (f, ms = 0) => world.timer(f, ms);
		globalThis.setInterval = (f, ms) => world.timer(f, ms, ms);
		globalThis.clearTimeout = globalThis.clearInterval = (id) => world.timers.delete(id);
		globalThis.location = { href: 'http://site.test/page' };
		globalThis.localStorage = {
			getItem: (k) => world.kept.get(k) ?? null,
			setItem: (k, v) => world.kept.set(k, v),
			removeItem: (k) => world.kept.delete(k),
		};
		for (const name of ['addEventListener', 'removeEventListener', 'dispatchEvent']) {
			globalThis[name] = world.target[name].bind(world.target);
		}
		Object.defineProperty(globalThis, 'navigator', { value: {}, configurable: true, writable: true });
		globalThis.BroadcastChannel = undefined;
		globalThis.document = undefined;
		globalThis.fetch = (url, init) => world.fetch(url, init);
		globalThis.EventSource = class extends Source {
			constructor(url, init) {
				super(world, url, init);
			}
		};
		globalThis.WebSocket = class extends Socket {
			constructor(url) {
				super(world, url);
			}
		};
	}

	/** Pages share from here on. */
	share() {
		const world = this;
		navigator.locks = this.locks;
		globalThis.BroadcastChannel = class {
			constructor(name) {
				this.name = name;
				world.posts.add(this);
			}
			postMessage(data) {
				if (this.frozen) return;
				for (const other of world.posts) {
					if (other !== this && other.name === this.name) {
						const copy = structuredClone(data);
						const deliver = () => !other.frozen && other.onmessage?.({ data: copy });
						world.delay ? world.timer(deliver, world.delay) : queueMicrotask(deliver);
					}
				}
			}
			close() {
				world.posts.delete(this);
			}
		};
	}

	timer(f, ms, every) {
		this.timers.set(++this.ids, { f, at: this.now + Math.max(0, ms), every });
		return this.ids;
	}

	/** Lets that much time go by, milliseconds, and everything happen that then does. */
	async pass(ms = 0) {
		for (const end = this.now + ms; ; ) {
			await settle();
			const due = [...this.timers].filter(([, t]) => t.at <= end).sort((a, b) => a[1].at - b[1].at)[0];
			if (!due) {
				this.now = end;
				return;
			}
			const [id, t] = due;
			this.now = Math.max(this.now, t.at);
			if (t.every) {
				t.at += t.every;
			} else {
				this.timers.delete(id);
			}
			t.f();
		}
	}

	asked(url, as) {
		const u = new URL(url);
		const q = Object.fromEntries(u.searchParams);
		const ask = { as, channels: u.pathname.split('/').pop().split(',').map(decodeURIComponent), ...q, at: this.now };
		this.log.push(ask);
		ask.denied = ask.channels.filter((name) => this.denied.has(name));
		ask.channels = ask.channels.filter((name) => !this.denied.has(name));
		return ask;
	}

	denies({ token, bearer = 'Bearer ' + token }) {
		return this.only !== undefined && bearer !== 'Bearer ' + this.only;
	}

	async fetch(url, { signal, headers, credentials }) {
		const as = url.includes('as=stream') ? 'stream' : 'poll';
		const ask = this.asked(url, as);
		if (credentials) ask.credentials = credentials;
		if (headers?.Authorization) ask.bearer = headers.Authorization;
		const fate = this.fate[as] ?? 'ok';
		const aborted = new Promise((_, reject) => signal.addEventListener('abort', () => reject(new Error('aborted'))));
		aborted.catch(() => {});
		if (fate === 'down') throw new TypeError('Failed to fetch');
		if (fate === 'silent') return aborted;
		if (this.denies(ask)) return new Response('the token is refused', { status: 401, headers: { 'Content-Type': 'text/plain' } });
		if (typeof fate === 'function') return fate(ask);
		if (!ask.channels.length) return new Response('to none of these', { status: 403, headers: { 'Content-Type': 'text/plain' } });
		const denied = ask.denied.length ? { 'Comet-Denied': ask.denied.map(encodeURIComponent).join() } : {};
		if (as === 'poll') {
			const held = this.hub.poll(ask, (ms, f) => this.timer(f, ms));
			this.live.add(held);
			try {
				const body = await Promise.race([held.answer, aborted, held.broken]);
				return new Response(body, { headers: { 'Content-Type': 'application/json', ...denied } });
			} finally {
				held.close();
				this.live.delete(held);
			}
		}
		let sub;
		const body = new ReadableStream({
			start: (c) => {
				c.enqueue(new TextEncoder().encode(' '.repeat(2047) + '\n'));
				const connection = {
					kind: 'stream',
					cut: () => (this.live.delete(connection), sub.close(), c.close()),
				};
				sub = this.hub.stream(ask, (m) => c.enqueue(new TextEncoder().encode(JSON.stringify(m) + '\n')), (ms, f) => this.timer(f, ms));
				this.live.add(connection);
				signal.addEventListener('abort', () => (this.live.delete(connection), sub.close()));
			},
		});
		return new Response(body, { headers: { 'Content-Type': 'text/plain; charset=utf-8', ...denied } });
	}

	/** The connections that the server sees, by their kind. */
	kinds() {
		return [...this.live].map((c) => c.kind).sort();
	}

	/** Cuts all connections. */
	cut() {
		for (const c of [...this.live]) c.cut();
	}

	/** Publishes 0, 1, 2 … on the channels a and b while it cuts at random, and lets all arrive. Returns how many. */
	async ravage() {
		let n = 0, seed = 42;
		const random = (most) => (seed = (seed * 16807) % 2147483647) % most;
		for (let i = 0; i < 300; i++) {
			for (let k = random(3); k > 0; k--) this.hub.publish('ab'[random(2)], n++);
			if (random(4) === 0) this.cut();
			await this.pass(random(2) ? random(20) : random(3000));
		}
		await this.pass(60e3);
		return n;
	}
}

/** Lets promises and messages come to rest. */
async function settle() {
	for (let i = 0; i < 6; i++) {
		await new Promise((r) => real.setImmediate(r));
	}
}

class Source extends EventTarget {
	constructor(world, url, init) {
		super();
		this.world = world;
		const ask = world.asked(url, 'sse');
		if (init?.withCredentials) ask.credentials = 'include';
		const fate = world.fate.sse ?? 'ok';
		if (fate === 'silent') return;
		queueMicrotask(() => {
			if (this.closed) return;
			if (fate !== 'ok' || world.denies(ask) || !ask.channels.length) {
				this.onerror?.(new Event('error'));
				return;
			}
			if (ask.denied.length) {
				const e = new MessageEvent('denied', { data: JSON.stringify({ denied: ask.denied, error: 'it is secret' }) });
				queueMicrotask(() => this.closed || this.dispatchEvent(e));
			}
			this.kind = 'sse';
			world.live.add(this);
			this.sub = world.hub.stream(
				ask,
				(m) => {
					const type = m.channel ? 'message' : m.gap ? 'gap' : m.retry !== undefined ? 'bye' : 'cursor';
					const data = m.channel ? JSON.stringify(m) : String(m.retry ?? '');
					const e = new MessageEvent(type, { data, lastEventId: m.cursor });
					queueMicrotask(() => this.closed || this.dispatchEvent(e));
				},
				(ms, f) => world.timer(f, ms),
			);
		});
	}
	cut() {
		this.world.live.delete(this);
		this.sub.close();
		queueMicrotask(() => this.closed || this.onerror?.(new Event('error')));
	}
	close() {
		this.closed = true;
		this.world.live.delete(this);
		this.sub?.close();
	}
}

class Socket {
	constructor(world, url) {
		this.world = world;
		const ask = world.asked(url.replace(/^ws/, 'http'), 'websocket');
		const fate = world.fate.websocket ?? 'down';
		if (fate === 'silent') return;
		queueMicrotask(() => {
			if (this.closed) return;
			if (fate === 'error') {
				this.onerror?.(new Event('error')); // all that Node says, before version 22
				return;
			}
			if (fate !== 'ok' || world.denies(ask) || !ask.channels.length) {
				this.onclose?.({ code: fate === 'denied' ? 1008 : 1006, reason: fate });
				return;
			}
			this.kind = 'websocket';
			world.live.add(this);
			this.onopen?.();
			if (ask.denied.length) this.send1({ denied: ask.denied, error: 'it is secret' });
			this.sub = world.hub.stream(ask, (m) => this.send1(m), (ms, f) => world.timer(f, ms));
		});
	}
	send1(m) {
		queueMicrotask(() => this.closed || this.onmessage?.({ data: JSON.stringify(m) }));
	}
	send(text) {
		const m = JSON.parse(text);
		this.world.log.push({ as: 'said', ...m });
		const denied = (m.subscribe ?? []).filter((name) => this.world.denied.has(name));
		if (m.subscribe) m.subscribe = m.subscribe.filter((name) => !denied.includes(name));
		this.sub.say(m);
		if (denied.length) this.send1({ denied, error: 'it is secret' });
	}
	cut(code = 1006) {
		this.world.live.delete(this);
		this.sub.close();
		queueMicrotask(() => this.closed || this.onclose?.({ code, reason: 'it ended' }));
	}
	close() {
		this.closed = true;
		this.world.live.delete(this);
		this.sub?.close();
	}
}

/** What the server does, in short. */
export class Hub {
	epoch = 'k3f9';
	seq = 0;
	events = [];
	subs = new Set();
	floor = 0; // events up to here are forgotten

	cursor(seq = this.seq) {
		return this.epoch + '.' + seq;
	}
	publish(channel, data) {
		const e = { channel, cursor: this.cursor(++this.seq), time: '2026-11-21T07:00:00.000Z', type: 'message', data };
		this.events.push(e);
		for (const s of [...this.subs]) s.event(e, this.seq);
		return e;
	}
	forget() {
		this.events = [];
		this.floor = this.seq;
	}
	/** A server without a store comes up again. */
	restart(epoch) {
		this.epoch = epoch;
		this.events = [];
		this.seq = this.floor = 0;
	}
	/** What lies behind a position. */
	after(channels, since) {
		if (since === undefined || since === 'now' || since === '') return { events: [], gap: false };
		const [epoch, seq] = since === 'all' ? [this.epoch, 0] : since.split('.');
		const gap = since !== 'all' && (epoch !== this.epoch || +seq < this.floor);
		const events = this.events.filter((e) => channels.includes(e.channel) && (epoch !== this.epoch || +e.cursor.split('.')[1] > +seq));
		return { events, gap };
	}
	poll({ channels, since, wait }, timer) {
		const { events, gap } = this.after(channels, since);
		const body = (events, gap) => JSON.stringify({ cursor: this.cursor(), events, ...(gap && { gap }) });
		const held = { kind: 'poll', close: () => this.subs.delete(held) };
		held.broken = new Promise((_, reject) => (held.cut = () => reject(new TypeError('cut'))));
		held.broken.catch(() => {});
		if (events.length || gap || since === '' || wait === '0') {
			held.answer = Promise.resolve(body(events, gap));
			return held;
		}
		held.answer = new Promise((resolve) => {
			held.event = (e) => channels.includes(e.channel) && (held.close(), resolve(body([e])));
			timer(Math.min(+(wait ?? 25), 25) * 1000, () => (held.close(), resolve(body([]))));
		});
		this.subs.add(held);
		return held;
	}
	stream({ channels, since, beat }, send, timer) {
		const names = new Set(channels), followed = new Set(channels);
		const back = (channels, since) => {
			const { events, gap } = this.after(channels, since);
			if (gap) send({ cursor: events.length ? this.cursor(+events[0].cursor.split('.')[1] - 1) : this.cursor(), gap });
			events.forEach(send);
			return events.length || gap;
		};
		const sub = {
			event: (e) => names.has(e.channel) && send(e),
			close: () => this.subs.delete(sub),
			say: ({ subscribe = [], unsubscribe = [], since = 'now' }) => {
				unsubscribe.forEach((n) => names.delete(n));
				if (unsubscribe.length) send({ unsubscribed: unsubscribe, cursor: this.cursor() });
				const more = subscribe.filter((n) => !names.has(n));
				more.forEach((n) => names.add(n));
				if (subscribe.length) {
					const { events, gap } = this.after(more, since);
					const from = since === 'now' || gap ? this.cursor() : since === 'all' ? this.cursor(0) : since;
					send({ subscribed: subscribe, cursor: gap && events.length ? this.cursor(0) : from, ...(gap && { gap }) });
					// What was being sent when its channel was left is sent all the same.
					this.events.filter((e) => more.includes(e.channel) && followed.has(e.channel)).slice(-1).forEach(send);
					more.forEach((n) => followed.add(n));
					events.forEach(send);
				}
			},
			bye: (retry) => send({ cursor: this.cursor(), retry }),
		};
		const pulse = () => {
			if (this.subs.has(sub) && !sub.dead) {
				if (!sub.mute) send({ cursor: this.cursor() });
				timer(beat * 1000, pulse);
			}
		};
		if (!back(channels, since)) send({ cursor: this.cursor() });
		this.subs.add(sub);
		timer(beat * 1000, pulse);
		return sub;
	}
}

/** Web Locks, as far as they are used. */
class Locks {
	held = new Map();
	waiting = [];
	request(name, options, f) {
		return new Promise((resolve, reject) => {
			const ask = { name, f, resolve, reject };
			options.signal?.addEventListener('abort', () => {
				const i = this.waiting.indexOf(ask);
				if (i >= 0) {
					this.waiting.splice(i, 1);
					reject(new Error('AbortError'));
				}
			});
			if (options.signal?.aborted) {
				reject(new Error('AbortError'));
				return;
			}
			if (options.steal) {
				this.held.get(name)?.reject(new Error('AbortError'));
				this.held.delete(name);
				this.waiting.unshift(ask);
			} else {
				this.waiting.push(ask);
			}
			queueMicrotask(() => this.next(name));
		});
	}
	/** The holder's page crashes. */
	free(name) {
		this.held.delete(name);
		this.next(name);
	}
	next(name) {
		const i = this.waiting.findIndex((a) => a.name === name);
		if (i < 0 || this.held.has(name)) return;
		const [ask] = this.waiting.splice(i, 1);
		this.held.set(name, ask);
		Promise.resolve(ask.f()).then((v) => {
			ask.resolve(v);
			if (this.held.get(name) === ask) {
				this.held.delete(name);
				this.next(name);
			}
		});
	}
}
