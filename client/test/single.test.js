import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { comet } from '../dist/comet.esm.js';
import { World } from './world.js';

const every = ['websocket', 'sse', 'stream', 'poll'];
let open = [];
afterEach(() => {
	open.forEach((c) => c.close());
	open = [];
});

/** A page that follows channels, and keeps what it is told. */
function page(options, ...channels) {
	const c = comet('/comet', options);
	const got = [], gaps = [], states = [];
	open.push(c);
	c.on('*state', (s) => states.push(s.state + (s.error ? ': ' + s.error : '')));
	c.on('*gap', (g) => gaps.push(g));
	for (const name of channels) c.on(name, (e) => got.push(e));
	return { c, got, gaps, states, data: () => got.map((e) => e.data) };
}

function world(fate = { websocket: 'ok' }) {
	const w = new World();
	Object.assign(w.fate, fate);
	return w;
}

test('a name that is none is refused at once, and stops nobody else', async () => {
	const w = world();
	const p = page({ transports: ['websocket'] }, 'orders');
	for (const name of ['', 'bad name', 'a,b', '-a', 'ä', 'a/b', 'x'.repeat(129)]) {
		assert.throws(() => p.c.on(name, () => {}), TypeError, name);
	}
	p.c.on('x'.repeat(128), () => {})();
	p.c.on('9.:@=+-_Z', () => {});
	await w.pass(100);
	w.hub.publish('orders', 1);
	await w.pass(100);
	assert.deepEqual(p.data(), [1]);
});

