import { Track, isCursor, least, reached } from './track.js';
import type { Message, Position, StateChange, Transport } from './types.js';
import { type Hear, type Pass, type Trouble, asks, ladder, opens } from './wire.js';

/** How often a stream gives a sign of life, seconds. */
const beat = 15;
/** How long a stream may be silent: a beat, and a bad moment of the network. */
const quiet = (beat * 1.5 + 5) * 1000;
/** How long a poll waits, seconds. */
const wait = 25;
/** How long what did not work is not tried again. */
const memory = 60 * 60e3;

export interface Settings {
	transports?: Transport[];
	jsonp?: boolean;
	token?: string | (() => string | Promise<string>);
	credentials?: boolean;
}

export interface Sink {
	hear(m: Message): void;
	state(s: StateChange): void;
}

interface Result {
	/** We ended it, for something else. */
	cut: boolean;
	/** How much was heard. */
	heard: number;
	lived: number;
	/** Milliseconds, where the server said good-bye. */
	retry?: number;
	error?: Trouble;
	/** Nothing came for too long. */
	silent?: boolean;
}

/**
 * One connection, for any channels. It keeps itself up and says what it hears, each event once after the position that
 * its channel was added with.
 *
 * A way that fails may be barred, or the server or the network is away: a short poll tells, since that goes where
 * anything goes. Only if it is answered the next way is tried.
 */
export class Line {
	readonly track = new Track();
	/** The newest position that was heard. */
	head: Position;
	private readonly ways: Transport[];
	private way = 0;
	/** Whether this way has worked, and how often in a row it was no good since then. */
	private worked = false;
	private strikes = 0;
	/** Failures in a row, of whatever. */
	private tries = 0;
	private probing = false;
	/** How long the network took for an answer, milliseconds. */
	private pace = 0;
	private until = 0;
	private running = false;
	private over = false;
	private resting = false;
	/** The visitor's, unless it is to be got; and whether one was got since a connection was last good. */
	private token: string | undefined;
	private renewed = false;
	private cut = (_why?: Trouble) => {};
	private wake = () => {};
	/** Says something on a connection that is there to listen, too. */
	private talk?: (o: object) => void;
	/** What is to be said there, and what it has been of. */
	private readonly wanted = new Set<string>();
	private readonly used = new Set<string>();
	/** What the server does not let us follow, and why. */
	private denied = new Map<string, string | undefined>();
	private readonly key: string;

	constructor(private readonly base: string, private readonly settings: Settings, private readonly sink: Sink) {
		this.token = typeof settings.token === 'function' ? undefined : settings.token || '';
		this.ways = ladder(settings.transports, settings.jsonp);
		this.key = 'comet ' + base;
		try {
			const [name, until] = JSON.parse(localStorage.getItem(this.key)!);
			this.way = Math.max(0, this.ways.indexOf(name));
			this.until = until;
		} catch {}
	}

	/** Follows a channel from a position. */
	add(name: string, from: Position): void {
		const { at, live } = this.track;
		const p = at.get(name);
		if (this.denied.has(name)) {
			void Promise.resolve().then(() => this.deny([name], this.denied.get(name))); // to who has just come, too
		}
		if (at.has(name) && (from === undefined || p === 'all' || reached(from, p))) {
			return;
		}
		live.delete(name);
		at.set(name, from);
		// What is on its way of a channel that this connection has followed would be taken for what follows the position.
		if (!this.talk || this.used.has(name)) {
			this.anew();
		} else if (this.wanted.add(name).size === 1) {
			void Promise.resolve().then(() => this.subscribe());
		}
	}

	/** Says what is wanted besides, for all that is wanted in one go. */
	private subscribe() {
		const { at } = this.track;
		const say = this.talk || (() => {});
		const known = [...this.wanted].filter((name) => at.get(name));
		const fresh = [...this.wanted].filter((name) => at.has(name) && !at.get(name));
		if (known[0]) {
			say({ subscribe: known, since: least(known.map((name) => at.get(name))) });
		}
		if (fresh[0]) {
			say({ subscribe: fresh, since: 'now' });
		}
		this.wanted.forEach((name) => this.used.add(name));
		this.wanted.clear();
	}

	remove(name: string): void {
		const { at, live } = this.track;
		live.delete(name);
		this.denied.delete(name);
		if (at.delete(name)) {
			if (this.talk && at.size) {
				this.talk({ unsubscribe: [name] });
			} else {
				this.anew();
			}
		}
	}

	/** Rests, or goes on. */
	rest(resting: boolean): void {
		if (this.resting !== resting) {
			this.resting = resting;
			this.anew();
		}
	}

	/** The network is there again, and may be another one; or it is gone. */
	network(there: boolean): void {
		if (there) {
			this.until = this.tries = 0;
			this.wake();
		} else {
			this.cut({ status: 0, text: 'offline' });
		}
	}

