import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { comet } from '../dist/comet.esm.js';
import { World } from './world.js';

let open = [];
afterEach(() => {
	open.forEach((c) => c.close());
	open = [];
});

function world() {
	const w = new World();
	w.fate.websocket = 'ok';
	w.share();
	return w;
}

function tab(options, ...channels) {
	const c = comet('/comet', options);
	const got = [], gaps = [];
	open.push(c);
	c.on('*gap', (g) => gaps.push(g));
	const order = {};
	for (const name of channels) {
		c.on(name, (e) => {
			assert.ok(e.data > (order[name] ?? -1), `${name}: ${e.data} came behind ${order[name]}`);
			order[name] = e.data;
			got.push(e.data);
		});
	}
	/** What came, in the order in which it was published; that of each channel is checked when it comes. */
	const sorted = () => [...got].sort((a, b) => a - b);
	return { c, got, gaps, sorted };
}

const numbers = (n, from = 0) => [...Array(n).keys()].slice(from);

for (const transport of ['websocket', 'sse', 'stream', 'poll']) {
	const only = { transports: [transport] };

	test(`${transport}: all tabs share one connection, and each gets what it follows`, async () => {
		const w = world();
		const a = tab(only, 'x'), b = tab(only, 'x', 'y'), c = tab(only, 'y');
		await w.pass(500);
		assert.deepEqual(w.kinds(), [transport]);
		for (const t of [a, b, c]) assert.deepEqual([t.c.state, t.c.transport], ['open', transport]);
		for (let i = 0; i < 6; i++) {
			w.hub.publish('xy'[i % 2], i);
			await w.pass(10);
		}
		assert.deepEqual([a.got, b.got, c.got], [[0, 2, 4], numbers(6), [1, 3, 5]]);
		b.c.close();
		c.c.close();
		await w.pass(500);
		const asked = w.log.findLast((q) => q.channels);
		if (transport !== 'websocket') assert.deepEqual(asked.channels, ['x'], 'nobody follows y any more');
		w.hub.publish('x', 6);
		await w.pass(10);
		assert.deepEqual([a.got, b.got], [[0, 2, 4, 6], numbers(6)]);
	});

	test(`${transport}: leaders come and go, and nobody loses or gets twice`, async () => {
		const w = world();
		const all = [];
		let n = 0, seed = 7;
		const random = (most) => (seed = (seed * 16807) % 2147483647) % most;
		for (let i = 0; i < 4; i++) all.push(Object.assign(tab(only, 'x', 'y'), { from: 0 }));
		await w.pass(500);
		for (let i = 0; i < 120; i++) {
			for (let k = random(4); k > 0; k--) w.hub.publish('xy'[random(2)], n++);
			await w.pass(random(15));
			const what = random(12);
			if (what === 0) {
				// The oldest one leads, and leaves without a moment's notice to anybody.
				const gone = all.shift();
				gone.c.close();
				assert.deepEqual(gone.sorted(), numbers(gone.got.length + gone.from, gone.from));
				const from = n;
				await w.pass(200);
				all.push(Object.assign(tab({ ...only, since: w.hub.cursor() }, 'x', 'y'), { from }));
				assert.equal(from, n);
			} else if (what === 1) {
				w.cut();
			}
		}
		await w.pass(30e3);
		for (const t of all) {
			assert.deepEqual(t.sorted(), numbers(n, t.from));
			assert.deepEqual(t.gaps, []);
		}
		assert.deepEqual(w.kinds(), [transport]);
	});

	test(`${transport}: a tab that begins earlier than the others gets what it needs, and they get nothing twice`, async () => {
		const w = world();
		w.hub.publish('x', 0);
		const since = w.hub.cursor();
		const a = tab(only, 'x', 'y');
		await w.pass(500);
		for (let i = 1; i < 5; i++) {
			w.hub.publish('x', i);
			await w.pass(10);
		}
		const b = tab({ ...only, since }, 'x');
		const c = tab({ ...only, since: 'all' }, 'x');
		const d = tab(only, 'x');
		for (let i = 5; i < 30; i++) {
			w.hub.publish('x', i);
			await w.pass(20);
		}
		await w.pass(5e3);
		assert.deepEqual([a.got, b.got, c.got], [numbers(30, 1), numbers(30, 1), numbers(30)]);
		assert.deepEqual(d.got, numbers(30, d.got[0]));
		assert.ok(d.got[0] >= 5 && d.got[0] < 10, `now was at ${d.got[0]}`);
		assert.deepEqual(w.kinds(), [transport]);
		assert.deepEqual([a.gaps, b.gaps, c.gaps, d.gaps], [[], [], [], []]);
	});

	test(`${transport}: a gap is told to those who have one`, async () => {
		const w = world();
		w.hub.publish('x', 0);
		const since = w.hub.cursor();
		w.hub.publish('x', 'lost');
		const a = tab(only, 'x');
		await w.pass(500);
		w.hub.publish('x', 1);
		await w.pass(10);
		w.hub.forget();
		const b = tab({ ...only, since }, 'x');
		await w.pass(5e3);
		w.hub.publish('x', 2);
		await w.pass(100);
		assert.deepEqual([a.got, b.got, a.gaps.length, b.gaps.length], [[1, 2], [2], 0, 1]);
		w.hub.restart('m000');
		w.cut();
		await w.pass(5e3);
		w.hub.publish('x', 3);
		await w.pass(100);
		assert.deepEqual([a.got, b.got, a.gaps.length, b.gaps.length], [[1, 2, 3], [2, 3], 1, 2]);
	});
}