for (const transport of every) {
	test(`${transport}: one connection brings the events of all channels, in order`, async () => {
		const w = world();
		const p = page({ transports: [transport] }, 'orders', 'alerts', 'news');
		await w.pass(100);
		assert.equal(p.c.state, 'open');
		assert.equal(p.c.transport, transport);
		for (let i = 0; i < 9; i++) {
			w.hub.publish(['orders', 'alerts', 'news', 'others'][i % 4], i);
			await w.pass(10);
		}
		assert.deepEqual(p.data(), [0, 1, 2, 4, 5, 6, 8]);
		assert.deepEqual(w.kinds(), [transport]);
		assert.deepEqual(p.got[0], { channel: 'orders', cursor: 'k3f9.1', time: '2026-11-21T07:00:00.000Z', type: 'message', data: 0 });
		assert.deepEqual(p.states, ['connecting', 'open']);
		p.c.close();
		await w.pass(100e3);
		assert.deepEqual([w.kinds(), w.timers.size, p.c.state], [[], 0, 'closed'], 'all is over when it is closed');
	});

	test(`${transport}: nothing is lost and nothing comes twice, whatever is cut when`, async () => {
		const w = world();
		const p = page({ transports: [transport] }, 'a', 'b');
		await w.pass(100);
		const n = await w.ravage();
		assert.deepEqual(p.data(), [...Array(n).keys()]);
		assert.deepEqual(p.gaps, []);
	});

	test(`${transport}: a gap is told, and then events go on`, async () => {
		const w = world();
		const p = page({ transports: [transport] }, 'a', 'b');
		await w.pass(100);
		w.hub.publish('a', 1);
		await w.pass(100);
		w.cut();
		w.hub.publish('a', 'lost');
		w.hub.forget();
		const kept = w.hub.publish('b', 2);
		await w.pass(5e3);
		assert.deepEqual(p.data(), [1, 2]);
		assert.equal(p.gaps.length, 1);
		assert.deepEqual(p.gaps[0].channels.sort(), ['a', 'b']);
		assert.equal(p.c.since.b, kept.cursor);
	});

	test(`${transport}: a server that forgot everything is a gap, and no reason to begin at the beginning`, async () => {
		const w = world();
		const p = page({ transports: [transport] }, 'a');
		await w.pass(100);
		w.hub.publish('a', 1);
		await w.pass(100);
		w.hub.restart('m000');
		w.cut();
		await w.pass(5e3);
		w.hub.publish('a', 2);
		await w.pass(100);
		assert.deepEqual(p.data(), [1, 2]);
		assert.equal(p.gaps.length, 1);
		assert.equal(p.c.since.a, 'm000.1');
	});

	test(`${transport}: a channel that is added later gets what is new, or all behind its position, and the others lose nothing`, async () => {
		const w = world();
		for (let i = 0; i < 4; i++) w.hub.publish('late', 'old' + i);
		const p = page({ transports: [transport] }, 'a');
		await w.pass(100);
		for (let i = 0; i < 3; i++) {
			w.hub.publish('late', 'before' + i);
			w.hub.publish('a', i);
			await w.pass(10);
		}
		p.c.on('late', (e) => p.got.push(e));
		p.c.on('all', () => {});
		const since = [];
		p.c.on('early', (e) => since.push(e.data), 'k3f9.2');
		w.hub.publish('early', 'at once');
		w.hub.publish('a', 3);
		await w.pass(3e3);
		w.hub.publish('late', 'after');
		w.hub.publish('early', 'after');
		w.hub.publish('a', 4);
		await w.pass(3e3);
		assert.deepEqual(p.data(), [0, 1, 2, 3, 'after', 4]);
		assert.deepEqual(since, ['at once', 'after']);
		assert.equal(w.kinds().length, 1);
	});

	test(`${transport}: what a page has from its server goes on where that was`, async () => {
		const w = world();
		w.hub.publish('a', 1);
		const since = w.hub.cursor();
		w.hub.publish('a', 2);
		w.hub.publish('b', 3);
		const p = page({ transports: [transport], since }, 'a', 'b');
		const q = page({ transports: [transport], since: { a: 'all' } }, 'a', 'b');
		await w.pass(1e3);
		assert.deepEqual(p.data(), [2, 3]);
		assert.deepEqual(q.data(), [1, 2]);
		const again = page({ transports: [transport], since: p.c.since }, 'a', 'b');
		w.hub.publish('b', 4);
		await w.pass(1e3);
		assert.deepEqual([p.data(), again.data()], [[2, 3, 4], [4]]);
	});

	test(`${transport}: channels that begin in different places, and one in a history that is gone`, async () => {
		const w = world();
		for (let i = 1; i < 7; i++) w.hub.publish('abc'[i % 3], i);
		const p = page({ transports: [transport], since: { a: 'k3f9.5', b: 'k3f9.0', c: 'old0.9', d: 'k3f9.2' } }, 'c', 'a', 'b', 'd');
		w.hub.publish('d', 7);
		await w.pass(5e3);
		w.hub.publish('c', 8);
		await w.pass(100);
		assert.deepEqual(p.got.filter((e) => e.channel !== 'c').map((e) => e.data), [1, 4, 6, 7]);
		assert.deepEqual(p.gaps.map((g) => g.channels), [['c']]);
		assert.equal(p.data().at(-1), 8);
	});

	test(`${transport}: a good-bye is obeyed`, async () => {
		const w = world();
		const p = page({ transports: [transport] }, 'a');
		await w.pass(12e3);
		if (transport === 'poll') return; // has none
		const before = w.log.length;
		for (const s of [...w.hub.subs]) s.bye(7000);
		w.cut();
		await w.pass(6900);
		assert.equal(w.log.length, before);
		assert.equal(p.c.state, 'waiting');
		await w.pass(200);
		assert.deepEqual([w.log.length, p.c.state, p.c.transport], [before + 1, 'open', transport]);
	});
}

test('the best way is taken, and those that are barred are passed over at once', async () => {
	for (const websocket of ['down', 'error']) {
		const w = world({ websocket, sse: 'down' });
		const p = page({}, 'a');
		await w.pass(1e3);
		assert.deepEqual([p.c.state, p.c.transport], ['open', 'stream']);
		assert.deepEqual(w.log.map((a) => a.as), ['websocket', 'poll', 'sse', 'poll', 'stream']);
	}
});

test('where streams are held back, polls take over within seconds, and no event waits for it', async () => {
	const w = world({ websocket: 'silent', sse: 'silent', stream: 'silent' });
	const p = page({}, 'a');
	const late = [];
	for (let i = 0; i < 40; i++) {
		w.hub.publish('a', i);
		const at = w.now;
		await w.pass(500);
		late.push([i, at]);
	}
	assert.deepEqual([p.c.state, p.c.transport], ['open', 'poll']);
	// The first ones were before it had a position.
	assert.deepEqual(p.data(), [...Array(40).keys()].slice(p.data()[0]));
	assert.ok(p.data()[0] < 10, `begins with ${p.data()[0]}`);
	assert.ok(w.log.length < 60, `${w.log.length} requests`);
});