	close(): void {
		this.over = true;
		this.anew();
	}

	/** Begins anew with what is wanted now. */
	private anew() {
		this.cut();
		this.wake();
		if (!this.running) {
			this.running = true;
			void this.run();
		}
	}

	private async run() {
		for (let again = false; ; ) {
			await new Promise((resolve) => setTimeout(resolve, 20)); // for all that is wanted in one go
			if (this.over || this.resting || !this.track.at.size) {
				break;
			}
			const { token } = this.settings;
			if (this.token === undefined && typeof token === 'function') {
				const error = await this.renew(token);
				if (error) {
					this.state('waiting', error);
					await this.sleep(this.backoff({ error }));
				}
				continue; // something else may be wanted now
			}
			const way = this.probing ? undefined : this.ways[this.way];
			if (!again) {
				this.state('connecting');
			}
			const result = await (way ? this.session(way) : this.probe());
			again = result.cut;
			if (again) {
				continue;
			}
			const pause = way ? this.after(result) : this.probed(result);
			if (pause > 0) {
				this.state('waiting', result.error);
				await this.sleep(pause);
			}
		}
		this.running = false;
		this.state('waiting');
	}

	/** Gets the token. */
	private async renew(get: () => string | Promise<string>): Promise<Trouble | undefined> {
		try {
			this.token = (await get()) || '';
		} catch (e) {
			return { status: 0, text: String(e) };
		}
	}

	private get pass(): Pass {
		return { token: this.token, credentials: this.settings.credentials ? 'include' : undefined };
	}

	private state(state: StateChange['state'], error?: Trouble) {
		if (!this.over) {
			this.sink.state({ state, transport: this.ways[this.way], error: error && error.text, status: (error && error.status) || undefined });
		}
	}

	/** Decides what follows a connection, and returns after how many milliseconds. */
	private after(r: Result): number {
		// What ends as soon as it began is no good, for whatever reason.
		if (r.heard && !r.silent && (r.heard > 10 || r.lived > (r.heard > 1 || r.retry !== undefined ? 2e3 : 10e3))) {
			this.strikes = this.tries = 0;
			this.renewed = false;
		} else {
			// Something may let the beginning through, and then hold everything back.
			this.strikes += r.silent && r.heard === 1 ? 2 : 1;
			this.probing = true;
			// The first time it may be this way that is barred: look at once.
			if (!this.worked && this.strikes < 2 && !this.tries) {
				return 0;
			}
		}
		return r.retry !== undefined && r.lived > 1000 ? r.retry : this.backoff(r);
	}

	/** Decides what follows a probe. */
	private probed(r: Result): number {
		if (r.error || !r.heard) {
			this.strikes = 0; // it was not the way
			return this.backoff(r);
		}
		this.probing = false;
		this.pace = r.lived;
		if (this.strikes >= (this.worked ? 3 : 1)) {
			this.step(this.way + 1);
			if (this.way >= this.ways.length) {
				this.step(0);
				return this.backoff(r);
			}
		}
		return 0;
	}

	private step(way: number) {
		this.way = way;
		this.strikes = 0;
		this.worked = false;
		this.until = Date.now() + memory;
	}

	/** How long to wait after a failure: up to 1, 2, 4 … 32 s, and what the server says. */
	private backoff(r: Partial<Result>): number {
		const { status = 0, after = 0 } = r.error || {};
		if (typeof this.settings.token === 'function' && (status === 401 || status === 403)) {
			this.token = undefined;
			if (!this.renewed) {
				this.renewed = true;
				return 0; // it may just have ended
			}
		}
		this.tries++;
		// The next try will most likely be refused for the same reason.
		const refused = status >= 400 && status < 500 && status !== 408 && status !== 429;
		const most = 500 * 2 ** Math.min(refused ? 6 : this.tries, 6);
		return Math.max(most * (0.5 + Math.random() / 2), after * (1 + Math.random() / 4), r.retry || 0);
	}

	private sleep(ms: number): Promise<void> {
		return new Promise((resolve) => {
			const timer = setTimeout(resolve, Math.min(ms, 60 * 60e3));
			this.wake = () => {
				clearTimeout(timer);
				resolve();
			};
		});
	}