test('a leader whose page is stopped is replaced, and is one of the others when it goes on', async () => {
	const w = world();
	const a = tab({}, 'x'), b = tab({}, 'x');
	await w.pass(500);
	w.hub.publish('x', 0);
	await w.pass(10);
	const [first] = w.posts;
	first.frozen = true; // its letters neither come nor go
	w.hub.publish('x', 1);
	await w.pass(28e3);
	w.hub.publish('x', 2);
	await w.pass(100);
	assert.deepEqual(b.got, [0, 1, 2]);
	first.frozen = false;
	await w.pass(60e3);
	w.hub.publish('x', 3);
	await w.pass(1e3);
	assert.deepEqual([a.got, b.got], [numbers(4), numbers(4)]);
	assert.deepEqual(w.kinds(), ['websocket']);
});

test('what only a tab that crashed has followed is followed no more', async () => {
	const w = world();
	const a = tab({ transports: ['sse'] }, 'x');
	tab({ transports: ['sse'] }, 'x', 'y');
	await w.pass(500);
	assert.deepEqual(w.log.at(-1).channels, ['x', 'y']);
	[...w.posts][1].frozen = true;
	w.locks.free([...w.locks.held.keys()].filter((name) => name.split(' ').length > 3)[1]);
	await w.pass(500);
	assert.deepEqual(w.log.at(-1).channels, ['x']);
	w.hub.publish('x', 1);
	await w.pass(10);
	assert.deepEqual(a.got, [1]);
});

test('an answer to what a tab no longer wants is no answer to what it wants', async () => {
	const w = world();
	w.delay = 5;
	tab({ transports: ['sse'] }, 'x');
	const b = tab({ transports: ['sse'] }, 'other');
	await w.pass(500);
	const since = w.hub.cursor();
	for (let i = 0; i < 5; i++) w.hub.publish('x', i);
	await w.pass(100);
	const got = [];
	const off = b.c.on('x', (e) => got.push(e.data));
	await w.pass(7);
	off();
	b.c.on('x', (e) => got.push(e.data), since);
	await w.pass(4);
	w.hub.publish('x', 5); // the answer to the first is there, the second not yet with the leader
	await w.pass(1e3);
	assert.deepEqual(got, numbers(6));
});

test('a leader that is only quiet is left alone', async () => {
	const w = world();
	const a = tab({}, 'x'), b = tab({}, 'x');
	await w.pass(500);
	const before = w.log.length;
	await w.pass(10 * 60e3);
	assert.equal(w.log.length, before, 'no connection but the first');
	w.hub.publish('x', 1);
	await w.pass(10);
	assert.deepEqual([a.got, b.got], [[1], [1]]);
});

test('the connection rests when no tab is seen, not when the leader is not', async () => {
	const w = world();
	globalThis.document = Object.assign(new EventTarget(), { hidden: false });
	const a = tab({}, 'x');
	await w.pass(500);
	// The pages share one document here: what is hidden is said by the page that hears of it.
	const b = tab({}, 'x');
	await w.pass(500);
	document.hidden = true;
	document.dispatchEvent(new Event('visibilitychange'));
	await w.pass(301e3);
	assert.deepEqual([w.kinds(), a.c.state, b.c.state], [[], 'waiting', 'waiting']);
	w.hub.publish('x', 1);
	document.hidden = false;
	document.dispatchEvent(new Event('visibilitychange'));
	await w.pass(500);
	assert.deepEqual([w.kinds(), a.got, b.got, b.c.state], [['websocket'], [1], [1], 'open']);
});

test('pages of other addresses, and those that do not want to, have connections of their own', async () => {
	const w = world();
	tab({}, 'x');
	tab({ share: false }, 'x');
	const other = comet('/other', {});
	open.push(other);
	other.on('x', () => {});
	await w.pass(500);
	assert.deepEqual(w.kinds(), ['websocket', 'websocket', 'websocket']);
});

test('a channel that is left and followed again begins where it is told to', async () => {
	const w = world();
	tab({}, 'x');
	const b = tab({}, 'other');
	await w.pass(500);
	w.hub.publish('x', 0);
	const since = w.hub.cursor();
	w.hub.publish('x', 1);
	const got = [];
	const off = b.c.on('x', (e) => got.push(e.data));
	await w.pass(100);
	off();
	b.c.on('x', (e) => got.push(e.data), since);
	await w.pass(100);
	w.hub.publish('x', 2);
	await w.pass(100);
	assert.deepEqual(got, [1, 2]);
	assert.equal(w.locks.waiting.length > 0, true);
});