test('what works here is remembered for an hour, and then better ones are tried again', async () => {
	const w = world({ websocket: 'down', sse: 'down', stream: 'down' });
	const p = page({}, 'a');
	await w.pass(3e3);
	assert.equal(p.c.transport, 'poll');
	p.c.close();
	w.log.length = 0;
	const q = page({}, 'a');
	await w.pass(3e3);
	assert.deepEqual([q.c.transport, new Set(w.log.map((a) => a.as))], ['poll', new Set(['poll'])]);
	w.fate = { websocket: 'ok' };
	await w.pass(58 * 60e3);
	assert.equal(q.c.transport, 'poll');
	await w.pass(2 * 60e3);
	assert.equal(q.c.transport, 'websocket');
	assert.equal(w.kept.size, 0);
	w.hub.publish('a', 1);
	await w.pass(10);
	assert.deepEqual(q.data(), [1]);
});

test('another network may have better ways', async () => {
	const w = world({ websocket: 'down', sse: 'down', stream: 'down' });
	const p = page({}, 'a');
	await w.pass(3e3);
	w.fate = { websocket: 'ok' };
	dispatchEvent(new Event('online'));
	await w.pass(30e3);
	assert.equal(p.c.transport, 'websocket');
});

/** What a page may get in a server's place. */
const wrong = {
	nothing: 'down',
	'a bad gateway': () => new Response('<h1>502</h1>', { status: 502, headers: { 'Content-Type': 'text/html' } }),
	'a login': () => new Response('<form>{"cursor":"k3f9.9","events":[]}</form>', { headers: { 'Content-Type': 'text/html' } }),
	'a page that reads like an event': () => new Response('{"cursor":"k3f9.9","events":[],"channel":"a","data":"evil"}\n', { headers: { 'Content-Type': 'text/html' } }),
	'half an answer': () => new Response('{"cursor":"k3f9.9","events":[{"chan', { headers: { 'Content-Type': 'application/json' } }),
	'other JSON': () => new Response('{"cursor":7,"events":{}}', { headers: { 'Content-Type': 'application/json' } }),
	'events that are none': () => new Response('{"cursor":"k3f9.9","events":["a",{"channel":"a","data":"evil"}]}', { headers: { 'Content-Type': 'application/json' } }),
	'lines that are none': () => new Response('<script>\n'.repeat(9), { headers: { 'Content-Type': 'text/plain' } }),
};
for (const [name, fate] of Object.entries(wrong)) {
	for (const transport of every) {
		test(`${transport}: ${name} for ten minutes is survived at leisure`, async () => {
			const w = world();
			const p = page({ transports: [transport] }, 'a');
			await w.pass(20e3);
			w.hub.publish('a', 1);
			await w.pass(10);
			w.log.length = 0;
			w.fate = { websocket: 'down', sse: 'down', stream: fate, poll: fate };
			w.cut();
			w.hub.publish('a', 2);
			await w.pass(10 * 60e3);
			assert.notEqual(p.c.state, 'open');
			assert.ok(w.log.length >= 10 && w.log.length <= 60, `${w.log.length} requests in ten minutes`);
			const first = w.log.filter((a) => a.at < w.log[0].at + 3e3);
			assert.ok(first.length <= 5, `${first.length} requests in three seconds`);
			w.fate = { websocket: 'ok' };
			w.hub.publish('a', 3);
			await w.pass(60e3);
			assert.deepEqual(p.data(), [1, 2, 3]);
			assert.deepEqual([p.c.state, p.c.transport], ['open', transport], 'it was not the way');
		});
	}
}

test('Retry-After is obeyed', async () => {
	const w = world({ websocket: 'down' });
	w.fate.sse = w.fate.stream = 'down';
	w.fate.poll = () => new Response('full\n', { status: 503, headers: { 'Retry-After': '120', 'Content-Type': 'text/plain' } });
	const p = page({}, 'a');
	await w.pass(119e3);
	assert.deepEqual(w.log.map((a) => a.as), ['websocket', 'poll']);
	assert.deepEqual(p.states.at(-1), 'waiting: 503: full');
	w.fate = { websocket: 'ok' };
	await w.pass(60e3);
	assert.equal(p.c.transport, 'websocket');
});