	/** Runs one connection until something ends it. */
	private during(work: (hear: Hear, signal: AbortSignal) => Promise<void>, most: number): Promise<Result> {
		return new Promise((resolve) => {
			const control = new AbortController();
			const began = Date.now();
			let heard = 0, retry: number | undefined, over = false;
			const end = (more: Partial<Result>) => {
				if (!over) {
					over = true;
					clearTimeout(timer);
					this.cut = () => {};
					this.talk = undefined;
					control.abort();
					resolve({ cut: false, heard, lived: Date.now() - began, retry, ...more });
				}
			};
			const silent = () => end({ silent: true, error: { status: 0, text: 'nothing arrives' } });
			let timer = setTimeout(silent, 4000 + Math.min(4 * this.pace, 15e3));
			this.cut = (error) => end(error ? { error } : { cut: true });
			// All follow their positions, from which this connection begins.
			this.track.live = new Set(this.track.at.keys());
			this.wanted.clear();
			this.used.clear();
			this.denied.clear();
			this.track.live.forEach((name) => this.used.add(name));
			work((m) => {
				if (over) {
					return;
				}
				clearTimeout(timer);
				timer = setTimeout(silent, most);
				if (!m.denied) {
					heard++;
				}
				if (m.retry !== undefined) {
					retry = m.retry;
				}
				this.hear(m);
			}, control.signal).then(() => end({}), (error) => end({ error: error.text ? error : { status: 0, text: String(error) } }));
		});
	}

	/** They are not followed. Their positions move on with the others', for who may listen later on. */
	private deny(names: string[], error?: string) {
		const { at } = this.track;
		names.forEach((name) => this.denied.set(name, error) && at.has(name) && at.set(name, at.get(name) || this.head));
		this.sink.hear({ cursor: '', denied: names, error });
	}

	private hear(m: Message) {
		const { track, sink } = this;
		if (m.denied) {
			this.deny(m.denied, m.error);
		}
		for (const name of m.subscribed || []) {
			if (track.at.has(name)) {
				track.live.add(name);
			}
		}
		if (!isCursor(m.cursor) || (m.unsubscribed && !m.subscribed)) {
			return;
		}
		if (!reached(this.head, m.cursor)) {
			this.head = m.cursor;
		}
		m = { ...m, channels: m.channel ? undefined : m.subscribed || m.channels || [...track.live] };
		// A gap is of other people's positions, too.
		if (track.take(m).news.length || m.gap) {
			sink.hear(m);
		}
	}

	private url(names: string[], more: string): string {
		const since = least(names.map((name) => this.track.at.get(name)));
		return this.base + '/' + names.map(encodeURIComponent).join() + '?since=' + (since || '') + more;
	}

	/** Asks once for what is there. Where a position is not known yet, it is that of now. */
	private async ask(way: Transport, seconds: number, hear: Hear, signal: AbortSignal, known = true) {
		const { at } = this.track;
		const names = [...at.keys()], fresh = names.filter((name) => !at.get(name));
		if (fresh.length) {
			await asks[way]!(this.url(fresh, ''), (m) => hear({ ...m, channels: fresh }), signal, this.pass).catch((e) => {
				if (e.status !== 403 || fresh.length === names.length) {
					throw e;
				}
				this.deny(fresh, e.text); // the others go on
			});
		}
		if (known && fresh.length < names.length) {
			await asks[way]!(this.url(names, '&wait=' + seconds), hear, signal, this.pass);
		}
	}

	private async probe(): Promise<Result> {
		const by = (way: Transport) => this.during((hear, signal) => this.ask(way, 0, hear, signal), quiet);
		const r = await by('poll');
		if (r.cut || !r.error || r.error.status || !this.ways.includes('jsonp')) {
			return r;
		}
		const s = await by('jsonp');
		if (s.heard && !s.error) {
			this.step(this.ways.indexOf('jsonp')); // scripts get through where pages may not ask
		}
		return s;
	}

	private session(way: Transport): Promise<Result> {
		const { track } = this;
		if (this.way && Date.now() > this.until) {
			this.step(0);
			way = this.ways[0];
		}
		let begun = false;
		return this.during(async (hear, signal) => {
			const heard = (m: Message) => {
				if (!begun && !signal.aborted && m.retry === undefined) {
					begun = this.worked = true;
					this.remember();
					this.state('open');
				}
				hear(m);
			};
			const open = opens[way];
			if (open) {
				const names = [...track.at.keys()];
				if (names.some((name) => track.at.get(name))) {
					await this.ask('poll', 0, (m) => this.hear(m), signal, false);
				}
				const since = this.url(names, '&beat=' + beat).replace('since=&', 'since=now&');
				await open(since, heard, signal, this.pass, (talk) => (this.talk = talk));
				return;
			}
			await this.ask(way, 0, heard, signal);
			while (!this.way || Date.now() < this.until) {
				const began = Date.now(), from = this.url([...track.at.keys()], '');
				await this.ask(way, wait, heard, signal);
				if (from === this.url([...track.at.keys()], '') && Date.now() - began < 1000) {
					await new Promise((resolve) => setTimeout(resolve, 1000)); // an answer at once, and nothing in it
				}
				if (signal.aborted) {
					return;
				}
			}
			heard({ cursor: '', retry: 0 });
		}, opens[way] ? quiet : (wait + 15) * 1000);
	}

	private remember() {
		try {
			if (this.way) {
				localStorage.setItem(this.key, JSON.stringify([this.ways[this.way], this.until]));
			} else {
				localStorage.removeItem(this.key);
			}
		} catch {}
	}
}
