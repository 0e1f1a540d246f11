import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { parse } from 'acorn';

const file = (name) => readFileSync(new URL('../dist/' + name, import.meta.url));

test('the library is small', () => {
	for (const name of ['comet.js', 'comet.esm.js', 'comet.legacy.js']) {
		const size = gzipSync(file(name), { level: 6 }).length;
		assert.ok(size <= 6 * 1024, `${name} has ${size} bytes`);
	}
});

test('old browsers can read what is for them', () => {
	parse(file('comet.legacy.js').toString(), { ecmaVersion: 5 });
	parse(file('comet.js').toString(), { ecmaVersion: 2018 });
	assert.throws(() => parse(file('comet.js').toString(), { ecmaVersion: 5 }), 'the check sees a difference');
});

test('nothing that was sent is ever run', () => {
	for (const name of ['comet.js', 'comet.esm.js', 'comet.legacy.js']) {
		assert.doesNotMatch(file(name).toString(), /\beval\b|\bFunction\(|innerHTML|outerHTML|document\.write|insertAdjacentHTML/);
	}
});