test('a request that is wrong is not repeated every second', async () => {
	const w = world({ websocket: 'denied' });
	w.fate.poll = () => new Response("the channel's name has a character that is not allowed\n", { status: 400, headers: { 'Content-Type': 'text/plain' } });
	const p = page({}, 'a');
	await w.pass(10 * 60e3);
	assert.ok(w.log.length < 40, `${w.log.length} requests`);
	assert.match(p.states.at(-1), /^waiting: 400: the channel's name/);
});

for (const transport of ['websocket', 'sse', 'stream']) {
	test(`${transport}: a connection on which nothing more comes is given up, and it is not tried for ever`, async () => {
		const w = world();
		const p = page({ transports: [transport, 'poll'] }, 'a');
		await w.pass(100);
		for (let i = 0; i < 20; i++) {
			for (const s of w.hub.subs) if (!s.answer) (s.mute = true), s.event === undefined || (s.event = () => {});
			w.hub.publish('a', i);
			await w.pass(30e3);
		}
		assert.deepEqual(p.data(), [...Array(20).keys()]);
		assert.equal(p.c.transport, 'poll');
	});

	test(`${transport}: a connection that ends as soon as it began is no hot loop`, async () => {
		const w = world();
		page({ transports: [transport] }, 'a');
		for (let i = 0; i < 1000; i++) {
			w.cut();
			await w.pass(600);
		}
		assert.ok(w.log.length < 150, `${w.log.length} requests in ten minutes`);
	});
}

test('a cache that answers at once makes no hot loop', async () => {
	const w = world();
	page({ transports: ['poll'] }, 'a');
	await w.pass(100);
	w.log.length = 0;
	w.fate.poll = () => new Response('{"cursor":"k3f9.0","events":[]}', { headers: { 'Content-Type': 'application/json' } });
	w.cut();
	await w.pass(60e3);
	assert.ok(w.log.length > 5 && w.log.length < 70, `${w.log.length} requests in a minute`);
});

test('a handler that throws disturbs nobody', async () => {
	const w = world();
	const p = page({}, 'a');
	const thrown = [];
	p.c.on('a', () => {
		throw new Error('mine');
	});
	const q = [];
	p.c.on('a', (e) => q.push(e.data));
	await w.pass(100);
	w.hub.publish('a', 1);
	await w.pass(0).catch((e) => thrown.push(e.message));
	await w.pass(10).catch((e) => thrown.push(e.message));
	w.hub.publish('a', 2);
	await w.pass(0).catch((e) => thrown.push(e.message));
	await w.pass(10).catch((e) => thrown.push(e.message));
	assert.deepEqual([p.data(), q], [[1, 2], [1, 2]]);
	assert.deepEqual(thrown, ['mine', 'mine'], 'the console hears of it');
});

test('a channel is left with its last handler', async () => {
	const w = world();
	const p = page({ transports: ['stream'] }, 'a', 'b');
	const same = (e) => p.got.push(e);
	const off = [p.c.on('b', same), p.c.on('b', same)];
	await w.pass(100);
	w.hub.publish('b', 1);
	await w.pass(10);
	assert.deepEqual(p.data(), [1, 1, 1]);
	off[0]();
	off[0]();
	w.hub.publish('b', 2);
	await w.pass(100);
	assert.deepEqual(p.data(), [1, 1, 1, 2, 2]);
	const last = p.c.on('c', () => {});
	await w.pass(100);
	assert.deepEqual(w.log.at(-1).channels, ['a', 'b', 'c']);
	last();
	await w.pass(100);
	assert.deepEqual(w.log.at(-1).channels, ['a', 'b']);
	const only = comet('/comet', { transports: ['stream'] });
	open.push(only);
	only.on('c', () => {})();
	await w.pass(1e3);
	assert.deepEqual([only.state, w.kinds()], ['waiting', ['stream']]);
});

test('pages that nobody sees rest, and have it all when they are seen again', async () => {
	const w = world();
	globalThis.document = Object.assign(new EventTarget(), { hidden: false });
	const show = (hidden) => {
		document.hidden = hidden;
		document.dispatchEvent(new Event('visibilitychange'));
	};
	const p = page({}, 'a');
	await w.pass(100);
	show(true);
	await w.pass(299e3);
	assert.equal(p.c.state, 'open');
	await w.pass(2e3);
	assert.deepEqual([p.c.state, w.kinds()], ['waiting', []]);
	w.hub.publish('a', 1);
	const asked = w.log.length;
	await w.pass(60 * 60e3);
	assert.equal(w.log.length, asked);
	show(false);
	await w.pass(100);
	assert.deepEqual([p.c.state, p.data()], ['open', [1]]);
	show(true);
	await w.pass(200e3);
	show(false);
	show(true);
	await w.pass(200e3);
	assert.equal(p.c.state, 'open', 'the time counts anew');
	const never = page({ pause: 0 }, 'b');
	await w.pass(60 * 60e3);
	assert.equal(never.c.state, 'open');
});

test('a page that is stopped has no connection, and goes on where it was', async () => {
	const w = world();
	globalThis.document = Object.assign(new EventTarget(), { hidden: false });
	const p = page({}, 'a');
	await w.pass(100);
	for (const [stop, go] of [['pagehide', 'pageshow'], ['freeze', 'resume']]) {
		(stop === 'freeze' ? document : globalThis).dispatchEvent(new Event(stop));
		await w.pass(1e3);
		assert.deepEqual([p.c.state, w.kinds()], ['waiting', []]);
		w.hub.publish('a', stop);
		(go === 'resume' ? document : globalThis).dispatchEvent(new Event(go));
		await w.pass(100);
		assert.equal(p.c.state, 'open');
	}
	assert.deepEqual(p.data(), ['pagehide', 'freeze']);
});

test('the network goes and comes', async () => {
	const w = world();
	const p = page({}, 'a');
	await w.pass(20e3);
	w.fate = { websocket: 'down', sse: 'down', stream: 'down', poll: 'down' };
	dispatchEvent(new Event('offline'));
	await w.pass(100);
	assert.deepEqual([p.c.state, w.kinds()], ['waiting', []]);
	w.hub.publish('a', 1);
	await w.pass(5 * 60e3);
	w.fate = { websocket: 'ok' };
	dispatchEvent(new Event('online'));
	await w.pass(100);
	assert.deepEqual([p.c.state, p.c.transport, p.data()], ['open', 'websocket', [1]]);
});

test('sequences with more digits than a number has are told apart', async () => {
	const w = world();
	w.hub.seq = 0;
	const big = (n) => 'k3f9.' + (9223372036854770000n + BigInt(n));
	w.hub.cursor = function (seq = this.seq) {
		return big(seq);
	};
	w.hub.after = function (channels, since) {
		const at = BigInt((since || '').split('.')[1] || 0);
		return { events: at ? this.events.filter((e) => BigInt(e.cursor.split('.')[1]) > at) : [], gap: false };
	};
	const p = page({ transports: ['stream'] }, 'a', 'b');
	for (let i = 0; i < 30; i++) {
		await w.pass(i % 3 ? 10 : 2000);
		w.hub.publish('aab'[i % 3], i);
		if (i % 5 === 0) w.cut();
	}
	await w.pass(5e3);
	assert.deepEqual(p.data(), [...Array(30).keys()].slice(p.data()[0]));
	assert.ok(p.data()[0] < 3);
});

for (const transport of ['websocket', 'sse', 'stream', 'poll']) {
	test(`${transport}: cookies go to another site where that is wanted`, async () => {
		for (const credentials of [undefined, true]) {
			const w = world({ websocket: 'ok' });
			const p = page({ transports: [transport], credentials }, 'a');
			await w.pass(30e3);
			assert.equal(p.c.state, 'open');
			const want = credentials ? 'include' : undefined;
			assert.ok(w.log.every((ask) => ask.as === 'websocket' || ask.credentials === want), JSON.stringify(w.log));
		}
	});
}

test('a position that the server of the page could not tell is now', async () => {
	const w = world();
	for (const since of [null, '']) {
		const p = page({ since, share: false }, 'a');
		p.c.on('b', (e) => p.got.push(e), since);
		await w.pass(100);
		assert.equal(p.c.state, 'open');
		w.hub.publish('a', 1);
		w.hub.publish('b', 2);
		await w.pass(100);
		assert.deepEqual(p.data(), [1, 2]);
	}
});
