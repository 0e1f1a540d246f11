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
	w.denied.add('secret+1');
	return w;
}

/** A page that keeps what it is told of these channels. */
function page(options, ...names) {
	const c = comet('/comet', options);
	const p = { c, got: [], denied: [], states: [] };
	open.push(c);
	c.on('*state', (s) => p.states.push(s.state));
	c.on('*denied', (d) => p.denied.push(d));
	p.follow = (name, since) => c.on(name, (e) => p.got.push(e.data), since);
	names.forEach((name) => p.follow(name));
	return p;
}

for (const transport of ['websocket', 'sse', 'stream', 'poll']) {
	test(`${transport}: what is denied is told once, and the others go on`, async () => {
		const w = world();
		const p = page({ transports: [transport] }, 'a', 'secret+1');
		await w.pass(1000);
		w.hub.publish('secret+1', 0);
		w.hub.publish('a', 1);
		await w.pass(1000);
		w.cut();
		await w.pass(40e3);
		w.hub.publish('a', 2);
		await w.pass(120e3);
		assert.deepEqual([p.c.state, p.c.transport, p.got], ['open', transport, [1, 2]]);
		assert.deepEqual(p.denied.map((d) => d.channels), [['secret+1']]);
		assert.ok(w.log.length < 25, `${w.log.length} requests`);
	});

	test(`${transport}: a channel that is added later may be denied alone`, async () => {
		const w = world();
		const p = page({ transports: [transport] }, 'a');
		await w.pass(1000);
		const off = p.follow('secret+1');
		await w.pass(1000);
		assert.deepEqual(p.denied.map((d) => d.channels), [['secret+1']]);
		for (let i = 0; i < 5; i++) {
			w.hub.publish('a', i);
			await w.pass(30e3);
		}
		assert.deepEqual([p.c.state, p.c.transport, p.got], ['open', transport, [0, 1, 2, 3, 4]]);
		assert.ok(w.log.length < 30, `${w.log.length} requests`);
		off();
		p.follow('b');
		await w.pass(1000);
		p.follow('secret+1');
		await w.pass(1000);
		w.hub.publish('b', 'b');
		await w.pass(1000);
		assert.deepEqual([p.got.at(-1), p.denied.length], ['b', 2], 'who asks again is told again');
	});

	test(`${transport}: who may at last gets what comes from then on`, async () => {
		const w = world();
		const p = page({ transports: [transport] }, 'a', 'secret+1');
		await w.pass(1000);
		w.hub.publish('secret+1', 'before');
		w.hub.publish('a', 1);
		await w.pass(30e3); // a sign of life, or the next poll
		w.denied.clear();
		w.cut();
		await w.pass(40e3);
		w.hub.publish('secret+1', 'after');
		await w.pass(1000);
		assert.deepEqual(p.got, [1, 'after']);
	});

	test(`${transport}: who may follow nothing is refused, and asks seldom`, async () => {
		const w = world();
		const p = page({ transports: [transport] }, 'secret+1');
		await w.pass(60e3);
		assert.deepEqual([p.c.state, p.got], ['waiting', []]);
		assert.ok(w.log.length < 20, `${w.log.length} requests`);
	});

	test(`${transport}: a tab that comes later is told as well`, async () => {
		const w = world();
		w.share();
		const p = page({ transports: [transport] }, 'a', 'secret+1');
		await w.pass(1000);
		const q = page({ transports: [transport] }, 'secret+1', 'a');
		await w.pass(1000);
		w.hub.publish('a', 1);
		await w.pass(30e3);
		for (const tab of [p, q]) {
			assert.deepEqual([tab.got, tab.denied.map((d) => d.channels)], [[1], [['secret+1']]]);
		}
	});
}

test('a position that is given stays, though what is denied has none', async () => {
	for (const transport of ['websocket', 'sse', 'stream', 'poll']) {
		const w = world();
		const at = w.hub.cursor();
		w.hub.publish('a', 1);
		const p = page({ transports: [transport] });
		p.follow('secret+1');
		p.follow('a', at);
		await w.pass(30e3);
		w.hub.publish('a', 2);
		await w.pass(1000);
		assert.deepEqual([p.got, p.denied.map((d) => d.channels)], [[1, 2], [['secret+1']]], transport);
	}
});
