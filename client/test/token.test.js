import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { comet } from '../dist/comet.esm.js';
import { World } from './world.js';

let open = [];
afterEach(() => {
	open.forEach((c) => c.close());
	open = [];
});

function world(only) {
	const w = new World();
	w.fate.websocket = 'ok';
	w.only = only;
	return w;
}

/** A page that follows a channel, and keeps what it is told. */
function page(options) {
	const c = comet('/comet', options);
	const p = { c, got: [], states: [] };
	open.push(c);
	c.on('*state', (s) => p.states.push(s));
	c.on('a', (e) => p.got.push(e.data));
	return p;
}

for (const transport of ['websocket', 'sse', 'stream', 'poll']) {
	test(`${transport}: a token is shown, in a header where there is one`, async () => {
		const w = world('one+/=');
		const p = page({ transports: [transport], token: 'one+/=' });
		await w.pass(100);
		w.hub.publish('a', 1);
		await w.pass(100);
		assert.deepEqual([p.c.state, p.c.transport, p.got], ['open', transport, [1]]);
		for (const ask of w.log) {
			const shown = ask.as === 'websocket' || ask.as === 'sse';
			assert.deepEqual([ask.token, ask.bearer], shown ? ['one+/=', undefined] : [undefined, 'Bearer one+/=']);
		}
		assert.ok(w.log.some((ask) => ask.as === transport));
	});

	test(`${transport}: a token that ends makes room for the next, and nothing is lost`, async () => {
		const w = world('one');
		let calls = 0;
		const p = page({ transports: [transport], token: async () => (calls++, w.only) });
		await w.pass(30e3);
		assert.equal(calls, 1, 'it is good until it is refused');
		w.only = 'two';
		w.cut();
		w.hub.publish('a', 1);
		await w.pass(5e3);
		w.hub.publish('a', 2);
		await w.pass(1e3);
		assert.deepEqual([p.got, p.c.state, p.c.transport, calls], [[1, 2], 'open', transport, 2]);
		await w.pass(60e3);
		w.only = 'three';
		w.cut();
		await w.pass(5e3);
		assert.deepEqual([p.c.state, p.c.transport, calls], ['open', transport, 3], 'and once more');
	});

	test(`${transport}: who is refused says so, and asks seldom`, async () => {
		for (const token of [undefined, 'bad', () => 'bad', () => Promise.resolve('bad')]) {
			const w = world('good');
			const p = page({ transports: [transport], token });
			await w.pass(10e3);
			assert.deepEqual(p.states.at(-1), { state: 'waiting', transport, error: '401: the token is refused', status: 401 });
			const before = w.log.length;
			assert.ok(before <= 5, `${before} requests in ten seconds`);
			await w.pass(600e3);
			assert.ok(w.log.length - before < 45, `${w.log.length - before} requests in ten minutes`);
			assert.ok(w.log.length - before > 10, 'it does not give up');
			assert.deepEqual(p.got, []);
			if (token) {
				w.only = 'bad'; // whom the server lets in after all
				await w.pass(120e3);
				assert.equal(p.c.state, 'open');
				assert.equal(p.states.at(-1).status, undefined);
			}
		}
	});
}

test('a WebSocket whose right has ended goes on with the next token at once', async () => {
	const w = world('one');
	const p = page({ transports: ['websocket'], token: () => w.only });
	await w.pass(30e3);
	w.only = 'two';
	[...w.live].forEach((s) => s.cut(1008));
	await w.pass(100);
	assert.equal(p.c.state, 'open');
	assert.deepEqual(p.states.map((s) => s.state), ['connecting', 'open', 'connecting', 'open']);
});

test('a token that cannot be had is a failure like others', async () => {
	const w = world('one');
	let away = true, calls = 0;
	const p = page({
		transports: ['sse'],
		token: () => {
			calls++;
			if (away) throw new Error('nobody answers');
			return w.only;
		},
	});
	await w.pass(60e3);
	assert.deepEqual(p.states.at(-1), { state: 'waiting', transport: 'sse', error: 'Error: nobody answers', status: undefined });
	assert.ok(calls > 3 && calls < 12, `${calls} calls in a minute`);
	assert.deepEqual(w.log, []);
	away = false;
	await w.pass(40e3);
	assert.deepEqual([p.c.state, p.c.transport], ['open', 'sse']);
});

test('who closes while the token is on its way is gone', async () => {
	const w = world('one');
	let give;
	const p = page({ transports: ['sse'], token: () => new Promise((resolve) => (give = resolve)) });
	await w.pass(100);
	p.c.close();
	give('one');
	await w.pass(1e3);
	assert.deepEqual([w.log, w.timers.size, p.c.state], [[], 0, 'closed']);
});
